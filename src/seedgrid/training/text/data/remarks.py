"""What is to be known of a task's examples before its numbers are: a line on the classes, and on what is unusual."""

from __future__ import annotations

import numpy as np

from seedgrid.training.text.data.examples import Examples
from seedgrid.training.text.data.files import MOST_LISTED, are_many, listed
from seedgrid.training.text.data.sources import TaskData
from seedgrid.training.text.tasks import BINARY_METRICS, Task

# How tables write that there is no label; -1 beside 0 is another way.
NO_LABEL = ("nan", "na", "n/a", "<na>", "null", "?")


def remarks(task: Task, data: TaskData, cut: dict[str, int], max_length: int, model_length: int | None) -> list[str]:
    """Lines for a dry run and a summary.

    Args:
        task: as it was asked for: labels that are None were taken from the training file.
        data: its examples.
        cut: examples that were cut, by the name of their part.
        max_length: where they were cut.
        model_length: where the model would have them cut, if that is known.
    """
    parts = {"train": data.train, "validation": data.validation}
    lines = [f"classes      {'; '.join(f'{part} {_counts(parts[part], data.labels)}' for part in parts)}"]
    if task.metric in BINARY_METRICS:
        lines.append(f"f1           of the class {data.labels[1]}")
    if task.labels is None:
        lines += [f"labels       {remark}" for remark in _doubts(data)]
    seen = set(_texts(data.train))
    both = sum(text in seen for text in _texts(data.validation))
    if both:
        lines.append(f"in both      {both:,} of {len(data.validation):,} validation texts are training texts too")
    sizes = {name: len(part) for name, part in (*parts.items(), ("test", data.test or ()))}
    shortened = [f"{number:,} of {sizes[name]:,} {name}" for name, number in cut.items() if number]
    if shortened:
        more = f"; the model takes {model_length}" if model_length is not None and model_length > max_length else ""
        lines.append(f"cut          {', '.join(shortened)} examples, at data.max_length={max_length}{more}")
    return lines


def _counts(examples: Examples, labels: tuple[str, ...]) -> str:
    counts = np.bincount(examples.label, minlength=len(labels))
    if len(labels) <= MOST_LISTED:
        return ", ".join(f"{listed([label])}: {number:,}" for label, number in zip(labels, counts, strict=True))
    least, most = counts.min(), counts.max()
    return f"{len(labels)}, of {least:,}{'' if least == most else f' to {most:,}'} each"


def _doubts(data: TaskData) -> list[str]:
    """What labels may be that were not meant as classes; for labels that were taken from the training file."""
    doubts = []
    alike: dict[str, list[str]] = {}
    for label in data.labels:
        alike.setdefault(label.casefold(), []).append(label)
    same = [listed(names) for names in alike.values() if len(names) > 1]
    if same:
        doubts.append(f"differ in nothing but case: {'; '.join(same[:MOST_LISTED])}")
    absent = [label for label in data.labels if label.lower() in NO_LABEL or (label == "-1" and "0" in data.labels)]
    if absent:
        doubts.append(f"{listed(absent)}: remove examples without a label, or name all classes in task.labels")
    if are_many(len(data.labels), len(data.train)):
        size = f"{len(data.labels)} in {len(data.train):,} training examples"
        doubts.append(f"{size}: is the column a score, or a number of the example?")
    return doubts


def _texts(examples: Examples) -> list[tuple[str, ...]]:
    return list(zip(examples.text, examples.text_pair or examples.text, strict=True))
