"""One part of a report: a figure, a table, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure


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
    reading: str
    caption: str
    figure: Figure | None = None
    table: pd.DataFrame | None = None
    missing: tuple[str, ...] = ()
