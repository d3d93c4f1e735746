"""Rows of CSV and TSV files as they were written: with texts in quotes or, as TSV often is, without."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from seedgrid.errors import InputError

SEPARATORS = (",", "\t", ";")


class Row(NamedTuple):
    """One example: its first and last line in the file, counted from 1, and its cells."""

    begin: int
    end: int
    cells: list[str]


def read_rows(path: str, text: str, separator: str, used: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a file; all rows are as wide as the header, blank lines are left out.

    Another separator than the ending's is taken where only by that one the header has the used columns.

    In quotes, a text may hold separators and line ends. In a file that was written without quoting, a quotation mark
    is a part of the text, and a reader of quotes takes whole examples for the text between two of them. A TSV is
    written either way, and is read as the whole of it can be; a CSV that looks as if it were not quoted is refused.

    Args:
        path: for error messages.
        text: the file's content.
        separator: the one that goes with the file's ending.
        used: names of the columns that will be used, the label's last.

    Raises:
        InputError: malformed, or it cannot be told how the file was written.
    """
    # Not by pandas: it guesses types (007 is 7) and missing values (NA, None), and takes the first column for an index
    # where every line has one column too many.
    csv.field_size_limit(sys.maxsize)  # a text may be longer than 131,072 characters
    lines = list(io.StringIO(text, newline=""))
    if not set(used) <= set(_header(lines, separator)):
        separator = next((one for one in SEPARATORS if set(used) <= set(_header(lines, one))), separator)
    header = _header(lines, separator)
    plain = []
    if '"' in text and set(used) <= set(header):
        plain, label = _plain_rows(lines, separator), header.index(used[-1])
        if plain[0].cells != header:  # names in quotes: so is the rest
            plain = []
    # All of a TSV can be read without quotes.
    as_text = separator == "\t" and bool(plain) and all(len(row.cells) == len(header) for row in plain)
    try:
        rows = _quoted_rows(path, lines, separator)
    except InputError:
        if as_text and not _are_quoted(plain, label):
            return header, [row.cells for row in plain[1:]]
        raise
    merged = _merged_examples(rows, plain, label, separator == "\t") if plain else []
    if merged:
        labels = {row.cells[label] for row in rows[1:]}
        if not as_text or any(row.cells[label] not in labels for row in plain[1:]):
            raise InputError(
                f"{path}, lines {merged[0].begin} to {merged[0].end}: one text in quotes, or an example a line whose "
                f"quotation marks are text; if one, put every cell of the file into quotes, its first line's too, else "
                f'double the marks: """So"" he said"'
            )
        rows = plain
    elif as_text and len(plain) == len(rows) and _has_bare_marks(plain) and not _are_quoted(plain, label):
        rows = plain
    return header, [row.cells for row in rows[1:]]


def _header(lines: list[str], separator: str) -> list[str]:
    try:
        return next((row for row in csv.reader(lines, delimiter=separator, strict=True) if row), [])
    except csv.Error:
        return []


def _quoted_rows(path: str, lines: list[str], separator: str) -> list[Row]:
    """All rows, the header's too, with texts in quotes read as such."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    rows: list[Row] = []
    begin = 1
    try:
        for cells in reader:
            if cells:
                rows.append(Row(begin, reader.line_num, cells))
                if len(cells) != (width := len(rows[0].cells)):
                    remedy = (
                        "put texts that hold the separator into quotes" if len(cells) > width else "mend or remove it"
                    )
                    raise InputError(f"{path}, line {begin}: {len(cells)} columns instead of {width}; {remedy}")
            begin = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {begin}: {error}; put texts that hold quotes into quotes, with each of theirs doubled"
        ) from None
    return rows


def _plain_rows(lines: list[str], separator: str) -> list[Row]:
    """All rows, the header's too, one a line, quotation marks being text."""
    stripped = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, start=1))
    return [Row(number, number, line.split(separator)) for number, line in stripped if line]


def _are_quoted(plain: list[Row], label: int) -> bool:
    """Whether a writer put texts into quotes: labels have them, or a text has each of its own marks doubled."""
    for row in plain:
        for position, cell in enumerate(row.cells):
            inside = cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else None
            if inside is not None and (position == label or ('""' in inside and '"' not in inside.replace('""', ""))):
                return True
    return False


def _has_bare_marks(plain: list[Row]) -> bool:
    """Whether a text that is not in quotes holds a mark, as no writer of quotes leaves it."""
    return any('"' in cell and cell[0] != '"' for row in plain for cell in row.cells)


def _merged_examples(rows: list[Row], plain: list[Row], label: int, strict: bool) -> list[Row]:
    """Rows whose text in quotes looks like several examples: most of its lines are as wide and end in known labels.

    Args:
        rows: with quotes read as such, the header first.
        plain: without.
        label: position of the label.
        strict: also those whose lines are all as wide, whatever their labels.
    """
    cells = {row.begin: row.cells for row in plain}
    width = len(rows[0].cells)
    labels = {row.cells[label] for row in rows[1:]}
    merged = []
    for row in rows[1:]:
        if row.end == row.begin:
            continue
        lines = [cells.get(line, ()) for line in range(row.begin, row.end + 1)]
        ends = [line[label] if len(line) == width else None for line in lines]
        # A label of which there are several is one too. The row's own is in its first line or its last in any case.
        again = {end for end, times in Counter(ends).items() if end and times > 1}
        label_first = label < next(place for place, cell in enumerate(row.cells) if "\n" in cell or "\r" in cell)
        known = sum(end in labels | again for end in (ends[1:] if label_first else ends[:-1]))
        if 2 * known > len(lines) - 1 or (strict and None not in ends):
            merged.append(row)
    return merged
