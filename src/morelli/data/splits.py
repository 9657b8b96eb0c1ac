"""Artist-disjoint splits: no artist is ever on two of the sides train, validation and unseen.

``seen`` holds paintings of training artists that were kept out of training.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from morelli._config import Section
from morelli._files import write_text_whole
from morelli.data.artists import artist_key, artist_keys
from morelli.data.copies import is_shared, pictures_of, without_copies
from morelli.errors import MorelliError

FORMAT_VERSION = 1
SIDES = ("train", "validation", "seen", "unseen")
_NUMBERS_OF = {
    "train": "split.unseen_fraction, split.validation_fraction or split.folds",
    "validation": "split.validation_fraction (0: nobody validates)",
    "unseen": "split.unseen_fraction or split.folds",
}
"""What decides how many artists are on a side that must have two."""


class SplitConfig(Section):
    """How artists are divided.

    ``auto``: ``competition`` where the table has its unseen artists, else ``fraction``, whose numbers fit themselves to
    few artists: what is right for any prepared folder. ``competition``: the competition's ``test_only`` artists are
    unseen, and its own test paintings of the other artists are the seen test set. ``seed``: the seed project's ranking
    by number of paintings. ``fraction``: a seeded share of the artists is unseen. ``folds``: each of ``folds`` equal
    groups of artists is unseen once. ``rotation``: the unseen artists stay the same (the competition's, or a
    ``fraction`` where the table has none), and each of ``folds`` equal groups of the others is the validation side once
    (Musgrave et al. 2020).
    """

    kind: Literal["auto", "competition", "seed", "fraction", "folds", "rotation"] = "auto"
    seed: int = 0
    validation_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training artists set aside to choose models and thresholds on: at least two of them, or none at 0.
    Without any, the last weights are kept and no threshold is chosen."""
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

    def for_table(self, paintings: pd.DataFrame) -> "SplitConfig":
        """The same, with ``auto`` decided by the table."""
        if self.kind != "auto":
            return self
        is_competition = "artist_group" in paintings and (paintings["artist_group"] == "test_only").any()
        kind = "competition" if is_competition and not self.without_test_only else "fraction"
        return self.model_copy(update={"kind": kind})

    @property
    def fold_numbers(self) -> range:
        """The numbers of the split's folds; a split of one piece is fold 0."""
        return range(self.folds if self.kind in ("folds", "rotation") else 1)

    @property
    def validates(self) -> bool:
        """Whether some artists are set aside to validate."""
        if self.kind == "seed":
            return self.validation_artists > 0
        return self.kind == "rotation" or self.validation_fraction > 0


