"""How much of what a core can do a training step reaches, and where the rest goes.

    python benchmarks/limits.py
    python benchmarks/limits.py --tasks mrpc,rte,cola,sst2 data.root=GLUE

Takes the same overrides as seedgrid train. On one thread of the CPU, for each task:

- The limit: FLOPs a second of float32 matrix products with a step's shapes (its tokens x width, x inner width), the
  forward one and the two of the backward pass, and nothing else. Above the table, that of a 2048 x 2048 x 2048 product.
- The FLOPs of a step, real tokens only. With T tokens in B sequences of lengths n, width d, h heads, inner width f, C
  classes and L layers, of which the last is computed for first tokens alone, without keys and values of the others:

      3 x [(L - 1) (2 T (4 d^2 + 2 d f) + 4 d sum(n^2)) + 4 h d T + 2 B (4 d^2 + 2 d f) + 2 B (d^2 + d C)]

  2 for a multiplication and an addition, 3 for the forward and the backward pass, which has two products for each; the
  last term is of a head with a pooler. ``counted`` is what PyTorch's FlopCounterMode counts in the pass that runs: more
  where it pads (a little in the last layer; everywhere with model.packing=false).
- Seconds of a step (batch, forward and backward pass, clipping, optimizer; the mean) and the FLOPs a second that it so
  reaches. All seconds are CPU seconds.
- Where the time goes, by torch.profiler: each operation's own time, a backward operation with its forward one.
  ``dropout`` has all element-wise products; ``rest`` additions, copies, sums of bias gradients, and Python.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import torch
from scaling import settings_of
from torch.autograd.profiler_util import FunctionEvent
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoTokenizer, PretrainedConfig

from seedgrid.settings import Settings
from seedgrid.training.process import configure_process
from seedgrid.training.text.data.datamodule import Batch, TokenDataModule
from seedgrid.training.text.data.sources import load
from seedgrid.training.text.data.tokens import tokenize, used_words
from seedgrid.training.text.model import packing
from seedgrid.training.text.model.network import build_network
from seedgrid.training.text.model.pretrained import locate
from seedgrid.training.text.model.step import TrainingStep
from seedgrid.training.text.model.vocabulary import keep_used_words

WARM_UP = 2  # steps that do not count
# Parts of the names of operations and of what encloses them, in small letters; the innermost that is known decides.
GROUPS = {
    "matrix products": ("aten::addmm", "aten::mm"),
    "attention": ("_withinruns", "aten::bmm", "softmax", "scaled_dot_product"),
    "dropout": ("dropout", "mulbackward", "addcmul"),
    "norms, GELU": ("layer_norm", "gelu"),
    "embedding": ("embedding",),
    "clipping, optimizer": ("optimizer",),
    "rest": (),
}


class RecordedDropout(packing.DropoutMasks):
    """Its random numbers are no operation of PyTorch's."""

    def mask(self, size: int, probability: float) -> torch.Tensor | None:
        with record_function("dropout"):
            return super().mask(size, probability)


def step_flops(lengths: np.ndarray, config: PretrainedConfig) -> int:
    """FLOPs of a step on sequences of these lengths; see above."""
    tokens, sequences = int(lengths.sum()), len(lengths)
    width, inner, classes = config.hidden_size, config.intermediate_size, config.num_labels
    heads = config.num_attention_heads
    full_layer = 2 * tokens * (4 * width**2 + 2 * width * inner) + 4 * width * int((lengths**2).sum())
    last_layer = 4 * heads * width * tokens + 2 * sequences * (4 * width**2 + 2 * width * inner)
    head = 2 * sequences * (width**2 + width * classes)
    return 3 * ((config.num_hidden_layers - 1) * full_layer + last_layer + head)


def product_rate(shapes: list[tuple[int, int, int]], repeats: int = 15) -> float:
    """FLOPs a second of x @ w, its gradient for x and its gradient for w, for each (tokens, inputs, outputs)."""
    flops = seconds = 0.0
    for tokens, inputs, outputs in shapes:
        x, w, dy = torch.randn(tokens, inputs), torch.randn(outputs, inputs), torch.randn(tokens, outputs)
        for left, right in ((x, w.T), (dy, w), (dy.T, x)):
            spent = []
            for _ in range(repeats):
                begin = time.process_time()
                left @ right
                spent.append(time.process_time() - begin)
            flops += 2 * tokens * inputs * outputs
            seconds += float(np.median(spent))
    return flops / seconds


