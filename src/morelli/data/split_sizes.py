"""The numbers of a split, fitted to few artists."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from morelli.data.artists import artist_key
from morelli.data.copies import without_copies
from morelli.data.splits import SIDES, Split, SplitConfig, split_paintings
from morelli.errors import MorelliError

_FEWEST = {"rotation": 6}
"""Artists with two paintings or more that a kind of split takes: two to train on and two unseen, so four; a rotation
takes two more, since the training artists are divided into folds that validate."""
_FEW_ARTISTS = 100
"""Up to so many, some with a single painting, other draws are tried as well: with many no draw is unlucky."""
_DRAWS = 5


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
    usable = int((counts > 1).sum())
    needed = _FEWEST.get(config.kind, 4)
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
        if not trains or all(_can_train(fold, paintings) for fold in folds):
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


def _can_train(split: Split, paintings: pd.DataFrame) -> bool:
    counts = split.rows(paintings, "train")["artist"].map(artist_key).value_counts()
    return int((counts > 1).sum()) >= 2


def _candidates(config: SplitConfig, artists: int, usable: int) -> Iterator[SplitConfig]:
    """What was asked for, then what comes nearest to it first."""
    draws = range(config.seed, config.seed + (_DRAWS if usable < artists <= _FEW_ARTISTS else 1))
    for sizes in _sizes(config, artists, usable):
        for seed in draws:
            yield config.model_copy(update={**sizes, "seed": seed})


def _sizes(config: SplitConfig, artists: int, usable: int) -> Iterator[dict[str, Any]]:
    yield {}
    if config.kind == "seed":
        wanted = config.train_artists + config.validation_artists + config.unseen_artists
        unseen, validation = (
            max(2, part * usable // wanted) for part in (config.unseen_artists, config.validation_artists)
        )
        for validate in (validation, 0):
            train = max(1, usable - validate - unseen)
            yield {"train_artists": train, "validation_artists": validate, "unseen_artists": unseen}
        return
    validations: list[dict[str, Any]] = [{}, {"validation_fraction": _share(2, artists)}, {"validation_fraction": 0.0}]
    if config.kind == "rotation":  # where folds validate
        validations = [{}]
    for validating in validations:
        yield from (validating | rest for rest in _unseen(config, artists))


def _unseen(config: SplitConfig, artists: int) -> Iterator[dict[str, Any]]:
    yield {}
    if len(config.fold_numbers) > 1:
        for folds in range(min(config.folds, artists // 2), 1, -1):
            yield {"folds": folds}
    if config.kind == "fraction":
        asked = round(config.unseen_fraction * artists)
        for unseen in dict.fromkeys([asked // 2, 2]):
            if 2 <= unseen < asked:
                yield {"unseen_fraction": _share(unseen, artists)}


def _share(part: int, artists: int) -> float:
    return round(part / max(artists, part + 1), 4)


def _note(paintings: pd.DataFrame, asked: SplitConfig, fitted: SplitConfig, split: Split, artists: int) -> str:
    before, after = asked.model_dump(), fitted.model_dump()
    changed = [f"split.{key}={after[key]:g} instead of {before[key]:g}" for key in before if after[key] != before[key]]
    if not changed:
        return ""
    train, validate, _, unseen = (split.rows(paintings, side)["artist"].map(artist_key).nunique() for side in SIDES)
    sides = f"{train} train, {validate or 'none'} validate, {unseen} are unseen"
    fold = " in the first fold" if len(fitted.fold_numbers) > 1 else ""
    return f"Split fitted to {artists} artists: {', '.join(changed)} ({sides}{fold})."
