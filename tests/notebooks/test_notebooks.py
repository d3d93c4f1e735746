"""The notebooks run from top to bottom, carry their outputs, and say of the released trials what they said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

# Of the study that the notebooks run, so that it takes seconds.
SMALLER = {
    "train_size: 640": "train_size: 160",
    "validation_size: 240": "validation_size: 60",
    "layers: 2": "layers: 1",
}
# Of the words that a notebook gives itself.
FEWER = {"train_size=500": "train_size=90", "epochs=4": "epochs=1", "range(3)": "range(2)"}
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def checkout(repository, tmp_path_factory) -> Path:
    """What a notebook needs of the project, where its sweeps are nobody else's, and smaller by a config beside it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("results", "notebooks"):
        shutil.copytree(repository / name, folder / name)
    study = Path("conf") / "experiment" / "quickstart.yaml"
    text = (repository / study).read_text()
    for large, small in SMALLER.items():
        assert text.count(large) == 1
        text = text.replace(large, small)
    (folder / "notebooks" / study).parent.mkdir(parents=True)
    (folder / "notebooks" / study).write_text(text)
    copied = folder / "notebooks" / NOTEBOOKS[3].name
    notebook = nbformat.read(copied, as_version=4)
    for cell in notebook.cells:
        for large, small in FEWER.items():
            cell.source = cell.source.replace(large, small)
    nbformat.write(notebook, copied)
    return folder


def said(cell: nbformat.NotebookNode) -> list[str]:
    """The texts that a cell put out; of a figure, only that it is one."""
    shown = []
    for output in cell.outputs:
        data = output.get("data", {})
        shown.append("figure" if "image/png" in data else output.get("text") or data.get("text/plain"))
    return shown


def test_there_are_four():
    names = ["1_run_a_small_sweep", "2_method_or_luck", "3_plan_and_stop_early", "4_any_training"]
    assert [path.stem for path in NOTEBOOKS] == names


def test_the_class_that_a_notebook_writes_is_the_examples(repository):
    cells = nbformat.read(NOTEBOOKS[3], as_version=4).cells
    [written] = [cell.source for cell in cells if cell.source.startswith("%%writefile")]
    assert written == "%%writefile digits.py\n" + (repository / "examples" / "digits.py").read_text().rstrip()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_its_outputs_are_those_that_it_carries(checkout, path):
    ran = checkout / "notebooks" / path.name
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": "1"}  # trials in the kernel, and not in workers that import torch
    words = [sys.executable, "notebooks/run.py", ran]
    done = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    carried, notebook = (nbformat.read(each, as_version=4) for each in (path, ran))
    cells = [(old, new) for old, new in zip(carried.cells, notebook.cells, strict=True) if new.cell_type == "code"]
    for old, new in cells:
        if "released" in new.metadata.get("tags", []):  # not trained here, so the same on every machine
            assert said(old) == said(new)
        assert bool(old.outputs) == bool(new.outputs)
    assert [old.execution_count for old, _ in cells] == list(range(1, 1 + len(cells)))  # in one go, in order
    assert any(said(old) for old, _ in cells)
    if path == NOTEBOOKS[2]:
        assert said(notebook.cells[-1])[-1].endswith("all equal: True\n")  # stopped early or not
    if path == NOTEBOOKS[3]:
        assert any("holds trials of another configuration" in str(said(cell)) for _, cell in cells)  # edited
