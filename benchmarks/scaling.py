"""Trials per hour with 1, 2, ... workers, and how memory grows.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --workers 1,2,4 --trials-per-worker 4 task=mrpc data.root=GLUE data.train_size=320

Takes the overrides of seedgrid train. Each line is one ``seedgrid train -m hydra.launcher.n_jobs=WORKERS`` in a new
folder, on the CPU with one thread a trial, from the command to its end; as every worker gets as many trials, all lines
have the same share of start-up. Several rounds go through the numbers of workers in turn, and the table has medians.

Prints workers, trials, seconds, trials per hour and how many times those of the first line, and the peak memory of all
processes together, in all and a worker (pages that processes share count once where the system tells).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from seedgrid.composition import compose
from seedgrid.errors import InputError
from seedgrid.records.store import read_sweep
from seedgrid.settings import Settings
from seedgrid.training.kinds import read_settings
from seedgrid.trials.devices import workers

CORES = workers("cpu", threads=1, per_gpu=1)


@dataclass(frozen=True)
class Measured:
    """Some trials: what they took, and what came of them.

    Attributes:
        seconds: of wall time.
        memory: bytes, the largest sum over all processes.
        evaluations: a row per validation: ``trial``, ``step``, ``score``, ``loss``.
        in_trials: seconds of all trials together, without start-up; they overlap where there are several workers.
    """

    seconds: float
    memory: int
    evaluations: pd.DataFrame
    in_trials: float = 0.0

    @property
    def per_hour(self) -> float:
        """Trials per hour."""
        return 3600 * self.evaluations["trial"].nunique() / self.seconds


class PeakMemory(threading.Thread):
    """The largest memory of all processes below this one together, in bytes, looked at every few seconds."""

    def __enter__(self) -> PeakMemory:
        self.bytes, self.over = 0, threading.Event()
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        while not self.over.wait(3):  # counting pages takes time from those who are measured
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    memory = process.memory_full_info()
                except psutil.Error:
                    continue  # it has ended
                total += getattr(memory, "pss", memory.uss)  # Linux divides shared pages among their users
            self.bytes = max(self.bytes, total)


def settings_of(overrides: list[str]) -> Settings:
    """What seedgrid train would make of the overrides; ends the command where it would."""
    try:
        return read_settings(compose("train", overrides))
    except InputError as error:
        sys.exit(f"error: {error}")


def run_sweep(overrides: list[str], seeds: range) -> Measured:
    """``seedgrid train -m`` with all three seeds of a trial equal, in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output").open("w+") as output:
        sweep = f"{folder}/sweep"
        drawn = [f"seed.init=range({seeds.start},{seeds.stop})", "seed.order=${seed.init}", "seed.dropout=${seed.init}"]
        command = [sys.executable, "-m", "seedgrid", "train", "-m", *overrides, *drawn, f"sweep={sweep}"]
        with PeakMemory() as peak:
            begin = time.perf_counter()
            status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode
            seconds = time.perf_counter() - begin
        if status != 0:
            output.seek(0)
            sys.exit(f"{output.read()}\nerror: seedgrid train ended with exit code {status}")
        read = read_sweep(sweep)
    evaluations = read.evaluations.assign(trial=read.evaluations["init"]).sort_values(["trial", "step"])
    in_trials = float(read.trials["seconds"].sum())
    return Measured(seconds, peak.bytes, evaluations[["trial", "step", "score", "loss"]], in_trials)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    powers = sorted({2**power for power in range(CORES.bit_length())} | {CORES})
    parser.add_argument("--workers", type=numbers, default=powers, help="1,2,4; default: powers of 2, and the cores")
    parser.add_argument("--trials-per-worker", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "overrides", nargs="*", help="as of seedgrid train: task=mrpc data.root=GLUE data.train_size=320 ..."
    )
    arguments = parser.parse_args()
    overrides = ["trainer=cpu", "logger=none", *arguments.overrides]
    settings = settings_of(overrides)
    measured: dict[int, list[Measured]] = {count: [] for count in arguments.workers}
    for _ in range(arguments.rounds):
        for count, of_count in measured.items():
            seeds = range(count * arguments.trials_per_worker)
            of_count.append(run_sweep([*overrides, f"hydra.launcher.n_jobs={count}"], seeds))
    print(f"{settings.task.name}, {settings.model.name}, {settings.trainer.threads} thread(s) a trial, {CORES} cores\n")
    print(f"{'workers':>7}{'trials':>8}{'seconds':>9}{'per hour':>10}{'times':>7}{'memory, GiB':>13}{'a worker':>10}")
    first = None
    for count, of_count in measured.items():
        seconds, rate, memory = np.median([(m.seconds, m.per_hour, m.memory / 2**30) for m in of_count], axis=0)
        first = first or rate
        trials = count * arguments.trials_per_worker
        print(f"{count:7}{trials:8}{seconds:9.1f}{rate:10.1f}{rate / first:7.2f}{memory:13.2f}{memory / count:10.2f}")


if __name__ == "__main__":
    main()
