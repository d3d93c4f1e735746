"""What a training step and a validation pass cost, padded and packed: python benchmarks/step_time.py task=mrpc

Takes the overrides of seedgrid train. The ways to compute alternate step by step in one process, so that what else runs
on the machine slows all of them alike; CPU seconds are those of this process. Before, it prints how far logits and
gradients of the two passes are apart without dropout.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch.nn.functional import cross_entropy, dropout
from transformers import AutoTokenizer, PreTrainedModel

from seedgrid.composition import compose
from seedgrid.settings import Settings
from seedgrid.training.kinds import read_settings
from seedgrid.training.process import configure_process
from seedgrid.training.text.data.datamodule import Batch, collate, collate_packed, training_batches, validation_batches
from seedgrid.training.text.data.sources import load
from seedgrid.training.text.data.tokens import Tokens, tokenize, used_words
from seedgrid.training.text.model import packing
from seedgrid.training.text.model.network import build_network
from seedgrid.training.text.model.pretrained import locate
from seedgrid.training.text.model.step import TrainingStep
from seedgrid.training.text.model.vocabulary import keep_used_words


def padded_logits(network: PreTrainedModel, batch: Batch) -> torch.Tensor:
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    if network.config.type_vocab_size < 2:
        del inputs["token_type_ids"]
    return network(**inputs).logits


class PyTorchDropout(packing.DropoutMasks):
    """PyTorch's own dropout, where the project's would be."""

    def __call__(self, values: torch.Tensor, probability: float) -> torch.Tensor:
        return dropout(values, probability)

    def add(self, values: torch.Tensor, residual: torch.Tensor, probability: float) -> torch.Tensor:
        return residual + dropout(values, probability)

    def mask(self, size: int, probability: float) -> torch.Tensor:
        return dropout(torch.ones(size), probability)


@contextmanager
def pytorch_dropout() -> Iterator[None]:
    """The packed pass with PyTorch's dropout instead of the project's."""
    ours, packing.DropoutMasks = packing.DropoutMasks, PyTorchDropout
    try:
        yield
    finally:
        packing.DropoutMasks = ours


class Clock:
    """Seconds and CPU seconds of everything that was measured, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        spent = time.perf_counter() - wall, time.process_time() - cpu
        self.seconds.setdefault(name, []).append(spent)

    def table(self, reference: str, skip: int) -> None:
        """Medians, and how much faster than ``reference``, in CPU seconds, with quartiles over the repetitions."""
        base = np.array(self.seconds[reference])[skip:, 1]
        print(f"{'':32}{'seconds':>9}{'CPU':>9}   times faster")
        for name, values in self.seconds.items():
            wall, cpu = np.array(values)[skip:].T
            low, middle, high = np.quantile(base / cpu, [0.25, 0.5, 0.75])
            print(f"{name:32}{np.median(wall):9.3f}{np.median(cpu):9.3f}   {middle:.2f} ({low:.2f} to {high:.2f})")


def compare(settings: Settings, network: PreTrainedModel, padded: Batch, packed: Batch) -> None:
    """Print the largest difference of logits and gradients without dropout."""
    network.eval()
    gradients, logits = [], []
    order = np.argsort(padded["attention_mask"].sum(1).numpy(), kind="stable")
    for value in (padded_logits(network, padded)[order], packing.packed_logits(network, packed)):
        network.zero_grad()
        cross_entropy(value, packed["labels"]).backward()
        logits.append(value.detach())
        gradients.append(torch.cat([weight.grad.flatten() for weight in network.parameters()]))
    network.zero_grad()
    network.train()
    apart, largest = ((gradients[0] - gradients[1]).abs().max(), gradients[0].abs().max())
    print(f"logits: at most {(logits[0] - logits[1]).abs().max():.1e} apart, of up to {logits[0].abs().max():.2f}")
    print(f"gradients: at most {apart:.1e} apart, of up to {largest:.2f}")


def measure_steps(settings: Settings, network: PreTrainedModel, train: Tokens, steps: int) -> None:
    """Print what forward pass, backward pass, clipping and the optimizer take."""

    cut = copy.deepcopy(network)
    keep_used_words(cut, torch.from_numpy(used_words(train)))
    whole_optimizer, cut_optimizer = (TrainingStep(one, settings.recipe).optimizer for one in (network, cut))
    batches = training_batches(settings.seed.order, len(train), settings.recipe.batch_size, steps)
    compare(settings, network, collate(train, batches[0], 0), collate_packed(train, batches[0]))
    whole, in_use = (network, whole_optimizer), (cut, cut_optimizer)

    def make_padded(indices: np.ndarray) -> Batch:
        return collate(train, indices, network.config.pad_token_id or 0)

    def make_packed(indices: np.ndarray) -> Batch:
        return collate_packed(train, indices)

    ways: dict[str, tuple[Callable, Callable, Callable, tuple[PreTrainedModel, torch.optim.Optimizer]]] = {
        "padded": (make_padded, padded_logits, nullcontext, whole),
        "packed, PyTorch's dropout": (make_packed, packing.packed_logits, pytorch_dropout, whole),
        "packed": (make_packed, packing.packed_logits, nullcontext, whole),
        "packed, vocabulary in use": (make_packed, packing.packed_logits, nullcontext, in_use),
    }
    clock, tokens = Clock(), []
    for step, indices in enumerate(batches):
        lengths = train.lengths[indices]
        tokens.append((lengths.sum(), lengths.max() * len(lengths)))
        for name, (make, forward, context, (trained, optimizer)) in ways.items():
            torch.manual_seed(step)
            with clock(name), context():
                batch = make(indices)
                cross_entropy(forward(trained, batch), batch["labels"]).backward()
                if settings.recipe.gradient_norm is not None:
                    torch.nn.utils.clip_grad_norm_(trained.parameters(), settings.recipe.gradient_norm)
                optimizer.step()
                optimizer.zero_grad()
    real, with_padding = np.mean(tokens, axis=0)
    print(f"\none step of {settings.recipe.batch_size} examples: {real:.0f} tokens, padded {with_padding:.0f}")
    clock.table("padded", skip=2)


def measure_validation(settings: Settings, network: PreTrainedModel, validation: Tokens, passes: int) -> None:
    """Print what a pass over the validation set takes."""
    network.eval()
    batches = validation_batches(validation.lengths, settings.evaluation.batch_size)
    unsorted = np.array_split(np.arange(len(validation)), len(batches))
    pad_id = network.config.pad_token_id or 0
    clock = Clock()
    for _ in range(passes):
        with torch.inference_mode():
            with clock("padded, unsorted"):
                for indices in unsorted:
                    padded_logits(network, collate(validation, indices, pad_id))
            with clock("padded, sorted by length"):
                for indices in batches:
                    padded_logits(network, collate(validation, indices, pad_id))
            with clock("packed, sorted by length"):
                for indices in batches:
                    packing.packed_logits(network, collate_packed(validation, indices))
    network.train()
    print(f"\none validation pass over {len(validation)} examples, {len(batches)} batches")
    clock.table("padded, unsorted", skip=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="training steps of each way; the first two do not count")
    parser.add_argument("--passes", type=int, default=3, help="validation passes of each way")
    parser.add_argument(
        "overrides", nargs="*", help="as of seedgrid train: task=mrpc model=minilm data.root=FOLDER ..."
    )
    arguments = parser.parse_args()
    settings = read_settings(compose("train", arguments.overrides))
    configure_process(settings.trainer.threads)
    folder = locate(settings.model)
    data = load(settings.task, settings.data)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    train, validation = (tokenize(part, tokenizer, settings.data.max_length) for part in (data.train, data.validation))
    network = build_network(folder, data.labels, 0, settings.model.layers, settings.model.dropout)
    print(f"{settings.task.name}, {settings.model.name}, {settings.trainer.threads} thread(s)")
    measure_steps(settings, network, train, arguments.steps + 2)
    measure_validation(settings, network, validation, arguments.passes)


if __name__ == "__main__":
    main()
