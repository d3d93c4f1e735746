"""The score of a sweep's best model on the task's test file: one figure, that no choice has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from seedgrid.files import write_json
from seedgrid.training.contract import Prepared
from seedgrid.training.text.data.datamodule import collate, validation_batches
from seedgrid.training.text.data.tokens import read_tokens
from seedgrid.training.text.metrics import compute_metrics
from seedgrid.training.text.model.network import input_names, pads_left
from seedgrid.training.text.settings import TextSettings
from seedgrid.training.text.training import files_of


def score_test(settings: TextSettings, prepared: Prepared, model: Path, facts: dict[str, Any]) -> float:
    """Score a sweep's best model on the test file, once: the result stays in ``<sweep>/test.json``.

    Another best model (a larger grid) or another test file is scored anew.

    Args:
        settings, prepared: of the sweep.
        model: the best model's folder.
        facts: that are kept with it.
    """
    sweep = Path(settings.sweep)
    test = files_of(settings, prepared).test
    facts = {"model": facts, "test": test.name}
    path = sweep / "test.json"
    if path.exists():
        earlier = json.loads(path.read_text())
        if earlier["of"] == facts:
            return earlier["metrics"][settings.task.metric]
    tokens = read_tokens(test)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    logits = torch.empty(len(tokens), len(prepared.labels))
    with torch.inference_mode():
        for indices in validation_batches(tokens.lengths, settings.evaluation.batch_size):
            batch = collate(tokens, indices, network.config.pad_token_id or 0, pads_left(network.config))
            inputs = {name: batch[name] for name in input_names(network.config)}
            logits[torch.from_numpy(indices)] = network(**inputs).logits
    metrics = compute_metrics(logits, torch.from_numpy(tokens.label), settings.task.metric)
    write_json(path, {"metrics": metrics, "examples": len(tokens), "of": facts})
    return metrics[settings.task.metric]
