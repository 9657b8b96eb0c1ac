"""Score normalisation (CSLS, s-norm): some paintings are close to everything; measure how close, and take it off.

How close a painting is to everything is read from its scores with a cohort of other paintings. :class:`CohortScorer`
has a fixed one, of *training* artists, saved with the model: a score does not depend on what else is being compared.
:class:`FolderScorer` has all pictures of a folder, unlabelled: what its pictures have in common, such as the maker of
the reproductions, is taken off, so that thresholds hold there which were learned elsewhere.
"""

from collections.abc import Collection, Sequence
from typing import Final, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli._progress import progress_bar
from morelli.data.artists import artist_key
from morelli.errors import MorelliError, did_you_mean
from morelli.evaluation.validate import refuse_unusable
from morelli.models.heads import Scorer
from morelli.models.network import Network

Method = Literal["csls", "s-norm"]

METHODS: Final[tuple[Method, ...]] = ("csls", "s-norm")
NEAREST: Final[dict[str, int]] = {"csls": 15, "s-norm": 200}
SMALLEST_COHORT: Final = 5
"""Of fewer paintings, how close something is to everything cannot be told."""
SMALLEST_FOLDER: Final = 20
"""Pictures of one's own, with fewer of which scores are not normalised."""
_MOST_OF_FOLDER: Final = 2000
_ROWS_AT_ONCE = 256


