"""Artist-disjoint splits: no artist is ever on two of the sides train, validation and unseen.

``seen`` holds paintings of training artists that were kept out of training.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from morelli._dotted import explained, is_dotted
from morelli._json import read_json, write_json
from morelli.data.artists import artist_key, artist_keys
from morelli.data.copies import is_shared, pictures_of, without_copies
from morelli.data.splitters import SplitConfig, Splitter
from morelli.errors import MorelliError

FORMAT_VERSION: Final = 1
SIDES: Final = ("train", "validation", "seen", "unseen")
_NUMBERS_OF: Final = {
    "train": "split.unseen_fraction, split.validation_fraction or split.folds",
    "validation": "split.validation_fraction (0: nobody validates)",
    "unseen": "split.unseen_fraction or split.folds",
}
"""What decides how many artists are on a side that must have two."""
_FEW_ARTISTS: Final = 100
"""Up to so many, some with a single painting, other draws are tried as well: with many no draw is unlucky."""
_DRAWS: Final = 5


@dataclass(frozen=True)
class SplitFile:
    """``split.json`` as :meth:`Split.save` writes it: by side, the artists' names and the paintings' ids."""

    format: int
    paintings: dict[str, list[str | int]] = field(default_factory=dict)
    artists: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format != FORMAT_VERSION:
            raise ValueError(f"split format {self.format}, not {FORMAT_VERSION}")
        if self.paintings.keys() != set(SIDES):
            raise ValueError(f"it has paintings of {', '.join(self.paintings) or 'no side'}, not {', '.join(SIDES)}")


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

    def keys(self, paintings: pd.DataFrame, side: str) -> pd.Series:
        """The artists' keys of :meth:`rows`."""
        return self.rows(paintings, side)["artist"].map(artist_key)

    def save(self, path: Path, paintings: pd.DataFrame) -> None:
        """Write the artists and painting ids on each side as JSON."""
        artists = {side: sorted(map(str, self.rows(paintings, side)["artist"].unique())) for side in SIDES}
        write_json(path, {"format": FORMAT_VERSION, "artists": artists, "paintings": asdict(self)})

    @classmethod
    def load(cls, path: Path) -> "Split":
        """Read back what :meth:`save` wrote.

        Raises:
            MorelliError: the file is missing, damaged or of another format.
        """
        paintings: dict[str, Any] = read_json(path, SplitFile, "It is not a split that morelli wrote.").paintings
        return cls(**{side: tuple(paintings[side]) for side in SIDES})


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
    if config.kind == "auto":
        _as_prepared(paintings)
        fitted = fit_split(paintings, config)
        if fitted.note:
            logging.getLogger(__name__).warning(fitted.note)
        return fitted.folds[0]
    table, splitter = _as_prepared(paintings), config.splitter
    # Only files that are the same byte for byte stay together where copies are kept.
    table = table.drop(columns="copy_of", errors="ignore") if config.keep_copies else without_copies(table)
    if config.without_test_only and splitter.leaves_out:
        table = table[~table["key"].isin(set(table["key"][table["artist_group"] == "test_only"]))]
    sides = _on_one_side(table, _divided(table, splitter, fold), keep_shared=config.keep_copies)
    split = Split(**{side: tuple(table["id"][sides == side]) for side in SIDES})
    check_disjoint(split, paintings, validates=splitter.validates)
    return split


def _divided(table: pd.DataFrame, splitter: Splitter, fold: int) -> pd.Series:
    kind = splitter.config.kind
    if not is_dotted(kind):
        return splitter.sides(table, fold)
    with explained(kind, "a morelli.data.splitters.Splitter", "sides() failed"):
        sides = pd.Series(splitter.sides(table.copy(), fold), index=table.index)
        if strange := sorted(map(str, set(sides) - {*SIDES, "none"})):
            raise ValueError(f"no such side: {_some(strange)}; there are {', '.join(SIDES)} and none")
        return sides


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


