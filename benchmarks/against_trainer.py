"""Trials per hour of this project and of a plain loop around Hugging Face's Trainer, on the same cores of a CPU.

    pip install -e '.[quickstart,benchmarks]'
    python benchmarks/against_trainer.py
    python benchmarks/against_trainer.py --trials 4 --rounds 3 task=mrpc data.root=GLUE \\
        data.train_size=320 data.validation_size=100 recipe.epochs=1

Takes the overrides of seedgrid train. Both sides get the same model, examples, recipe, steps, validations (after the
same steps), number of trials and cores. They alternate, and which one begins alternates too.

- seedgrid: ``seedgrid train -m`` in a new folder, from the command to its end: start-up, tokenization, records.
- Trainer: a Python loop over seeds that saves and logs nothing. Its clock starts when all is imported and tokenized
  and the weights were loaded once. ``--trainer-processes N`` runs N loops at once, on a share of the cores each.

Prints both rates for each round, their ratio, and peak memory (of all processes; pages that they share count once where
the system tells); then the median ratio and its range, and the ratio that a sweep of many trials comes to, where the
start does not count any more. Seeds differ from round to round. They mean other weights and orders to Trainer, so
trials cannot be compared one by one: the last lines compare the distributions of best scores and of losses at the last
validation (two-sided Mann-Whitney and Kolmogorov-Smirnov tests).
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from scaling import CORES, Measured, PeakMemory, run_sweep, settings_of
from scipy.stats import ks_2samp, mannwhitneyu


def run_trainers(overrides: list[str], seeds: range, processes: int) -> Measured:
    """Trainer loops, timed from when all of them are ready to train until the last one has finished."""
    spawn = multiprocessing.get_context("spawn")  # a fresh interpreter, as for a command
    given = tuple(overrides), max(1, CORES // processes)
    with PeakMemory() as peak, ExitStack() as stack:
        pools = [stack.enter_context(ProcessPoolExecutor(1, spawn)) for _ in range(processes)]
        for started in [pool.submit(trainer_loop, *given, range(0)) for pool in pools]:  # imports and prepares
            started.result()
        begin = time.perf_counter()
        loops = [pool.submit(trainer_loop, *given, seeds[k::processes]) for k, pool in enumerate(pools)]
        evaluations = pd.concat([loop.result() for loop in loops], ignore_index=True)
        seconds = time.perf_counter() - begin
    return Measured(seconds, peak.bytes, evaluations)


@cache
def prepared(overrides: tuple[str, ...], threads: int) -> dict[str, Any]:
    """What the trials of a loop share, made before its clock starts."""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

    from seedgrid.data.sources import load
    from seedgrid.evaluation.schedule import evaluation_steps
    from seedgrid.model.pretrained import locate
    from seedgrid.settings import steps_per_epoch, total_steps
    from seedgrid.trials.process import configure_process

    configure_process(threads)
    settings = settings_of(list(overrides))
    recipe, folder = settings.recipe, str(locate(settings.model))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = load(settings.task, settings.data)
    layers, dropout = settings.model.layers, settings.model.dropout
    changed = {"num_hidden_layers": layers, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}

    changed = {name: value for name, value in changed.items() if value is not None} | {"num_labels": len(data.labels)}
    pretrained = partial(AutoModelForSequenceClassification.from_pretrained, folder, **changed)
    pretrained()  # the first time takes longer

    def tokenized(examples) -> Dataset:
        texts = [list(text) for text in (examples.text, examples.text_pair) if text is not None]
        encoded = tokenizer(*texts, truncation=True, max_length=settings.data.max_length)
        return Dataset.from_dict({**encoded, "labels": examples.label})

    steps, per_epoch = total_steps(len(data.train), recipe), steps_per_epoch(len(data.train), recipe.batch_size)
    return {
        "settings": settings,
        "pretrained": pretrained,
        "train": tokenized(data.train),
        "validation": tokenized(data.validation),
        "collator": DataCollatorWithPadding(tokenizer),
        "steps": steps,
        "validate_after": evaluation_steps(steps, per_epoch, settings.evaluation.per_epoch),
    }


def trainer_loop(overrides: tuple[str, ...], threads: int, seeds: range) -> pd.DataFrame:
    """Fine-tune once for each seed, as a user of Trainer would write it; gives a row per validation."""
    import torch
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

    from seedgrid.evaluation.metrics import compute_metrics

    shared = prepared(overrides, threads)
    settings, recipe = shared["settings"], shared["settings"].recipe

    class Validate(TrainerCallback):
        """Arguments can only say a constant number of steps between two validations."""

        def on_step_end(self, args, state, control, **more):
            control.should_evaluate = state.global_step in shared["validate_after"]

    def metrics(prediction) -> dict[str, float]:
        logits, labels = torch.from_numpy(prediction.predictions), torch.from_numpy(prediction.label_ids)
        return {"score": compute_metrics(logits, labels, settings.task.metric)[settings.task.metric]}

    rows = []
    for seed in seeds:
        set_seed(seed)
        with tempfile.TemporaryDirectory() as output:
            arguments = TrainingArguments(
                output,
                seed=seed,
                use_cpu=True,
                max_steps=shared["steps"],
                per_device_train_batch_size=recipe.batch_size,
                per_device_eval_batch_size=settings.evaluation.batch_size,
                learning_rate=recipe.learning_rate,
                warmup_steps=recipe.warmup,  # below 1: a share; then a linear decay
                weight_decay=recipe.weight_decay,
                adam_beta1=recipe.betas[0],
                adam_beta2=recipe.betas[1],
                adam_epsilon=recipe.eps,
                max_grad_norm=recipe.gradient_norm or 0.0,
                eval_on_start=settings.evaluation.at_start,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            )
            trainer = Trainer(
                shared["pretrained"](),
                arguments,
                data_collator=shared["collator"],
                train_dataset=shared["train"],
                eval_dataset=shared["validation"],
                compute_metrics=metrics,
                callbacks=[Validate()],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        logged = [row for row in trainer.state.log_history if "eval_score" in row]
        rows += [(seed, row["step"], row["eval_score"], row["eval_loss"]) for row in logged]
    return pd.DataFrame(rows, columns=["trial", "step", "score", "loss"])


def print_distributions(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Whether scores and losses of the two sides could be of one distribution."""
    for name, values in (
        ("best score", lambda rows: rows[rows["step"] > 0].groupby("trial")["score"].max()),
        ("last loss", lambda rows: rows.groupby("trial")["loss"].last()),
    ):
        samples = values(ours), values(theirs)
        for side, sample in zip(("seedgrid", "Trainer"), samples, strict=True):
            print(f"{name:11}{side:9}mean {sample.mean():.4f}, std {sample.std():.4f}:", end="")
            print("".join(f" {value:.4f}" for value in np.sort(sample)))
        p_values = mannwhitneyu(*samples).pvalue, ks_2samp(*samples).pvalue
        print(f"{'':11}Mann-Whitney p = {p_values[0]:.2f}, Kolmogorov-Smirnov p = {p_values[1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4, help="of each side in a round; best a multiple of the cores")
    parser.add_argument("--trainer-trials", type=int, help="of Trainer's loop in a round, if fewer are to do")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trainer-processes", type=int, default=1, help="loops at once, on a share of the cores each")
    parser.add_argument(
        "overrides", nargs="*", help="as of seedgrid train: task=mrpc data.root=GLUE data.train_size=320 ..."
    )
    arguments = parser.parse_args()
    overrides = ["trainer=cpu", "logger=none", *arguments.overrides]
    theirs_a_round = arguments.trainer_trials or arguments.trials
    settings, processes = settings_of(overrides), min(arguments.trainer_processes, theirs_a_round)
    print(f"{settings.task.name}, {settings.model.name}: {arguments.trials} trials a round on {CORES} cores")
    print(f"Trainer: {processes} process(es) of {max(1, CORES // processes)} thread(s)\n")
    print(f"{'':5}{'trials per hour':>22}{'':9}{'peak memory, GiB':>20}")
    print(f"{'round':5}{'seedgrid':>11}{'Trainer':>11}{'ratio':>9}{'seedgrid':>11}{'Trainer':>9}")
    measured: tuple[list[Measured], list[Measured]] = ([], [])
    for number in range(arguments.rounds):
        seeds = range(number * arguments.trials, (number + 1) * arguments.trials)
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            measured[side].append(
                run_trainers(overrides, seeds[:theirs_a_round], processes) if side else run_sweep(overrides, seeds)
            )
        ours, theirs = measured[0][-1], measured[1][-1]
        rates, memory = (ours.per_hour, theirs.per_hour), (ours.memory / 2**30, theirs.memory / 2**30)
        print(f"{number + 1:5}{rates[0]:11.1f}{rates[1]:11.1f}{rates[0] / rates[1]:9.2f}", end="")
        print(f"{memory[0]:11.2f}{memory[1]:9.2f}", flush=True)
    ratios = [ours.per_hour / theirs.per_hour for ours, theirs in zip(*measured, strict=True)]
    print(f"\nratio: {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    workers = min(CORES // settings.trainer.threads or 1, arguments.trials)
    start_up = np.median([ours.seconds - ours.in_trials / workers for ours in measured[0]])
    many = [
        3600 * arguments.trials / (ours.in_trials / workers) / theirs.per_hour
        for ours, theirs in zip(*measured, strict=True)
    ]
    print(
        f"start-up, end and idle workers: {start_up:.1f} s of a sweep; without them the ratio is {np.median(many):.2f}"
    )
    ours, theirs = (pd.concat([one.evaluations for one in side], ignore_index=True) for side in measured)
    steps = {tuple(rows["step"]) for side in (ours, theirs) for _, rows in side.groupby("trial")}
    if len(steps) != 1:
        sys.exit(f"error: trials were validated after different steps: {steps}")
    after = steps.pop()
    print(f"each trial: {after[-1]} steps, {len(after)} validations\n")
    print_distributions(ours, theirs)


if __name__ == "__main__":
    main()