class NormalisedScorer(Scorer):
    """Another scorer's scores, normalised by how close both paintings are to a cohort.

    Attributes:
        base: the network's own scorer.
        artists: the cohort's, who must not be measured; none where the cohort may be of anyone.
    """

    base: Scorer
    artists: tuple[str, ...] = ()

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        scores = self.base.pairwise_distance(query_emb, ref_emb)
        return self.normalise(scores, self.closeness(query_emb), self.closeness(ref_emb))

    def matrix(self, a: Tensor, b: Tensor) -> Tensor:
        return self.normalise(self.base.matrix(a, b), self.closeness(a)[:, None], self.closeness(b)[None])

    def closeness(self, embeddings: Tensor) -> Tensor:
        """(N, 2) mean and standard deviation of each painting's scores with the cohort, (N, D)."""
        raise NotImplementedError

    def normalise(self, scores: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Normalise the base scorer's scores by the :meth:`closeness` (…, 2) of both sides, which are broadcast."""
        sides = [(scores - side[..., 0]) / side[..., 1].clamp_min(1e-6) for side in (left, right)]
        return (sides[0] + sides[1]) / 2


def own_scorer(scorer: Scorer) -> Scorer:
    """The network's own scorer behind one that may normalise its scores."""
    return scorer.base if isinstance(scorer, NormalisedScorer) else scorer


class CohortScorer(NormalisedScorer):
    """Another scorer's scores, normalised by the ``k`` cohort paintings that score highest with either painting.

    - ``csls``: 2·s(x, y) − r(x) − r(y), r the mean of those k scores (Conneau et al. 2018). k is 15 by default.
    - ``s-norm``: ½·(s − m(x))/d(x) + ½·(s − m(y))/d(y), m and d the mean and standard deviation of those k scores
      (adaptive symmetric normalisation: Cumani et al. 2011, Matějka et al. 2017). k is 200 by default.

    Args:
        base: the network's own scorer.
        cohort: (C, D) embeddings of training paintings; a buffer, so that it is saved and moved with the module.
        artists: whose paintings they are. :func:`~morelli.evaluation.evaluate.evaluate` refuses to measure them.
        method: ``csls`` or ``s-norm``.
        k: cohort paintings to look at; all of them when the cohort is smaller.

    Raises:
        MorelliError: an unknown method, k below 1 (below 2 for s-norm), or a cohort that is too small or not finite.
    """

    cohort: Tensor

    def __init__(
        self, base: Scorer, cohort: Tensor, artists: Sequence[str], *, method: Method = "csls", k: int | None = None
    ) -> None:
        super().__init__()
        if method not in METHODS:
            hint = did_you_mean(method, METHODS)
            raise MorelliError(f'No score normalisation is called "{method}".{hint} Known are: {", ".join(METHODS)}.')
        refuse_unusable(cohort, "cohort painting")
        needed = 2 if method == "s-norm" else 1
        self.k = min(NEAREST[method] if k is None else k, len(cohort))
        if self.k < needed:
            raise MorelliError(f"{method} needs at least {needed} cohort paintings to look at; k is {self.k}.")
        if not artists:
            raise MorelliError("A cohort needs the names of its artists, so that they are never measured with it.")
        self.base = base
        self.method = method
        self.artists = tuple(sorted(set(artists)))
        self.register_buffer("cohort", cohort.detach().clone())
        self.train(base.training)

    def closeness(self, embeddings: Tensor) -> Tensor:
        """(N, 2) mean and standard deviation of each painting's k highest scores with the cohort."""
        return self.closeness_of(self.highest(embeddings, self.k))

    def highest(self, embeddings: Tensor, k: int) -> Tensor:
        """(N, k) each painting's highest scores with the cohort, highest first; fewer where the cohort is smaller."""
        rows, k = torch.split(embeddings, _ROWS_AT_ONCE), min(k, len(self.cohort))
        with progress_bar(hidden=len(rows) == 1) as progress:
            blocks = progress.track(rows, description="Scoring the cohort")
            return torch.cat([self.base.matrix(block, self.cohort).topk(k, dim=1).values for block in blocks])

    def closeness_of(self, highest: Tensor) -> Tensor:
        """:meth:`closeness` from at least k of the :meth:`highest` scores."""
        nearest = highest[:, : self.k]
        deviation = nearest.std(-1) if self.k > 1 else torch.zeros(len(nearest))
        return torch.stack([nearest.mean(-1), deviation.to(nearest)], dim=-1)

    def normalise(self, scores: Tensor, left: Tensor, right: Tensor) -> Tensor:
        if self.method == "csls":
            return 2 * scores - left[..., 0] - right[..., 0]
        return super().normalise(scores, left, right)


class FolderScorer(NormalisedScorer):
    """Another scorer's scores, normalised by all pictures of a folder, whoever painted them (s-norm).

    ½·(s − m(x))/d(x) + ½·(s − m(y))/d(y), m and d the mean and standard deviation of a painting's scores with the
    folder's pictures, itself left out (Auckenthaler et al. 2000; Shum et al. 2010).

    Args:
        base: the network's own scorer.
        folder: (C, D) embeddings of the folder's pictures; of more than 2,000, every so-manieth counts.
        left_out: places of pictures that do not count, such as copies of what is compared.

    Raises:
        MorelliError: embeddings that are not finite, or fewer than :data:`SMALLEST_FOLDER`.
    """

    def __init__(self, base: Scorer, folder: Tensor, left_out: Collection[int] = ()) -> None:
        super().__init__()
        kept = np.delete(np.arange(len(folder)), list(left_out))
        if len(kept) < SMALLEST_FOLDER:
            raise MorelliError(
                f"A cohort of {len(kept)} pictures is too small to normalise scores by; it takes {SMALLEST_FOLDER}."
            )
        self.base, self.pictures = base, len(kept)
        even = np.linspace(0, len(kept) - 1, min(len(kept), _MOST_OF_FOLDER)).round().astype(int)
        self._cohort = folder.detach()[kept[even]]
        refuse_unusable(self._cohort, "cohort picture")
        self._places: dict[bytes, list[int]] = {}
        for place, row in enumerate(self._cohort.cpu().numpy()):
            self._places.setdefault(row.tobytes(), []).append(place)
        self.train(base.training)

    def closeness(self, embeddings: Tensor) -> Tensor:
        flat = embeddings.reshape(-1, embeddings.shape[-1])
        blocks = [self._of_rows(block) for block in torch.split(flat, _ROWS_AT_ONCE)]
        return torch.cat(blocks).reshape(*embeddings.shape[:-1], 2)

    def _of_rows(self, rows: Tensor) -> Tensor:
        scores = self.base.matrix(rows, self._cohort).double()
        counts = torch.ones_like(scores)
        for number, row in enumerate(rows.cpu().numpy()):
            counts[number, self._places.get(row.tobytes(), [])] = 0  # itself says nothing of how close others are
        mean = (scores * counts).sum(1) / counts.sum(1)
        variance = ((scores - mean[:, None]).square() * counts).sum(1) / counts.sum(1)
        return torch.stack([mean, variance.sqrt()], dim=1).to(rows.dtype)


def cohort_scorers(network: Network, folder: Tensor | None = None) -> dict[str, NormalisedScorer]:
    """Give a network's scorer normalised in every way that it can be, by what is appended to its metrics' names.

    Args:
        network: none without a cohort; ``training_cohort`` and ``own_cohort`` only if it learned thresholds for them.
        folder: (C, D) embeddings of the folder's pictures that are measured.
    """
    artists, scorers = network.card.cohort_artists, dict[str, NormalisedScorer]()
    if network.cohort is not None:
        scorers |= {one: CohortScorer(network.scorer, network.cohort, artists, method=one) for one in METHODS}
    for cohort, pictures in (("training", network.cohort), ("own", folder)):
        if cohort in network.card.with_cohort and pictures is not None and len(pictures) >= SMALLEST_FOLDER:
            scorers[f"{cohort}_cohort"] = FolderScorer(network.scorer, pictures)
    return scorers


def choose_cohort(paintings: pd.DataFrame, *, size: int, seed: int = 0) -> pd.DataFrame:
    """Draw a cohort from training paintings, as evenly over their artists as their numbers allow.

    Args:
        paintings: rows with the column ``artist``.
        size: paintings wanted; all when there are fewer.
        seed: of the draw.

    Returns:
        The chosen rows, in their order and with their index.
    """
    shuffled = paintings["artist"].reset_index(drop=True).sample(frac=1, random_state=np.random.default_rng(seed))
    turn = shuffled.groupby(shuffled.map(artist_key)).cumcount()
    return paintings.iloc[turn.sort_values(kind="stable").index[:size].sort_values()]