def group_of(event: FunctionEvent | None) -> str:
    """The group of an operation, or of the innermost one around it that has one."""
    while event is not None:
        for group, parts in GROUPS.items():
            if any(part in event.name.lower() for part in parts):
                return group
        event = event.cpu_parent
    return "rest"


def measure(settings: Settings, steps: int) -> dict[str, str]:
    """A column of the table: trains ``steps`` steps against the clock and as many under the profiler."""
    folder = locate(settings.model)
    data = load(settings.task, settings.data)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    train, validation = (tokenize(part, tokenizer, settings.data.max_length) for part in (data.train, data.validation))
    network = build_network(folder, data.labels, 0, settings.model.layers, settings.model.dropout)
    packs = settings.model.packing and packing.can_pack(network)
    if packs:
        keep_used_words(network, torch.from_numpy(used_words(train, validation)))
    batches = TokenDataModule(
        train,
        validation,
        order_seed=settings.seed.order,
        batch_size=settings.recipe.batch_size,
        validation_batch_size=settings.evaluation.batch_size,
        steps=2 * steps + WARM_UP,
        pad_id=network.config.pad_token_id or 0,
        packing=packs,
    )
    step = TrainingStep(network, settings.recipe)

    def train_on(batch: Batch) -> None:
        cross_entropy(step.logits(batch), batch["labels"]).backward()
        with record_function("optimizer"):
            if settings.recipe.gradient_norm is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), settings.recipe.gradient_norm)
            step.optimizer.step()
            step.optimizer.zero_grad()

    stream = iter(batches.train_dataloader())
    with FlopCounterMode(display=False) as counter:
        for _ in range(WARM_UP):
            train_on(next(stream))
    begin = time.process_time()
    for _ in range(steps):
        train_on(next(stream))
    seconds = time.process_time() - begin
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for batch in stream:
            with record_function("whole step"):
                train_on(batch)
    spent: Counter[str] = Counter()
    for event in profiled.events():
        spent[group_of(event)] += event.self_cpu_time_total
    lengths = [train.lengths[indices] for indices in batches.train_batches]
    flops = [step_flops(of_step, network.config) for of_step in lengths]
    rate = sum(flops[WARM_UP : WARM_UP + steps]) / seconds
    tokens = round(np.mean([of_step.sum() for of_step in lengths]))
    width, inner = network.config.hidden_size, network.config.intermediate_size
    limit = product_rate([(tokens, width, width)] * 4 + [(tokens, width, inner), (tokens, inner, width)])
    return {
        "task": settings.task.name,
        "tokens a step": f"{tokens}",
        "GFLOP a step": f"{np.mean(flops) / 1e9:.1f}",
        "counted / formula": f"{counter.get_total_flops() / sum(flops[:WARM_UP]):.3f}",
        "seconds a step": f"{seconds / steps:.3f}",
        "GFLOP/s, limit": f"{limit / 1e9:.0f}",
        "GFLOP/s, reached": f"{rate / 1e9:.0f}",
        "share of the limit": f"{rate / limit:.0%}",
        "where time goes": "",
        **{f"  {group}": f"{spent[group] / spent.total():.1%}" for group in GROUPS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default="grammar", help="options of the group task, with commas between")
    parser.add_argument("--steps", type=int, default=20, help="measured, and as many profiled")
    parser.add_argument("overrides", nargs="*", help="as of seedgrid train: data.root=GLUE model=bert_tiny ...")
    arguments = parser.parse_args()
    configure_process(threads=1)
    packing.DropoutMasks = RecordedDropout
    print(f"2048 x 2048 x 2048: {product_rate([(2048, 2048, 2048)], repeats=5) / 1e9:.0f} GFLOP/s\n")
    all_settings = [settings_of([*arguments.overrides, f"task={task}"]) for task in arguments.tasks.split(",")]
    columns = [measure(settings, arguments.steps) for settings in all_settings]
    for row in columns[0]:
        print(f"{row:24}" + "".join(f"{column[row]:>10}" for column in columns))


if __name__ == "__main__":
    main()
