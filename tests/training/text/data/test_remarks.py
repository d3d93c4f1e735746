"""What is said of a task's examples: the classes always, other things only where they are unusual."""

from __future__ import annotations

import numpy as np
import pytest

from seedgrid.training.text.data.examples import Examples
from seedgrid.training.text.data.remarks import remarks
from seedgrid.training.text.data.sources import TaskData
from seedgrid.training.text.tasks import Task

SOURCE = {"kind": "files", "train": "t.csv", "validation": "d.csv", "text": "text", "label": "label"}


def task(**changes) -> Task:
    return Task.model_validate({"name": "csv", "source": SOURCE, "metric": "accuracy", **changes})


def examples(label, name="", pair=False) -> Examples:
    text = tuple(f"{name}{k}" for k in range(len(label)))
    return Examples(text, text if pair else None, np.asarray(label))


def data(train, validation, labels=("neg", "pos")) -> TaskData:
    return TaskData(examples(train, "train "), examples(validation, "validation "), None, labels)


def said(given, data, cut=None, length=128, model=512) -> list[str]:
    return remarks(given, data, cut or {"train": 0, "validation": 0}, length, model)


CLASSES = "classes      train neg: 1, pos: 2; validation neg: 2, pos: 0"


def test_of_ordinary_examples_only_the_classes_are_said():
    assert said(task(), data([0, 1, 1], [0, 0])) == [CLASSES]


def test_many_classes_are_counted_together():
    labels = tuple(f"c{k}" for k in range(20))
    [line] = said(task(), data([*range(20)] * 3, [*range(19)] * 2, labels))
    assert line == "classes      train 20, of 3 each; validation 20, of 0 to 2 each"


def test_a_long_label_is_cut():
    [line] = said(task(), data([0, 1, 1], [0, 0], ("neg", "x" * 999)))
    assert line == f"classes      train neg: 1, {'x' * 40}...: 2; validation neg: 2, {'x' * 40}...: 0"


@pytest.mark.parametrize(("metric", "named"), [("f1", True), ("acc_and_f1", True), ("accuracy", False), ("mcc", False)])
def test_the_positive_class_of_f1_is_named(metric, named):
    assert ("f1           of the class pos" in said(task(metric=metric), data([0, 1, 1], [0, 0]))) == named


@pytest.mark.parametrize(
    ("labels", "doubt"),
    [
        (("Neg", "neg", "pos"), "differ in nothing but case: Neg, neg"),
        (
            ("-1", "0", "1"),
            "-1: remove examples without a label, or name all classes in task.labels",
        ),
        (
            ("?", "NaN", "pos"),
            "?, NaN: remove examples without a label, or name all classes in task.labels",
        ),
    ],
)
def test_labels_that_may_not_be_meant_as_classes_are_pointed_out_unless_they_were_given(labels, doubt):
    found = data([0, 1, 2], [0, 1, 2], labels)
    assert said(task(), found)[1:] == [f"labels       {doubt}"]
    assert len(said(task(labels=list(labels)), found)) == 1


def test_labels_minus_one_and_one_are_two_classes():
    assert len(said(task(), data([0, 1, 1], [0, 0], ("-1", "1")))) == 1


def test_about_as_many_classes_as_examples_is_pointed_out():
    labels = tuple(map(str, range(30)))
    assert said(task(), data([*range(30)] * 2, [0, 1], labels))[1:] == []
    expected = "labels       30 in 40 training examples: is the column a score, or a number of the example?"
    assert said(task(), data([*range(30), *range(10)], [0, 1], labels))[1:] == [expected]


@pytest.mark.parametrize("pair", [False, True])
def test_validation_texts_that_are_trained_on_are_counted(pair):
    both = TaskData(examples([0, 1, 1], pair=pair), examples([0, 1, 1, 0], pair=pair), None, ("neg", "pos"))
    assert said(task(), both)[1:] == ["in both      3 of 4 validation texts are training texts too"]


@pytest.mark.parametrize(
    ("length", "model", "more"),
    [(8, 512, "; the model takes 512"), (512, 512, ""), (8, None, "")],
)
def test_cut_texts_are_counted_with_what_the_model_could_take(length, model, more):
    lines = said(task(), data([0, 1, 1], [0, 0]), {"train": 3, "validation": 0}, length, model)
    assert lines[1:] == [f"cut          3 of 3 train examples, at data.max_length={length}{more}"]
