"""What ``seedgrid compare`` calls with its composed config: reads two sweeps, prints the answer, writes the page."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from rich.console import Console

from seedgrid.errors import InputError, plain_exit
from seedgrid.records.store import Sweep, sweeps_here
from seedgrid.records.tidy import read_trials
from seedgrid.report.arrays import FinishedTrials, finished_trials
from seedgrid.report.comparison import Compared, build_sections, cautions, compare_trials, risk_of
from seedgrid.report.page import cells, check_output, made_of, write_report
from seedgrid.report.section import Section
from seedgrid.scale import Direction
from seedgrid.settings import SettingsGroup, read_config

# Starts the title of every page of this command, by which it knows its own.
_TITLE = "Method or seed:"


class ComparisonOptions(SettingsGroup):
    """What a comparison's numbers depend on, besides the trials; see ``compare.yaml``."""

    paired: bool | None = None
    level: Annotated[float, Field(gt=0, lt=1)]
    power: Annotated[float, Field(gt=0, lt=1)]
    max_budget: Annotated[int, Field(ge=0)]
    draws: Annotated[int, Field(ge=2)]
    random_seed: Annotated[int, Field(ge=0)]


class CompareSettings(ComparisonOptions):
    """``compare.yaml``, which says what each of them means."""

    a: Annotated[str, Field(min_length=1)]
    b: Annotated[str, Field(min_length=1)]
    metric: Annotated[str, Field(min_length=1)]
    direction: Direction | None
    output: Annotated[str, Field(min_length=1)] | None


@plain_exit()
def compare(config: DictConfig) -> None:
    """Compare two sweeps, in the terminal and on a page; exits with code 1 where that is not possible."""
    for key in "ab":
        if OmegaConf.is_missing(config, key):
            raise InputError(f"{key} has no value: give a sweep's folder or a file of trials{sweeps_here()}")
    settings = read_config(config, CompareSettings)
    check_power(settings)
    a, b = read_pair(Path(settings.a), Path(settings.b), settings.metric, settings.direction)
    with Console(stderr=True).status(f"comparing {len(a.trials)} trials with {len(b.trials)}"):
        output = Path(settings.output or beside(a.sweep, b.sweep))
        page, sections, notes = make_comparison(a, b, output, settings)
    print(in_terminal(sections, notes))
    print(f"\n  page   {page}")


def check_power(options: ComparisonOptions) -> None:
    """Raise InputError unless the power is more than what a test at this level has without any difference."""
    if options.power <= risk_of(options.level):
        raise InputError(f"power={options.power}: give more than 1 - level, {risk_of(options.level):g}")


def make_comparison(
    a: FinishedTrials, b: FinishedTrials, output: Path, options: ComparisonOptions
) -> tuple[Path, list[Section], list[str]]:
    """Compare two sweeps and write the page.

    Args:
        a, b: their finished trials.
        output: folder of the page.
        options: of the numbers.

    Returns:
        Path of the page, its sections, and the notes at its top.

    Raises:
        InputError: the trials are too few or no random sample, or ``output`` holds something else.
    """
    named = a.sweep.folder, b.sweep.folder
    check_output(output, _TITLE, named)
    compared = compare_as_asked(a, b, options)
    sections, notes = build_sections(compared, options.power), notes_of(compared)
    return write_page(compared, sections, notes, output, options), sections, notes


def compare_as_asked(a: FinishedTrials, b: FinishedTrials, options: ComparisonOptions) -> Compared:
    """Two sweeps' finished trials against each other; raises InputError as :func:`make_comparison`."""
    return compare_trials(
        a,
        b,
        paired=options.paired,
        max_budget=options.max_budget,
        level=options.level,
        draws=options.draws,
        seed=options.random_seed,
    )


def notes_of(compared: Compared) -> list[str]:
    """What was compared, and what that has to be read with."""
    return [compared.a.description, compared.b.description, *cautions(compared)]


def write_page(
    compared: Compared, sections: list[Section], notes: list[str], output: Path, options: ComparisonOptions
) -> Path:
    """Write a comparison's page; its path.

    Raises:
        InputError: ``output`` holds anything but a comparison of the two.
    """
    named = compared.a.sweep.folder, compared.b.sweep.folder
    check_output(output, _TITLE, named)
    title = f"{_TITLE} {compared.a.name} against {compared.b.name}"
    content = made_of((compared.a.sweep, compared.b.sweep), options, ComparisonOptions)
    return write_report(sections, output, title=title, notes=notes, named=named, made_of=content)