@dataclass(frozen=True)
class Split:
    """The painting ids on each side, in the table's order."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]

    def rows(self, paintings: pd.DataFrame, side: str) -> pd.DataFrame:
        """Return the rows of ``paintings`` on one side, in the table's order."""
        rows: pd.DataFrame = paintings[paintings["id"].isin(getattr(self, side))].reset_index(drop=True)
        return rows

    def save(self, path: Path, paintings: pd.DataFrame) -> None:
        """Write the artists and painting ids on each side as JSON."""
        artists = {side: sorted(map(str, self.rows(paintings, side)["artist"].unique())) for side in SIDES}
        content = {"format": FORMAT_VERSION, "artists": artists, "paintings": {s: getattr(self, s) for s in SIDES}}
        write_text_whole(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Split":
        """Read back what :meth:`save` wrote.

        Raises:
            MorelliError: the file is missing, damaged or of another format.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT_VERSION:
                raise MorelliError(f"{path} has split format {content['format']}, not {FORMAT_VERSION}. Run it again.")
            return cls(**{side: tuple(content["paintings"][side]) for side in SIDES})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MorelliError(f"{path} is not a split that morelli wrote ({error}).") from error


def split_paintings(paintings: pd.DataFrame, config: SplitConfig, fold: int = 0) -> Split:
    """Divide the paintings by artist.

    Args:
        paintings: the table of a prepared folder, or any with the columns ``id`` and ``artist``; artists can be
            numbers.
        config: which split; ``SplitConfig()`` fits any prepared folder.
        fold: which group is unseen, for ``folds``, or validates, for ``rotation``; else 0.

    Raises:
        MorelliError: there are too few artists, no unseen artist, no artist with two paintings on a side, or an
            artist (under any of the spellings that :func:`morelli.data.artists.artist_key` folds) on two sides.
    """
    table = _as_prepared(paintings)
    if config.kind == "auto":
        from morelli.data.split_sizes import fit_split  # which divides by this function

        fitted = fit_split(paintings, config)
        if fitted.note:
            logging.getLogger(__name__).warning(fitted.note)
        return fitted.folds[0]
    # Only files that are the same byte for byte stay together where copies are kept.
    table = table.drop(columns="copy_of", errors="ignore") if config.keep_copies else without_copies(table)
    if config.without_test_only and config.kind in ("fraction", "folds"):
        test_only = set(table["key"][table["artist_group"] == "test_only"])
        table = table[~table["key"].isin(test_only)]
    divide = {
        "competition": _competition,
        "seed": _seed,
        "fraction": _fraction,
        "folds": _folds,
        "rotation": _rotation,
    }[config.kind]
    sides = _on_one_side(table, divide(table, config, fold), keep_shared=config.keep_copies)
    split = Split(**{side: tuple(table["id"][sides == side]) for side in SIDES})
    check_disjoint(split, paintings, validates=config.validates)
    return split


def _as_prepared(paintings: pd.DataFrame) -> pd.DataFrame:
    """The table with a key for each artist, and empty columns in the place of those that other people's tables lack."""
    if lacking := [column for column in ("id", "artist") if column not in paintings]:
        raise MorelliError(
            f"The paintings' table has no column {' and no column '.join(lacking)}; it has: "
            f"{', '.join(map(str, paintings))}. Rename what it calls them."
        )
    if (twice := paintings["id"].duplicated()).any():
        raise MorelliError(f"The paintings' table has the id {paintings['id'][twice].iloc[0]!r} twice.")
    if (nobody := paintings["artist"].isna()).any():
        raise MorelliError(f"The painting {paintings['id'][nobody].iloc[0]!r} has no artist. Leave such paintings out.")
    absent = {"artist_group": None, "in_train": True, "sha256": None}
    absent = {column: value for column, value in absent.items() if column not in paintings}
    return paintings.reset_index(drop=True).assign(**absent, key=artist_keys(paintings["artist"]).to_numpy())


def check_disjoint(split: Split, paintings: pd.DataFrame, *, validates: bool = True) -> None:
    """Check that a split can be believed.

    Args:
        split: as it was divided.
        paintings: the table that it is of.
        validates: False where nobody is to validate, so that the side may be empty.

    Raises:
        MorelliError: an artist stands on two sides, a painting is used twice, or a side cannot be measured.
    """
    keys = {side: split.rows(paintings, side)["artist"].map(artist_key) for side in SIDES}
    for left, right in (("train", "validation"), ("train", "unseen"), ("validation", "unseen"), ("seen", "unseen")):
        if shared := sorted(set(keys[left]) & set(keys[right])):
            raise MorelliError(f"The split has artists both in {left} and in {right}: {_some(shared)}.")
    if stray := sorted(set(keys["seen"]) - set(keys["train"])):
        raise MorelliError(f"The split calls artists seen that are not in training: {_some(stray)}.")
    if twice := sorted(set(split.train) & set(split.seen)):
        raise MorelliError(f"The split has paintings both in train and in seen: {_some(twice)}.")
    for side, numbers in _NUMBERS_OF.items():
        if side == "validation" and not validates:
            continue
        counts = keys[side].value_counts()
        if len(counts) < 2 or counts.iloc[0] < 2:
            raise MorelliError(
                f"The split's side {side!r} has {len(counts)} artists, of whom {int((counts > 1).sum())} have two or "
                "more paintings; it needs two artists, and one with two paintings. Use more artists, more paintings "
                f"of each, or set {numbers} to what leaves enough there."
            )


def _competition(table: pd.DataFrame, config: SplitConfig, _fold: int) -> pd.Series:
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
    trainable = table["key"][sides == "train"]
    sides[table["key"].isin(_validation_keys(trainable, config)) & (sides != "none")] = "validation"
    return sides


def _seed(table: pd.DataFrame, config: SplitConfig, _fold: int) -> pd.Series:
    counts = table["key"].value_counts().rename_axis("key").reset_index(name="n")
    ranked = counts.sort_values(["n", "key"], ascending=[False, True])["key"].tolist()
    wanted = [config.train_artists, config.validation_artists, config.unseen_artists]
    if len(ranked) < sum(wanted):
        raise MorelliError(
            f"Split 'seed' needs {' + '.join(map(str, wanted))} = {sum(wanted)} artists; the folder has {len(ranked)}. "
            "Set split.train_artists, split.validation_artists and split.unseen_artists to numbers that fit."
        )
    first_unseen = config.train_artists + config.validation_artists
    side_of = dict.fromkeys(ranked[: config.train_artists], "train")
    side_of |= dict.fromkeys(ranked[config.train_artists : first_unseen], "validation")
    side_of |= dict.fromkeys(ranked[first_unseen : sum(wanted)], "unseen")
    sides = table["key"].map(side_of).fillna("none")
    place = _shuffled_place(table, config.seed)
    beyond = place >= config.per_artist
    # The seed project has no held-out paintings of training artists; those beyond its 20 serve as such.
    is_seen = (sides == "train") & beyond & (place < config.per_artist + max(2, config.per_artist // 4))
    sides[beyond] = "none"
    sides[is_seen] = "seen"
    return sides


def _fraction(table: pd.DataFrame, config: SplitConfig, _fold: int) -> pd.Series:
    return _unseen_and_rest(table, _fraction_of_keys(table, config), config)


def _fraction_of_keys(table: pd.DataFrame, config: SplitConfig) -> list[str]:
    keys = _shuffled_keys(table["key"], config.seed)
    return keys[: max(2, round(config.unseen_fraction * len(keys)))]


def _folds(table: pd.DataFrame, config: SplitConfig, fold: int) -> pd.Series:
    return _unseen_and_rest(table, _fold_keys(table["key"], config, fold), config)


def _rotation(table: pd.DataFrame, config: SplitConfig, fold: int) -> pd.Series:
    is_test_only = table["artist_group"] == "test_only"
    unseen = sorted(table["key"][is_test_only].unique()) or _fraction_of_keys(table, config)
    is_rest = ~table["key"].isin(unseen)
    sides = _unseen_and_rest(table, unseen, config, _fold_keys(table["key"][is_rest], config, fold))
    # As in the competition's split: what its table lists of unseen artists in other groups is not used.
    return sides.mask(~is_rest & ~is_test_only, "none") if is_test_only.any() else sides


def _fold_keys(keys: pd.Series, config: SplitConfig, fold: int) -> list[str]:
    shuffled = _shuffled_keys(keys, config.seed)
    if config.folds * 2 > len(shuffled):
        raise MorelliError(
            f"{config.folds} folds of {len(shuffled)} artists leave fewer than two artists in a fold. "
            f"Set split.folds to {max(2, len(shuffled) // 2)} or less."
        )
    if not 0 <= fold < config.folds:
        raise MorelliError(f"Fold {fold} is not one of the split's {config.folds} folds (0 to {config.folds - 1}).")
    return shuffled[fold :: config.folds]


def _unseen_and_rest(
    table: pd.DataFrame, unseen_keys: Sequence[str], config: SplitConfig, validation_keys: Sequence[str] | None = None
) -> pd.Series:
    sides = pd.Series("train", index=table.index)
    sides[table["key"].isin(unseen_keys)] = "unseen"
    if validation_keys is None:
        validation_keys = _validation_keys(table["key"][sides == "train"], config)
    sides[table["key"].isin(validation_keys)] = "validation"
    count = table.groupby("key")["key"].transform("size")
    # Fewer than four paintings cannot give two to train on and two to measure.
    held_out = np.where(count >= 4, np.maximum(2, (count * config.seen_fraction).round()), 0)
    sides[(sides == "train") & (_shuffled_place(table, config.seed) < held_out)] = "seen"
    return sides


def _validation_keys(keys: pd.Series, config: SplitConfig) -> list[str]:
    if not config.validates:
        return []
    counts = keys.value_counts()
    usable = _shuffled_keys(keys[keys.map(counts) > 1], config.seed + 1)
    return usable[: max(2, round(config.validation_fraction * len(counts)))]


def _shuffled_keys(keys: pd.Series, seed: int) -> list[str]:
    unique = sorted(keys.unique())
    np.random.default_rng(seed).shuffle(unique)
    return unique


def _shuffled_place(table: pd.DataFrame, seed: int) -> pd.Series:
    """Each painting's place in a seeded order of its artist's paintings, that does not depend on the table's order."""
    by_id = table.sort_values("id")
    drawn = pd.Series(np.random.default_rng(seed + 2).random(len(by_id)), index=by_id.index)
    return drawn.groupby(by_id["key"]).rank(method="first").sub(1).reindex(table.index)


def _on_one_side(table: pd.DataFrame, sides: pd.Series, *, keep_shared: bool) -> pd.Series:
    """Keep copies on one side: the test sides keep theirs, training gives way.

    A picture that then still stands under several artists can be right for one of them only, and is not used unless
    ``keep_shared``. An artist who is not trained on, for this or any other reason, is not seen.
    """
    rank = sides.map({"unseen": 0, "seen": 1, "validation": 2, "train": 3, "none": 9})
    first = rank.groupby(pictures_of(table)).transform("min")
    kept = sides.where(rank == first, "none")
    if not keep_shared:
        kept[is_shared(table[kept != "none"]).reindex(kept.index, fill_value=False)] = "none"
    trained = set(table["key"][kept == "train"])
    return kept.mask((kept == "seen") & ~table["key"].isin(trained), "none")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
