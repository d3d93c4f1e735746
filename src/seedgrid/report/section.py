"""One part of a report: a figure, a table, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from matplotlib.figure import Figure

from seedgrid.report.arrays import FinishedTrials

Found = TypeVar("Found")


@dataclass(frozen=True)
class Section:
    """A figure, a table or both, of one or several sweeps.

    Attributes:
        key: stem of its files' names: ``figures/<key>.svg``, ``tables/<key>.csv``.
        title: heading.
        reading: what these data say, with their numbers, in plain text: a sentence or two for each sweep, on a line of
            its own.
        caption: what is drawn or listed, how it was computed, from how many trials, after which paper; plain text.
        figure: or None.
        table: rows and columns as they are printed, numbers as numbers; the index is not printed. Or None.
        missing: what could not be given, for which sweep, and why; a line each.
    """

    key: str
    title: str
    reading: str = ""
    caption: str = ""
    figure: Figure | None = None
    table: pd.DataFrame | None = None
    missing: Sequence[str] = ()


def of_each(
    studies: Sequence[FinishedTrials], compute: Callable[[FinishedTrials], Found]
) -> tuple[list[tuple[FinishedTrials, Found]], list[str]]:
    """What can be computed of each sweep, and a line on each of the others.

    Args:
        studies: of each sweep, its finished trials.
        compute: of one; where that is not possible, a ValueError says why not, and what would help.
    """
    found, missing = [], []
    for study in studies:
        try:
            found.append((study, compute(study)))
        except ValueError as reason:
            missing.append(f"{study.name}: not available: {reason}")
    return found, missing


def lines(found: Iterable[tuple[FinishedTrials, Found]], read: Callable[[FinishedTrials, Found], str]) -> str:
    """What is said of each sweep, on a line that begins with its name."""
    return "\n".join(f"{study.name}: {read(study, result)}" for study, result in found)


def rows(
    found: Iterable[tuple[FinishedTrials, Found]],
    rows_of: Callable[[FinishedTrials, Found], Iterable[Mapping[str, object]]],
) -> pd.DataFrame:
    """The rows of each sweep below each other, its name in the first column."""
    return pd.DataFrame([{"sweep": study.name, **row} for study, result in found for row in rows_of(study, result)])
