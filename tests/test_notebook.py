"""The tutorial runs, and shows what it says: a table, a map and two comparisons."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "from_a_folder.ipynb"


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in shown if kind in output.get("data", {})]


def texts(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))


def check_is_whole(notebook: nbformat.NotebookNode) -> None:
    (table,) = outputs(notebook, "text/markdown")
    assert [row for row in ("frozen", "triplet") if f"| {row}" in table] == ["frozen", "triplet"]
    assert "nan" not in table
    assert len(outputs(notebook, "image/png")) == 1
    assert texts(notebook).count("This is evidence, not authentication.") == 2
    assert "Probability of the same hand" in texts(notebook)


@pytest.mark.parametrize("as_it_is", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["small", "as it is"])
def test_the_tutorial_runs(as_it_is: bool, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if not as_it_is:
        for cell in notebook.cells:
            cell.source = cell.source.replace("36", "16").replace("96", "48")
    NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(tmp_path)}}).execute()
    check_is_whole(notebook)


def test_what_is_shown_with_it_is_whole_and_small() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    check_is_whole(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert NOTEBOOK.stat().st_size < 200_000
