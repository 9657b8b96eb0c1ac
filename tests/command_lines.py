"""Scenarios for ``file_kills.py``: each command that writes, as it is typed."""

import os
import shutil
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from killed_commands import Prepare as SixPictures
from killed_commands import files_and_contents, made_in, tiny_recipe
from morelli._yaml import write_yaml
from morelli.cli import main

LINES = {
    "Prepare": "data prepare {place}/pictures --out {place}/out --size 24 --workers 1",
    "Synthesize": "data synthesize --artists 2 --paintings-per-artist 3 --size 32 --workers 1 --out {place}/out",
    "Merge": "data merge {made}/prepared {place}/other --out {place}/out",
    "Bench": "bench {made}/tiny.yaml --out {place}/out",
    "Train": "train {made}/tiny.yaml --resume --out {place}/out",
    "Evaluate": "evaluate --data {made}/prepared --model {made}/run --out {place}/out",
    "Index": "index {place}/pictures --model {made}/run --out {place}/an.index",
    "Enroll": "enroll {place}/an.index {place}/enrolled --artist Berthe --replace",
    "Search": "search {place}/an.index {place}/one.jpg --html {place}/found.html",
    "Explain": "compare {place}/one.jpg {place}/one.jpg --model {made}/run --explain {place}/why.png",
    "Submit": "submit {made}/run --data {made}/prepared --pairs {made}/pairs.csv --out {place}/submission.csv",
    "Report": "report {made}/run --data {made}/prepared --out {place}/report.html",
    "Export": "export --model {made}/run --onnx {place}/network.onnx",
}


def typed(name: str, place: Path) -> None:
    """Run a command of :data:`LINES` in this process; it ends as ``main`` does, with ``SystemExit``."""
    os.environ["MORELLI_CACHE"] = str(place / "cache")
    line = LINES[name].format(place=place, made=place.parent / "made")
    sys.argv = ["morelli", *line.split()]
    with warnings.catch_warnings():
        main()


def _start(name: str, place: Path) -> None:
    made = made_in(place.parent)
    (made / "tiny.yaml").write_text(write_yaml(tiny_recipe(made).model_dump(mode="json", exclude_defaults=True)))
    pictures = sorted((made / "prepared" / "images").rglob("*.jpg"))
    shutil.copy(pictures[0], place / "one.jpg")
    if name == "Prepare":
        SixPictures.start(place)
    elif name == "Merge":
        shutil.copytree(made / "prepared", place / "other")
    elif name in ("Index", "Enroll", "Search"):
        for folder, some in (("pictures", pictures[:4]), ("enrolled", pictures[4:7])):
            (place / folder).mkdir()
            for picture in some:
                shutil.copy2(picture, place / folder)
        if name != "Index":
            with suppress(SystemExit):
                typed("Index", place)
            assert (place / "an.index").is_dir()


def _found(place: Path) -> Any:
    """Files that hold times or paths count as there or not."""
    varying = (".html", ".parquet", ".json", ".onnx")
    return [(name, "" if name.endswith(varying) else digest) for name, digest in files_and_contents(place)]


for _name in LINES:
    globals()[_name] = type(
        _name,
        (),
        {
            "start": staticmethod(lambda place, name=_name: _start(name, place)),
            "work": staticmethod(lambda place, name=_name: typed(name, place)),
            "found": staticmethod(_found),
        },
    )
