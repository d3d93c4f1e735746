"""The script that measures on a GPU runs through on a CPU: all of its lines that need no CUDA."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest


@pytest.fixture(scope="module")
def gpu(repository):
    """The module ``benchmarks/gpu.py``."""
    spec = importlib.util.spec_from_file_location("benchmark_gpu", repository / "benchmarks" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their types up
    spec.loader.exec_module(module)
    return module


def test_every_part_is_measured_at_a_tiny_size_and_the_table_has_it(gpu, tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("GLUE_DIR", raising=False)
    (tmp_path / "test_marked.py").write_text("import pytest\n\n\n@pytest.mark.gpu\ndef test_one():\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: marked\n")
    words = [
        "--sizes",
        "tiny",
        "--counts",
        "1",
        "--tokenizer",
        str(tiny_model),
        "--json",
        str(tmp_path / "gpu.json"),
        "--seconds",
        "900",
    ]
    code = gpu.main([*words, "--tests", str(tmp_path)])
    output, errors = capsys.readouterr()
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert "no GPU that PyTorch can use here" in errors
    without = set() if importlib.util.find_spec("accelerate") else {"trainer tiny"}  # which Trainer wants
    assert set(written["failed"]) == without, written["failed"]
    assert code == bool(without)
    assert "1 passed" in written["found"]["tests"]
    rows = {
        line.split(" | ")[0].strip("| *"): line.split(" | ")[1].strip("* |")
        for line in output.splitlines()[2:]
        if " | " in line
    }
    shown = [
        "ms a step, captured",
        "ms a step, not captured",
        "s a trial, after a process's first",
        "ms a step of each, 1 at once",
    ]
    shown += [] if without else ["ms a step, Trainer", "ratio of steps", "ratio of trials"]
    assert all(float(rows[name]) > 0 for name in shown)


def test_when_the_time_is_up_what_is_there_is_printed_and_the_rest_said(gpu, tmp_path, capsys):
    words = ["--sizes", "tiny", "--parts", "rates,trial", "--seconds", "0", "--json", str(tmp_path / "gpu.json")]
    assert gpu.main(words) == 1
    assert "failed: rates: TimeoutError: no time left" in capsys.readouterr().out
    assert json.loads((tmp_path / "gpu.json").read_text())["found"]["about"]["device"] == "CPU, not run on a GPU"
