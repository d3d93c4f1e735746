"""Trials to which something happens."""

import pytest

from seedgrid.training.text.model.module import FineTuning


@pytest.fixture
def overflow_at(monkeypatch):
    """Make the loss of a step no number."""

    def prepared(step: int) -> None:
        real = FineTuning.training_step

        def training_step(module, batch, batch_idx):
            outputs = real(module, batch, batch_idx)
            return outputs | {"loss": outputs["loss"] * float("inf")} if batch_idx + 1 == step else outputs

        monkeypatch.setattr(FineTuning, "training_step", training_step)

    return prepared
