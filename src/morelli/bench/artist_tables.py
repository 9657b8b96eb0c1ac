"""Tables of artists: whom a network tells apart best and worst, by name, made from run folders alone."""

from collections.abc import Sequence

import pandas as pd

from morelli._csv import read_csv
from morelli._text import for_spreadsheets
from morelli.bench.run_folder import AGAIN, PER_ARTIST, RunFolder, per_artist_path
from morelli.bench.text_tables import Format, as_text
from morelli.errors import MorelliError, did_you_mean
from morelli.evaluation.metrics import from_descriptions, metric_of


def artist_table(runs: Sequence[RunFolder], subset: str = "unseen", metric: str = "pair_auc") -> pd.DataFrame:
    """One row a run and artist, best first: ``run, place, artist, paintings`` and the artist's own metrics.

    Artists whose paintings do not define the metric, such as those with one painting, are left out.

    Raises:
        MorelliError: no run was measured on that subset, or there is no such metric of an artist.
    """
    measured = [run for run in runs if per_artist_path(run.path, subset).is_file()]
    if not measured:
        raise MorelliError(
            f"No run has a {per_artist_path(runs[0].path, subset).name}: none was measured on that side."
        )
    return pd.concat([_of_run(run, subset, metric) for run in measured], ignore_index=True)


def _of_run(run: RunFolder, subset: str, metric: str) -> pd.DataFrame:
    rows = read_csv(per_artist_path(run.path, subset), PER_ARTIST, remedy=AGAIN)
    known = [column for column in map(str, rows) if column not in ("artist", "paintings")]
    if metric not in known:
        raise MorelliError(
            f'No artist has a measure "{metric}".{did_you_mean(metric, known)} There are: {", ".join(known)}.'
        )
    own = from_descriptions(run.metrics.get("own_metrics", ()) if run.is_finished else ())
    lower_is_better = metric_of(metric, own).lower_is_better
    ranked = rows.dropna(subset=metric).sort_values([metric, "artist"], ascending=[lower_is_better, True])
    ranked.insert(0, "place", range(1, len(ranked) + 1))
    ranked.insert(0, "run", run.path.name)
    return ranked


def render_artists(rows: pd.DataFrame, count: int, style: Format, *, width: int | None = None) -> str:
    """Return the ``count`` best and as many worst artists of each run as text; ``csv`` has all artists.

    In CSV an apostrophe stands before names that a spreadsheet would take for a formula.

    Args:
        rows: from :func:`artist_table`.
        count: how many of either kind; all artists once where that is more than there are.
        style: as for :func:`morelli.bench.tables.render`.
        width: columns of the terminal, for ``rich``.
    """
    if style == "csv":
        return for_spreadsheets(rows)
    place, of = rows["place"], rows.groupby("run")["place"].transform("max")
    shown = rows[(place <= count) | (place > of - count)].copy()
    shown["place"] = shown["place"].astype(str) + " of " + of.astype(str)
    metrics = [name for name in map(str, shown) if metric_of(name).per_artist]
    for name in metrics:
        shown[name] = ["-" if pd.isna(value) else f"{value:.3f}" for value in shown[name]]
    names = [*(["run"] if rows["run"].nunique() > 1 else []), "place", "artist"]
    shown = shown[[*names, "paintings", *metrics]].rename(columns=lambda name: metric_of(name).heading)
    return as_text(shown, "", style, width, names=names)
