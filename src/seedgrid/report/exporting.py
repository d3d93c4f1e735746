"""What ``seedgrid export`` calls with its composed config: all trials of one or several sweeps as one tidy file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig
from pydantic import Field
from rich.console import Console

from seedgrid.errors import plain_exit
from seedgrid.records.sources import SourceSettings, read_sources
from seedgrid.records.tidy import check_ending, export_csv, export_parquet
from seedgrid.settings import read_config
from seedgrid.wording import count


class ExportSettings(SourceSettings):
    """``export.yaml``.

    Attributes:
        to: the file, whose ending says what it is: ``.parquet`` or ``.csv``.
    """

    to: Annotated[str, Field(min_length=1)]


@plain_exit()
def export(config: DictConfig) -> None:
    """Write the file; exits with code 1 where that is not possible."""
    settings = read_config(config, ExportSettings)
    path = Path(settings.to)
    check_ending(path)
    with Console(stderr=True).status("reading"):
        sweeps = read_sources(settings)
    (export_csv if path.suffix.lower() == ".csv" else export_parquet)(sweeps, path)
    trials = sum(len(sweep.trials) for sweep in sweeps)
    print(f"{path}: {count(trials)} of {count(len(sweeps), 'sweep')}")
