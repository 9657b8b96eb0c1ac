"""Best and worst artists: by name, ranked by a measure, from run folders alone."""

import io
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from morelli.bench.artist_tables import artist_table, render_artists
from morelli.bench.run_folder import RunFolder
from morelli.bench.tables import Format
from morelli.errors import MorelliError

NAMES = ["Anker", "Böcklin", "[Unknown]", "Degas", "Ensor", "Lone"]


def run(folder: Path, pair_auc: list[float | None]) -> RunFolder:
    folder.mkdir()
    columns = {"artist": NAMES, "paintings": [9, 8, 7, 6, 5, 1], "pair_auc": pair_auc, "precision_at_1": [0.5] * 6}
    pd.DataFrame(columns).to_csv(folder / "per_artist_unseen.csv", index=False)
    return RunFolder(folder)


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    return artist_table([run(tmp_path / "one", [0.6, 0.9, 0.7, 0.5, 0.8, None])])


def test_artists_stand_best_first_and_lone_ones_not_at_all(rows: pd.DataFrame) -> None:
    assert rows["artist"].tolist() == ["Böcklin", "Ensor", "[Unknown]", "Anker", "Degas"]
    assert rows["place"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("style", [style for style in get_args(Format) if style != "csv"])
def test_the_best_and_the_worst_are_named_with_their_place(style: Format, rows: pd.DataFrame) -> None:
    text = render_artists(rows, 1, style)
    for shown in ("1 of 5", "Böcklin", "0.900", "5 of 5", "Degas", "0.500"):
        assert shown in text
    for hidden in ("Ensor", "Anker", "Lone", "one"):
        assert hidden not in text
    whole = render_artists(rows, 9, style)
    assert all(whole.count(name) == 1 for name in NAMES[:-1])


def test_csv_has_every_artist_and_figure(rows: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(render_artists(rows, 1, "csv"))), rows, check_dtype=False)


def test_runs_stand_apart(tmp_path: Path) -> None:
    runs = [run(tmp_path / "one", [0.6, 0.9, 0.7, 0.5, 0.8, None]), run(tmp_path / "two", [0.9, *[0.1] * 4, None])]
    text = render_artists(artist_table(runs), 1, "md")
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:]] == ["one", "one", "two", "two"]


def test_mistakes_are_named(tmp_path: Path) -> None:
    runs = [run(tmp_path / "one", [0.6, 0.9, 0.7, 0.5, 0.8, None])]
    with pytest.raises(MorelliError, match=r'No artist has a measure "pair_acu"\. Did you mean "pair_auc"\?'):
        artist_table(runs, metric="pair_acu")
    with pytest.raises(MorelliError, match="none was measured on that side"):
        artist_table(runs, "seen")