def check_disjoint(split: Split, paintings: pd.DataFrame, *, validates: bool = True) -> None:
    """Check that a split can be believed.

    Args:
        split: as it was divided.
        paintings: the table that it is of.
        validates: False where nobody is to validate, so that the side may be empty.

    Raises:
        MorelliError: an artist stands on two sides, a painting is used twice, or a side cannot be measured.
    """
    keys = {side: split.keys(paintings, side) for side in SIDES}
    for left, right in (("train", "validation"), ("train", "unseen"), ("validation", "unseen"), ("seen", "unseen")):
        if shared := sorted(set(keys[left]) & set(keys[right])):
            raise MorelliError(f"The split has artists both in {left} and in {right}: {_some(shared)}.")
    if stray := sorted(set(keys["seen"]) - set(keys["train"])):
        raise MorelliError(f"The split calls artists seen that are not in training: {_some(stray)}.")
    if twice := sorted(set(split.train) & set(split.seen)):
        raise MorelliError(f"The split has paintings both in train and in seen: {_some(twice)}.")
    for side, numbers in _NUMBERS_OF.items():
        counts = keys[side].value_counts()
        if (side != "validation" or validates) and (len(counts) < 2 or counts.iloc[0] < 2):
            raise MorelliError(
                f"The split's side {side!r} has {len(counts)} artists, of whom {int((counts > 1).sum())} have two or "
                "more paintings; it needs two artists, and one with two paintings. Use more artists, more paintings "
                f"of each, or set {numbers} to what leaves enough there."
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@dataclass(frozen=True)
class FittedSplit:
    """A split whose numbers fit the artists.

    Attributes:
        config: what was asked for where that can be had, else what comes near it.
        folds: the split of every fold.
        note: what was changed, in a sentence; empty where nothing was.
    """

    config: SplitConfig
    folds: tuple[Split, ...]
    note: str


def fit_split(paintings: pd.DataFrame, config: SplitConfig, *, trains: bool = True) -> FittedSplit:
    """Fit the numbers of a split to the artists that there are.

    What can be had as it was asked for stays as it is. Else there are fewer folds, fewer validation and unseen artists
    and, last, no validation artists; with few artists, of whom many may have a single painting, other draws are tried.

    Args:
        paintings: the table of a prepared folder.
        config: which split.
        trains: two artists with two paintings each are wanted on the training side; untrained networks need no pair.

    Raises:
        MorelliError: there are too few artists for any split of this kind, with the numbers it takes; or what makes
            the split impossible is not its numbers.
    """
    config = config.for_table(paintings)
    paintings = paintings if config.keep_copies else without_copies(paintings)
    counts = paintings["artist"].map(artist_key).value_counts()
    usable, needed = int((counts > 1).sum()), config.splitter.fewest
    first: MorelliError | None = None
    fallback: FittedSplit | None = None
    for candidate in _candidates(config, len(counts), usable):
        try:
            folds = tuple(split_paintings(paintings, candidate, fold) for fold in candidate.fold_numbers)
        except MorelliError as error:
            first = first or error
            if usable < 2 or len(counts) < needed:
                break
            continue
        found = FittedSplit(candidate, folds, _note(paintings, config, candidate, folds[0], len(counts)))
        if not trains or all((one.keys(paintings, "train").value_counts() > 1).sum() >= 2 for one in folds):
            return found
        fallback = fallback or found
    if fallback:
        return fallback
    assert first is not None
    if usable >= needed:
        raise first
    raise MorelliError(
        f"{len(counts)} artists, {usable} of them with two or more paintings, are too few for split '{config.kind}': "
        f"it takes {needed} with two or more each, so that two can be trained on and two stay unseen"
        + (", and two validate. Set split.kind=fraction, which takes four, or add" if needed > 4 else ". Add")
        + " artists, or paintings by those that are there."
    ) from first


def _candidates(config: SplitConfig, artists: int, usable: int) -> Iterator[SplitConfig]:
    """What was asked for, then what comes nearest to it first."""
    draws = range(config.seed, config.seed + (_DRAWS if usable < artists <= _FEW_ARTISTS else 1))
    for sizes in config.splitter.smaller(artists, usable):
        yield from (config.model_copy(update={**sizes, "seed": seed}) for seed in draws)


def _note(paintings: pd.DataFrame, asked: SplitConfig, fitted: SplitConfig, split: Split, artists: int) -> str:
    before, after = asked.model_dump(), fitted.model_dump()
    changed = [f"split.{key}={after[key]:g} instead of {before[key]:g}" for key in before if after[key] != before[key]]
    if not changed:
        return ""
    train, validate, _, unseen = (split.keys(paintings, side).nunique() for side in SIDES)
    sides = f"{train} train, {validate or 'none'} validate, {unseen} are unseen"
    fold = " in the first fold" if len(fitted.fold_numbers) > 1 else ""
    return f"Split fitted to {artists} artists: {', '.join(changed)} ({sides}{fold})."
