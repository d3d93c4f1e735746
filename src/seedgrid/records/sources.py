"""Where trials come from: sweeps' folders, or files of the other kinds that can be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from seedgrid.errors import InputError
from seedgrid.records.released import read_released
from seedgrid.records.store import Sweep, find_sweeps, read_sweep
from seedgrid.records.tidy import read_csv_trials, read_exported
from seedgrid.scale import Direction
from seedgrid.settings import SettingsGroup


class SourceSettings(SettingsGroup):
    """Which trials: the keys that ``report.yaml`` and ``export.yaml`` have in common, and say the meaning of."""

    sweep: str | list[str] | None
    source: Literal["sweep", "dodge2020", "csv", "parquet"]
    path: str | None
    tasks: list[str] | None
    metric: Annotated[str, Field(min_length=1)]
    direction: Direction | None
    task_name: Annotated[str, Field(min_length=1)] | None
    diverged_at: Annotated[float, Field(allow_inf_nan=False)] | None


def read_sources(settings: SourceSettings) -> list[Sweep]:
    """The sweeps that a command's settings name, each with a name of its own.

    Raises:
        InputError: none is there, it cannot be read, or the settings do not go together.
    """
    if settings.direction is not None and settings.source != "csv":
        raise InputError(f"direction={settings.direction}: source={settings.source} says it itself; leave it out")
    if settings.source == "sweep":
        if settings.path is not None:
            raise InputError(f"path={settings.path}: source=sweep takes sweep=FOLDER; or name the file's source")
        folders = find_sweeps(settings.sweep)
        for folder in folders:
            if folder.is_file():
                raise InputError(f"sweep={folder}: a file; give source=csv path={folder}, or source=parquet")
        return _renamed([read_sweep(folder) for folder in folders])
    if settings.sweep is not None:
        raise InputError(f"sweep={settings.sweep}: source={settings.source} takes path=FILE; leave one of them out")
    if settings.path is None:
        raise InputError(f"path has no value: source={settings.source} needs path=FILE")
    path = Path(settings.path)
    if not path.is_file():
        raise InputError(f"path={path}: no such file")
    if settings.source == "dodge2020":
        return read_released(path, settings.tasks)
    if settings.source == "csv":
        return [read_csv_trials(path, settings.metric, settings.task_name, settings.diverged_at, settings.direction)]
    return read_exported(path)


def _renamed(sweeps: list[Sweep]) -> list[Sweep]:
    """Sweeps of the same folder name are told apart by their paths."""
    names = Counter(sweep.name for sweep in sweeps)
    return [sweep if names[sweep.name] == 1 else replace(sweep, name=str(sweep.folder)) for sweep in sweeps]
