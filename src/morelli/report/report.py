"""The report: one HTML file that shows finished runs, made from their folders and, for the paintings, their data."""

import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from morelli._files import cache_folder, check_output, check_writable, write_text_whole
from morelli.bench.columns import Column
from morelli.bench.run_folder import SUBSETS, RunFolder, data_digest, find_runs
from morelli.bench.tables import copies_note, over_folds_and_seeds, table
from morelli.data.prepared import TABLE, read_paintings
from morelli.errors import MorelliError, did_you_mean
from morelli.report import charts, evidence, tables
from morelli.report.paintings import unseen_paintings
from morelli.report.runs import Shown, shown_runs
from morelli.report.svg import Chart

FIGURES: Final[dict[str, Callable[[Shown], list[Chart]]]] = {
    "roc": charts.roc,
    "reliability": charts.reliability,
    "tippett": evidence.tippett_plot,
    "cross_entropy": evidence.cross_entropy_plot,
    "histogram": charts.histogram,
    "learning": charts.learning,
}
"""Figure → the charts that it draws of a run."""


@dataclass(frozen=True)
class ReportSummary:
    """What was written: the file, how many runs are in it, whose paintings it shows, and its size."""

    path: Path
    runs: int
    chosen: str
    paintings: int
    megabytes: float
    seconds: float


def report(
    runs: Sequence[Path],
    out: Path,
    *,
    data: Path | None = None,
    run: str | None = None,
    images: bool = True,
    columns: Sequence[Column] = (),
    say: Callable[[str], None] = lambda _: None,
) -> ReportSummary:
    """Write one self-contained HTML file about finished runs.

    Args:
        runs: run folders, or folders that hold them at any depth.
        out: the file to write.
        data: the prepared folder of the runs, for the map and the galleries; the demo's own is found by itself.
        run: name of the run whose paintings, map and artists are shown; by default the one with the highest pair AUC
            on validation artists.
        images: False leaves out every picture of a painting.
        columns: of the table, beside :data:`morelli.bench.columns.COLUMNS`.
        say: told what a reader should know.

    Raises:
        MorelliError: no finished run, no such run, a damaged run folder, data of another run, or ``out`` cannot be
            written.
    """
    started = time.perf_counter()
    if out.is_dir():
        raise MorelliError(f"{out} is a folder. Name a file: --out {out / 'report.html'}")
    check_output(out, ".html", ".htm")
    check_writable(out)
    found = find_runs(runs)
    finished = [one for one in found if one.is_finished]
    if not finished:
        raise MorelliError(
            f"None of the {len(found)} runs is finished; the first says: {(found[0].failure or '').splitlines()[0]}"
        )
    shown = shown_runs(finished, columns)
    chosen = _chosen(shown, run)
    folder = _prepared_folder(chosen.run, data)
    no_paintings = "" if folder else _why_no_paintings(chosen.run)
    if no_paintings:
        say(f"Note: {no_paintings}")
    paintings = unseen_paintings(chosen.run.path, folder, images=images) if folder else None
    mistaken = {"unseen": paintings.mistaken} if paintings else {}
    rows = over_folds_and_seeds(table(found, columns), columns)
    text = _render(
        shown=shown,
        failed=[one for one in found if not one.is_finished],
        chosen=chosen,
        chosen_because="the run that was asked for" if run else _why(chosen),
        title=_title(shown),
        version=version("morelli"),
        ablation=tables.ablation(rows, columns),
        forest=tables.forest(rows, "pair_auc", columns),
        figures={name: [(one, drawn) for one in shown if (drawn := draw(one))] for name, draw in FIGURES.items()},
        realised=evidence.realised_rates(shown),
        misled=evidence.misled(chosen.run),
        per_artist={subset: tables.per_artist(chosen.run, subset, mistaken.get(subset, {})) for subset in SUBSETS},
        paintings=paintings,
        images=images,
        no_paintings=no_paintings,
        counts={subset: _counted(rows, subset) for subset in SUBSETS},
        copies=copies_note(rows),
        leakage=rows.attrs["leakage"],
        captions=rows.attrs["captions"],
    )
    write_text_whole(out, text)
    count = len(paintings.data["pictures"]) if paintings else 0
    seconds = time.perf_counter() - started
    return ReportSummary(out, len(finished), chosen.run.path.name, count, out.stat().st_size / 1e6, seconds)


def _chosen(shown: Sequence[Shown], name: str | None) -> Shown:
    if name is None:
        return max(shown, key=lambda one: one.validation_auc)
    by_name = {one.run.path.name: one for one in reversed(shown)}
    if name not in by_name:
        raise MorelliError(
            f'No finished run is called "{name}".{did_you_mean(name, by_name)} There are: {", ".join(sorted(by_name))}.'
        )
    return by_name[name]


def _why(chosen: Shown) -> str:
    if chosen.validation_auc < 0:
        return "the first run"
    return f"of all runs it has the highest pair AUC on validation artists, {chosen.validation_auc:.3f}"


def _why_no_paintings(run: RunFolder) -> str:
    if not (run.path / "model").is_dir():
        return (
            f"there are no map and no galleries: {run.path.name} has no network of its own. Choose another with --run."
        )
    return (
        "without the prepared folder there are no map and no galleries. Name the one that the runs were made with: "
        "--data FOLDER."
    )


def _counted(rows: pd.DataFrame, subset: str) -> tuple[str, str] | None:
    """Paintings and artists of one subset, as ranges where networks differ; None where none was measured."""
    if f"{subset}_artists" not in rows:
        return None
    ends = rows[[f"{subset}_paintings", f"{subset}_artists"]].agg(["min", "max"]).astype(int)
    paintings, artists = (f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in ends.T.to_numpy())
    return paintings, artists


def _title(shown: Sequence[Shown]) -> str:
    recipes = list(dict.fromkeys(one.run.config["recipe"] for one in shown))
    return " and ".join(recipes) if len(recipes) < 3 else f"{len(recipes)} recipes"


def _prepared_folder(run: RunFolder, data: Path | None) -> Path | None:
    """The folder that the run was made with: the one named, or the demo's, which lies in the cache.

    None where there is none, and for a run without a network of its own, such as a concatenation of others'.
    """
    wanted = run.config.get("data")
    if not (run.path / "model").is_dir():
        return None
    if data is None:
        for path in sorted(cache_folder().glob(f"synthetic-*/{TABLE}")):
            with suppress(MorelliError):  # a damaged or older folder is not the one
                if data_digest(read_paintings(path.parent)) == wanted:
                    return path.parent
        return None
    if data_digest(read_paintings(data)) != wanted:
        raise MorelliError(
            f"{data} does not hold the paintings that {run.path} was made with. Name the folder that its bench was "
            "given with --data, or leave --data out for a report without paintings."
        )
    return data


def _render(**content: Any) -> str:
    loader = PackageLoader("morelli.report")
    environment = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    css, script = (loader.get_source(environment, name)[0] for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html").render(css=css, script=script, script_digest=digest, **content)
