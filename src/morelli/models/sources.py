"""Per-source standardisation: the features of every source are brought to the mean and deviation of one of them.

Pictures of one source share a photographer, a scanner and a JPEG history, and a network that is trained on several
learns to tell these apart instead of painters. So training pictures of the other sources are moved to the one that is
measured on, the reference; a picture from anywhere else is taken as it is, as one of the reference is.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor, nn

FEWEST = 300
"""A source with fewer training paintings tells its own mean and deviation too badly, and is taken as it is."""
_ROWS_AT_ONCE = 2048


class SourceStatistics(nn.Module):
    """The mean and deviation of each known source's features, and of the reference's.

    Args:
        names: the known sources beside the reference.
        features: numbers in a feature vector.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, names: Sequence[str], features: int) -> None:
        super().__init__()
        self.names = tuple(names)
        # Row 0 is the reference's, the others are for ``names`` in their order.
        self.register_buffer("centre", torch.zeros(len(self.names) + 1, features))
        self.register_buffer("spread", torch.ones(len(self.names) + 1, features))

    @classmethod
    def learn(cls, features: Tensor, sources: pd.Series, measured: pd.Series) -> "SourceStatistics | None":
        """Learn them from training features, (N, F) or (N, V, F); None unless two sources are large enough.

        Args:
            features: of the training paintings.
            sources: (N,) the source of each, missing where unknown.
            measured: the sources of the paintings that will be measured; the one that most have is the reference.
        """
        counts = sources.value_counts()
        names = sorted(counts.index[counts >= FEWEST])
        if len(names) < 2:
            return None
        wanted = measured.value_counts()
        reference = max(names, key=lambda name: (wanted.get(name, 0), counts[name]))
        names.remove(reference)
        learned = cls(names, features.shape[-1])
        for row, name in enumerate((reference, *names)):
            chosen = features[_is(sources, name)].flatten(0, -2)
            learned.centre[row] = chosen.mean(0)
            learned.spread[row] = chosen.std(0).clamp_min(1e-6)
        return learned

    def align(self, features: Tensor, sources: pd.Series) -> Tensor:
        """Bring the features of every known source to the reference's mean and deviation: (N, …, F) → the same shape.

        Args:
            features: changed in place, since those of many views fill much of the memory.
            sources: (N,) the source of each; unknown ones are left as they are.
        """
        for row, name in enumerate(self.names, 1):
            scale = self.spread[0] / self.spread[row]
            for places in torch.split(_is(sources, name).nonzero().flatten(), _ROWS_AT_ONCE):
                features[places] = (features[places] - self.centre[row]) * scale + self.centre[0]
        return features


def _is(sources: pd.Series, name: str) -> Tensor:
    return torch.from_numpy(sources.eq(name).fillna(False).to_numpy(dtype=bool, copy=True))
