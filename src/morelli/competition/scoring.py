"""The score of a submission: area under the ROC curve over all its pairs, and by kind of pair."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from morelli.competition.csv_blocks import INTEGER, NUMBER, Block, mapped_blocks, parse
from morelli.competition.pair_kinds import ALL, Kind, ListedKinds, kinds_of, read_kinds
from morelli.errors import MorelliError
from morelli.evaluation.verification import exact_masses, pair_auc

Array = np.ndarray
_VALUE: Final = "sameArtist"


@dataclass(frozen=True)
class ScoreRow:
    """The score over one kind of pair.

    Attributes:
        kind: ``all``; ``both_artists_seen``, ``both_artists_unseen`` and ``one_artist_unseen``; ``same_style``,
            ``same_genre``, ``same_period``; ``source_…``, where both pictures come from that source.
        auc: area under the ROC curve; None where same-artist or other pairs are missing.
        error_bound: how far ``auc`` can be off at most: 0, since it is exact.
        same_artist: pairs by one artist among those measured. For ``one_artist_unseen`` and ``same_…`` these are all
            such pairs, and only the others are of the kind: how well are hard negatives told from positives?
        different_artists: the other pairs.
        paintings: paintings that stand in pairs of the kind; None without a table of paintings, as ``artists``.
        artists: artists of these paintings.
    """

    kind: str
    auc: float | None
    error_bound: float | None
    same_artist: int
    different_artists: int
    paintings: int | None
    artists: int | None


@dataclass(frozen=True)
class ScoreTable:
    """The rows, all pairs first."""

    rows: tuple[ScoreRow, ...]

    def frame(self) -> pd.DataFrame:
        """One line a kind, the columns of :class:`ScoreRow`."""
        return pd.DataFrame([asdict(row) for row in self.rows])


def score_submission(
    submission: Path, solution: Path, paintings: pd.DataFrame | None = None, *, pairs: Path | None = None
) -> ScoreTable:
    """Score ``index,sameArtist`` against the truth, exactly: the same as scikit-learn's ``roc_auc_score``.

    Needs about 45 bytes of memory a pair.

    Args:
        submission: CSV file with the columns ``index,sameArtist``, any finite score; or a zip or gzip file of it.
        solution: the same with 1 for the same artist, 0 for others. The order of the rows may differ.
        paintings: the table of the prepared folder, to score by kind of pair. Artists whose ``artist_group`` is
            ``test_only`` are unseen.
        pairs: the list ``index,image1,image2``, needed with ``paintings``, since a solution names no pictures.

    Raises:
        MorelliError: a file is missing, damaged or malformed; the rows of two files do not match; a picture is not
            in ``paintings``; ``paintings`` are given without ``pairs``; all pairs are by the same artist, or none is.
    """
    if paintings is not None and pairs is None:
        raise MorelliError(
            "Scores by kind of pair need the list of pairs besides the data, because a solution names no pictures. "
            "Give the submission_info.csv too, or leave out the data to score all pairs together."
        )
    index, is_same = _read(solution, _parse_labels, bool)
    _refuse_repeats(index, solution)
    if is_same.all() or not is_same.any():
        which = "different artists" if is_same.any() else "the same artist"
        raise MorelliError(f"{solution} has no pairs by {which}, so nothing can be scored. Is it the whole solution?")
    scores = _matched(*_read(submission, _parse_scores, float), submission, index, solution)
    if paintings is None or pairs is None:
        return ScoreTable((_row(ALL, scores[is_same], scores[~is_same]),))
    kinds = kinds_of(paintings)
    listed = read_kinds(pairs, paintings, kinds)
    bits = _matched(listed.index, listed.bits, pairs, index, solution)
    same, other, same_bits, other_bits = scores[is_same], scores[~is_same], bits[is_same], bits[~is_same]
    del scores, bits
    rows = []
    for k, kind in enumerate(kinds):
        positives = same[(same_bits >> k & 1).astype(bool)] if kind.positives_too else same
        rows.append(_row(kind, positives, other[(other_bits >> k & 1).astype(bool)], listed, k))
    return ScoreTable(tuple(rows))


def _row(kind: Kind, same: Array, other: Array, listed: ListedKinds | None = None, k: int = 0) -> ScoreRow:
    auc = float(pair_auc(*exact_masses(same, other))) if len(same) and len(other) else None
    paintings, artists = (listed.paintings[k], listed.artists[k]) if listed else (None, None)
    return ScoreRow(kind.name, auc, None if auc is None else 0.0, len(same), len(other), paintings, artists)


def _read(path: Path, parse_block: Callable[[Block], tuple[Array, Array]], dtype: type) -> tuple[Array, Array]:
    """(P,) indices and values of a submission or solution."""
    index, values = bytearray(), bytearray()  # they grow in place, where a list of arrays is copied at the end
    with mapped_blocks(path, ("index", _VALUE), parse_block) as blocks:
        for block_index, block_values in blocks:
            index += block_index.data
            values += block_values.data
    return np.frombuffer(index, np.int64), np.frombuffer(values, dtype)


def _parse_scores(block: Block) -> tuple[Array, Array]:
    index, values = parse(block, {"index": INTEGER, _VALUE: NUMBER})
    return index.to_numpy(), values.to_numpy()


def _parse_labels(block: Block) -> tuple[Array, Array]:
    index, labels = _parse_scores(block)
    if not (valid := (labels == 0) | (labels == 1)).all():
        raise MorelliError(f"{block.at(int(valid.argmin()))}: {_VALUE} must be 0 or 1. Is this the solution?")
    return index, labels == 1


def _matched(index: Array, values: Array, path: Path, wanted: Array, wanted_path: Path) -> Array:
    """Put the values of a file in the order of the wanted indices; refuse a missing, surplus or repeated index."""
    if np.array_equal(index, wanted):
        return values
    _refuse_repeats(index, path)
    if len(missing := np.setdiff1d(wanted, index)):
        raise MorelliError(f"{path} lacks {_some(missing)}, which {wanted_path} has. Both must have the same rows.")
    if len(surplus := np.setdiff1d(index, wanted)):
        raise MorelliError(f"{path} has {_some(surplus)}, which {wanted_path} lacks. Both must have the same rows.")
    matched = np.empty_like(values)
    matched[np.argsort(wanted)] = values[np.argsort(index)]
    return matched


def _refuse_repeats(index: Array, path: Path) -> None:
    if (index[1:] > index[:-1]).all():
        return
    ordered = np.sort(index)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(repeated):
        raise MorelliError(f"{path} has more than one row for {_some(repeated)}. Each index may stand once.")


def _some(indices: Array) -> str:
    named = ", ".join(str(index) for index in indices[:5])
    return f"index {named}" + (f" and {len(indices) - 5} more" if len(indices) > 5 else "")
