"""The report: all of it comes from run folders, says what is missing, and lets no name break the page."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import auc

from morelli.bench.recipe import load_recipe
from morelli.bench.run_folder import FAILURE, METRICS, RunFolder, find_runs
from morelli.bench.runner import bench
from morelli.data.dataset import PaintersByNumbers
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.models.network import Network, embed_with
from morelli.report.neighbours import neighbours
from morelli.report.report import report

SECTIONS = ["networks", "curves", "evidence", "scores", "learning", "map", "galleries", "artists", "runs"]


class Page(HTMLParser):
    """A page's elements as (tag, attributes), and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._silent = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._silent = "" if tag == self._silent else self._silent

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.elements if t == tag and wanted.items() <= a.items()]


@pytest.fixture
def runs(benched: Path, tmp_path: Path) -> Path:
    """The bench's runs, to be changed."""
    return Path(shutil.copytree(benched, tmp_path / "runs"))


@pytest.fixture(scope="session")
def html(report_file: Path) -> str:
    return report_file.read_text(encoding="utf-8")


def made(runs: Path, out: Path, **options: object) -> Page:
    report([runs], out, **options)  # type: ignore[arg-type]
    return Page(out.read_text(encoding="utf-8"))


def test_every_part_is_there(html: str) -> None:
    page = Page(html)
    assert [a["id"] for a in page.all("section")] == SECTIONS
    charts = [a["aria-label"] or "" for a in page.all("svg", role="img")]
    # Two of the three runs were trained; each of their learning curves is two charts.
    kinds = {
        "ROC curves": 3,
        "Reliability": 3,
        "Tippett": 3,
        "Empirical": 3,
        "Scores": 3,
        "Validation": 1,
        "Share of": 1,
        "Loss": 2,
    }
    assert {kind: sum(label.startswith(kind) for label in charts) for kind in kinds} == kinds
    assert len(charts) == sum(kinds.values())
    assert "share of active triplets" in " ".join(charts).lower()
    assert "Without learning curves" in page.text
    assert len(page.all("use")) >= 36
    assert "evaluation:" in page.text
    assert "no map and no galleries" not in page.text


def test_it_needs_nothing_from_outside(html: str) -> None:
    for _, attributes in Page(html).elements:
        for name in ("src", "href", "srcset", "action", "xlink:href"):
            assert re.match(r"(#|data:|$)", attributes.get(name) or ""), attributes
    assert "http" not in html.replace("http-equiv", "")
    assert "url(" not in html


def test_the_table_holds_the_runs_own_numbers_and_marks_the_best(html: str, benched: Path) -> None:
    page = Page(html)
    values = [a.get("data-value") or "" for a in page.all("td")]
    sorted_by = {float(value) for value in values if re.fullmatch(r"[\d.]+", value)}
    everywhere = [run.metrics for run in find_runs([benched])]
    for metrics in everywhere:
        for side in ("seen", "unseen"):
            assert metrics[side]["pair_auc"] in sorted_by
        low, high = metrics["unseen"]["interval"]["pair_auc"]
        assert f"{low:.3f}–{high:.3f}" in page.text
    for metric, best in (("pair_auc", max), ("eer", min)):
        assert f"★ {best(metrics['unseen'][metric] for metrics in everywhere):.3f}" in page.text


def test_the_roc_curve_encloses_the_pair_auc(html: str) -> None:
    found = re.findall(
        r'aria-label="ROC curves: .*? ([\d.]+) on unseen artists\..*?class="unseen line" d="(.*?)"', html, re.S
    )
    assert len(found) == 3
    for said, path in found:
        points = np.array([[float(n) for n in point.split()] for point in path[1:].split("L")])
        across, up = (points - points[0]).T / (points[-1] - points[0])[:, None]
        assert auc(across, up) == pytest.approx(float(said), abs=0.01)


def test_names_and_titles_stay_text(html: str) -> None:
    page = Page(html)
    assert len(page.all("script")) == 2
    assert "<script>alert" not in html
    assert not page.all("img", src="x")
    assert "& </script><script>alert(" in page.text
    assert any(a["alt"] and a["alt"].startswith("\"><img src=x onerror='alert(2)'>, ") for a in page.all("img"))
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert data is not None
    assert any("<script>alert(" in name for name in json.loads(data[1])["artists"])


def test_every_picture_is_there_once_and_has_words(html: str, benched: Path) -> None:
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert data is not None
    pictures = json.loads(data[1])["pictures"]
    assert len(pictures) == find_runs([benched])[0].metrics["unseen"]["paintings"]
    assert all(html.count(picture) == 1 for picture in pictures.values())
    shown = Page(html).all("img")
    assert {a["data-p"] for a in shown} <= pictures.keys()
    assert all(a["alt"] for a in shown)


