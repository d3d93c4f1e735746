"""What a task is, and when a trial on it has not learned anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from seedgrid.training.text.tasks import METRIC_COLUMNS, Task, check_metric, majority_score

SKLEARN = {
    "accuracy": accuracy_score,
    "f1": lambda true, predicted: f1_score(true, predicted, zero_division=0),
    "acc_and_f1": lambda true, predicted: (
        (accuracy_score(true, predicted) + f1_score(true, predicted, zero_division=0)) / 2
    ),
    "mcc": matthews_corrcoef,
    "macro_f1": lambda true, predicted: f1_score(true, predicted, average="macro", zero_division=0),
}


def grammar_task(**changes) -> dict:
    task = {
        "name": "grammar",
        "source": {"kind": "grammar", "train_size": 10, "validation_size": 10},
        "labels": ["no", "yes"],
        "metric": "accuracy",
    }
    return {**task, **changes}


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_majority_score_is_scikit_learns_score_of_the_most_frequent_label(labels):
    labels = np.array(labels)
    constant = np.full_like(labels, np.bincount(labels).argmax())
    for metric, score in SKLEARN.items():
        assert majority_score(labels, metric) == pytest.approx(score(labels, constant), abs=1e-12), metric


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_majority_score_of_many_classes_is_scikit_learns(labels):
    labels = np.array(labels)
    constant = np.full_like(labels, np.bincount(labels).argmax())
    for metric in ("accuracy", "macro_f1", "mcc"):
        expected = 0 if metric == "mcc" else SKLEARN[metric](labels, constant)
        assert majority_score(labels, metric) == pytest.approx(expected, abs=1e-12), metric


def test_majority_scores_of_the_papers_tasks_are_those_of_its_table_2():
    # The two classes of the validation sets of MRPC, RTE, SST-2 and CoLA.
    assert majority_score(np.repeat([0, 1], [129, 279]), "acc_and_f1") == pytest.approx(0.75, abs=0.005)
    assert majority_score(np.repeat([0, 1], [146, 131]), "accuracy") == pytest.approx(0.53, abs=0.005)
    assert majority_score(np.repeat([0, 1], [428, 444]), "accuracy") == pytest.approx(0.51, abs=0.005)
    assert majority_score(np.repeat([0, 1], [322, 721]), "mcc") == 0


def test_unknown_metric_has_no_majority_score():
    with pytest.raises(ValueError, match=r"metric 'rouge' is unknown; use one of accuracy, f1"):
        majority_score(np.array([0, 1]), "rouge")


@pytest.mark.parametrize("metric", METRIC_COLUMNS)
def test_the_score_is_one_of_the_columns(metric):
    assert metric in METRIC_COLUMNS[metric]


@pytest.mark.parametrize("metric", ["f1", "acc_and_f1"])
def test_metrics_of_two_classes_are_refused_for_three(metric):
    with pytest.raises(ValueError, match=f"metric '{metric}' is for two classes, this task has 3"):
        check_metric(metric, 3)


def test_one_label_is_no_task():
    with pytest.raises(ValueError, match="at least two labels, this one has 1"):
        check_metric("accuracy", 1)


def test_labels_may_be_left_to_the_training_file():
    assert Task.model_validate(grammar_task(labels=None)).labels is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"labels": ["no", "no"]}, "has a name twice"),
        ({"labels": ["no"]}, "at least two labels"),
        ({"labels": ["a", "b", "c"], "metric": "f1"}, "for two classes"),
        ({"metric": "rouge"}, "accuracy"),
        ({"diverged_at": float("nan")}, "finite"),
        ({"diverged_at": float("inf")}, "finite"),
        ({"source": {"kind": "web"}}, "web"),
        ({"colour": "red"}, "not permitted"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(changes, complaint):
    with pytest.raises(ValidationError, match=complaint):
        Task.model_validate(grammar_task(**changes))


@pytest.mark.parametrize(
    "changes",
    [{"header": False}, {"text": [3, 4]}, {"label": 0}, {"text": []}, {"text": ["a", "b", "c"]}, {"hub_text": []}],
)
def test_glue_columns_are_one_or_two_names_where_there_is_a_header(repository, changes):
    source = OmegaConf.to_container(OmegaConf.load(repository / "conf/task/mrpc.yaml"))["source"]
    Task.model_validate(grammar_task(source=source))
    with pytest.raises(ValidationError):
        Task.model_validate(grammar_task(source={**source, **changes}))


@pytest.mark.parametrize("name", ["mrpc", "rte", "cola", "sst2", "grammar"])
def test_the_shipped_tasks_are_valid(repository, name):
    task = Task.model_validate(OmegaConf.to_container(OmegaConf.load(repository / f"conf/task/{name}.yaml")))
    assert task.name == name
    assert len(task.labels) == 2


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([0, 1], ["0", "1"]),
        ([False, True], ["false", "true"]),
        (["no", "True"], ["no", "true"]),
        ([1.5, "a"], ["1.5", "a"]),
    ],
)
def test_labels_that_are_numbers_or_truth_values_to_yaml_are_the_texts_of_a_file(given, names):
    assert Task.model_validate(grammar_task(labels=[*given, "other"])).labels == [*names, "other"]


def test_a_column_may_be_named_by_a_number():
    source = {"kind": "files", "train": "a.csv", "validation": "b.csv", "text": 0, "text_pair": 1, "label": 2}
    read = Task.model_validate(grammar_task(source=source)).source
    assert (read.text, read.text_pair, read.label) == ("0", "1", "2")


@pytest.mark.parametrize("column", [True, 1.5])
def test_a_column_that_may_be_written_in_other_ways_is_refused(column):
    source = {"kind": "files", "train": "a.csv", "validation": "b.csv", "text": column, "label": "label"}
    with pytest.raises(ValidationError, match="should be a valid string"):
        Task.model_validate(grammar_task(source=source))
