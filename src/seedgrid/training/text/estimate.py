"""How long a trial should take, from the time of a few real steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from seedgrid.evaluation.schedule import schedule_of
from seedgrid.training.contract import Prepared
from seedgrid.training.process import configure_process
from seedgrid.training.text.data.datamodule import TokenDataModule
from seedgrid.training.text.data.tokens import read_tokens
from seedgrid.training.text.model.network import pads_left
from seedgrid.training.text.quiet import keep_quiet
from seedgrid.training.text.settings import TextSettings
from seedgrid.training.text.training import files_of
from seedgrid.training.text.worker import has_static_shapes, new_step, packs

TIMED_STEPS = 3


def estimate_seconds(settings: TextSettings, prepared: Prepared) -> float:
    """Seconds of one trial on this machine with nothing else running: training steps and validations, no start-up."""
    keep_quiet()
    configure_process(settings.trainer.threads)
    files = files_of(settings, prepared)
    training, validation = read_tokens(files.train), read_tokens(files.validation)
    device = torch.device("cuda" if prepared.device == "gpu" else "cpu")
    step = new_step(settings, prepared, device)
    size = settings.recipe.batch_size
    data = TokenDataModule(
        training,
        validation,
        order_seed=0,
        batch_size=size,
        validation_batch_size=settings.evaluation.batch_size,
        steps=1 + TIMED_STEPS,
        pad_id=step.network.config.pad_token_id or 0,
        pad_left=pads_left(step.network.config),
        packing=packs(settings, step.network),
        static=has_static_shapes(settings, step.network, device),
    )

    def seconds_of(work: Callable[[Any], torch.Tensor], batch: Any) -> float:
        begin = time.perf_counter()
        work(batch).sum().item()  # waits for the device
        return time.perf_counter() - begin

    batches = list(data.train_dataloader())
    # The first step allocates; on a GPU, the first of each shape records.
    for batch in batches if device.type == "cuda" else batches[:1]:
        seconds_of(lambda batch: step(batch, rate=0.0, seed=0), batch)
    timed = [seconds_of(lambda batch: step(batch, rate=0.0, seed=0), batch) for batch in batches[1:] or batches]
    batches = list(data.val_dataloader())
    middle = batches[len(batches) // 2]
    step.network.eval()
    with torch.inference_mode():
        if device.type == "cuda":
            step.logits(middle)
        a_pass = seconds_of(step.logits, middle) * len(batches)
    schedule = schedule_of(settings.evaluation, prepared.steps, prepared.steps_per_epoch)
    return median(timed) * prepared.steps + a_pass * len(schedule)
