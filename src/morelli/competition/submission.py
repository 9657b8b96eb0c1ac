"""The competition's submission: a score for each of a list's pairs of pictures, streamed from file to file."""

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from torch import Tensor

from morelli._files import written_whole
from morelli.competition.csv_blocks import Block, mapped_blocks
from morelli.competition.pair_list import COLUMNS, PairBlock, PairOrder, parse_pairs, refuse_repeats
from morelli.competition.pair_scores import score_pairs
from morelli.errors import MorelliError
from morelli.models.heads import Scorer

Array = np.ndarray
HEADER: Final = b"index,sameArtist\n"
_GZIP_LEVEL: Final = 4


@dataclass(frozen=True)
class SubmissionSummary:
    """What was written.

    Attributes:
        pairs: rows of the submission.
        images: different pictures in the pairs.
        groups: the list holds exactly all pairs within so many groups of pictures; None if it is no such list.
        in_products: pairs scored by blocked products; the others were gathered one by one.
    """

    pairs: int
    images: int
    groups: int | None
    in_products: int


def write_submission(
    embeddings: Tensor,
    ids: Sequence[str],
    scorer: Scorer,
    pairs: Path,
    out: Path,
    *,
    probability: Callable[[Tensor], Tensor] | None = None,
) -> SubmissionSummary:
    """Score every pair of a list and write ``index,sameArtist``, in the list's order.

    Several threads read, score and write blocks of some megabytes. Memory does not grow with the number of pairs,
    except by 8 bytes a pair, to find repeated pairs, where the list does not go through its groups one after the other.
    Scores are written as the shortest decimals that read back as the same float32, so nothing but true ties tie.

    Args:
        embeddings: (N, D), on the scorer's device.
        ids: the N pictures' ids; ``123.jpg`` in the list is the picture with the id ``123``.
        scorer: gives a pair's score, higher for the same hand; it is put into evaluation mode.
        pairs: CSV file with the columns ``index,image1,image2``, or a zip or gzip file of it.
        out: ``.csv`` or ``.csv.gz``; appears only when it is complete.
        probability: turns scores (P,) into what is written (P,), for example a calibration; by default nothing.

    Raises:
        MorelliError: the list is missing, empty, damaged, encrypted or lacks a column; a line is malformed, names a
            picture without an embedding, pairs a picture with itself or repeats a pair; a score is not finite; or
            ``out`` has another suffix or cannot be written.
    """
    numbers = _numbers(embeddings, ids)
    _refuse_unfit_out(out, pairs)
    scorer.eval()
    score = partial(
        _score_block, embeddings=embeddings, numbers=numbers, scorer=scorer, probability=probability, out=out
    )
    order, in_products = PairOrder(len(numbers)), 0
    with _one_torch_thread_each(), written_whole(out) as partial_out, _disk_errors(out):
        with partial_out.open("wb") as sink, mapped_blocks(pairs, COLUMNS, score) as blocks:
            sink.write(_encoded(HEADER, out))
            for pair_block, of_products, text in blocks:
                order.add(pair_block.first, pair_block.second)
                in_products += of_products
                sink.write(text)
        if not order.ascending:
            refuse_repeats(pairs, numbers, order.pairs)
    return SubmissionSummary(order.pairs, order.images, order.groups, in_products)


def _score_block(
    block: Block,
    *,
    embeddings: Tensor,
    numbers: Mapping[str, int],
    scorer: Scorer,
    probability: Callable[[Tensor], Tensor] | None,
    out: Path,
) -> tuple[PairBlock, int, bytes]:
    pairs = parse_pairs(block, numbers)
    scores, in_products = score_pairs(embeddings, scorer, pairs.first, pairs.second)
    if probability is not None:
        scores = probability(torch.from_numpy(scores)).float().numpy()
    if not (finite := np.isfinite(scores)).all():
        raise MorelliError(f"{block.at(int(finite.argmin()))}: the score of this pair is not a finite number.")
    text = pa.BufferOutputStream()
    table = pa.table({"index": pairs.index, "sameArtist": scores})
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(table, text, write_options=options)
    return pairs, in_products, _encoded(text.getvalue(), out)


def _encoded(text: bytes, out: Path) -> bytes:
    """Each block is a gzip member of its own, so that the threads compress too; together they are one gzip file."""
    return gzip.compress(text, _GZIP_LEVEL, mtime=0) if out.suffix == ".gz" else text


def _numbers(embeddings: Tensor, ids: Sequence[str]) -> dict[str, int]:
    if embeddings.ndim != 2 or len(embeddings) != len(ids):
        raise MorelliError(
            f"Embeddings of shape {tuple(embeddings.shape)} do not fit {len(ids)} ids: (N, D) is needed."
        )
    numbers = {picture: number for number, picture in enumerate(ids)}
    if len(numbers) < len(ids):
        twice = next(picture for number, picture in enumerate(ids) if numbers[picture] != number)
        raise MorelliError(f"The id {twice} belongs to two embeddings. Each picture may have one.")
    return numbers


def _refuse_unfit_out(out: Path, pairs: Path) -> None:
    if not out.name.endswith((".csv", ".csv.gz")):
        raise MorelliError(f"A submission is written as .csv or .csv.gz, not as {out.name}.")
    if out.is_dir():
        raise MorelliError(f"{out} is a folder. Name a file in it, for example {out / 'submission.csv.gz'}.")
    if out.exists() and pairs.exists() and out.samefile(pairs):
        raise MorelliError(f"{out} is the list of pairs itself. Name another file for the submission.")
    if out.exists() and not _is_submission(out):
        raise MorelliError(f"{out} is there already and is no submission. Name another file for the submission.")


def _is_submission(path: Path) -> bool:
    """Whether a file is empty or begins as a submission does."""
    with suppress(OSError, EOFError, zlib.error), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return file.read(len(HEADER)) in (b"", HEADER)
    return False


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise MorelliError(
            f"{out} could not be written ({reason}); nothing was left of it. Make room, or choose another folder or "
            ".csv.gz, which takes a third."
        ) from error


@contextmanager
def _one_torch_thread_each() -> Iterator[None]:
    """Blocks already run side by side; threads of threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
