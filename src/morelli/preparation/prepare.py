"""``prepare``: turn a source of paintings into a prepared folder of small RGB JPEGs and their table."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import cpu_count

from morelli._csv import write_csv
from morelli._file_names import escaped
from morelli._files import sentence_of, written_whole
from morelli._locks import only_writer
from morelli._progress import progress_bar
from morelli.data.artists import artist_key, one_spelling
from morelli.data.copies import count_copies, paintings_and_copies, with_copies, write_copies
from morelli.data.describe import count_reasons
from morelli.data.prepared import (
    FORMAT_VERSION,
    LEFT_OUT,
    LEFT_OUT_COLUMNS,
    SPELLINGS,
    picture_file,
    read_left_out,
    write_paintings,
)
from morelli.errors import MorelliError, did_you_mean
from morelli.preparation.journal import (
    JOURNAL,
    Finished,
    Journal,
    another_source,
    claim,
    finish,
    finished,
    opened_journal,
)
from morelli.preparation.naming import NamesSummary, attributed, is_stand_in, spellings, without_stand_ins
from morelli.preparation.picture_files import may_be_read_later
from morelli.preparation.pool import SMALLER, Record, Task, shrink_all
from morelli.preparation.source import DETAILS, Catalogue, SourceOptions
from morelli.preparation.sources import read_source
from morelli.preparation.web import host_of

DUPLICATES = "duplicates.csv"


@dataclass(frozen=True)
class PrepareSummary:
    """What a prepared folder came to.

    Attributes:
        usable, artists, repaired: numbers in the table; a repaired painting is from its source's replacements.
        left_out: number of paintings by reason.
        duplicates_within_artists, duplicates_across_artists: pictures whose file, byte for byte, stands for several
            paintings, by one artist or by several. They are kept and listed in ``duplicates.csv``.
        copies: paintings that show what another one by their artist shows, byte for byte or saved again, resized,
            mirrored, cropped a little. They are kept and listed in ``copies.csv``, see :mod:`morelli.data.copies`.
        shared_pictures: pictures that stand under several artists.
        skipped_files: number of files that are no pictures, or lie in no artist's folder.
        seconds: of this run, not of earlier ones that it went on from.
        already_done: nothing was to do.
        understood: how the source was read.
        added, changed, removed: paintings against those that the folder had when the run began, if it was finished.
        names: what was made of the artists' names.
    """

    usable: int
    artists: int
    repaired: int
    left_out: dict[str, int]
    duplicates_within_artists: int
    duplicates_across_artists: int
    copies: int
    shared_pictures: int
    skipped_files: int
    seconds: float
    already_done: bool
    understood: tuple[str, ...] = ()
    added: int = 0
    changed: int = 0
    removed: int = 0
    names: NamesSummary = field(default_factory=NamesSummary)


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    size: int = 256,
    only_artists: Sequence[str] = (),
    max_per_artist: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    layout: str | None = None,
    artist_column: str | None = None,
    path_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    source_name: str | None = None,
    keep_unattributed: bool = False,
    source_kind: str | None = None,
    allow_hosts: Sequence[str] = (),
) -> PrepareSummary:
    """Turn ``source`` into the prepared folder ``out``.

    A run that was cut, at any moment and in any way, goes on where it was and ends with the same bytes; a finished one
    does nothing where its source is as it was, and else reads only the pictures that are new or have changed. Every
    picture is read whole, so a truncated one is found.

    Args:
        source: a folder with the competition's archives or with what they unpack to; a folder or a zip archive with a
            folder per artist; a CSV; Parquet; or a IIIF manifest or collection, a file or its address in the web.
        out: the folder to write; it may lie inside ``source``.
        size: pixels on the shorter side; smaller pictures keep their size.
        only_artists: take only these artists' paintings; case and accents do not matter.
        max_per_artist: take at most so many paintings by each, chosen by a hash of their ids.
        limit: take at most so many in all, artist by artist in alphabetical order.
        workers: processes that share the work, one a core by default; with 1 no other process is started.
        layout: where the path below the source names the artist, such as ``"images/{artist}/**"`` or
            ``"{style}/{artist}_{title}"``; found by itself if None.
        artist_column: name of a table's column of artists, or a manifest's label; found by its usual names if None.
        path_column: name of a table's column of paths, which are relative to it, or of pictures; likewise.
        columns: a table's columns of other things, by ``title``, ``style``, ``genre``, ``date`` and ``source``;
            likewise. An empty name says that there is none.
        source_name: the source of paintings that name none: the collection or maker of the pictures. Training fills
            each batch from one source.
        keep_unattributed: take names that are no one artist's, such as "unknown" or "workshop of Titian", for artists.
            By default their paintings are left out, as is a file that stands under three artists or more.
        source_kind: which kind of source it is, ``competition``, ``folders``, ``table``, ``parquet``, ``iiif``, or the
            dotted path of a :class:`morelli.preparation.source.Source`; found by itself if None.
        allow_hosts: hosts, ``name`` or ``name:port``, from which pictures of a manifest may be fetched besides its own.

    Raises:
        MorelliError: a mistake in the source or the options, a folder of other options, a full disk, no painting left.
    """
    started = time.monotonic()
    out = Path(out)
    for name, value, least in (
        ("size", size, 16),
        ("max_per_artist", max_per_artist, 1),
        ("limit", limit, 1),
        ("workers", workers, 1),
    ):
        if value is not None and value < least:
            raise MorelliError(f"{name} is {value}; it must be at least {least}.")
    if os.path.realpath(source) == os.path.realpath(out):
        raise MorelliError(f"--out is the source itself ({out}). Choose another folder; it may lie inside the source.")
    named = {**(columns or {}), "artist": artist_column, "path": path_column}
    by_field = {field: name for field, name in named.items() if name is not None}
    asked = SourceOptions(out, layout, by_field, allow_hosts=tuple(allow_hosts), size=size)
    offered = read_source(source, asked, source_kind)
    if source_name:
        offered.paintings["source"] = offered.paintings["source"].fillna(source_name)
    known = {artist_key(name): name for name in offered.paintings["artist"]}
    for name in only_artists:
        if artist_key(name) not in known:
            raise MorelliError(f'The source has no artist "{name}".{did_you_mean(name, known.values())}')
    if not keep_unattributed:
        offered = attributed(offered, only_artists)
    chosen = offered.choose(only_artists, max_per_artist, limit)
    options = {
        "format": FORMAT_VERSION,
        "kind": offered.kind,
        "name": str(source) if host_of(str(source)) else escaped(Path(source).resolve().name),
        "size": size,
        "only_artists": sorted({artist_key(name) for name in only_artists}),
        "max_per_artist": max_per_artist,
        "limit": limit,
    }
    workers = min(workers or offered.at_once or cpu_count(), offered.at_once or sys.maxsize)
    before = _write_folder(chosen, out, options, offered.fingerprint(), workers)
    return _summary(out, chosen, before, time.monotonic() - started)


def _write_folder(
    chosen: Catalogue, out: Path, options: dict[str, Any], fingerprint: str, workers: int
) -> dict[str, str] | None:
    """Bring the folder to its end; return the versions of what was finished before, or None if nothing was to do."""
    versions = chosen.versions()

    def begun() -> Finished | None:
        """What was finished before; None where nothing is to do."""
        before = finished(out, claim(out, options, versions))
        if before.records and not before.records.keys() & chosen.files.keys():  # another one, whatever its name
            raise another_source(out, "  the files or tables of the source are not the same")
        is_same = before.fingerprint == fingerprint and before.versions in (None, versions)
        return None if is_same and before.versions is not None and not (out / JOURNAL).exists() else before

    try:
        if begun() is None:
            return None
        with only_writer(out):
            if (before := begun()) is None:  # by the one that was waited for
                return None
            if before.fingerprint == fingerprint and before.versions in (None, versions):
                finish(out, options, fingerprint, versions)
                return None
            with opened_journal(out, before.records) as journal:
                _shrink_missing(chosen, out, journal, options["size"], workers)
                records = without_stand_ins(chosen, journal.records)
                _write_tables(chosen, out, records)
                final = [records[id_] for id_ in chosen.paintings["id"]]
                kept = {out / picture_file(record.id) for record in final if not record.left_out}
                for picture in out.glob("images/*/*.jpg"):  # of originals that are gone, or can no longer be used
                    if picture not in kept:
                        picture.unlink()
                known = {one.id: one.version for one in final if one.version and not may_be_read_later(one.left_out)}
                finish(out, options, fingerprint, known)
        return {record.id: record.version for record in before.records.values() if not record.left_out}
    except OSError as error:
        raise MorelliError(f"{sentence_of(error)} The same command goes on: finished paintings are kept.") from error
    except MemoryError as error:
        raise MorelliError("Memory ran out. Run again with fewer workers: finished paintings are kept.") from error


def _shrink_missing(chosen: Catalogue, out: Path, journal: Journal, size: int, workers: int) -> None:
    for leftover in out.rglob(".*.partial*"):  # the lock says that nobody is writing them
        leftover.unlink()
    tasks = [
        Task(id_, chosen.files[id_], chosen.replacements.get(id_), size)
        for id_ in chosen.paintings["id"]
        if not _is_kept(out, journal.records.get(id_), chosen.files[id_].version)
    ]
    total = len(chosen.paintings)
    with (
        progress_bar(lasting=True) as progress,
        closing(shrink_all(tasks, out, min(workers, max(1, len(tasks))))) as shrunk,
    ):
        bar = progress.add_task("Preparing", total=total, completed=total - len(tasks))
        for record, jpeg in shrunk:
            _keep(out, journal, record, jpeg)
            progress.advance(bar)


def _is_kept(out: Path, record: Record | None, version: str) -> bool:
    if record is None or record.version != version:
        return False
    if record.left_out:
        return not is_stand_in(record.left_out) and not may_be_read_later(record.left_out)
    path = out / picture_file(record.id)
    return path.is_file() and path.stat().st_size == record.jpeg_bytes


def _keep(out: Path, journal: Journal, record: Record, jpeg: bytes) -> None:
    """Move the picture into place just after its record is written, so that no picture is ever without one."""
    if record.left_out:
        journal.add(record)
        return
    with written_whole(out / picture_file(record.id), durable=False) as temporary:
        temporary.write_bytes(jpeg)
        journal.add(record)


def _write_tables(chosen: Catalogue, out: Path, records: dict[str, Record]) -> None:
    """Write the lists and last of all the table of paintings, which marks the folder as finished."""
    offered = chosen.paintings
    unusable = offered.assign(reason=[records[id_].left_out for id_ in offered["id"]])[LEFT_OUT_COLUMNS]
    unusable = unusable[unusable["reason"] != ""]
    write_csv(out / LEFT_OUT, pd.concat([unusable, chosen.left_out]))
    usable = [record for id_ in offered["id"] if not (record := records[id_]).left_out]
    if not usable:
        reasons = "\n".join(f"  {count:,} {reason}" for reason, count in count_reasons(out).items())
        raise MorelliError(f"Not one painting can be used. What was found:\n{reasons}\nSee {out / LEFT_OUT}.")
    paintings = offered[["id", "artist", *DETAILS]].merge(pd.DataFrame(usable), on="id")
    paintings = paintings.assign(file=paintings["id"].map(picture_file), artist=one_spelling(paintings["artist"]))
    write_csv(out / SPELLINGS, spellings(offered["artist"]))
    write_csv(out / DUPLICATES, _duplicates(paintings)[["sha256", "id", "artist"]])
    paintings = with_copies(out, paintings)
    write_copies(out, paintings)
    write_paintings(out, paintings)


def _duplicates(paintings: pd.DataFrame) -> pd.DataFrame:
    return paintings[paintings["sha256"].duplicated(keep=False)].sort_values(["sha256", "id"])


def _summary(out: Path, chosen: Catalogue, before: dict[str, str] | None, seconds: float) -> PrepareSummary:
    """Sum up; ``before`` has the versions of what the folder held, None where nothing was to do."""
    paintings = paintings_and_copies(out)
    copies = count_copies(paintings)
    same = _duplicates(paintings).assign(key=lambda rows: rows["artist"].map(artist_key))
    now, then = set(paintings["id"]), before or {}
    smaller = int((paintings["status"] == SMALLER).sum())
    return PrepareSummary(
        usable=len(paintings),
        artists=paintings["artist"].nunique(),
        repaired=int((paintings["status"] == "repaired").sum()),
        left_out=count_reasons(out),
        duplicates_within_artists=same["sha256"][same.duplicated(["sha256", "key"])].nunique(),
        duplicates_across_artists=int((same.groupby("sha256")["key"].nunique() > 1).sum()),
        copies=copies.copies,
        shared_pictures=copies.shared,
        skipped_files=chosen.skipped_files,
        seconds=seconds,
        already_done=before is None,
        understood=(*chosen.understood, *([f"Smaller than their source says: {smaller:,}."] if smaller else [])),
        added=len(now - then.keys()) if then else 0,
        changed=sum(chosen.files[id_].version != then[id_] for id_ in now & then.keys()),
        removed=len(then.keys() - now),
        names=NamesSummary.of(chosen.paintings["artist"], read_left_out(out)),
    )
