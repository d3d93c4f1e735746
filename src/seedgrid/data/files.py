"""The user's own files: CSV, TSV, JSON lines, JSON or Parquet."""

from __future__ import annotations

import csv
import glob
import io
import json
import re
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from seedgrid.data.examples import Examples
from seedgrid.errors import InputError
from seedgrid.files import read_text
from seedgrid.tasks import FileSource

DELIMITERS = {".csv": ",", ".tsv": "\t"}
# Ending of a file: builder of the datasets library.
BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}


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
    columns = _columns(path, source, key)
    texts = [_texts(path, columns[name], name) for name in (source.text, source.text_pair) if name is not None]
    index = {name: position for position, name in enumerate(labels)}
    label = np.empty(len(texts[0]), dtype=np.int64)
    for row, written in enumerate(_labels(path, columns[source.label], source.label)):
        if written not in index:
            raise InputError(
                f"{path}, example {row + 1}: label '{written}' is not one of {', '.join(labels)}; "
                f"mend the file or set task.labels"
            )
        label[row] = index[written]
    return Examples(texts[0], texts[1] if len(texts) == 2 else None, label)


def distinct_labels(source: FileSource) -> tuple[str, ...]:
    """The sorted distinct labels of the training file; numbers sort as numbers."""
    values = _columns(source.train, source, "task.source.train")[source.label]
    names = sorted(set(_labels(source.train, values, source.label)))
    numbers = all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in names)
    return tuple(sorted(names, key=float) if numbers else names)


def _labels(path: str, values: list, name: str) -> list[str]:
    """Labels as text: 1, 1.0 and "1" are the same label, true and "True" too."""
    written = _texts(path, values, name)
    whole = (re.sub(r"^(-?\d+)\.0+$", r"\1", text) for text in written)
    return [text.lower() if text in ("True", "False") else text for text in whole]


def _texts(path: str, values: list, name: str) -> tuple[str, ...]:
    for row, value in enumerate(values):
        if value is None or value == "" or value != value:  # NaN is no value either
            raise InputError(f"{path}, example {row + 1}: column '{name}' is empty; mend or remove it")
        if not isinstance(value, (str, int, float)):
            raise InputError(f"{path}, example {row + 1}: column '{name}' holds a {type(value).__name__}, not text")
    return tuple(str(value) for value in values)


@lru_cache(maxsize=3)
def _columns(path: str, source: FileSource, key: str) -> dict[str, list]:
    """The columns that ``source`` names; other ones may hold anything."""
    file = Path(path).expanduser()
    ending = file.suffix.lower()
    if not file.is_file():
        raise InputError(f"{key}={path}: no such file")
    if ending in DELIMITERS:
        columns = _read_delimited(path, file, DELIMITERS[ending])
    elif ending in BUILDERS:
        columns = _read_built(path, file, BUILDERS[ending], key)
    else:
        raise InputError(f"{key}={path}: unknown ending '{file.suffix}'; use one of {', '.join(DELIMITERS | BUILDERS)}")
    for role in ("text", "text_pair", "label"):
        name = getattr(source, role)
        if name is not None and name not in columns:
            raise InputError(f"task.source.{role}={name}: {path} has no such column; it has {', '.join(columns)}")
    return columns


def _read_delimited(path: str, file: Path, delimiter: str) -> dict[str, list]:
    # Not by the datasets library: pandas, below it, guesses types (007 is 7) and missing values (NA, None), and takes
    # the first column for an index where every line has one column too many.
    rows = csv.reader(io.StringIO(read_text(file), newline=""), delimiter=delimiter, strict=True)
    header, examples, line = [], [], 1
    try:
        for row in rows:
            if not header:
                header = row
            elif row and len(row) != len(header):
                raise InputError(
                    f"{path}, line {line}: {len(row)} columns instead of {len(header)}; put texts that hold "
                    f"the separator into quotes"
                )
            elif row:
                examples.append(row)
            line = rows.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {line}: {error}; put texts that hold quotes into quotes, with each of theirs doubled"
        ) from None
    if not examples:
        raise InputError(f"{path}: the file holds no examples")
    return dict(zip(header, map(list, zip(*examples, strict=True)), strict=True))


def _read_built(path: str, file: Path, builder: str, key: str) -> dict[str, list]:
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # its errors are ours to tell
    # A throw-away cache: the library keys its own by path and date, and we need the file as it is now.
    with tempfile.TemporaryDirectory() as cache:
        try:
            # What looks like a pattern in the name of a file is none.
            name = glob.escape(str(file))
            table = datasets.load_dataset(builder, data_files=name, split="train", cache_dir=cache)
            return {name: list(table[name]) for name in table.column_names}
        except Exception as error:  # each builder has its own kinds; the innermost says where the file is malformed
            if builder == "json":
                _refuse_malformed_json(path, file)
            while error.__cause__ is not None:
                error = error.__cause__
            reason = " ".join(str(error).split())
            raise InputError(f"{key}={path}: no examples can be read from this {builder} file: {reason}") from None


def _refuse_malformed_json(path: str, file: Path) -> None:
    """Raise InputError with the first line that is no JSON; the datasets library counts rows, and in blocks."""
    text = read_text(file)
    documents = [text] if text.lstrip().startswith("[") else text.split("\n")
    for number, document in enumerate(documents, start=1):
        try:
            if document.strip():
                json.loads(document)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {number + error.lineno - 1}: {error.msg}; mend or remove the line"
            ) from None
