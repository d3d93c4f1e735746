"""A process that has imported everything and forks one child a trial, so that tests can kill trials by the dozen.

Reads one JSON object a line: ``overrides`` (of the config), ``die`` (null, or [n, stage]: kill yourself with SIGKILL
at the n-th file written: ``before`` anything of it, ``half`` written, ``whole`` but not yet renamed, or ``after``), and
``at_once`` (how many losses come over together).
Answers with the child's pid, and after its end with its exit status, one number a line.
"""

import json
import os
import signal
import sys
from pathlib import Path

import hydra
import pytorch_lightning  # noqa: F401
import torch
from omegaconf import open_dict

from seedgrid import files
from seedgrid.records import record
from seedgrid.settings import read_settings
from seedgrid.trials import best_model, checkpoint, losses, run
from seedgrid.trials.preparation import prepare

CONF = Path(__file__).parents[2] / "conf"


def compose(overrides: list[str]):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("train", overrides)
    with open_dict(config):
        config.pop("hydra", None)
    return read_settings(config)


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


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            losses.AT_ONCE["cpu"] = job["at_once"]
            if job["die"] is not None:
                die_at(*job["die"])
            settings = compose(job["overrides"])
            outcome = run.run_trial(settings, prepare(settings))
            os._exit(0 if outcome.status in ("completed", "stopped", "interrupted") else 1)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
