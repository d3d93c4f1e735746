"""The user's own files: CSV, TSV, JSON lines or Parquet, read by ``datasets``."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from seedgrid.data.examples import Examples
from seedgrid.errors import InputError
from seedgrid.tasks import FileSource

# Ending of a file: (builder of the datasets library, its options).
FORMATS = {
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}


def read(path: str, source: FileSource, labels: tuple[str, ...], key: str) -> Examples:
    """The examples of one file.

    Args:
        path: the file.
        source: names the columns.
        labels: class names; a label in the file is one of them, written as text or as a number.
        key: the config key that names the file, for error messages.

    Raises:
        InputError: no such file, unknown ending, malformed, empty, a column is absent or a label unknown.
    """
    columns = _columns(path, key)
    wanted = {"text": source.text, "text_pair": source.text_pair, "label": source.label}
    for role, name in wanted.items():
        if name is not None and name not in columns:
            raise InputError(f"task.source.{role}={name}: {path} has no such column; it has {', '.join(columns)}")
    texts = [_texts(path, columns[name], name) for name in (source.text, source.text_pair) if name is not None]
    index = {name: position for position, name in enumerate(labels)}
    label = np.empty(len(columns[source.label]), dtype=np.int64)
    for row, value in enumerate(columns[source.label]):
        written = _written(value)
        if written not in index:
            raise InputError(
                f"{path}, example {row + 1}: label '{written}' is not one of {', '.join(labels)}; "
                f"mend the file or set task.labels"
            )
        label[row] = index[written]
    return Examples(texts[0], texts[1] if len(texts) == 2 else None, label)


def distinct_labels(source: FileSource) -> tuple[str, ...]:
    """The sorted distinct labels of the training file; numbers sort as numbers."""
    columns = _columns(source.train, "task.source.train")
    if source.label not in columns:
        raise InputError(
            f"task.source.label={source.label}: {source.train} has no such column; it has {', '.join(columns)}"
        )
    values = columns[source.label]
    for row, value in enumerate(values):
        if value is None:
            raise InputError(f"{source.train}, example {row + 1}: no label; mend or remove it")
    numeric = all(isinstance(value, (int, float)) for value in values)
    return tuple(
        _written(value) for value in (sorted(set(values)) if numeric else sorted({_written(v) for v in values}))
    )


def _written(value: object) -> str:
    """A label as text: 1, 1.0 and "1" are the same label, true and "true" too."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _texts(path: str, values: list, name: str) -> tuple[str, ...]:
    for row, value in enumerate(values):
        if value is None:
            raise InputError(f"{path}, example {row + 1}: column '{name}' is empty; mend or remove it")
        if not isinstance(value, str):
            values = [str(value) for value in values]
            break
    return tuple(values)


@lru_cache(maxsize=3)
def _columns(path: str, key: str) -> dict[str, list]:
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"{key}={path}: no such file")
    if file.suffix.lower() not in FORMATS:
        raise InputError(f"{key}={path}: unknown ending '{file.suffix}'; use one of {', '.join(FORMATS)}")
    if file.stat().st_size == 0:
        raise InputError(f"{key}={path}: the file is empty")
    import datasets

    datasets.disable_progress_bars()
    builder, options = FORMATS[file.suffix.lower()]
    # A throw-away cache: the library keys its own by path and date, and we need the file as it is now.
    with tempfile.TemporaryDirectory() as cache:
        try:
            table = datasets.load_dataset(builder, data_files=str(file), split="train", cache_dir=cache, **options)
            columns = {name: list(table[name]) for name in table.column_names}
        except Exception as error:  # each builder has its own kinds; the innermost says where the file is malformed
            while error.__cause__ is not None:
                error = error.__cause__
            reason = " ".join(str(error).split())
            raise InputError(f"{key}={path}: malformed {builder} file: {reason}") from None
    if not columns or not len(next(iter(columns.values()))):
        raise InputError(f"{key}={path}: the file holds no examples")
    return columns
