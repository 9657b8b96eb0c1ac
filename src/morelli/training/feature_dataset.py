"""Cached features as a training set."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset


class FeatureDataset(Dataset[tuple[Tensor, Tensor]]):
    """Cached features and their labels; a whole batch is fetched at once.

    Of features of several views, (N, V, F), every fetch draws one view at random for each painting.
    """

    def __init__(self, features: Tensor, labels: Sequence[int]) -> None:
        self.features, self.labels = features, torch.as_tensor(labels)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        features, labels = self.__getitems__([index])
        return features[0], labels[0]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        if self.features.ndim == 2:
            return self.features[indices], self.labels[indices]
        views = torch.randint(self.features.shape[1], (len(indices),))
        return self.features[indices, views], self.labels[indices]
