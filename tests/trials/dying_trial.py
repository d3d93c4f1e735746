"""Run a trial that may kill itself: tests start it by the dozen, each in a process of its own.

Takes one JSON object as its word: ``overrides`` (of the config), ``die`` (null, or [n, stage]: kill yourself with
SIGKILL at the n-th file written: ``before`` anything of it, ``half`` written, ``whole`` but not yet renamed, or
``after``), and ``at_once`` (how many losses come over together).
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from seedgrid import files
from seedgrid.composition import compose
from seedgrid.records import record
from seedgrid.settings import Settings
from seedgrid.training.kinds import read_settings
from seedgrid.trials import best_model, checkpoint, losses, run
from seedgrid.trials.preparation import prepare


def settings_of(overrides: list[str]) -> Settings:
    return read_settings(compose("train", overrides))


def die_at(number: int, stage: str) -> None:
    """Make the ``number``-th write of this process its last moment."""
    count = 0
    write_whole = files.write_whole

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def deadly(path: Path, write) -> None:
        nonlocal count
        count += 1
        if count != number:
            return write_whole(path, write)
        if stage == "before":
            die()

        def fatal(file) -> None:
            write(file)
            file.flush()
            if stage == "half":
                file.truncate(os.fstat(file.fileno()).st_size // 2)
            die()

        write_whole(path, write if stage == "after" else fatal)
        die()

    for module in (files, record, checkpoint, best_model, run):
        module.write_whole = deadly


def main(overrides: list[str], die: list | None, at_once: int) -> None:
    torch.set_num_threads(1)
    losses.AT_ONCE["cpu"] = at_once
    if die is not None:
        die_at(*die)
    settings = settings_of(overrides)
    outcome = run.run_trial(settings, prepare(settings))
    sys.exit(0 if outcome.status in ("completed", "stopped", "interrupted") else 1)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
