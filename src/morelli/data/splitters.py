"""The table of splits: every way to divide artists into train, validation and unseen, and the numbers that it takes.

To add one, subclass :class:`Splitter` and list it in :data:`SPLITTERS`, or name it in a recipe by its dotted path,
``split: {kind: package.module:Name}``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from morelli._config import Section
from morelli._dotted import explained, is_dotted, load_dotted
from morelli.data.known_artists import is_known_to
from morelli.errors import MorelliError, did_you_mean


class SplitConfig(Section):
    """How artists are divided.

    ``auto``: ``competition`` where the table has its unseen artists, else ``fraction``, whose numbers fit themselves to
    few artists: what is right for any prepared folder. ``competition``: the competition's ``test_only`` artists are
    unseen, and its own test paintings of the other artists are the seen test set. ``seed``: the seed project's ranking
    by number of paintings. ``fraction``: a seeded share of the artists is unseen. ``folds``: each of ``folds`` equal
    groups of artists is unseen once. ``rotation``: the unseen artists stay the same (the competition's, or a
    ``fraction`` where the table has none), and each of ``folds`` equal groups of the others is the validation side once
    (Musgrave et al. 2020). ``package.module:Name``: a :class:`Splitter` of one's own.
    """

    kind: str = "auto"
    seed: int = 0
    validation_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training artists set aside to choose models and thresholds on: at least two of them, or none at 0.
    Without any, the last weights are kept and no threshold is chosen."""
    unknown_to: Literal["painters"] | None = None
    """Let only artists validate whom these weights of backbones were not trained on: thresholds learned from others
    would be too good for artists never seen. A recipe with such backbones says so by itself. ``seed`` ranks all
    alike."""
    unseen_fraction: float = Field(default=0.2, gt=0, lt=1)
    """``fraction``, and ``rotation`` without the competition's artists: share of all artists that is unseen."""
    seen_fraction: float = Field(default=0.2, gt=0, lt=1)
    """``fraction``, ``folds`` and ``rotation``: share of each training artist's paintings kept out of training."""
    folds: int = Field(default=5, ge=2)
    keep_copies: bool = False
    """Use every painting, also those that show what another one shows: the picture saved again, resized, mirrored. By
    default one painting of each picture and artist is used, and none of a picture under several artists of a side."""
    without_test_only: bool = False
    """``fraction`` and ``folds``: leave the competition's unseen artists out, so that recipes can be chosen without a
    look at them."""
    train_artists: int = Field(default=800, ge=1)
    """``seed`` only, as are the next three."""
    validation_artists: int = Field(default=100, ge=0)
    unseen_artists: int = Field(default=100, ge=1)
    per_artist: int = Field(default=20, ge=2)

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        """A dotted path is not followed here: reading a run's config imports nothing."""
        if not is_dotted(kind) and kind not in (known := ["auto", *SPLITTERS]):
            hint = did_you_mean(kind, known)
            raise ValueError(f'there is no split "{kind}".{hint} Known: {", ".join(known)}, or package.module:Name')
        return kind

    def for_table(self, paintings: pd.DataFrame) -> "SplitConfig":
        """The same, with ``auto`` decided by the table."""
        if self.kind != "auto":
            return self
        is_competition = "artist_group" in paintings and (paintings["artist_group"] == "test_only").any()
        kind = "competition" if is_competition and not self.without_test_only else "fraction"
        return self.model_copy(update={"kind": kind})

    @property
    def splitter(self) -> "Splitter":
        """What divides by this config; its dotted path is followed here."""
        if not is_dotted(self.kind):
            return SPLITTERS.get(self.kind, FractionSplitter)(self)  # "auto" has no kind yet, and one fold as that has
        what = "a subclass of morelli.data.splitters.Splitter"
        with explained(self.kind, what):
            found: Splitter = load_dotted(self.kind, Splitter, what)(self)
            return found

    @property
    def fold_numbers(self) -> range:
        """The numbers of the split's folds; a split of one piece is fold 0."""
        return range(self.splitter.folds)

    @property
    def validates(self) -> bool:
        """Whether some artists are set aside to validate."""
        return self.splitter.validates


