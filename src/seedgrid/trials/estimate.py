"""How long a trial should take, from the time of a few real steps."""

from __future__ import annotations

import time
from contextlib import nullcontext
from statistics import median

import numpy as np
import torch

from seedgrid.data.datamodule import collate, collate_packed, training_batches, validation_batches
from seedgrid.data.tokens import Tokens, read_tokens
from seedgrid.errors import InputError, one_line
from seedgrid.evaluation.schedule import schedule_of
from seedgrid.model.module import FineTuning
from seedgrid.model.network import pads_left
from seedgrid.settings import Settings, steps_per_epoch
from seedgrid.trials.preparation import Prepared
from seedgrid.trials.process import configure_process
from seedgrid.trials.train import network_of

TIMED_STEPS = 3


def estimate_seconds(settings: Settings, prepared: Prepared) -> float:
    """Seconds of one trial on this machine with nothing else running: training steps and validations, no start-up.

    Raises:
        InputError: a step fails, as those of a trial would.
    """
    try:
        return _seconds(settings, prepared)
    except InputError:
        raise
    except Exception as error:  # each library has its own kinds
        raise InputError(f"a trial would fail: {one_line(error)}") from None


def _seconds(settings: Settings, prepared: Prepared) -> float:
    configure_process(settings.trainer.threads)
    train, validation = read_tokens(prepared.train), read_tokens(prepared.validation)
    device = torch.device("cuda" if prepared.device == "gpu" else "cpu")
    mixed = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(prepared.precision)
    network, packing = network_of(settings, prepared)
    module = FineTuning(network, settings.recipe, prepared.steps, len(train), dropout_seed=0).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, fused=True)

    def seconds_of(tokens: Tokens, indices: np.ndarray, training: bool) -> float:
        padding = network.config.pad_token_id or 0, pads_left(network.config)
        batch = collate_packed(tokens, indices) if packing else collate(tokens, indices, *padding)
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        begin = time.perf_counter()
        with torch.autocast(device.type, mixed) if mixed else nullcontext():
            logits = module(batch)
        if training:
            torch.nn.functional.cross_entropy(logits.float(), batch["labels"]).backward()
            optimizer.step()
            optimizer.zero_grad()
        logits.sum().item()  # waits for the device
        return time.perf_counter() - begin

    size = settings.recipe.batch_size
    # One step more than is timed: the first allocates.
    timed = [seconds_of(train, batch, True) for batch in training_batches(0, len(train), size, 1 + TIMED_STEPS)]
    batches = validation_batches(validation.lengths, settings.evaluation.batch_size)
    module.eval()
    with torch.inference_mode():
        a_pass = seconds_of(validation, batches[len(batches) // 2], False) * len(batches)
    schedule = schedule_of(settings.evaluation, prepared.steps, steps_per_epoch(len(train), size))
    return median(timed[1:] or timed) * prepared.steps + a_pass * len(schedule)
