"""A task's examples, from wherever they come: the hub, GLUE's TSV files, the user's files, or the generator."""

from __future__ import annotations

from dataclasses import dataclass

from seedgrid.errors import InputError
from seedgrid.seeds import fixed_subset
from seedgrid.training.text.data.examples import Examples
from seedgrid.training.text.settings import DataSettings
from seedgrid.training.text.tasks import FileSource, GlueSource, Task, check_metric


@dataclass(frozen=True)
class TaskData:
    """A task's examples and the names of its classes."""

    train: Examples
    validation: Examples
    test: Examples | None
    labels: tuple[str, ...]


def load(task: Task, data: DataSettings) -> TaskData:
    """Read a task's examples, checked, and cut to the sizes asked for.

    Raises:
        InputError: a file is missing, empty or malformed, a label is unknown, or there is no network.
    """
    source = task.source
    test = None
    if isinstance(source, GlueSource):
        from seedgrid.training.text.data import glue

        labels = tuple(task.labels or ())
        if data.root:
            train, validation = glue.read_folder(data.root, source)
        else:
            train, validation = glue.read_hub(source, labels)
    elif isinstance(source, FileSource):
        from seedgrid.training.text.data import files

        labels = tuple(task.labels) if task.labels is not None else files.distinct_labels(source)
        train = files.read(source.train, source, labels, "task.source.train")
        validation = files.read(source.validation, source, labels, "task.source.validation")
        if source.test is not None:
            test = files.read(source.test, source, labels, "task.source.test")
    else:
        from seedgrid.training.text.data import grammar

        labels = tuple(task.labels or ())
        try:
            train, validation = grammar.generate(
                source.train_size, source.validation_size, source.seed, source.phenomena or grammar.PHENOMENA
            )
        except ValueError as error:
            raise InputError(f"task.source: {error}") from None
    try:
        check_metric(task.metric, len(labels))
    except ValueError as error:
        raise InputError(f"task.metric: {error}") from None
    return TaskData(
        _cut(train, data.train_size, "data.train_size"),
        _cut(validation, data.validation_size, "data.validation_size"),
        test,
        labels,
    )


def _cut(examples: Examples, size: int | None, key: str) -> Examples:
    if size is None:
        return examples
    if size > len(examples):
        raise InputError(
            f"{key}={size}: the task has only {len(examples)} examples; give at most that, or null for all"
        )
    return examples.take(fixed_subset(len(examples), size))
