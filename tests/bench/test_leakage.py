"""Every run records what stands across its split's sides and what became of names, and every table says it."""

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image, ImageOps

from morelli import SyntheticPainters, prepare
from morelli.bench.leakage import leakage, leakage_note
from morelli.bench.recipe import load_recipe
from morelli.bench.run_folder import RunFolder
from morelli.bench.runner import bench
from morelli.bench.tables import render, table
from morelli.data.copies import paintings_and_copies
from morelli.data.known_artists import known_to
from morelli.data.splits import Split
from morelli.errors import MorelliError
from morelli.preparation.merge import merge
from morelli.report.report import report

HANDS = SyntheticPainters(artists=6, paintings_per_artist=4, size=64, seed=3)
NAMES = ["Ada Lund", "Bela Orth", "Cora Ek", "Dora Holm", "Edda Falk", "Workshop of Ada Lund"]
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "split": {"kind": "fraction", "unseen_fraction": 0.34, "validation_fraction": 0.34, "seen_fraction": 0.25},
    "backbones": [{"name": "test_efficientnet", "weights": "none", "image_size": 32}],
    "objectives": ["frozen"],
}
CLEAN = "Near-copies across the split's sides: 0; artists' names folded: 0; names of no one artist: 0."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared: Ada Lund also as "lund, ada", a workshop kept as an artist, a mirrored copy in another's folder."""
    root = tmp_path_factory.mktemp("leaky")
    for artist, name in enumerate(NAMES):
        for number in range(4):
            written = "lund, ada" if (artist, number) == (0, 3) else name
            path = root / "in" / written / f"{artist}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            HANDS.paint(artist, number).save(path)
    with Image.open(root / "in" / "Bela Orth" / "11.png") as picture:
        ImageOps.mirror(picture.convert("RGB")).resize((52, 52)).save(root / "in" / "Cora Ek" / "mine.jpg", quality=85)
    prepare(root / "in", root / "out", workers=1, layout="{artist}/**", keep_unattributed=True)
    return root / "out"


def split_of(paintings: Any, **sides: str) -> Split:
    """Each artist's paintings on the side that is named with the first word of the name."""
    of = {
        side: tuple(paintings["id"][[sides.get(name.split()[0], "train") == side for name in paintings["artist"]]])
        for side in ("train", "validation", "seen", "unseen")
    }
    return Split(**of)


def benched(data: Path, out: Path, **changes: Any) -> list[RunFolder]:
    out.mkdir()
    (out / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, **changes, "data": str(data)}))
    runs = bench(load_recipe(out / "tiny.yaml"), out)
    assert [run.failure for run in runs] == [None] * len(runs)
    return runs


def test_a_mirrored_smaller_copy_is_found_where_it_stands_on_another_side(folder: Path) -> None:
    paintings = paintings_and_copies(folder)
    (original, copy) = sorted(paintings["id"][paintings["copy_of"].notna()])
    assert paintings.set_index("id").loc[[original, copy], "artist"].tolist() == ["Bela Orth", "Cora Ek"]

    apart = leakage(folder, paintings, split_of(paintings, Bela="unseen", Dora="validation"))
    assert apart["copies_across_sides"] == [{original: "unseen", copy: "train"}]
    for sides in ({"Bela": "unseen", "Cora": "unseen"}, {"Dora": "unseen"}):
        assert leakage(folder, paintings, split_of(paintings, **sides))["copies_across_sides"] == []
    of_bela_alone = paintings[paintings["artist"] != "Cora Ek"]
    assert leakage(folder, of_bela_alone, split_of(of_bela_alone, Bela="unseen"))["copies_across_sides"] == []


