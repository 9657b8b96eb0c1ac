"""A map puts together what is alike, and few paintings are no trouble."""

import numpy as np
import torch

from morelli import plane_map


def test_the_map_puts_likes_together() -> None:
    groups = np.repeat(np.arange(3), 20)
    points = np.random.default_rng(0).normal(size=(60, 8)) + 20 * np.eye(8)[groups]
    layout, method = plane_map(torch.from_numpy(points).float())
    assert "t-SNE" in method
    distances = np.linalg.norm(layout[:, None] - layout[None], axis=-1) + np.diag([np.inf] * 60)
    assert (groups[distances.argmin(1)] == groups).all()


def test_few_paintings_are_placed_by_principal_components() -> None:
    layout, method = plane_map(torch.tensor([[0.0, 0], [1, 0], [0, 3], [5, 5]]))
    assert layout.shape == (4, 2)
    assert (layout.min(), layout.max()) == (0, 1)
    assert method == "principal components"
