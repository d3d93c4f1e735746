"""One line of progress for all trials of a command, read from the records that its workers write."""

from __future__ import annotations

import html
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
from rich.console import Console
from rich.live import Live
from rich.text import Text

from seedgrid.errors import InputError
from seedgrid.records.store import FINISHED, read_table, read_trial, scale_of
from seedgrid.scale import Scale
from seedgrid.trials import interrupt

SECONDS_BETWEEN_LOOKS = 1.0


class SweepProgress:
    """While entered, shows trials done, of how many, the best so far and the time left.

    In a terminal it is one line that changes, in a notebook one with a bar, which stays as what came of it; elsewhere a
    line is printed whenever a trial ends.

    Args:
        goals: the step that each trial is to reach, by its folder.
        where: that goal in words, if it is not the end.
    """

    def __init__(self, goals: dict[Path, int], where: str = "") -> None:
        self.open = {folder: _Look(goal) for folder, goal in goals.items()}
        self.where = f" {where}" if where else ""
        self.trials = len(goals)
        self.steps = sum(goals.values())
        self.best: float | None = None
        self.scale = Scale("")
        self.done = self.steps_done = 0
        self.begin: float | None = None
        self.look()
        self.work_before = self._work()
        self.begin = None
        self.entered = time.monotonic()
        self.cell: _Cell | None = None
        self.console = Console(stderr=True)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> SweepProgress:
        # Here, for a notebook shows beneath a cell what that cell's own thread first displays.
        if in_notebook():
            self.cell = _Cell(self.line())
        self.thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ended.set()
        self.thread.join()
        if self.cell is not None:
            self.look()
            self.cell.show(self._outcome(), None)

    def look(self) -> int:
        """Read what changed in the records; returns how many trials ended since the last look."""
        ended = 0
        for folder, seen in list(self.open.items()):
            try:
                changed = (folder / "trial.json").stat().st_mtime_ns
                if changed == seen.changed:
                    continue
                trial = read_trial(folder)
                curve = read_table(folder / "evaluations.parquet")
            except (OSError, InputError, pa.ArrowException):
                continue  # not there yet, or damaged: said where the trial is run
            seen.changed = changed
            self.begin = self.begin or time.monotonic()  # not before a trial begins: workers import for long
            pairs = zip(curve["step"].to_pylist(), curve["score"].to_pylist(), strict=True)
            scores = {step: score for step, score in pairs if step > 0}
            seen.step = min(seen.goal, max(scores, default=0))
            seen.running = trial["status"] == "running"
            self.scale = scale_of(trial)
            self.best = self.scale.best((self.best, *scores.values()))
            if trial["status"] in FINISHED or (trial["status"] == "stopped" and seen.step == seen.goal):
                self.done += 1
                self.steps_done += seen.goal
                ended += 1
                del self.open[folder]
        return ended

    def line(self) -> str:
        """The line as it stands."""
        running = sum(seen.running and seen.step > 0 for seen in self.open.values())
        best = "" if self.best is None else f"   best so far {self._written_best()}"
        at_work = f"   {running} running" if running else ""  # none between two trials, nor before a first validation
        return f"{self.done} of {self.trials} trials{self.where}{best}{at_work}   {self._left()}"

    def _outcome(self) -> str:
        """The line that stays."""
        stopped = "stopped: " if interrupt.requested() else ""
        best = "" if self.best is None else f", best found {self._written_best()}"
        clock = _clock(time.monotonic() - self.entered)
        return f"{stopped}{self.done} of {self.trials} trials{self.where}{best}, in {clock}"

    def _written_best(self) -> str:
        return self.scale.fitted([self.best]).written(self.best)

    def _left(self) -> str:
        work = self._work() - self.work_before
        if work <= 0 or self.begin is None:
            return "time left: known after the first validations"
        seconds = (time.monotonic() - self.begin) / work * (self.steps - self._work())
        return f"{_clock(seconds)} left"

    def _work(self) -> int:
        """Steps that are done."""
        return self.steps_done + sum(seen.step for seen in self.open.values())

    def _watch(self) -> None:
        if self.cell is not None:
            while not self.ended.wait(SECONDS_BETWEEN_LOOKS):
                self.look()
                stopping = "stopping, running trials write their checkpoints: " if interrupt.requested() else ""
                self.cell.show(stopping + self.line(), self._work() / self.steps)
            return
        if not (
            sys.stderr.isatty() and self.console.is_terminal
        ):  # rich also takes FORCE_COLOR, as notebooks set, for one
            ended = False
            while not ended:
                ended = self.ended.wait(SECONDS_BETWEEN_LOOKS)
                if self.look():
                    print(self.line(), file=sys.stderr, flush=True)
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while not self.ended.wait(SECONDS_BETWEEN_LOOKS):
                self.look()
                live.update(Text(self.line()), refresh=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this process."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _Cell:
    """One line in a notebook's output that changes in place."""

    def __init__(self, line: str) -> None:
        from IPython.display import display

        self.handle = display(self._bundle(line, 0.0), raw=True, display_id=True)

    def show(self, line: str, share: float | None) -> None:
        """Replace the line.

        Args:
            line: what it says.
            share: of the work that is done, for a bar before it; None: no bar.
        """
        self.handle.update(self._bundle(line, share), raw=True)

    @staticmethod
    def _bundle(line: str, share: float | None) -> dict[str, str]:
        bar = "" if share is None else f'<progress value="{share:.4f}" max="1"></progress> '
        return {"text/html": f"<pre>{bar}{html.escape(line)}</pre>", "text/plain": line}


@dataclass
class _Look:
    """What the last look at a trial saw: when its record changed, the step it has come to, and whether it runs."""

    goal: int
    changed: int | None = None
    step: int = 0
    running: bool = False
