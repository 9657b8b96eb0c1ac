"""A map of embeddings on a plane, by principal components and t-SNE."""

from typing import Final

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

Array = np.ndarray

_PCA_WIDTH: Final = 50
_PERPLEXITY: Final = 30.0


def plane_map(placed: Tensor) -> tuple[Array, str]:
    """Put paintings (N, D) on a plane, similar ones together → (N, 2) within 0 and 1, and the method's name.

    Principal components, then t-SNE (van der Maaten and Hinton 2008); the components alone for fewer than ten.
    """
    points = placed.numpy().astype(np.float64)
    width = min(_PCA_WIDTH, *points.shape)
    components = PCA(width, svd_solver="randomized", random_state=0).fit_transform(points)
    components = np.pad(components, [(0, 0), (0, max(0, 2 - width))])
    if len(points) < 10:
        return _within_unit(components[:, :2]), "principal components"
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    layout = TSNE(2, perplexity=perplexity, init="pca", random_state=0, max_iter=750).fit_transform(components)
    return _within_unit(layout), f"t-SNE of {width} principal components"


def _within_unit(layout: Array) -> Array:
    low, high = layout.min(0), layout.max(0)
    scaled: Array = (layout - low) / np.where(high > low, high - low, 1)
    return scaled