def test_galleries_show_the_nearest_paintings_worst_queries_first(html: str, benched: Path, hostile: Path) -> None:
    best = max(find_runs([benched]), key=lambda run: run.metrics["validation"]["pair_auc"])
    network = Network.load(best.path)
    dataset = PaintersByNumbers(hostile, transform=network.backbone.transform())
    rows = Split.load(best.path / "split.json").rows(dataset.paintings, "unseen")
    embeddings = embed_with(network, dataset.only(list(rows["id"])), torch.device("cpu")).double()
    cosine = torch.nn.functional.normalize(embeddings, dim=1)
    alike = (cosine @ cosine.T).fill_diagonal_(-2).numpy()
    artists = rows["artist"].to_numpy()
    ranks = []
    for query in re.findall(r'<li class="query">(.*?)</ol>', html, re.S):
        shown = [int(row) for row in re.findall(r'<img data-p="(\d+)"', query)]
        order = [int(row) for row in np.argsort(-alike[shown[0]], kind="stable")]
        assert shown[1:7] == pytest.approx(order[:6])
        is_right = artists[order] == artists[shown[0]]
        marks = [mark == "✓" for mark in re.findall(r'<span class="mark \w+">(.)', query)]
        assert marks[:6] == is_right[:6].tolist()
        ranks.append(int(is_right.argmax()) + 1)
        assert ("at place" in query) == (ranks[-1] > 1)
    worst = html.count('<li class="query">', 0, html.index("<h3>In the middle</h3>"))
    assert ranks[:worst] == sorted(ranks[:worst], reverse=True)
    assert ranks[0] == max(ranks)
    assert ranks[worst + 4] == min(ranks)  # the first under Best, after four from the middle


def test_ratios_are_judged_on_seen_and_unseen_artists(benched: Path, html: str) -> None:
    page = Page(html)
    labels = [a["aria-label"] or "" for a in page.all("svg", role="img")]
    finished = [run for run in find_runs([benched]) if run.is_finished]
    for start, metric in (("Tippett plot: Cllr", "cllr"), ("Empirical cross-entropy", "cllr_cal")):
        drawn = [label for label in labels if label.startswith(start)]
        assert len(drawn) == len(finished)
        for run in finished:
            assert any(f"{run.metrics['unseen'][metric]:.3f} on unseen artists" in label for label in drawn)
    assert page.all("table", id="realised")
    for run in finished:
        for name in ("realised_far_0.1", "realised_far_0.1_own_cohort"):
            if name in run.metrics["unseen"]:
                assert f"{run.metrics['unseen'][name]:.4f}" in page.text
    assert "artists are told apart the wrong way" in page.text


def test_without_images_not_one_picture_is_written(benched: Path, hostile: Path, tmp_path: Path) -> None:
    page = made(benched, tmp_path / "report.html", data=hostile, images=False)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not page.all("img")
    assert "data:image/webp;base64,UklGR" not in html
    assert '"pictures": {}' in html
    assert page.all("use")
    assert "First by the same hand at place" in page.text


def test_without_the_prepared_folder_it_says_so(benched: Path, tmp_path: Path) -> None:
    said: list[str] = []
    page = made(benched, tmp_path / "report.html", say=said.append)
    assert "--data" in said[0]
    assert page.text.count("Without the prepared folder there are no map and no galleries") == 2
    assert not page.all("use")
    assert page.all("table", id="artists-unseen")


def test_runs_without_the_files_of_a_chart_are_named(runs: Path, tmp_path: Path) -> None:
    first, *others = find_runs([runs])
    for name in ("score_histogram_seen.csv", "score_histogram_unseen.csv"):
        (first.path / name).unlink()
    for run in (first, *others):
        for side in ("seen", "unseen"):
            (run.path / f"reliability_{side}.csv").unlink()
        (run.path / "per_artist_unseen.csv").unlink()
        (run.path / "split.json").unlink()
    page = made(runs, tmp_path / "report.html")
    labels = [a["aria-label"] or "" for a in page.all("svg", role="img")]
    assert sum(label.startswith("ROC") for label in labels) == 2
    files = "score_histogram_seen.csv and score_histogram_unseen.csv"
    assert f"Without ROC curves, for want of {files}: {first.config['objective']['name']}" in page.text
    assert "No reliability curves: no run has reliability_seen.csv" in page.text
    assert "No table of unseen artists" in page.text
    assert "has no split.json" in page.text


def test_an_epoch_without_a_number_is_passed_over(runs: Path, tmp_path: Path) -> None:
    run = next(one for one in find_runs([runs]) if len((one.path / "history.csv").read_text().splitlines()) > 2)
    header, first, *others = (run.path / "history.csv").read_text().splitlines()
    columns = first.split(",")
    (run.path / "history.csv").write_text("\n".join([header, ",".join(["", *columns[1:]]), *others]) + "\n")
    assert made(runs, tmp_path / "report.html").all("section", id="learning")


def test_failed_runs_stand_beside_the_finished(runs: Path, tmp_path: Path) -> None:
    broken = find_runs([runs])[0]
    (broken.path / METRICS).unlink()
    (broken.path / FAILURE).write_text("No weights <at all>\n\nTraceback")
    page = made(runs, tmp_path / "report.html")
    assert "2 finished runs, 1 failed" in page.text
    assert page.text.count("No weights <at all>") == 2