class Splitter(ABC):
    """A way to divide artists, made for one config.

    Attributes:
        fewest: artists with two paintings or more that it takes: two to train on and two unseen.
        same_unseen: all folds have the same unseen artists, so that their networks can be used together.
        leaves_out: heeds ``without_test_only``.
        folds: how many folds it has.
        validates: some artists are set aside to validate.
    """

    fewest: ClassVar[int] = 4
    same_unseen: ClassVar[bool] = False
    leaves_out: ClassVar[bool] = False
    folds: int = 1

    def __init__(self, config: SplitConfig) -> None:
        self.config = config
        self.validates = config.validation_fraction > 0

    @abstractmethod
    def sides(self, table: pd.DataFrame, fold: int) -> pd.Series:
        """``train``, ``validation``, ``seen``, ``unseen`` or ``none`` for each row, the same for all of an artist.

        Only ``seen`` and ``none`` may part an artist's paintings: ``seen`` are those that training leaves out.
        Copies and files under several artists are put on one side afterwards.

        Args:
            table: ``id``, ``artist``, ``artist_group``, ``in_train``, ``sha256`` and ``key``, the folded name.
            fold: from 0.
        """

    def smaller(self, artists: int, usable: int) -> Iterator[dict[str, Any]]:  # noqa: ARG002
        """Changes of the config that fit so few ``artists``, ``usable`` of them with two paintings; nearest first."""
        for validating in ({}, {"validation_fraction": _share(2, artists)}, {"validation_fraction": 0.0}):
            yield from (validating | rest for rest in self._fewer_unseen(artists))

    def _fewer_unseen(self, artists: int) -> Iterator[dict[str, Any]]:
        yield {}
        if self.folds > 1:
            yield from ({"folds": folds} for folds in range(min(self.folds, artists // 2), 1, -1))


class CompetitionSplitter(Splitter):
    """The competition's own: its ``test_only`` artists are unseen, its test paintings of the others are seen."""

    def sides(self, table: pd.DataFrame, fold: int) -> pd.Series:  # noqa: ARG002
        is_test_only = table["artist_group"] == "test_only"
        if not is_test_only.any():
            raise MorelliError(
                "Split 'competition' found no unseen artist: no painting has the artist_group test_only. Use it on the "
                "competition's data, or choose split.kind=fraction or split.kind=folds."
            )
        sides = pd.Series("train", index=table.index)
        sides[~table["in_train"].eq(True)] = "seen"
        # The competition's own table lists four names under two groups. Who is unseen anywhere is never trained on.
        sides[table["key"].isin(set(table["key"][is_test_only]))] = "none"
        sides[is_test_only] = "unseen"
        validating = validation_artists(table["key"][sides == "train"], self.config)
        sides[table["key"].isin(validating) & (sides != "none")] = "validation"
        return sides


class SeedSplitter(Splitter):
    """The seed project's: artists ranked by their number of paintings, the first to train on, 20 paintings of each."""

    def __init__(self, config: SplitConfig) -> None:
        super().__init__(config)
        self.validates = config.validation_artists > 0

    def sides(self, table: pd.DataFrame, fold: int) -> pd.Series:  # noqa: ARG002
        config = self.config
        counts = table["key"].value_counts().rename_axis("key").reset_index(name="n")
        ranked = counts.sort_values(["n", "key"], ascending=[False, True])["key"].tolist()
        wanted = [config.train_artists, config.validation_artists, config.unseen_artists]
        if len(ranked) < sum(wanted):
            raise MorelliError(
                f"Split 'seed' needs {' + '.join(map(str, wanted))} = {sum(wanted)} artists; the folder has "
                f"{len(ranked)}. Set split.train_artists, split.validation_artists and split.unseen_artists to numbers "
                "that fit."
            )
        names = np.repeat(["train", "validation", "unseen"], wanted)
        sides = table["key"].map(dict(zip(ranked, names, strict=False))).fillna("none")
        place = shuffled_place(table, config.seed)
        beyond = place >= config.per_artist
        # The seed project has no held-out paintings of training artists; those beyond its 20 serve as such.
        is_seen = (sides == "train") & beyond & (place < config.per_artist + max(2, config.per_artist // 4))
        return sides.mask(beyond, "none").mask(is_seen, "seen")

    def smaller(self, artists: int, usable: int) -> Iterator[dict[str, Any]]:  # noqa: ARG002
        yield {}
        config = self.config
        wanted = config.train_artists + config.validation_artists + config.unseen_artists
        unseen, validation = (
            max(2, part * usable // wanted) for part in (config.unseen_artists, config.validation_artists)
        )
        for validate in (validation, 0):
            train = max(1, usable - validate - unseen)
            yield {"train_artists": train, "validation_artists": validate, "unseen_artists": unseen}


class FractionSplitter(Splitter):
    """A seeded share of the artists is unseen."""

    leaves_out = True

    def sides(self, table: pd.DataFrame, fold: int) -> pd.Series:  # noqa: ARG002
        return sides_around(table, unseen_share(table, self.config), self.config)

    def _fewer_unseen(self, artists: int) -> Iterator[dict[str, Any]]:
        yield {}
        asked = round(self.config.unseen_fraction * artists)
        for unseen in dict.fromkeys([asked // 2, 2]):
            if 2 <= unseen < asked:
                yield {"unseen_fraction": _share(unseen, artists)}


class FoldsSplitter(Splitter):
    """Each of equal groups of artists is unseen once."""

    leaves_out = True

    def __init__(self, config: SplitConfig) -> None:
        super().__init__(config)
        self.folds = config.folds

    def sides(self, table: pd.DataFrame, fold: int) -> pd.Series:
        return sides_around(table, self._fold(table["key"], fold), self.config)

    def _fold(self, keys: pd.Series, fold: int) -> list[str]:
        shuffled = shuffled_artists(keys, self.config.seed)
        if self.folds * 2 > len(shuffled):
            raise MorelliError(
                f"{self.folds} folds of {len(shuffled)} artists leave fewer than two artists in a fold. "
                f"Set split.folds to {max(2, len(shuffled) // 2)} or less."
            )
        if not 0 <= fold < self.folds:
            raise MorelliError(f"Fold {fold} is not one of the split's {self.folds} folds (0 to {self.folds - 1}).")
        return shuffled[fold :: self.folds]


class RotationSplitter(FoldsSplitter):
    """The unseen artists stay; each of equal groups of the others validates once."""

    fewest = 6
    same_unseen = True
    leaves_out = False

    def __init__(self, config: SplitConfig) -> None:
        super().__init__(config)
        self.validates = True

    def sides(self, table: pd.DataFrame, fold: int) -> pd.Series:
        is_test_only = table["artist_group"] == "test_only"
        unseen = sorted(table["key"][is_test_only].unique()) or unseen_share(table, self.config)
        is_rest = ~table["key"].isin(unseen)
        validating = self._fold(table["key"][is_rest], fold)
        validating = [key for key in validating if not is_known_to(self.config.unknown_to, key)]
        sides = sides_around(table, unseen, self.config, validating)
        # As in the competition's split: what its table lists of unseen artists in other groups is not used.
        return sides.mask(~is_rest & ~is_test_only, "none") if is_test_only.any() else sides

    def smaller(self, artists: int, usable: int) -> Iterator[dict[str, Any]]:  # noqa: ARG002
        yield from self._fewer_unseen(artists)


SPLITTERS: Final[dict[str, type[Splitter]]] = {
    "competition": CompetitionSplitter,
    "seed": SeedSplitter,
    "fraction": FractionSplitter,
    "folds": FoldsSplitter,
    "rotation": RotationSplitter,
}


def _share(part: int, artists: int) -> float:
    """The fraction of the artists that comes to ``part`` of them."""
    return round(part / max(artists, part + 1), 4)


def sides_around(
    table: pd.DataFrame, unseen: Sequence[str], config: SplitConfig, validating: Sequence[str] | None = None
) -> pd.Series:
    """The sides where these artists are unseen: some of the others validate, and some of the rest's paintings are seen.

    Args:
        table: as in :meth:`Splitter.sides`.
        unseen: keys of artists.
        config: with the fractions and the seed.
        validating: keys of artists; drawn by ``validation_fraction`` if None.
    """
    sides = pd.Series("train", index=table.index)
    sides[table["key"].isin(unseen)] = "unseen"
    if validating is None:
        validating = validation_artists(table["key"][sides == "train"], config)
    sides[table["key"].isin(validating)] = "validation"
    count = table.groupby("key")["key"].transform("size")
    # Fewer than four paintings cannot give two to train on and two to measure.
    held_out = np.where(count >= 4, np.maximum(2, (count * config.seen_fraction).round()), 0)
    return sides.mask((sides == "train") & (shuffled_place(table, config.seed) < held_out), "seen")


def unseen_share(table: pd.DataFrame, config: SplitConfig) -> list[str]:
    """The keys of a seeded ``unseen_fraction`` of the artists, at least two."""
    keys = shuffled_artists(table["key"], config.seed)
    return keys[: max(2, round(config.unseen_fraction * len(keys)))]


def validation_artists(keys: pd.Series, config: SplitConfig) -> list[str]:
    """The keys of a seeded ``validation_fraction`` of the artists, at least two; all with two paintings or more."""
    if not config.validates:
        return []
    counts = keys.value_counts()
    usable = shuffled_artists(keys[keys.map(counts) > 1], config.seed + 1)
    usable = [key for key in usable if not is_known_to(config.unknown_to, key)]
    return usable[: max(2, round(config.validation_fraction * len(counts)))]


def shuffled_artists(keys: pd.Series, seed: int) -> list[str]:
    """The different keys in a seeded order that does not depend on the table's."""
    unique = sorted(keys.unique())
    np.random.default_rng(seed).shuffle(unique)
    return unique


def shuffled_place(table: pd.DataFrame, seed: int) -> pd.Series:
    """Each painting's place in a seeded order of its artist's paintings, that does not depend on the table's order."""
    by_id = table.sort_values("id")
    drawn = pd.Series(np.random.default_rng(seed + 2).random(len(by_id)), index=by_id.index)
    return drawn.groupby(by_id["key"]).rank(method="first").sub(1).reindex(table.index)
