"""The user's own files: CSV, TSV, JSON lines, JSON or Parquet, compressed or not."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seedgrid.errors import InputError
from seedgrid.files import DECOMPRESS, decode, decompressed
from seedgrid.training.text.data.delimited import read_rows
from seedgrid.training.text.data.examples import Examples
from seedgrid.training.text.tasks import FileSource

SEPARATORS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (*SEPARATORS, ".jsonl", ".json", ".parquet")
# Labels that a message lists, or columns, and letters of each.
MOST_LISTED = 10
MOST_LETTERS = 40


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
    index = {_class_name(name): position for position, name in enumerate(labels)}
    written = _labels(path, columns[source.label], source.label)
    for row, name in enumerate(written):
        if name not in index:
            raise InputError(
                f"{path}, example {row + 1}: label '{name[:MOST_LETTERS]}' is not one of {listed(labels)}"
                f"{_why_unknown(name, labels, written)}; mend the file or set task.labels"
            )
    label = np.array([index[name] for name in written], dtype=np.int64)
    return Examples(texts[0], texts[1] if len(texts) == 2 else None, label)


def distinct_labels(source: FileSource) -> tuple[str, ...]:
    """The sorted distinct labels of the training file; numbers sort as numbers.

    Raises:
        InputError: two differ in nothing but blanks; or as :func:`read`.
    """
    values = _columns(source.train, source, "task.source.train")[source.label]
    written = _labels(source.train, values, source.label)
    names = sorted(set(written))
    alike: dict[str, str] = {}
    for name in names:
        other = alike.setdefault(" ".join(name.split()), name)
        if other != name:
            first, second = sorted((name, other), key=written.index)
            raise InputError(
                f"{source.train}, example {written.index(second) + 1}: label '{second}' differs from '{first}' in "
                f"nothing but blanks; mend the file"
            )
    numbers = all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in names)
    return tuple(sorted(names, key=float) if numbers else names)


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first of them, where there are many."""
    more = f", ... ({len(names)} in all)" if len(names) > MOST_LISTED else ""
    plain = (name if name.isprintable() and name == name.strip() != "" else repr(name) for name in names[:MOST_LISTED])
    return ", ".join(f"{name[:MOST_LETTERS]}..." if len(name) > MOST_LETTERS else name for name in plain) + more


def _why_unknown(name: str, labels: tuple[str, ...], written: list[str]) -> str:
    """What an unknown label may come from; empty if nothing comes to mind."""
    alike = [label for label in labels if label.split() == name.split()]
    alike += [label for label in labels if label.casefold().split() == name.casefold().split()]
    different = len(set(written))
    if alike:
        return f", but differs from '{alike[0]}' in nothing but blanks or case"
    if name == "-1":
        return ", but often marks examples without a label"
    if name.lower() in ("no", "yes", "off", "on") and {"false", "true"} & set(labels):
        return ": YAML takes no and yes for false and true unless they are quoted"
    if are_many(different, len(written)):
        return f": {different} different ones in {len(written)} examples, as of a score or a number of the example"
    return ""


def are_many(classes: int, examples: int) -> bool:
    """Whether there are about as many classes as examples."""
    return classes > MOST_LISTED and 2 * classes > examples


def _labels(path: str, values: list, name: str) -> list[str]:
    return [_class_name(text) for text in _texts(path, values, name)]


def _class_name(text: str) -> str:
    """Labels as text: 1, 1.0 and "1" are the same label, true and "True" too."""
    whole = re.sub(r"^(-?\d+)\.0+$", r"\1", text)
    return whole.lower() if whole in ("True", "False") else whole


def _texts(path: str, values: list, name: str) -> tuple[str, ...]:
    for row, value in enumerate(values):
        if value is None or value == "" or value != value:  # NaN is no value either
            raise InputError(f"{path}, example {row + 1}: column '{name}' is empty; mend or remove it")
        if not isinstance(value, (str, int, float)):
            raise InputError(f"{path}, example {row + 1}: column '{name}' holds a {type(value).__name__}, not text")
        if isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise InputError(
                f"{path}, example {row + 1}: column '{name}' holds half of a character (\\ud800 to \\udfff), as of a "
                f"text that was cut within one; mend or remove it"
            )
    return tuple(str(value) for value in values)


@lru_cache(maxsize=3)
def _columns(path: str, source: FileSource, key: str) -> dict[str, list]:
    """The columns that ``source`` names; other ones may hold anything."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"{key}={path}: no such file")
    content, ending = decompressed(path, file)
    roles = {role: name for role in ("text", "text_pair", "label") if (name := getattr(source, role)) is not None}
    if ending in SEPARATORS:
        header, rows = read_rows(path, decode(content, path), SEPARATORS[ending], list(roles.values()))
        columns = list(zip(*rows, strict=True))
    elif ending in (".jsonl", ".json"):
        header, rows = _read_json(path, decode(content, path), set(roles.values()))
        columns = [[row.get(name) for row in rows] if name in roles.values() else [] for name in header]
    elif ending == ".parquet":
        header, rows = _read_parquet(path, content, key)
        columns = [
            rows.column(place).to_pylist() if name in roles.values() else [] for place, name in enumerate(header)
        ]
    else:
        raise InputError(
            f"{key}={path}: unknown ending '{ending}'; use one of {', '.join(ENDINGS)}, compressed as "
            f"{', '.join((*DECOMPRESS, '.zip'))} or not"
        )
    if not len(rows):
        raise InputError(f"{key}={path}: no examples are in the file")
    for role, name in roles.items():
        if name not in header:
            raise InputError(f"task.source.{role}={name}: {path} has no such column; it has {listed(header)}")
        if header.count(name) > 1:
            raise InputError(
                f"task.source.{role}={name}: {path} has {header.count(name)} columns of that name; rename all but one"
            )
    return {name: list(columns[header.index(name)]) for name in roles.values()}


def _read_json(path: str, text: str, used: set[str]) -> tuple[list[str], list[dict]]:
    """Names of the columns, and the objects: one a line, or all in one array."""

    def only_once(pairs: list[tuple[str, object]]) -> dict:
        twice = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1 and name in used]
        if twice:
            raise InputError(f"'{twice[0]}' stands twice in one example; remove one")
        return dict(pairs)

    array = text.lstrip().startswith("[")
    rows = []
    for number, document in enumerate([text] if array else text.split("\n"), start=1):
        if not document.strip():
            continue
        try:
            value = json.loads(document, object_pairs_hook=only_once)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {number + error.lineno - 1}: {error.msg}; mend or remove the line"
            ) from None
        except (InputError, RecursionError) as error:
            raise InputError(f"{path}{'' if array else f', line {number}'}: {error}") from None
        rows += value if array else [value]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(
                f"{path}, example {number}: a {type(row).__name__} instead of an object with a value for each column"
            )
    return list(dict.fromkeys(name for row in rows for name in row)), rows


def _read_parquet(path: str, content: bytes, key: str) -> tuple[list[str], pa.Table]:
    try:
        table = pq.ParquetFile(io.BytesIO(content)).read()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{key}={path}: no examples can be read from this parquet file: {reason}") from None
    return table.column_names, table