def test_the_chosen_run_is_the_best_on_validation_or_the_one_named(
    benched: Path, hostile: Path, tmp_path: Path
) -> None:
    by_auc = sorted(find_runs([benched]), key=lambda run: run.metrics["validation"]["pair_auc"])
    assert report([benched], tmp_path / "a.html", data=hostile).chosen == by_auc[-1].path.name
    name = by_auc[0].path.name
    assert report([benched], tmp_path / "a.html", data=hostile, run=name).chosen == name
    assert "the run that was asked for" in (tmp_path / "a.html").read_text(encoding="utf-8")
    with pytest.raises(MorelliError, match=f'Did you mean "{re.escape(name)}"'):
        report([benched], tmp_path / "a.html", run=name[:-1])


def test_folds_and_their_concatenation(prepared: Path, tmp_path: Path) -> None:
    overrides = [
        f"data={prepared}",
        "name=folds",
        "split={kind: rotation, folds: 2, unseen_fraction: 0.5}",
        "backbones=[{name: test_efficientnet, weights: none, image_size: 32}]",
        "objectives=[frozen]",
    ]
    runs = bench(load_recipe("demo", overrides), tmp_path)
    assert [run.failure for run in runs] == [None] * len(runs)
    page = made(tmp_path / "folds", tmp_path / "report.html", data=prepared)
    assert "3 finished runs" in page.text
    assert "the interval is over its runs" in page.text
    assert page.all("use")
    together = next(run.path.name for run in find_runs([tmp_path]) if "concatenated" in run.path.name)
    page = made(tmp_path / "folds", tmp_path / "report.html", data=prepared, run=together)
    assert f"{together} has no network of its own" in page.text


def test_no_runs_or_none_finished(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MorelliError, match="No finished run"):
        report([tmp_path / "empty"], tmp_path / "report.html")
    with pytest.raises(MorelliError, match="There is no folder"):
        report([tmp_path / "nowhere"], tmp_path / "report.html")
    for run in find_runs([runs]):
        (run.path / METRICS).unlink()
        (run.path / FAILURE).write_text("No weights\n\nTraceback")
    with pytest.raises(MorelliError, match=r"None of the 3 runs is finished; the first says: No weights$"):
        report([runs], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_what_cannot_be_written_or_read(benched: Path, runs: Path, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="is a folder"):
        report([benched], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(MorelliError, match="cannot be written"):
        report([benched], tmp_path / "file" / "report.html")
    with pytest.raises(MorelliError, match="does not hold the paintings"):
        report([benched], tmp_path / "report.html", data=prepared)
    with pytest.raises(MorelliError, match="No prepared folder"):
        report([benched], tmp_path / "report.html", data=tmp_path / "nowhere")
    damaged = find_runs([runs])[0].path
    (damaged / "history.csv").write_text("epoch,less\n1,2\n")
    with pytest.raises(MorelliError, match=r"history\.csv cannot be read \(it has no column loss"):
        report([runs], tmp_path / "report.html")
    (damaged / "history.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MorelliError, match=r"history\.csv cannot be read"):
        report([runs], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_missing_picture_is_named(benched: Path, hostile: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hostile, tmp_path / "prepared"))
    split = Split.load(find_runs([benched])[0].path / "split.json")
    (picture,) = folder.rglob(f"{split.unseen[0]}.jpg")
    picture.write_bytes(b"not a picture")
    with pytest.raises(MorelliError, match=re.escape(picture.name)):
        report([benched], tmp_path / "report.html", data=folder)


def test_one_run_alone_and_two_paintings(benched: Path, tmp_path: Path) -> None:
    page = made(find_runs([benched])[0].path, tmp_path / "report.html")
    assert "1 finished run." in page.text
    assert "★" not in page.text.split("marks the best")[1]


def test_neighbours_of_few_and_lone_paintings() -> None:
    points = torch.tensor([[0.0, 0], [1, 0], [0, 3], [5, 5]])
    around = neighbours(points, pd.Series(["a", "b", "a", "c"]))
    assert around.nearest.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [2, 1, 0]]
    assert around.rank.tolist() == [2, 0, 1, 0]
    assert around.right.tolist() == [2, -1, 0, -1]


def test_a_run_folder_is_never_changed(benched: Path, hostile: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in benched.rglob("*")}
    report([benched], tmp_path / "report.html", data=hostile)
    assert {path: path.stat().st_mtime_ns for path in benched.rglob("*")} == before
    assert isinstance(find_runs([benched])[0], RunFolder)


def test_only_pages_are_written(benched: Path) -> None:
    metrics = next(benched.rglob("metrics.json"))
    before = metrics.read_bytes()
    with pytest.raises(MorelliError, match=r"writes a \.html or \.htm file"):
        report([benched], metrics)
    assert metrics.read_bytes() == before