def test_names_are_recorded_as_they_were_written(folder: Path, tmp_path: Path) -> None:
    paintings = paintings_and_copies(folder)
    found = leakage(folder, paintings, split_of(paintings))
    assert found["names_folded"] == {"Ada Lund": ["Ada Lund", "lund, ada"]}
    assert found["unattributed"] == ["Workshop of Ada Lund"]
    others = paintings[paintings["artist"] != "Ada Lund"]
    assert leakage(folder, others, split_of(others))["names_folded"] == {}

    unlisted = shutil.copytree(folder, tmp_path / "unlisted")
    (unlisted / "spellings.csv").unlink()
    assert leakage(unlisted, paintings, split_of(paintings))["names_folded"] == {}
    (unlisted / "spellings.csv").write_text("artist,written\nAda")
    with pytest.raises(MorelliError, match=r"spellings\.csv cannot be read"):
        leakage(unlisted, paintings, split_of(paintings))

    for name in ("BELA-ORTH", "lund, ada"):
        (tmp_path / "in" / name).mkdir(parents=True)
        HANDS.paint(5, 3).rotate(len(name)).save(tmp_path / "in" / name / f"{name}.png")
    prepare(tmp_path / "in", tmp_path / "more", workers=1, layout="{artist}/**")
    merge([folder, tmp_path / "more"], tmp_path / "both")
    both = paintings_and_copies(tmp_path / "both")
    assert leakage(tmp_path / "both", both, split_of(both))["names_folded"] == {
        "Ada Lund": ["Ada Lund", "lund, ada"],
        "Bela Orth": ["BELA-ORTH", "Bela Orth"],
    }


def test_artists_whom_the_weights_know_are_told(folder: Path) -> None:
    paintings = paintings_and_copies(folder)
    one, other, third = known_to("painters")[:3]
    paintings["artist"] = paintings["artist"].replace({"Bela Orth": one, "Cora Ek": other.upper(), "Dora Holm": third})
    split = split_of(paintings, **{one.split()[0]: "unseen", other.upper().split()[0]: "validation"})

    assert leakage(folder, paintings, split, "painters")["known_to_weights"] == sorted([one, other.upper()])
    assert leakage(folder, paintings, split, "packaged")["known_to_weights"] == []


def test_tables_and_reports_say_it(
    folder: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    clean, leaky = benched(prepared, tmp_path / "clean"), benched(folder, tmp_path / "leaky")
    assert clean[0].metrics["leakage"] == {
        "copies_across_sides": [],
        "names_folded": {},
        "unattributed": [],
        "known_to_weights": [],
    }
    assert leakage_note(clean) == CLEAN
    named = "Warning: artists' names folded: 1 (Ada Lund from lund, ada)."
    warned = (
        f"Near-copies across the split's sides: 0. {named} Warning: names of no one artist: 1 (Workshop of Ada Lund)."
    )
    assert leakage_note(leaky) == leakage_note([*clean, *leaky, *leaky]) == warned
    for runs, said in ((clean, CLEAN), (leaky, warned)):
        for style in ("rich", "md", "latex"):
            assert said in render(table(runs), style)
        report([run.path for run in runs], tmp_path / "page.html", images=False)
        assert said in html.unescape((tmp_path / "page.html").read_text())

    metrics = json.loads((clean[0].path / "metrics.json").read_text())
    del metrics["leakage"]  # as of earlier versions
    (clean[0].path / "metrics.json").write_text(json.dumps(metrics))
    assert leakage_note(clean) == ""
    assert "Near-copies" not in render(table(clean), "md")
    assert leakage_note([*clean, *leaky]) == warned


def test_long_lists_are_cut_and_say_where_the_rest_is(tmp_path: Path) -> None:
    copies = [{f"a{number}": "train", f"b{number}": "unseen"} for number in range(6)]
    (tmp_path / "run").mkdir()
    about = {"copies_across_sides": copies, "names_folded": {}, "unattributed": []}
    run = RunFolder(tmp_path / "run")
    run.write("metrics.json", {"leakage": about})
    assert leakage_note([run, run]).endswith(
        "Warning: near-copies across the split's sides: 6 (a0 in train and b0 in unseen; a1 in train and b1 in unseen; "
        "a2 in train and b2 in unseen; a3 in train and b3 in unseen; 2 more in metrics.json)."
    )
