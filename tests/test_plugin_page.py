"""The scripts of docs/plugin.md run as they stand, and what it says of the calculator is so."""

import re
from pathlib import Path

import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from morelli import PaintingAccuracyCalculator

PAGE = (Path(__file__).parents[1] / "docs" / "plugin.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TITLES = [
    re.findall(r"^## (.+)$", PAGE[: PAGE.index(script)], re.MULTILINE)[-1].replace(" ", "-") for script in SCRIPTS
]


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")  # PML's progress bar
@pytest.mark.parametrize("script", SCRIPTS, ids=TITLES)
def test_scripts_run_as_they_stand(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(script, "docs/plugin.md", "exec"), {"__name__": "__main__"})
    numbers = re.findall(r"\d\.\d+", capsys.readouterr().out)
    assert numbers
    assert all(0 < float(number) <= 1 for number in numbers)


def test_every_measure_of_pml_is_measured() -> None:
    theirs = AccuracyCalculator(device=torch.device("cpu")).original_function_dict
    ours = PaintingAccuracyCalculator(include=list(theirs)).get_curr_metrics()
    assert ours == list(theirs)
    assert set(PaintingAccuracyCalculator().get_curr_metrics()) == set(theirs) - {"NMI", "AMI"} | {"lone_artists"}
