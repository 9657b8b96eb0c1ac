"""``PaintersByNumbers``: a prepared folder as a dataset for pytorch-metric-learning."""

from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from pytorch_metric_learning.datasets import BaseDataset

from morelli.data.artists import artist_key, artist_keys
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError


class PaintersByNumbers(BaseDataset):  # type: ignore[misc]
    """The paintings of a prepared folder, from *Painter by Numbers* or any other source.

    An item is ``(image, label)``: an RGB image (transformed if ``transform`` is given) and the number of its artist.
    Labels number the dataset's own artists from 0, in alphabetical order of their folded names, so that
    ``len(dataset.artists)`` is the ``num_classes`` of a loss; ``dataset.artists[label]`` is the name.

    Args:
        root: a prepared folder, made with ``morelli data prepare`` or ``morelli data synthesize``.
        split: ``train`` (all artists but the competition's ``test_only``), ``test`` (``test_only`` artists alone, so
            never seen in ``train``), or ``train+test``. Other artist-disjoint splits: :mod:`morelli.data.splits`.
        transform: applied to the RGB image.
        target_transform: applied to the label.
        download: True fetches and prepares the competition when ``root`` is missing or empty; this needs a Kaggle
            account and many hours.

    Raises:
        MorelliError: ``root`` is not a finished prepared folder, or has no artist on the asked side.
    """

    paintings: pd.DataFrame
    """One row a painting, the columns of :data:`morelli.data.prepared.SCHEMA`."""
    artists: list[str]
    """The artist's name for each label."""
    labels: list[int]
    paths: list[str]

    def __init__(
        self,
        root: str | Path,
        split: str = "train+test",
        transform: Callable[[Image.Image], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
    ) -> None:
        if not download:
            read_paintings(root)  # a clearer error than the base class's
        super().__init__(str(root), split, transform, target_transform, download)

    def generate_split(self) -> None:
        paintings = read_paintings(self.root)
        keys = artist_keys(paintings["artist"])
        unseen_keys = set(keys[paintings["artist_group"] == "test_only"])
        is_unseen = keys.isin(unseen_keys)
        chosen = {"train": ~is_unseen, "test": is_unseen, "train+test": is_unseen | True}[self.split]
        if not chosen.any():
            raise MorelliError(
                f"{self.root} has no painting in split {self.split!r}: it names no artist of the group test_only. "
                "Use split='train+test' and a split from morelli.data.splits."
            )
        self.paintings = paintings[chosen].reset_index(drop=True)
        name_of = dict(sorted(zip(keys[chosen], self.paintings["artist"], strict=True)))
        label_of = {key: label for label, key in enumerate(name_of)}
        self.artists = list(name_of.values())
        self.labels = [label_of[key] for key in keys[chosen]]
        self.paths = [str(Path(self.root) / file) for file in self.paintings["file"]]

    def only(self, ids: Sequence[str], *, artists: Sequence[str] | None = None) -> "PaintersByNumbers":
        """Return the same dataset reduced to some paintings, in the order of ``ids``; its labels start at 0 again.

        Args:
            ids: of the paintings to keep, as in ``paintings["id"]`` and in a :class:`~morelli.Split`.
            artists: number the artists by their places in this list, such as another dataset's ``artists``, instead:
                where two datasets are compared by their labels, these must mean the same artists in both.

        Raises:
            MorelliError: an id is not among the dataset's paintings, or an artist not among ``artists``.
        """
        if isinstance(ids, str):
            raise MorelliError(f'only() takes a list of ids: ["{ids}"], not "{ids}".')
        place_of = {painting: place for place, painting in enumerate(self.paintings["id"])}
        if unknown := [painting for painting in ids if painting not in place_of]:
            raise MorelliError(f'{self.root} has no painting "{unknown[0]}" in split {self.split!r}.')
        places = [place_of[painting] for painting in ids]
        kept = [self.labels[place] for place in places]
        reduced = copy(self)
        reduced.paintings = self.paintings.iloc[places].reset_index(drop=True)
        reduced.paths = [self.paths[place] for place in places]
        reduced.artists = [self.artists[label] for label in sorted(set(kept))] if artists is None else list(artists)
        label_of = {artist_key(name): label for label, name in enumerate(reduced.artists)}
        keys = [artist_key(name) for name in self.artists]
        if others := [self.artists[label] for label in kept if keys[label] not in label_of]:
            raise MorelliError(f"{others[0]} is not among the {len(reduced.artists)} artists to number by.")
        reduced.labels = [label_of[keys[label]] for label in kept]
        return reduced

    def download_and_remove(self) -> None:
        """Download the competition's archives beside ``root``, prepare them, and keep the archives."""
        from morelli.preparation.kaggle import download
        from morelli.preparation.prepare import prepare

        archives = Path(self.root).with_name(Path(self.root).name + "-archives")
        download(archives)
        prepare(archives, Path(self.root))

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        try:
            with Image.open(self.paths[idx]) as file:
                image: Any = file.convert("RGB")
        except OSError as error:
            raise MorelliError(
                f"The picture {self.paths[idx]} cannot be read ({error}). "
                f"Prepare the folder again: morelli data prepare SOURCE --out {self.root}"
            ) from error
        label = self.labels[idx]
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )
