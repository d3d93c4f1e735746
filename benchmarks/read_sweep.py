"""How long reading a large sweep takes, and how much memory: python benchmarks/read_sweep.py

Writes a sweep of the paper's size (2,100 trials) with made-up numbers into a temporary folder, in the format of a real
one, then reads it in a fresh process, so that the peak memory is the reader's.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seedgrid.records.store import RECORD_VERSION, read_sweep, read_trial, trial_folders, trial_name
from seedgrid.seeds import Seeds


def write(folder: Path, trials: int, steps: int, evaluations: int) -> None:
    """Write a sweep of made-up numbers."""
    generator = np.random.default_rng(0)
    width = round(trials**0.5)
    at = np.linspace(steps / evaluations, steps, evaluations).astype(int)
    for trial in range(trials):
        seeds = Seeds(init=trial // width, order=trial % width)
        path = folder / trial_name(seeds)
        path.mkdir(parents=True)
        losses = {"step": np.arange(1, steps + 1), "loss": generator.random(steps), "learning_rate": np.zeros(steps)}
        pq.write_table(pa.table(losses), path / "train_loss.parquet")
        score = generator.random(evaluations)
        rows = {"step": at, "epoch": 3 * at / steps, "loss": score, "accuracy": score, "score": score, "seconds": score}
        pq.write_table(pa.table(rows), path / "evaluations.parquet")
        header = {
            "record_version": RECORD_VERSION,
            "status": "completed",
            "config": {"task": {"name": "grammar", "metric": "accuracy"}},
            "identity": {"data.validation": ""},
            "versions": {},
            "train_examples": steps,
            "validation_examples": 1,
            "steps": steps,
            "seconds": 1.0,
            "error": None,
            "diverged_at": 0.1,
        }
        (path / "trial.json").write_text(json.dumps(header))


def read(folder: Path) -> None:
    """Read it part by part, and print seconds and memory."""
    begin = time.perf_counter()
    done = sum(read_trial(path)["status"] == "completed" for _, path in trial_folders(folder))
    print(f"listing what is done ({done} trials): {time.perf_counter() - begin:.2f} s")
    begin = time.perf_counter()
    sweep = read_sweep(folder)
    print(f"trials and {len(sweep.evaluations):,} evaluations: {time.perf_counter() - begin:.2f} s")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    frame = sweep.train_loss
    size = frame.memory_usage(deep=True).sum() / 2**20
    print(f"{len(frame):,} training losses: {time.perf_counter() - begin:.2f} s, {size:,.0f} MiB")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory: {before / 1024:,.0f} MiB before the losses, {peak / 1024:,.0f} MiB with them")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2100)
    parser.add_argument("--steps", type=int, default=12600)
    parser.add_argument("--evaluations", type=int, default=130)
    parser.add_argument("--read", type=Path, help="read this sweep instead of making one")
    arguments = parser.parse_args()
    if arguments.read is not None:
        read(arguments.read)
        return
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        write(Path(folder), arguments.trials, arguments.steps, arguments.evaluations)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet")) / 2**20
        print(
            f"{arguments.trials} trials made in {time.perf_counter() - begin:.0f} s, {size:,.0f} MiB on disk",
            flush=True,
        )
        subprocess.run([sys.executable, __file__, "--read", folder], check=True)


if __name__ == "__main__":
    main()
