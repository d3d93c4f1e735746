"""A report's figures, tables and numbers as a run in Weights & Biases, beside the runs of its trials."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import wandb
from PIL import Image

from seedgrid.errors import one_line
from seedgrid.records.store import Sweep
from seedgrid.report.page import png
from seedgrid.report.section import Section
from seedgrid.settings import LoggerSettings
from seedgrid.trials.wandb_mode import group_of, is_disabled, wandb_mode
from seedgrid.trials.wandb_run import PATIENCE, start_run


def log_report(sections: Sequence[Section], sweeps: Sequence[Sweep], settings: LoggerSettings) -> None:
    """Log a report as one run of job type ``report``, in the group of its (first) sweep's trials.

    The run goes where a trial's would: to W&B's servers where the user is logged in. Without a login, or if W&B fails,
    a line says so: the report on disk is complete without it.

    Args:
        sections: of the report.
        sweeps: that it is about.
        settings: project, entity and tags, as for the trials.
    """
    mode = wandb_mode(settings.offline)
    if mode == "records":
        why = "turned off" if is_disabled() else "not logged in; wandb login, and then the same command"
        print(f"  W&B          has no report: {why}")
        return
    home = sweeps[0].folder if sweeps[0].folder.is_dir() else Path.cwd()
    try:
        with (
            TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
            start_run(
                settings,
                online=mode == "online",
                patience=PATIENCE,
                live=False,
                dir=scratch if mode == "online" else home,
                group=group_of(home) if home == sweeps[0].folder else sweeps[0].name,
                job_type="report",
                name=f"report of {', '.join(sweep.name for sweep in sweeps)}",
                tags=list(dict.fromkeys([*(sweep.task for sweep in sweeps if sweep.task), *settings.tags])),
                config={"sweeps": [str(sweep.folder) for sweep in sweeps]},
            ) as run,
        ):
            run.log(_media(sections))
            run.summary.update(_numbers(sections))
            where = run.url if mode == "online" else f"{home / 'wandb'}, to be sent by wandb sync"
    except Exception as error:  # a logger is never worth a report
        print(f"logger: {one_line(error)}; the report on disk is complete without it", file=sys.stderr)
        return
    print(f"  W&B          {where}")


def _media(sections: Sequence[Section]) -> dict[str, Any]:
    """Figures, tables, and one table of what they say."""
    said = pd.DataFrame(
        [(section.title, section.reading, "\n".join(section.missing)) for section in sections],
        columns=["section", "reading", "not available"],
    )
    media: dict[str, Any] = {"readings": _table(said)}
    for section in sections:
        if section.figure is not None:
            media[f"figures/{section.key}"] = wandb.Image(
                Image.open(io.BytesIO(png(section.figure))), caption=section.title
            )
        if section.table is not None:
            media[f"tables/{section.key}"] = _table(section.table)
    return media


def _numbers(sections: Sequence[Section]) -> dict[str, float]:
    """Table 1 under the names that the trials' own runs have in their summaries; what it does not give is left out."""
    columns = {"trials": "trials", "diverged": "diverged", "best_found": "best found", "mean": "mean", "std": "std"}
    rows = [row for section in sections if section.key == "table-1" for row in section.table.to_dict("records")]
    return {
        f"{row['sweep']}/{name}": row[column]
        for row in rows
        for name, column in columns.items()
        if not pd.isna(row[column])
    }


def _table(table: pd.DataFrame) -> Any:
    """Missing cells of any kind become None: W&B knows no other kind that goes with both numbers and text."""
    rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    return wandb.Table(columns=[str(name) for name in table], data=rows, allow_mixed_types=True)
