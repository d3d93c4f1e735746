"""One part of a report: a figure, a table, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seedgrid.report.arrays import FinishedTrials
from seedgrid.wording import DECIMALS

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
        decimals: of columns of the table, those that each row is printed with; None, and other columns, as
            :func:`seedgrid.report.page.cell` prints numbers.
        missing: what could not be given, for which sweep, and why; a line each.
    """

    key: str
    title: str
    reading: str = ""
    caption: str = ""
    figure: Figure | None = None
    table: pd.DataFrame | None = None
    missing: Sequence[str] = ()
    decimals: Mapping[str, Sequence[int | None]] = field(default_factory=dict)


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


def in_scores(
    table: pd.DataFrame,
    studies: Iterable[FinishedTrials],
    scores: Iterable[str] = (),
    limits: tuple[str, str] | None = None,
    amounts: Iterable[str] = (),
) -> tuple[pd.DataFrame, dict[str, list[int | None]]]:
    """A table of utilities as one of scores, and the decimals of its columns: the last step before it is shown.

    Args:
        table: with a column ``sweep``, the name of each row's.
        studies: those sweeps.
        scores: columns of utilities.
        limits: columns of the lower and the upper limits of utilities.
        amounts: columns of differences and deviations, which have no direction.
    """
    scales = {study.name: study.scale for study in studies}
    of_rows, table = [scales[name] for name in table["sweep"]], table.copy()
    scores, limits = list(scores), list(limits or ())
    lower = np.array([scale.lower_is_better for scale in of_rows])
    if lower.any():
        for column in (*scores, *limits):
            utilities = zip(of_rows, table[column].astype(float), strict=True)
            table[column] = [scale.turned(utility) for scale, utility in utilities]
        if limits:
            table.loc[lower, limits] = table.loc[lower, limits[::-1]].to_numpy()
    decimals = [None if scale.decimals == DECIMALS else scale.decimals for scale in of_rows]
    return table, dict.fromkeys((*scores, *limits, *amounts), decimals)
