"""Trials per hour of this project and of a plain loop around Hugging Face's Trainer, on the same cores of a CPU.

    pip install -e '.[quickstart,benchmarks]'
    python benchmarks/against_trainer.py
    python benchmarks/against_trainer.py --size short data.root=GLUE
    python benchmarks/against_trainer.py --trials 4 --rounds 3 task=mrpc data.root=GLUE \\
        data.train_size=320 data.validation_size=100 recipe.epochs=1

Takes the overrides of seedgrid train. Both sides get the same model, examples, recipe, steps, validations (after the
same steps) and cores. They alternate, in the opposite order in every second round.

- seedgrid: ``seedgrid train -m`` in a new folder, from the command to its end: start-up, tokenization, records.
- Trainer: a Python loop over seeds that saves and logs nothing. Its clock starts when all is imported and tokenized
  and the weights were loaded once. ``--trainer-processes N`` runs N loops at once, on a share of the cores each.

Each side in float32 and, where this CPU computes it, in bfloat16 (``trainer.precision=bf16-mixed``, Trainer's
``bf16=True``). The table has both ratios like for like, and that of each as it comes: this project's ``auto`` over
Trainer's float32; once with start-up, and once as a sweep of many trials comes to, where it does not count any more.
Peak memory is of all processes (pages that they share count once where the system tells). Seeds differ from round to
round. They mean other weights and orders to Trainer, so trials cannot be compared one by one: the last lines of the
table compare the losses at the last validation (two-sided Mann-Whitney test).

``--size short`` measures MRPC, RTE and CoLA, each cut so that all of it takes some seven minutes on two cores; ``long``
takes an hour and more.
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
from scipy.stats import mannwhitneyu

from seedgrid.settings import Settings
from seedgrid.trials.devices import resolve

OURS, THEIRS = "seedgrid", "Trainer"
SIZES = {
    "short": [
        ["task=mrpc", "data.train_size=400", "data.validation_size=40", "recipe.epochs=1"],
        ["task=rte", "data.train_size=272", "data.validation_size=32", "recipe.epochs=1"],
        ["task=cola", "data.train_size=1280", "data.validation_size=160", "recipe.epochs=1"],
    ],
    "long": [
        ["task=mrpc"],
        ["task=rte", "data.train_size=1200", "data.validation_size=133", "recipe.epochs=1"],
        ["task=cola", "data.train_size=4800", "data.validation_size=585", "recipe.epochs=1"],
    ],
}


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

    from seedgrid.evaluation.schedule import evaluation_steps
    from seedgrid.settings import steps_per_epoch
    from seedgrid.training.process import configure_process
    from seedgrid.training.text.data.sources import load
    from seedgrid.training.text.model.pretrained import locate
    from seedgrid.training.text.settings import total_steps

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

    from seedgrid.training.text.metrics import compute_metrics

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
                bf16=settings.trainer.precision == "bf16-mixed",
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


def measure(overrides: list[str], arguments: argparse.Namespace) -> dict[tuple[str, str], list[Measured]]:
    """Measurements of all rounds, by side and precision; each is printed at once, the table only in the end."""
    settings = settings_of(overrides)
    asked = settings.trainer.precision
    precisions = dict.fromkeys([resolve(settings.trainer)[1], "32-true"] if asked == "auto" else [asked])
    ways = [(side, precision) for precision in precisions for side in (OURS, THEIRS)]
    measured: dict[tuple[str, str], list[Measured]] = {way: [] for way in ways}
    of_theirs = arguments.trainer_trials or arguments.trials
    for number in range(arguments.rounds):
        seeds = range(number * arguments.trials, (number + 1) * arguments.trials)
        for side, precision in ways if number % 2 == 0 else ways[::-1]:
            given = [*overrides, f"trainer.precision={precision}"]
            if side == OURS:
                one = run_sweep(given, seeds)
            else:
                one = run_trainers(given, seeds[:of_theirs], min(arguments.trainer_processes, of_theirs))
            measured[side, precision].append(one)
            print(f"{settings.task.name}, round {number + 1}, {side}, {precision}: ", end="", file=sys.stderr)
            print(f"{one.per_hour:.1f} trials per hour, {one.seconds:.0f} s", file=sys.stderr, flush=True)
    return measured


def column(settings: Settings, measured: dict[tuple[str, str], list[Measured]]) -> dict[str, str]:
    """The table's column of one task: cells by the names of their rows; each is the median of all rounds."""
    precisions = list(dict.fromkeys(precision for _, precision in measured))
    evaluations = {way: pd.concat([one.evaluations for one in rounds]) for way, rounds in measured.items()}
    steps = {tuple(rows["step"]) for each in evaluations.values() for _, rows in each.groupby("trial")}
    if len(steps) != 1:
        sys.exit(f"error: trials were validated after different steps: {steps}")
    [after] = steps
    cells = {"steps, validations a trial": f"{after[-1]}, {len(after)}"}

    def rates(way: tuple[str, str], start_up: bool) -> np.ndarray:
        if start_up or way[0] == THEIRS:
            return np.array([one.per_hour for one in measured[way]])
        alone = []
        for one in measured[way]:
            trials = one.evaluations["trial"].nunique()
            alone.append(3600 * trials * min(max(1, CORES // settings.trainer.threads), trials) / one.in_trials)
        return np.array(alone)

    for way in measured:
        cells[f"trials per hour, {way[0]}, {way[1]}"] = f"{np.median(rates(way, True)):.1f}"
    pairs = {f"both {precision}": (precision, precision) for precision in precisions}
    if len(precisions) == 2:  # else each as it comes computes in float32
        pairs = {"each as it comes": tuple(precisions), **pairs}
    for name, (ours, theirs) in pairs.items():
        for start_up, said in ((True, "with start-up"), (False, "of many trials")):
            ratios = rates((OURS, ours), start_up) / rates((THEIRS, theirs), start_up)
            spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
            cells[f"**ratio, {name}, {said}**"] = f"**{np.median(ratios):.2f}**{spread}"
    memory = [f"{np.median([one.memory for one in rounds]) / 2**30:.1f}" for rounds in measured.values()]
    cells[f"peak memory, GiB: {', '.join(map(' '.join, measured))}"] = ", ".join(memory)
    for precision in precisions:
        both = (evaluations[side, precision] for side in (OURS, THEIRS))
        losses = [rows.loc[rows["step"] == after[-1], "loss"] for rows in both]
        for side, sample in zip((OURS, THEIRS), losses, strict=True):
            spread = f" ({sample.std():.3f})" if len(sample) > 1 else ""
            cells[f"last validation loss, {side}, {precision}"] = f"{sample.mean():.3f}{spread}"
        if min(map(len, losses)) > 2:  # of fewer it cannot be small
            cells[f"Mann-Whitney, {precision}"] = f"p = {mannwhitneyu(*losses).pvalue:.2f}"
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, help="of MRPC, RTE and CoLA, one after the other; else one task")
    parser.add_argument("--trials", type=int, default=4, help="of each side in a round; best a multiple of the cores")
    parser.add_argument("--trainer-trials", type=int, help="of Trainer's loop in a round, if fewer are to do")
    parser.add_argument("--rounds", type=int, help="default: 3, with --size 1")
    parser.add_argument("--trainer-processes", type=int, default=1, help="loops at once, on a share of the cores each")
    parser.add_argument(
        "overrides", nargs="*", help="as of seedgrid train: task=mrpc data.root=GLUE data.train_size=320 ..."
    )
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.size else 3)
    if arguments.size and arguments.trainer_trials is None:
        arguments.trainer_trials = 1
    begin = time.perf_counter()
    columns = {}
    for words in SIZES[arguments.size] if arguments.size else [[]]:
        overrides = ["trainer=cpu", "logger=none", *words, *arguments.overrides]
        settings = settings_of(overrides)
        name = " ".join((settings.task.name, *words[1:]))
        columns[name] = column(settings, measure(overrides, arguments))
    print(f"{settings.model.name}, {CORES} cores, {settings.trainer.threads} thread(s) a trial; ", end="")
    print(f"Trainer: {arguments.trainer_processes} process(es); {time.perf_counter() - begin:.0f} s in all\n")
    print("|".join(("| ", *(f" {name} " for name in columns), "")))
    print("|" + "---|" * (1 + len(columns)))
    for row in dict.fromkeys(row for cells in columns.values() for row in cells):
        print("|".join((f"| {row} ", *(f" {cells.get(row, '')} " for cells in columns.values()), "")))


if __name__ == "__main__":
    main()