def in_terminal(sections: list[Section], notes: list[str]) -> str:
    """Notes, readings and short tables, as text."""
    parts = [_wrapped(note) for note in notes]
    for section in sections:
        parts += ["", section.title.upper()]
        parts += [_wrapped(text) for text in (section.reading, *section.missing) if text]
        # One row a trial count is for the page.
        if section.table is not None and section.key != "expected-best":
            parts += ["", _aligned(section)]
    return "\n".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _aligned(section: Section) -> str:
    """A section's table as text, words left and numbers right."""
    columns = []
    for name, texts in cells(section).items():
        numeric = pd.api.types.is_numeric_dtype(section.table[name])
        written = [name, *texts]
        width = max(map(len, written))
        columns.append([text.rjust(width) if numeric else text.ljust(width) for text in written])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def beside(a: Sweep, b: Sweep) -> Path:
    """Folder of the page of a and b."""
    of_a, of_b = (re.sub(r"\.(parquet|csv|tsv)(\.\w+)?$", "", sweep.folder.resolve().name) for sweep in (a, b))
    return a.folder / f"compare-{of_b}" if a.folder.is_dir() else Path(f"compare-{of_a}-{of_b}")


def read_pair(
    folder_a: Path, folder_b: Path, metric: str = "score", direction: Direction | None = None
) -> tuple[FinishedTrials, FinishedTrials]:
    """Both sweeps' finished trials.

    Args:
        folder_a, folder_b: where they lie, or files of trials.
        metric, direction: of CSV files, the name of the score and which end of it is better.

    Raises:
        InputError: a sweep cannot be read, or the two cannot be compared.
    """
    _refuse_one(folder_a, folder_b)
    return pair(*(_sweep(key, folder, metric, direction) for key, folder in (("a", folder_a), ("b", folder_b))))


def _refuse_one(folder_a: Path, folder_b: Path) -> None:
    if folder_a.resolve() == folder_b.resolve():
        raise InputError(f"a={folder_a}, b={folder_b}: the same sweep; name two")


def pair(sweep_a: Sweep, sweep_b: Sweep) -> tuple[FinishedTrials, FinishedTrials]:
    """Both sweeps' finished trials, under names that tell them apart.

    Raises:
        InputError: they are one, none of a sweep's trials has finished, or the two cannot be compared.
    """
    _refuse_one(sweep_a.folder, sweep_b.folder)
    a, b = finished_trials(sweep_a), finished_trials(sweep_b)
    check_comparable(a.sweep, b.sweep)
    if a.name == b.name:
        a, b = (replace(each, sweep=replace(each.sweep, name=str(each.sweep.folder))) for each in (a, b))
    return a, b


def check_comparable(a: Sweep, b: Sweep) -> None:
    """Raise InputError if the scores of two sweeps are known to be of different tasks, or on different examples."""
    for what, of_a, of_b in (
        ("task", a.task, b.task),
        ("metric", a.metric, b.metric),
        ("direction", a.direction, b.direction),
        ("validation examples", validation_examples(a), validation_examples(b)),
    ):
        if of_a and of_b and of_a != of_b:
            remedy = "compare sweeps of one task on the same validation examples"
            if what == "metric" and "score" in (of_a, of_b):
                remedy = "say with metric= what the score of a CSV file is"
            if what == "direction":
                remedy = (
                    "of one score either the higher or the lower is better; say with direction= what a CSV file has"
                )
            raise InputError(f"a={a.folder}, b={b.folder}: different {what}, {of_a} and {of_b}; {remedy}")


def _sweep(key: str, folder: Path, metric: str, direction: Direction | None) -> Sweep:
    if not folder.exists():
        raise InputError(f"{key}={folder}: no such folder or file; run a sweep first, or name another one")
    return read_trials(folder, metric, direction)


def validation_examples(sweep: Sweep) -> str:
    """The number of a sweep's validation examples, and what tells them from others; empty: not known."""
    return "" if sweep.validation_digest is None else f"{sweep.validation_examples} ({sweep.validation_digest})"
