"""Seconds and memory that the commands take on a large sweep: python benchmarks/read_sweep.py [--seeds INIT ORDER]

Trains one trial of a small task, and writes simulated trials in its place (of ``simulated_grid.py``), as many as asked
for, with all files that a trial has. Then each command runs in a process of its own, first without the sweep's index of
ended trials, which it leaves for the second time. 100 x 100 trials are the default; 1000 x 100 take 6 GB of disk, in
600,000 files and folders.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from simulated_grid import simulate

from seedgrid.records.store import read_sweep, trial_folders, trial_name
from seedgrid.seeds import Seeds

SEEDGRID = ("-m", "seedgrid")
# 31 evaluations of 100 examples, 240 steps.
STUDY = (
    *("experiment=quickstart", "recipe=debug", "recipe.epochs=3", "evaluation.per_epoch=10", "logger=none"),
    "task.source.validation_size=100",
)
PAGE = "import sys, pathlib, seedgrid.report.index as i; i.SweepIndex(pathlib.Path(sys.argv[1])).page()"


def write(sweep: Path, inits: int, orders: int) -> None:
    """Write simulated trials like the one that is there, each with scores and predictions of its own."""
    [(_, real)] = trial_folders(sweep)
    header = json.loads((real / "trial.json").read_text())
    evaluations = pq.read_table(real / "evaluations.parquet")
    alike = {name: (real / name).read_bytes() for name in ("train_loss.parquet", "gradient_norms.parquet")}
    with np.load(real / "predictions.npz") as archive:
        steps, labels = archive["steps"], archive["labels"]
    shutil.rmtree(real)
    generator = np.random.default_rng(0)
    scores = simulate(inits, orders, (0.2, 0.3), 0.01, len(steps) - 1, 0)["score"].to_numpy()
    for trial, curve in enumerate(scores.reshape(inits * orders, -1)):
        seeds = Seeds(init=trial // orders, order=trial % orders)
        chance = np.append(0.5, curve)
        if generator.random() < 0.05:
            chance[:] = 0.5  # diverged
        right = generator.random((len(steps), len(labels))) < chance[:, None]
        logits = np.zeros((len(steps), len(labels), 2), np.float32)
        np.put_along_axis(logits, np.where(right, labels, 1 - labels)[..., None], 1, axis=2)
        table = evaluations
        for name in ("accuracy", "score"):
            table = table.set_column(table.column_names.index(name), name, pa.array(right.mean(axis=1)))
        folder = sweep / trial_name(seeds)
        folder.mkdir()
        pq.write_table(table, folder / "evaluations.parquet")
        for name, content in alike.items():
            (folder / name).write_bytes(content)
        np.savez(folder / "predictions.npz", steps=steps, logits=logits, labels=labels)
        (folder / "trial.json").write_text(json.dumps(header | {"seeds": seeds.model_dump()}, indent=2))


def run(name: str, *words: object) -> str:
    """Run a Python process; returns its seconds, those of its cores, and its peak memory as cells of a table."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name}: exit code {process.returncode}\n{said}")
    seconds, cpu = time.perf_counter() - begin, used.ru_utime + used.ru_stime
    return f"{seconds:.1f} ({cpu:.1f}), {used.ru_maxrss / 2**20:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(100, 100), metavar=("INIT", "ORDER"))
    parser.add_argument("--folder", type=Path, help="where to write the sweep, which stays; default: a temporary one")
    parser.add_argument("--budget", type=int, default=8, help="of the plan, in full trainings")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sweep = (given.folder or Path(temporary) / "sweep").resolve()
        inits, orders = given.seeds
        grid = (f"seed.init=range(0,{inits})", f"seed.order=range(0,{orders})")
        if not any(trial_folders(sweep)):
            begin = time.perf_counter()
            run("train", *SEEDGRID, "train", *STUDY, f"sweep={sweep}", "seed.init=0", "seed.order=0")
            shutil.rmtree(sweep / "best_model")  # of a trial that goes
            write(sweep, inits, orders)
            print(f"{inits * orders:,} trials written in {time.perf_counter() - begin:.0f} s", flush=True)
        commands = {
            "dry run": (*SEEDGRID, "train", "-m", *STUDY, f"sweep={sweep}", *grid, "dry_run=true"),
            "summary": (*SEEDGRID, "train", "-m", *STUDY, f"sweep={sweep}", *grid),
            "status": (*SEEDGRID, "status", f"sweep={sweep}"),
            "report": (*SEEDGRID, "report", f"sweep={sweep}", f"output={temporary}/report"),
            "plan": (*SEEDGRID, "plan", f"sweep={sweep}", f"budget={given.budget}"),
            "index page": ("-c", PAGE, sweep),
        }
        print("command: seconds (of all cores), peak memory in GiB, without an index and with it", flush=True)
        for name, words in commands.items():
            taken = []
            for _ in range(2):
                if not taken:
                    (sweep / ".cache" / "index").unlink(missing_ok=True)
                elif not (sweep / ".cache" / "index").exists():
                    read_sweep(sweep)  # for a command that writes none
                for picture in sweep.glob("*.png"):
                    picture.unlink()
                taken.append(run(name, *words))
            print(f"{name:10}  {taken[0]:>22}  {taken[1]:>22}", flush=True)


if __name__ == "__main__":
    main()
