"""What ``seedgrid report`` calls with its composed config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig
from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from seedgrid.errors import InputError, plain_exit
from seedgrid.records.sources import SourceSettings, read_sources
from seedgrid.records.store import Sweep
from seedgrid.report.all_sections import build_sections, count_parts
from seedgrid.report.arrays import FinishedTrials, finished_trials
from seedgrid.report.page import check_output, made_of, write_report
from seedgrid.report.section import Section
from seedgrid.settings import LoggerSettings, SettingsGroup, read_config

_TITLE = "What the seeds did"
# Of more sweeps, how long they take is said beforehand: a page of 150 took so many seconds and megabytes each.
_MANY, _SECONDS, _MEGABYTES = 10, 2.6, 0.3


class ReportOptions(SettingsGroup):
    """What a report's numbers depend on, besides the trials; see ``report.yaml``."""

    level: Annotated[float, Field(gt=0, lt=1)]
    splits: Annotated[int, Field(ge=2)]
    random_seed: Annotated[int, Field(ge=0)]


class ReportSettings(SourceSettings, ReportOptions):
    """``report.yaml``, which says what each of them means."""

    output: Annotated[str, Field(min_length=1)] | None
    logger: LoggerSettings


@plain_exit()
def report(config: DictConfig) -> None:
    """Read the trials, compute every section, write the page; exits with code 1 where that is not possible."""
    settings = read_config(config, ReportSettings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("reading", total=None)
        sweeps = read_sources(settings)
        output = _output(settings, sweeps)
        if len(sweeps) > _MANY:
            minutes, megabytes = round(len(sweeps) * _SECONDS / 60, 1), len(sweeps) * _MEGABYTES
            said = f"{len(sweeps)} sweeps on one page: about {minutes:g} min and {megabytes:.0f} MB; fewer are quicker"
            progress.console.print(said, highlight=False)
        page, sections, notes = make_report(
            sweeps,
            output,
            settings,
            lambda what, parts: progress.update(bar, advance=1, total=parts, description=what),
            _named(settings),
        )
    if settings.logger.kind == "wandb":
        from seedgrid.report.wandb_report import log_report

        log_report(sections, sweeps, settings.logger)
    for note in notes:
        print(note)
    figures = sum(section.figure is not None for section in sections)
    tables = sum(section.table is not None for section in sections)
    print(f"  report       {page}   {figures} figures (SVG, PNG), {tables} tables (CSV, LaTeX)")


def make_report(
    sweeps: Sequence[Sweep],
    output: Path,
    options: ReportOptions,
    advance: Callable[[str, int], object],
    named: Sequence[str | Path],
) -> tuple[Path, list[Section], list[str]]:
    """Compute every section and write the page.

    Args:
        sweeps: what to report on.
        output: folder of the report.
        options: of the numbers.
        advance: called with the name of each part before it is made, and with the number of parts.
        named: where the sweeps are, as the user said it.

    Returns:
        Path of the page, its sections, and the notes at its top.

    Raises:
        InputError: no trial has finished, or ``output`` holds anything but a report on what is named, or cannot be
            written.
    """
    studies, notes = _finished(sweeps)
    check_output(output, _TITLE, named)
    parts = 2 * count_parts(studies)

    def begin(what: str) -> None:
        advance(what, parts)

    sections = build_sections(studies, options.level, options.splits, options.random_seed, begin)
    title = f"{_TITLE}: {_title(studies)}"
    content = made_of(sweeps, options, ReportOptions)
    page = write_report(sections, output, title=title, notes=notes, named=named, made_of=content, advance=begin)
    return page, sections, notes


def _finished(sweeps: Sequence[Sweep]) -> tuple[list[FinishedTrials], list[str]]:
    """The trials to report on, and what to say of them; of several sweeps those without any are left out."""
    studies, notes = [], []
    for sweep in sweeps:
        try:
            study = finished_trials(sweep)
        except InputError as error:
            if len(sweeps) == 1:
                raise
            notes.append(str(error))
            continue
        studies.append(study)
        notes += filter(None, (study.description, study.versions_warning))
    if not studies:
        raise InputError("; ".join(notes))
    return studies, notes


def _title(studies: list[FinishedTrials]) -> str:
    return ", ".join(study.name for study in studies) if len(studies) <= 3 else f"{len(studies)} sweeps"


def _named(settings: ReportSettings) -> list[str]:
    if settings.source != "sweep":
        return [settings.path, *(settings.tasks or ())]
    return [settings.sweep] if isinstance(settings.sweep, str) else settings.sweep


def _output(settings: ReportSettings, sweeps: list[Sweep]) -> Path:
    if settings.output is not None:
        return Path(settings.output)
    return sweeps[0].folder / "report" if settings.source == "sweep" and len(sweeps) == 1 else Path("report")
