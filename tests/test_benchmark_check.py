"""The check of the benchmarks' ratios fails when one has become worse, and only then."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
REFERENCES = json.loads((BENCHMARKS / "reference.json").read_text(encoding="utf-8"))


@pytest.fixture
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", BENCHMARKS / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("share", "fails"), [(1.5, False), (0.75, False), (0.65, True)])
def test_a_ratio_may_fall_short_by_the_tolerance(
    share: float, fails: bool, check: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = REFERENCES["prepare"]
    assert one["tolerance"] == 0.3
    monkeypatch.setattr(sys, "argv", ["check.py", "--only", "prepare"])
    monkeypatch.setattr(check, "measured", lambda _: {key: share * value for key, value in one["ratios"].items()})

    if not fails:
        check.main()
        return
    with pytest.raises(SystemExit, match="prepare_12mp_ratio"):
        check.main()


def test_every_reference_guards_something() -> None:
    for one in REFERENCES.values():
        assert (BENCHMARKS / one["command"].split()[0]).is_file()
        assert one["ratios"]
        assert all(key.endswith("_ratio") and value > 0 for key, value in one["ratios"].items())
