"""Kinds of the competition's pairs: artists seen or unseen; same source, style, genre or period."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from morelli.competition.csv_blocks import Block, mapped_blocks
from morelli.competition.pair_list import COLUMNS, parse_pairs
from morelli.data.artists import artist_key
from morelli.errors import MorelliError
from morelli.evaluation.pair_subsets import PairSubset, pair_subsets

Array = np.ndarray


@dataclass(frozen=True)
class Kind:
    """One kind of pair.

    Attributes:
        name: for the table.
        holds: (P,) and (P,) numbers of paintings → (P,) bool, which pairs are of the kind.
        positives_too: same-artist pairs must be of the kind as well; else only the negatives must.
    """

    name: str
    holds: Callable[[Array, Array], Array]
    positives_too: bool


ALL: Final = Kind("all", PairSubset().of_pairs, True)


@dataclass(frozen=True)
class ListedKinds:
    """What a list of pairs holds of each kind.

    Attributes:
        index: (P,) int64 as in the file.
        bits: (P,) unsigned, bit k set where the pair is of the k-th kind.
        paintings: of each kind, how many paintings stand in pairs of it.
        artists: of each kind, how many artists have such paintings.
    """

    index: Array
    bits: Array
    paintings: list[int]
    artists: list[int]


def kinds_of(paintings: pd.DataFrame) -> list[Kind]:
    """The kinds that the columns of a prepared folder's table can tell: all pairs first."""
    kinds = [ALL]
    groups = paintings["artist_group"]
    if groups.notna().any():
        seen = np.where(groups.isna(), np.nan, groups.ne("test_only").astype(float))
        # Pairs of a seen and an unseen artist are never by one hand, so there are only negatives to restrict.
        of_seen = {"both_artists_seen": (2, True), "both_artists_unseen": (0, True), "one_artist_unseen": (1, False)}
        kinds += [Kind(name, partial(_sums_to, seen, total), too) for name, (total, too) in of_seen.items()]
    return kinds + [Kind(one.name, one.of_pairs, one.positives_too) for one in pair_subsets(paintings)[1:]]


def _sums_to(values: Array, total: int, first: Array, second: Array) -> Array:
    holds: Array = values[first] + values[second] == total
    return holds


def read_kinds(pairs: Path, paintings: pd.DataFrame, kinds: list[Kind]) -> ListedKinds:
    """Read a list of pairs and find the kinds of each.

    Raises:
        MorelliError: as for writing a submission: the list cannot be read or names unknown pictures.
    """
    numbers = {picture: number for number, picture in enumerate(paintings["id"])}
    if len(numbers) < len(paintings):
        raise MorelliError("The table of paintings has an id twice. Prepare the folder again.")
    dtype = np.min_scalar_type((1 << len(kinds)) - 1)
    index, bits, stands_in = bytearray(), bytearray(), np.zeros(len(numbers), dtype)
    with mapped_blocks(pairs, COLUMNS, partial(_block_kinds, numbers=numbers, kinds=kinds, dtype=dtype)) as blocks:
        for block_index, block_bits, block_stands_in in blocks:
            index += block_index.data
            bits += block_bits.data
            stands_in |= block_stands_in
    artists, _ = pd.factorize(paintings["artist"].map(artist_key))
    members = [np.flatnonzero(stands_in >> k & 1) for k in range(len(kinds))]
    of_artists = [len(np.unique(artists[of_kind])) for of_kind in members]
    return ListedKinds(np.frombuffer(index, np.int64), np.frombuffer(bits, dtype), [*map(len, members)], of_artists)


def _block_kinds(
    block: Block, numbers: Mapping[str, int], kinds: list[Kind], dtype: np.dtype[np.unsignedinteger]
) -> tuple[Array, Array, Array]:
    """The index and kinds of each pair, and for each painting the kinds of the pairs that it stands in."""
    pairs = parse_pairs(block, numbers)
    bits = np.zeros(len(pairs.first), dtype)
    for k, kind in enumerate(kinds):
        bits |= kind.holds(pairs.first, pairs.second).astype(dtype) << k
    stands_in = np.zeros(len(numbers), dtype)
    for images in (pairs.first, pairs.second):
        np.bitwise_or.at(stands_in, images, bits)
    return pairs.index.to_numpy(), bits, stands_in
