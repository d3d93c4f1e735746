"""Gradient norms of each layer group: what is measured, when, and that the training does not notice."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl

from seedgrid.records.store import NORMS
from seedgrid.training.text.gradient_norms import GradientNorms
from seedgrid.training.text.model.layers import layer_groups
from seedgrid.training.text.model.network import build_network
from seedgrid.trials import interrupt
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial


@pytest.fixture
def run(tiny, settings_of, tmp_path):
    """Run a trial with the given overrides; returns its folder."""

    def ran(*overrides, sweep="sweep"):
        settings = settings_of([*tiny, f"sweep={tmp_path / sweep}", *overrides])
        assert run_trial(settings, prepare(settings)).error is None
        return tmp_path / sweep / "init=000,order=000"

    return ran


class Gradients(pl.Callback):
    """Copies of all gradients that a step used, by name."""

    def __init__(self) -> None:
        self.steps: list[dict[str, np.ndarray]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        parameters = pl_module.network.named_parameters()
        self.steps.append({name: one.grad.numpy().astype(float) for name, one in parameters if one.grad is not None})


@pytest.mark.parametrize("packing", [True, False])
def test_norms_are_those_of_the_gradients_before_clipping(fit, recipe, packing):
    # Weights that do not move: both trainings have the same gradients, up to clipping.
    gradients, norms, standing = Gradients(), GradientNorms(1), {"learning_rate": 1e-30}
    fit(gradients, recipe=recipe.model_copy(update={"gradient_norm": None, **standing}), packing=packing)
    fit(norms, recipe=recipe.model_copy(update={"gradient_norm": 1e-3, **standing}), packing=packing)
    rows = norms.take()
    prefixes = {
        "bert.embeddings.": "embeddings",
        "bert.encoder.layer.0.": "layer_1",
        "bert.encoder.layer.1.": "layer_2",
    }
    assert [row["step"] for row in rows] == list(range(1, 11))
    for row, step in zip(rows, gradients.steps, strict=True):
        squares = dict.fromkeys((*prefixes.values(), "head"), 0.0)
        for name, gradient in step.items():
            [group] = [group for prefix, group in prefixes.items() if name.startswith(prefix)] or ["head"]
            squares[group] += (gradient**2).sum()
        assert list(row) == ["step", *squares]
        assert {name: row[name] ** 2 for name in squares} == pytest.approx(squares, rel=1e-5)
        total = np.concatenate([gradient.ravel() for gradient in step.values()])
        assert sum(row[name] ** 2 for name in squares) == pytest.approx(total @ total, rel=1e-5)
        assert total @ total > 1e-6


def test_every_trained_parameter_is_in_one_group(family):
    network = build_network(family, ("a", "b"), 0)
    groups = layer_groups(network)
    layers = ["encoder"] if network.config.model_type in ("albert", "t5") else ["layer_1", "layer_2", "layer_3"]
    assert list(groups) == [*(["embeddings"] if len(layers) == 3 else []), *layers, "head"]
    grouped = [id(parameter) for members in groups.values() for parameter in members]
    assert sorted(grouped) == sorted(map(id, network.parameters()))
    in_head = {id(parameter) for parameter in groups["head"]}
    own = [value for name, value in network.named_parameters() if not name.startswith(network.base_model_prefix)]
    assert {id(parameter) for parameter in own} <= in_head


def test_frozen_groups_are_left_out(run):
    norms = pq.read_table(run("recipe.freeze=1", "recipe.epochs=0.5") / NORMS)
    assert norms.column_names == ["step", "layer_2", "head"]


@pytest.mark.parametrize(("interval", "steps"), [(1, list(range(1, 19))), (5, [1, 5, 10, 15]), (100, [1])])
def test_the_first_step_and_every_nth_are_measured(run, interval, steps):
    norms = pq.read_table(run(f"gradient_norms={interval}") / NORMS)
    assert norms["step"].to_pylist() == steps
    assert {str(kind) for kind in norms.drop_columns("step").schema.types} == {"float"}


def test_measuring_leaves_all_numbers_bit_identical(run):
    measured, not_measured = run("gradient_norms=1", sweep="on"), run("gradient_norms=0", sweep="off")
    assert (measured / NORMS).exists() and not (not_measured / NORMS).exists()
    losses = [pq.read_table(folder / "train_loss.parquet").to_pydict() for folder in (measured, not_measured)]
    assert losses[0] == losses[1]
    logits = []
    for folder in (measured, not_measured):
        with np.load(folder / "predictions.npz") as archive:
            logits.append(archive["logits"].tobytes())
    assert logits[0] == logits[1]


@pytest.fixture
def interrupted(tiny, settings_of, tmp_path, monkeypatch):
    """Begin the trial that ``run`` goes on with, and end it after step 7."""

    def begun(*overrides):
        settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}", "checkpoint.minutes=0", *overrides])
        asked = iter([False] * 7)
        with monkeypatch.context() as patched:
            patched.setattr(interrupt, "requested", lambda: next(asked, True))
            assert run_trial(settings, prepare(settings)).status == "interrupted"

    return begun


def test_a_trial_that_went_on_has_the_file_and_the_log_of_one_that_ran_through(interrupted, run):
    overrides = ["gradient_norms=3", "logger=csv"]
    interrupted(*overrides)
    resumed, whole = run(*overrides), run(*overrides, sweep="whole")
    assert pq.read_table(resumed / NORMS).equals(pq.read_table(whole / NORMS))
    with (resumed / "metrics.csv").open() as file:
        logged = [int(row["step"]) for row in csv.DictReader(file) if row["gradient_norm/head"] != ""]
    assert logged == [1, 3, 6, 9, 12, 15, 18]


def test_a_trial_that_began_without_goes_on_with_them(interrupted, run):
    interrupted("gradient_norms=0")
    norms = pq.read_table(run("gradient_norms=4") / NORMS)
    whole = pq.read_table(run("gradient_norms=4", sweep="whole") / NORMS)
    assert norms["step"].to_pylist() == [8, 12, 16]
    assert norms.equals(whole.slice(2))
