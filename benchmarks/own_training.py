"""What a trial of a user's own module takes besides the module's own steps, on one core.

    pip install -e '.[examples]'
    python benchmarks/own_training.py
    python benchmarks/own_training.py --steps 2000 --rounds 5

For each of the trainings in examples/, the milliseconds of an optimizer step: as a plain PyTorch loop takes it (batch,
loss, backward, optimizer; no validation), as Lightning's Trainer alone does, and as a trial does, which seeds each
example, batch and step, measures gradients, and records. All three validate nothing; the trial records all that it does
else. They alternate, in the opposite order in every second round; medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import pytorch_lightning as pl
import torch

from seedgrid.composition import compose
from seedgrid.configs import given
from seedgrid.settings import Settings
from seedgrid.training.kinds import read_settings
from seedgrid.training.lone_trainer import lone_trainer
from seedgrid.training.own.training import make_data, make_module
from seedgrid.training.process import configure_process
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial

EXAMPLES = Path(__file__).parents[1] / "examples"
WAYS = ("PyTorch", "Lightning", "trial")


def plain(settings: Settings, steps: int) -> None:
    """Take steps without Lightning; for modules of one optimizer."""
    data, module = make_data(settings), make_module(settings)
    data.setup("fit")
    module.trainer = pl.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, barebones=True)
    configured = module.configure_optimizers()
    optimizer = configured[0][0] if isinstance(configured, tuple) else configured
    taken = 0
    while taken < steps:
        for index, batch in enumerate(data.train_dataloader()):
            loss = module.training_step(batch, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            taken += 1
            if taken == steps:
                break


def alone(settings: Settings, epochs: int) -> None:
    """Have Lightning's Trainer train."""
    data, module = make_data(settings), make_module(settings)
    lone_trainer(max_epochs=epochs, accelerator="cpu", devices=1).fit(module, datamodule=data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="about so many a round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    os.chdir(EXAMPLES)
    configure_process(1)
    print(f"{torch.__version__}, one thread; milliseconds a step, medians of {asked.rounds} rounds")
    print(f"{'training':10} {'batch':>5} " + " ".join(f"{way:>10}" for way in WAYS) + "   a trial's own")
    for name, batch in (("digits", 32), ("table", 16)):
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for round_ in range(asked.rounds + 1):  # the first warms up
            with tempfile.TemporaryDirectory() as folder, given(EXAMPLES / "conf"):
                words = [f"training={name}", "evaluation.per_epoch=0.001", "evaluation.at_start=false", "logger=none"]
                once = prepare(read_settings(compose("train", [*words, f"sweep={folder}/once"])))
                epochs = max(1, round(asked.steps / once.steps_per_epoch))
                steps = epochs * once.steps_per_epoch
                settings = read_settings(
                    compose("train", [*words, f"training.epochs={epochs}", "keep_best=false", f"sweep={folder}/timed"])
                )
                prepared = prepare(settings)
                work: dict[str, Callable[[], object]] = {
                    "PyTorch": partial(plain, settings, steps),
                    "Lightning": partial(alone, settings, epochs),
                    "trial": partial(run_trial, settings, prepared),
                }
                for way in WAYS if round_ % 2 else reversed(WAYS):
                    begin = time.perf_counter()
                    work[way]()
                    seconds[way].append((time.perf_counter() - begin) / steps)
        typical = {way: 1e3 * median(seconds[way][1:]) for way in WAYS}
        own = typical["trial"] - typical["PyTorch"]
        print(f"{name:10} {batch:5} " + " ".join(f"{typical[way]:10.2f}" for way in WAYS) + f"   {own:.2f} ms")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
