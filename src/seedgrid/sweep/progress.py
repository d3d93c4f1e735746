"""One line of progress for a whole sweep, read from the records that its workers write."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.live import Live
from rich.text import Text

from seedgrid.errors import InputError
from seedgrid.seeds import Seeds
from seedgrid.trials.store import FINISHED, read_trial, trial_name

SECONDS_BETWEEN_LOOKS = 1.0


class SweepProgress:
    """While entered, shows trials done, of how many, the best so far and the time left.

    In a terminal it is one line that changes; elsewhere a line is printed whenever a trial ends.

    Args:
        sweeps: folder and seeds of the trials of each sweep.
    """

    def __init__(self, sweeps: list[tuple[Path, tuple[Seeds, ...]]]) -> None:
        self.open = {folder / trial_name(seed): _Look() for folder, seeds in sweeps for seed in seeds}
        self.trials = len(self.open)
        self.best: float | None = None
        self.done = self.failed = 0
        self.look()
        self.done_before = self.done
        self.work_before = self._work()
        self.begin = time.monotonic()
        self.console = Console(stderr=True)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> SweepProgress:
        self.thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ended.set()
        self.thread.join()

    def look(self) -> int:
        """Read what changed in the records; returns how many trials ended since the last look."""
        ended = 0
        for folder, seen in list(self.open.items()):
            try:
                changed = (folder / "trial.json").stat().st_mtime_ns
                if changed == seen.changed:
                    continue
                trial = read_trial(folder)
                curve = pq.read_table(folder / "evaluations.parquet", columns=["step", "score"])
            except (OSError, InputError, pa.ArrowException):
                continue  # not there yet, or damaged: said where the trial is run
            seen.changed = changed
            pairs = zip(curve["step"].to_pylist(), curve["score"].to_pylist(), strict=True)
            scores = {step: score for step, score in pairs if step > 0}
            seen.share = max(scores, default=0) / trial["steps"]
            if scores:
                self.best = max(scores.values()) if self.best is None else max(self.best, *scores.values())
            if trial["status"] in FINISHED:
                self.done += 1
                ended += 1
                del self.open[folder]
        return ended

    def line(self) -> str:
        """The line as it stands."""
        running = sum(0 < seen.share < 1 for seen in self.open.values())
        best = "" if self.best is None else f"   best so far {self.best:.4f}"
        return f"{self.done} of {self.trials} trials{best}   {running} running   {self._left()}"

    def _left(self) -> str:
        work = self._work() - self.work_before
        if work <= 0:
            return "time left: known after the first validations"
        seconds = (time.monotonic() - self.begin) / work * (self.trials - self._work())
        minutes, seconds = divmod(round(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} left"

    def _work(self) -> float:
        """Trials' worth of training that is done, parts of running trials included."""
        return self.done + sum(seen.share for seen in self.open.values())

    def _watch(self) -> None:
        if not self.console.is_terminal:
            while not self.ended.wait(SECONDS_BETWEEN_LOOKS):
                if self.look():
                    print(self.line(), file=sys.stderr, flush=True)
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while not self.ended.wait(SECONDS_BETWEEN_LOOKS):
                self.look()
                live.update(Text(self.line()), refresh=True)


class _Look:
    """What the last look at a running trial saw: when its record changed, and the share of its steps taken."""

    changed: int | None = None
    share: float = 0.0
