"""Turn a source of paintings into a prepared folder: every picture read whole, shrunk to RGB, and described."""

import errno
import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from morelli._file_names import escaped
from morelli._files import write_text_whole, written_whole
from morelli._progress import progress_bar
from morelli._workers import cores
from morelli.data.artists import artist_key, one_spelling
from morelli.data.copies import count_copies, paintings_and_copies, with_copies, write_copies
from morelli.data.describe import count_reasons
from morelli.data.prepared import FORMAT_VERSION, LEFT_OUT, write_paintings
from morelli.errors import MorelliError, did_you_mean
from morelli.preparation.journal import (
    JOURNAL,
    Finished,
    Journal,
    Record,
    another_source,
    claim,
    finish,
    finished,
    opened_journal,
)
from morelli.preparation.naming import NamesSummary, attributed, is_stand_in, without_stand_ins, write_spellings
from morelli.preparation.picture_files import may_be_read_later
from morelli.preparation.pool import Outcome, Task, shrink_all
from morelli.preparation.recognise import read_source
from morelli.preparation.source import DETAILS, LEFT_OUT_COLUMNS, Source

DUPLICATES = "duplicates.csv"


@dataclass(frozen=True)
class PrepareSummary:
    """What a prepared folder came to; ``seconds`` are those of this run, not of earlier ones that it went on from.

    ``left_out`` maps each reason to a number of paintings. A duplicate is a picture whose file, byte for byte, stands
    for several paintings: by one artist, or by several; each picture counts once. They are kept, and listed in
    ``duplicates.csv``, for a split to keep them on one side. ``skipped_files`` are no pictures, or lie in no artist's
    folder. ``understood`` says how the source was read. ``added``, ``changed`` and ``removed`` count paintings against
    those that the folder had when the run began, if it was finished then. ``names`` says what was made of the artists'
    names.

    ``copies`` counts the paintings that show what another one by their artist shows, byte for byte or saved again,
    resized, mirrored, cropped a little; ``shared_pictures`` the pictures that stand under several artists. They are
    kept too, and listed in ``copies.csv``; see :mod:`morelli.data.copies` for what is made of them.
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
) -> PrepareSummary:
    """Turn ``source`` into the prepared folder ``out``.

    A run that was cut, at any moment and in any way, goes on where it was and ends with the same bytes; a finished one
    does nothing where its source is as it was, and else reads only the pictures that are new or have changed. Every
    picture is read whole, so a truncated one is found.

    Args:
        source: a folder with the competition's archives or with what they unpack to; a folder or a zip archive with a
            folder per artist; or a CSV.
        out: the folder to write; it may lie inside ``source``.
        size: pixels on the shorter side; smaller pictures keep their size.
        only_artists: take only these artists' paintings; case and accents do not matter.
        max_per_artist: take at most so many paintings by each, chosen by a hash of their ids.
        limit: take at most so many in all, artist by artist in alphabetical order.
        workers: processes that share the work, one a core by default; with 1 no other process is started.
        layout: where the path below the source names the artist, such as ``"images/{artist}/**"`` or
            ``"{style}/{artist}_{title}"``; found by itself if None.
        artist_column: name of a CSV's column of artists; found by its usual names if None.
        path_column: name of a CSV's column of paths, which are relative to the CSV; likewise.
        columns: a CSV's columns of other things, by ``title``, ``style``, ``genre``, ``date`` and ``source``; likewise.
            An empty name says that there is none.
        source_name: the source of paintings that name none: the collection or maker of the pictures. Training fills
            each batch from one source.
        keep_unattributed: take names that are no one artist's, such as "unknown" or "workshop of Titian", for artists.
            By default their paintings are left out, as is a file that stands under three artists or more.

    Raises:
        MorelliError: a mistake in the source or the options, a folder of other options, a full disk, no painting left.
    """
    started = time.monotonic()
    source, out = Path(source), Path(out)
    _check_options(size, max_per_artist, limit, workers)
    if source.resolve() == out.resolve():
        raise MorelliError(f"--out is the source itself ({out}). Choose another folder; it may lie inside the source.")
    named = {**(columns or {}), "artist": artist_column, "path": path_column}
    offered = read_source(source, out, layout, {field: name for field, name in named.items() if name is not None})
    if source_name:
        sources = offered.paintings["source"].astype(object)
        offered.paintings["source"] = sources.where(sources.notna() & (sources != ""), source_name)
    _check_artists(offered, only_artists)
    if not keep_unattributed:
        offered = attributed(offered, only_artists)
    chosen = offered.choose(only_artists, max_per_artist, limit)
    options = {
        "format": FORMAT_VERSION,
        "kind": offered.kind,
        "name": escaped(source.resolve().name),
        "size": size,
        "only_artists": sorted({artist_key(name) for name in only_artists}),
        "max_per_artist": max_per_artist,
        "limit": limit,
    }
    before = _write_folder(chosen, out, options, offered.fingerprint(), workers or cores())
    return _summary(out, chosen, before, time.monotonic() - started)


def _write_folder(
    chosen: Source, out: Path, options: dict[str, Any], fingerprint: str, workers: int
) -> dict[str, str] | None:
    """Bring the folder to its end; return the versions of what was finished before, or None if nothing was to do."""
    try:
        before = finished(out, claim(out, options, chosen.versions))
        _refuse_another(chosen, out, before)
        if before.fingerprint == fingerprint and before.versions in (None, chosen.versions):
            if before.versions is None or (out / JOURNAL).exists():
                finish(out, options, fingerprint, chosen.versions)
            return None
        with opened_journal(out, before.records) as journal:
            _shrink_missing(chosen, out, journal, options["size"], workers)
            records = without_stand_ins(chosen, journal.records)
            _write_tables(chosen, out, records)
            _delete_others(chosen, out, records)
            finish(out, options, fingerprint, _versions(chosen, records))
        return {record.id: record.version for record in before.records.values() if not record.left_out}
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        trouble = f"The disk is full ({out}). Free some space" if full else f"{error}. Mend that"
        raise MorelliError(f"{trouble} and run the same command again: finished paintings are kept.") from error
    except MemoryError as error:
        raise MorelliError("Memory ran out. Run again with fewer workers: finished paintings are kept.") from error


def _refuse_another(chosen: Source, out: Path, before: Finished) -> None:
    """A source of which nothing was there before is another one, whatever its name."""
    if before.records and not before.records.keys() & chosen.places.keys():
        raise another_source(out, "  the files or tables of the source are not the same")


def _versions(chosen: Source, records: dict[str, Record]) -> dict[str, str]:
    """The version of each original that need not be read again while it stays as it is."""
    known = (records[id_] for id_ in chosen.paintings["id"])
    return {one.id: one.version for one in known if one.version and not may_be_read_later(one.left_out)}


def _delete_others(chosen: Source, out: Path, records: dict[str, Record]) -> None:
    """Delete the pictures of originals that are gone, or that can no longer be used."""
    kept = {out / _file(id_) for id_ in chosen.paintings["id"] if not records[id_].left_out}
    for picture in out.glob("images/*/*.jpg"):
        if picture not in kept:
            picture.unlink()


def _shrink_missing(chosen: Source, out: Path, journal: Journal, size: int, workers: int) -> None:
    for leftover in out.rglob(".*.partial*"):
        leftover.unlink()
    tasks = [
        Task(id_, chosen.places[id_], chosen.replacements.get(id_), size, chosen.versions[id_])
        for id_ in chosen.paintings["id"]
        if not _is_kept(out, journal.records.get(id_), chosen.versions[id_])
    ]
    total = len(chosen.paintings)
    with (
        progress_bar(lasting=True) as progress,
        closing(shrink_all(tasks, out, min(workers, max(1, len(tasks))))) as outcomes,
    ):
        bar = progress.add_task("Preparing", total=total, completed=total - len(tasks))
        for outcome in outcomes:
            _keep(out, journal, outcome)
            progress.advance(bar)


def _is_kept(out: Path, record: Record | None, version: str) -> bool:
    if record is None or record.version != version:
        return False
    if record.left_out:
        return not is_stand_in(record.left_out) and not may_be_read_later(record.left_out)
    path = out / _file(record.id)
    return path.is_file() and path.stat().st_size == record.jpeg_bytes


def _keep(out: Path, journal: Journal, outcome: Outcome) -> None:
    """Move the picture into place just after its record is written, so that no picture is ever without one."""
    record = Record(
        id=outcome.id,
        status=outcome.status,
        width=outcome.width,
        height=outcome.height,
        sha256=outcome.sha256,
        jpeg_bytes=len(outcome.jpeg),
        left_out=outcome.left_out,
        version=outcome.version,
    )
    if record.left_out:
        journal.add(record)
        return
    with written_whole(out / _file(record.id)) as temporary:
        temporary.write_bytes(outcome.jpeg)
        journal.add(record)


def _file(id_: str) -> str:
    return f"images/{hashlib.sha256(id_.encode()).hexdigest()[:2]}/{id_}.jpg"


def _write_tables(chosen: Source, out: Path, records: dict[str, Record]) -> None:
    """Write the lists and last of all the table of paintings, which marks the folder as finished."""
    offered = chosen.paintings
    unusable = offered.assign(reason=[records[id_].left_out for id_ in offered["id"]])[LEFT_OUT_COLUMNS]
    unusable = pd.concat([unusable[unusable["reason"] != ""], chosen.left_out])
    write_text_whole(out / LEFT_OUT, unusable.to_csv(index=False, lineterminator="\n"))
    ids = set(offered["id"])
    usable = [record for record in records.values() if record.id in ids and not record.left_out]
    if not usable:
        reasons = "\n".join(f"  {count:,} {reason}" for reason, count in count_reasons(out).items())
        raise MorelliError(f"Not one painting can be used. What was found:\n{reasons}\nSee {out / LEFT_OUT}.")
    paintings = offered[["id", "artist", *DETAILS]].merge(pd.DataFrame(usable), on="id")
    paintings = paintings.assign(file=paintings["id"].map(_file), artist=one_spelling(paintings["artist"]))
    write_spellings(out, offered["artist"])
    same = _duplicates(paintings)
    write_text_whole(out / DUPLICATES, same[["sha256", "id", "artist"]].to_csv(index=False, lineterminator="\n"))
    paintings = with_copies(out, paintings)
    write_copies(out, paintings)
    write_paintings(out, paintings)


def _duplicates(paintings: pd.DataFrame) -> pd.DataFrame:
    return paintings[paintings["sha256"].duplicated(keep=False)].sort_values(["sha256", "id"])


def _summary(out: Path, chosen: Source, before: dict[str, str] | None, seconds: float) -> PrepareSummary:
    """Sum up; ``before`` has the versions of what the folder held, None where nothing was to do."""
    paintings = paintings_and_copies(out)
    copies = count_copies(paintings)
    same = _duplicates(paintings).assign(key=lambda rows: rows["artist"].map(artist_key))
    now = set(paintings["id"])
    then = before or {}
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
        understood=tuple(chosen.understood),
        added=len(now - then.keys()) if then else 0,
        changed=sum(chosen.versions[id_] != then[id_] for id_ in now & then.keys()),
        removed=len(then.keys() - now),
        names=NamesSummary.of(chosen.paintings["artist"], out / LEFT_OUT),
    )


def _check_options(size: int, max_per_artist: int | None, limit: int | None, workers: int | None) -> None:
    for name, value, least in (
        ("size", size, 16),
        ("max_per_artist", max_per_artist, 1),
        ("limit", limit, 1),
        ("workers", workers, 1),
    ):
        if value is not None and value < least:
            raise MorelliError(f"{name} is {value}; it must be at least {least}.")


def _check_artists(offered: Source, only_artists: Sequence[str]) -> None:
    known = {artist_key(name): name for name in offered.paintings["artist"]}
    for name in only_artists:
        if artist_key(name) not in known:
            raise MorelliError(f'The source has no artist "{name}".{did_you_mean(name, known.values())}')
