"""What ``seedgrid status`` calls with its composed config: what sweeps are doing, kept up to date in a terminal."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta
from typing import Annotated

from omegaconf import DictConfig
from pydantic import Field
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table

from seedgrid.errors import plain_exit
from seedgrid.records.store import ENDED, find_sweeps
from seedgrid.settings import SettingsGroup, read_config
from seedgrid.sweep.status import SweepStatus, SweepWatch
from seedgrid.wording import count, hours, percent

# Looks without a running trial after which a sweep is over. Between two trials, and more so between two rungs, when
# workers start anew, there are some in a sweep that goes on.
QUIET_LOOKS = 15


class StatusSettings(SettingsGroup):
    """``status.yaml``.

    Attributes:
        sweep: folder of a sweep, a pattern of folders, or a list of both.
        every: seconds between two looks.
        once: look once, also in a terminal.
    """

    sweep: str | list[str] | None
    every: Annotated[float, Field(ge=0.1, allow_inf_nan=False)]
    once: bool


@plain_exit()
def watch(config: DictConfig) -> None:
    """Show what sweeps are doing; in a terminal until nothing runs any more.

    Exits with code 1 if there is no such sweep or trial, or a record is damaged, and with 0 after Ctrl-C.
    """
    said: set[str] = set()
    try:
        settings = read_config(config, StatusSettings)
        watches = [SweepWatch(folder) for folder in find_sweeps(settings.sweep)]
        console = Console(markup=False, highlight=False)
        terminal = sys.stdout.isatty() and not console.is_dumb_terminal
        if not terminal:
            console.width = 1000  # whoever reads it there wants whole lines
        if settings.once or not terminal:
            sweeps = _look(watches, said)
            console.print(_page(sweeps))
        else:
            sweeps = _follow(watches, said, settings.every, console)
    except KeyboardInterrupt:
        return
    if any(sweep.damaged for sweep in sweeps):
        sys.exit(1)


def _look(watches: list[SweepWatch], said: set[str]) -> list[SweepStatus]:
    """All sweeps as they are now; says of each damaged record once what is wrong."""
    sweeps = [each.look() for each in watches]
    for line in (line for sweep in sweeps for line in sweep.damaged if line not in said):
        print(f"error: {line}", file=sys.stderr)
        said.add(line)
    return sweeps


def _follow(watches: list[SweepWatch], said: set[str], every: float, console: Console) -> list[SweepStatus]:
    """Show them until nothing runs any more; returns what the last look saw."""
    quiet = None
    with Live(console=console, auto_refresh=False) as live:
        while True:
            sweeps = _look(watches, said)
            live.update(_page(sweeps), refresh=True)
            if any(sweep.workers for sweep in sweeps):
                quiet = 0
            elif quiet is None:  # the only look, unless a sweep's workers are still importing
                quiet = 0 if any(set(sweep.counts) == {"not started"} for sweep in sweeps) else QUIET_LOOKS + 1
            else:
                quiet += 1
            if quiet > QUIET_LOOKS:
                return sweeps
            time.sleep(every)


def _page(sweeps: list[SweepStatus]) -> RenderableType:
    blocks: list[RenderableType] = []
    for sweep in sweeps:
        parts = ", ".join(f"{number} {status}" for status, number in sweep.counts.items())
        blocks += ["", f"{sweep.folder}: {count(sum(sweep.counts.values()))}, {parts}", _facts(sweep)]
        if sweep.running:
            blocks.append(_table(sweep))
    return Group(*blocks[1:])


def _facts(sweep: SweepStatus) -> str:
    facts = {}
    over = sweep.counts.keys() <= {*ENDED}
    if sweep.best is not None:
        score, seeds = sweep.best
        named = ", ".join(f"{name} {seed}" for name, seed in seeds if seed or name != "dropout")
        lower = " (lower is better)" if sweep.scale.lower_is_better else ""
        found = f"{sweep.scale.written(score)} {sweep.scale.metric}{lower}   {named}"
        facts["best found" if over else "best so far"] = found
    if sweep.mean is not None:
        facts["mean"] = sweep.scale.written(sweep.mean) + ("" if over else " of the finished")
    workers = str(sweep.workers)
    if sweep.trials_per_hour is not None:
        digits = 0 if sweep.trials_per_hour >= 10 else 1
        workers += f", at their pace {sweep.trials_per_hour:,.{digits}f} full trainings an hour"
    facts["workers"] = workers
    if sweep.seconds_left is not None:
        what = "" if sweep.planned else " (of the trials that run now; others may follow)"
        facts["expected end"] = f"{_clock(sweep.seconds_left)}, in {hours(sweep.seconds_left)}{what}"
    elif sweep.workers:
        facts["expected end"] = "known after the first validations"
    return "\n".join(f"  {name:12}  {fact}" for name, fact in facts.items())


def _table(sweep: SweepStatus) -> Padding:
    table = Table(box=None, header_style="", padding=(0, 2), pad_edge=False)
    table.add_column("running")
    for name in ("step", "done", "best so far", "left"):
        table.add_column(name, justify="right")
    for trial in sweep.running:
        table.add_row(
            trial.name,
            f"{trial.step} of {trial.goal}",
            percent(trial.step / trial.goal),
            "" if trial.best is None else sweep.scale.written(trial.best),
            "" if trial.seconds_left is None else hours(trial.seconds_left),
        )
    return Padding(table, (0, 0, 0, 2), expand=False)


def _clock(seconds: float) -> str:
    """The time of day in so many seconds, with the weekday if that is not today."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%a %H:%M}"
