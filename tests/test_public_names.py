"""The public names are what they say, in any order of import, and the page that lists them lists all."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import morelli

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_a_class_or_a_function() -> None:
    code = "import types, morelli\nfor name in morelli.__all__:\n    exec(f'from morelli import {name} as found')\n"
    code += "    assert not isinstance(found, types.ModuleType), name\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "plane_map" in morelli.__all__


def test_importing_morelli_loads_no_library() -> None:
    code = "import sys, morelli\nassert not {'torch', 'pandas', 'timm'} & sys.modules.keys()\ndir(morelli)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_the_page_lists_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| \S.* \|$", page, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert sorted(listed) == morelli.__all__


def test_type_checkers_see_every_public_name() -> None:
    tree = ast.parse(Path(morelli.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    seen = {
        (f"morelli.{node.module}", alias.asname)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(getattr(morelli, name).__module__, name) for name in morelli.__all__}


@pytest.mark.parametrize("name", morelli.__all__)
def test_every_public_name_is_documented_and_typed(name: str) -> None:
    found = getattr(morelli, name)
    assert inspect.getdoc(found)
    assert not inspect.isclass(found) or vars(found).get("__doc__"), "that of the class it is made from"
    makes = found.__init__ if inspect.isclass(found) else found
    if inspect.isfunction(makes) and makes.__module__.startswith("morelli."):
        arguments = [one for one in inspect.signature(makes).parameters if one != "self"]
        assert set(arguments) <= inspect.get_annotations(makes).keys()


def test_a_name_that_is_not_public_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        morelli.nothing  # noqa: B018
