"""The best model's score on the task's test file."""

import csv
import json
from pathlib import Path

import pytest
from transformers import pipeline

from seedgrid.errors import InputError
from seedgrid.training.kinds import training_of
from seedgrid.training.text.data import grammar
from seedgrid.trials.best_model import FOLDER, read_facts
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial

NAMES = ("wrong", "right")


def score_test(settings, prepared):
    folder = Path(settings.sweep) / FOLDER
    return training_of(settings).test_score(prepared, folder, read_facts(folder))


@pytest.fixture
def sentences(tmp_path):
    """Training, validation and test files of generated sentences."""
    train, validation = grammar.generate(60, 60)
    parts = {"train": train, "validation": validation.take(range(30)), "test": validation.take(range(30, 60))}
    for name, examples in parts.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["sentence", "verdict"])
            writer.writerows(zip(examples.text, (NAMES[label] for label in examples.label), strict=True))
    return tmp_path


def test_the_test_file_is_scored_once_by_the_best_model(tiny, settings_of, sentences):
    words = [word for word in tiny if not word.startswith("task.source")]
    words += ["task=csv", "task.source.text=sentence", "task.source.label=verdict", f"sweep={sentences / 'sweep'}"]
    words += ["task.labels=[wrong,right]", "recipe.epochs=1"]
    words += [f"task.source.{role}={sentences / f'{role}.csv'}" for role in ("train", "validation", "test")]
    settings = settings_of(words)
    prepared = prepare(settings)
    assert run_trial(settings, prepared).status == "completed"
    score = score_test(settings, prepared)

    classify = pipeline("text-classification", model=str(sentences / "sweep" / "best_model"))
    with (sentences / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = [classify(row["sentence"])[0]["label"] == row["verdict"] for row in rows]
    assert score == pytest.approx(sum(right) / len(right))

    result = sentences / "sweep" / "test.json"
    assert json.loads(result.read_text())["examples"] == 30
    before = result.stat().st_mtime_ns
    assert score_test(settings, prepared) == score
    assert result.stat().st_mtime_ns == before


def test_a_malformed_row_of_the_test_file_is_found_before_any_training(tiny, settings_of, sentences):
    with (sentences / "test.csv").open("a") as file:
        file.write("one,too,many\n")
    words = [word for word in tiny if not word.startswith("task.source")]
    words += ["task=csv", "task.source.text=sentence", "task.source.label=verdict", f"sweep={sentences / 'sweep'}"]
    words += [f"task.source.{role}={sentences / f'{role}.csv'}" for role in ("train", "validation", "test")]
    with pytest.raises(InputError, match=r"test\.csv, line 32: 3 columns instead of 2"):
        prepare(settings_of(words))
