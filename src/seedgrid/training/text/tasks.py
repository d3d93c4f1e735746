"""What a task is: where its texts come from, its labels, its metric, and when a trial on it counts as diverged."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from seedgrid.settings import Name

Metric = Literal["accuracy", "f1", "acc_and_f1", "mcc", "macro_f1"]
BINARY_METRICS = ("f1", "acc_and_f1")

# Columns of the table that goes with each score; the score itself is the column of the metric's name.
METRIC_COLUMNS: dict[str, tuple[str, ...]] = {
    "accuracy": ("accuracy",),
    "f1": ("accuracy", "f1"),
    "acc_and_f1": ("accuracy", "f1", "acc_and_f1"),
    "mcc": ("accuracy", "mcc"),
    "macro_f1": ("accuracy", "macro_f1"),
}


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class GlueSource(_Source):
    """One of GLUE's tasks: from the Hugging Face hub, or from the benchmark's own TSV files.

    Attributes:
        kind: names this source.
        hub_config: configuration of the hub's data set ``nyu-mll/glue``; its text columns are ``hub_text``.
        folder: folder below ``data.root`` that holds ``train.tsv`` and ``dev.tsv``.
        header: whether the TSV files begin with column names.
        text: TSV columns of the texts, one or two: names if there is a header, else positions from 0.
        label: TSV column of the label.
        label_values: how the TSV files write the labels, in the order of the task's ``labels``.
    """

    kind: Literal["glue"]
    hub_config: str
    hub_text: Annotated[list[str], Field(min_length=1, max_length=2)]
    folder: str
    header: bool
    text: Annotated[list[str] | list[int], Field(min_length=1, max_length=2)]
    label: str | int
    label_values: list[str]

    @model_validator(mode="after")
    def _columns_fit_header(self) -> GlueSource:
        written = str if self.header else int
        if not all(isinstance(column, written) for column in (*self.text, self.label)):
            raise ValueError("text and label must be names of columns if header is true, else positions from 0")
        return self


class FileSource(_Source):
    """The user's own files: CSV, TSV, JSON lines or Parquet, compressed or not, told apart by their ending.

    Attributes:
        kind: names this source.
        train: training file.
        validation: validation file.
        test: file scored once at the end by the best model of the sweep, or None.
        text: column of the text.
        text_pair: column of the second text, or None.
        label: column of the label.
    """

    kind: Literal["files"]
    train: str
    validation: str
    test: str | None = None
    text: str
    text_pair: str | None = None
    label: str

    @field_validator("text", "text_pair", "label", mode="before")
    @classmethod
    def _number_is_a_name(cls, column: object) -> object:
        # A column named 0, as pandas names those of a table without names: Hydra and YAML read a number.
        return str(column) if type(column) is int else column


class GrammarSource(_Source):
    """Generated acceptability judgements.

    Attributes:
        kind: names this source.
        train_size: training sentences.
        validation_size: validation sentences.
        seed: draws the sentences; no seed of a trial touches them.
        phenomena: which phenomena of English grammar to draw from; None: all.
    """

    kind: Literal["grammar"]
    train_size: Annotated[int, Field(ge=1)]
    validation_size: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)] = 0
    phenomena: list[str] | None = None


class Task(BaseModel):
    """A classification task.

    Attributes:
        name: short name, part of the default sweep folder.
        source: where the examples come from.
        labels: names of the classes; None: the sorted distinct labels of the training file. For F1 the second is the
            positive class.
        metric: the score.
        diverged_at: a trial whose best found score is at or below this counts as diverged; None: the score of always
            predicting the most frequent validation label (Mosbach et al. 2021).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    source: Annotated[GlueSource | FileSource | GrammarSource, Field(discriminator="kind")]
    labels: list[str] | None = None
    metric: Metric
    diverged_at: Annotated[float, Field(allow_inf_nan=False)] | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_are_text(cls, labels: object) -> object:
        # [0, 1] and [false, true] are numbers and truth values for Hydra and YAML; in a file they are text.
        if not isinstance(labels, list):
            return labels
        names = [str(name) if isinstance(name, (bool, int, float)) else name for name in labels]
        return [name.lower() if name in ("True", "False") else name for name in names]

    @model_validator(mode="after")
    def _labels_fit_metric(self) -> Task:
        if self.labels is not None:
            if len(set(self.labels)) != len(self.labels):
                raise ValueError(f"labels {self.labels} has a name twice; name each class once")
            check_metric(self.metric, len(self.labels))
        return self


def check_metric(metric: str, classes: int) -> None:
    """Raise ValueError unless ``metric`` is defined for this number of classes."""
    if classes < 2:
        raise ValueError(f"a task needs at least two labels, this one has {classes}")
    if metric in BINARY_METRICS and classes != 2:
        raise ValueError(
            f"metric '{metric}' is for two classes, this task has {classes}; use accuracy, macro_f1 or mcc"
        )


def majority_score(labels: np.ndarray, metric: str) -> float:
    """The score of always predicting the most frequent of ``labels`` (int64, examples; the first of equals).

    To the last bit what :func:`seedgrid.training.text.metrics.compute_metrics` gives for such a trial: it has diverged.
    """
    counts = np.bincount(labels)
    share = counts.max() / len(labels)
    f1_of_majority = 2 * counts.max() / (len(labels) + counts.max())
    f1_of_positive = f1_of_majority if counts.argmax() == 1 else 0.0
    match metric:
        case "accuracy":
            return float(share)
        case "f1":
            return float(f1_of_positive)
        case "acc_and_f1":
            return float((share + f1_of_positive) / 2)
        case "macro_f1":
            return float(f1_of_majority / np.count_nonzero(counts))
        case "mcc":
            return 0.0
    raise ValueError(f"metric '{metric}' is unknown; use one of {', '.join(METRIC_COLUMNS)}")
