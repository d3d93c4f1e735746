"""Start many, stop early, continue some: through the real command line, against trials that were trained in one go."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seedgrid.records.store import read_sweep, trial_name
from seedgrid.seeds import Seeds
from seedgrid.sweep.draws import draw_order
from seedgrid.trials.rungs import FILE

GRID = ("seed.init=range(0,3)", "seed.order=range(0,3)")
START_MANY = ("-m", "hydra/sweeper=start_many", *GRID)
HALVING = "hydra.sweeper.rungs=[{at: 0.65, keep: 5}, {at: 0.75, keep: 2}]"  # at steps 12 and 14 of 18


def plan(sweep):
    return json.loads((sweep / FILE).read_text())


def statuses(sweep):
    return {path.parent.name: json.loads(path.read_text())["status"] for path in sweep.glob("init=*/trial.json")}


def drawn(count, seeds=3):
    choices = [Seeds(init=init, order=order) for init in range(seeds) for order in range(seeds)]
    return [trial_name(trial) for trial in draw_order(choices, "spread", 0)[:count]]


def best_until(sweep, step):
    """Best score of each trial's evaluations after the start up to a step, by name."""
    evaluations = read_sweep(sweep).evaluations
    evaluations = evaluations[(evaluations["step"] > 0) & (evaluations["step"] <= step)]
    best = evaluations.groupby(["init", "order"])["score"].max()
    return {trial_name(Seeds(init=init, order=order)): score for (init, order), score in best.items()}


def best_of(names, scores, keep):
    """The names with the best scores; equal ones in the order of ``names``."""
    return sorted(names, key=lambda name: (-scores[name], names.index(name)))[:keep]


def assert_beginnings(parts, wholes):
    """Every trial of ``parts`` has the numbers of that of ``wholes``, as far as it goes; returns its steps."""
    steps = {}
    for name, (evaluations, losses, logits) in parts.items():
        whole_evaluations, whole_losses, whole_logits = wholes[name]
        taken = len(losses["step"])
        assert losses == {column: values[:taken] for column, values in whole_losses.items()}
        count = len(evaluations["step"])
        assert evaluations == {column: values[:count] for column, values in whole_evaluations.items()}
        assert logits == whole_logits[: len(logits)]
        assert len(logits) * len(whole_evaluations["step"]) == len(whole_logits) * count
        steps[name] = taken
    return steps


@dataclass(frozen=True)
class Run:
    """What a command left and printed."""

    sweep: Path
    words: tuple[str, ...]
    output: str
    errors: str


@pytest.fixture(scope="module")
def halved(start, learnable, tmp_path_factory):
    """All nine trials to a first rung, five to a second, two to the end, on two workers; killed twice on the way."""
    sweep = tmp_path_factory.mktemp("halved") / "sweep"
    options = ("hydra.sweeper.draw=full", HALVING)
    words = (*START_MANY, *learnable, *options, f"sweep={sweep}", "hydra.launcher.n_jobs=2")

    def wait_until(seen):
        deadline = time.monotonic() + 120
        while not seen():
            assert time.monotonic() < deadline
            checkpoints = len(list(sweep.glob("init=*/checkpoint/state.pt")))
            assert checkpoints <= 5 + 2, "more than are kept and workers run"
            time.sleep(0.05)

    # On the way to the first rung a worker: what it took along is launched again.
    process = start(*words, start_new_session=True)
    wait_until(lambda: "stopped" in statuses(sweep).values())
    children = subprocess.run(["pgrep", "-P", str(process.pid), "-f", "loky"], capture_output=True, text=True)
    os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
    # On the way to the second everything.
    wait_until(lambda: len(plan(sweep)["decisions"]) == 1 and "running" in statuses(sweep).values())
    os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert re.search(r"launching \d+ trials? again", errors)
    begun = plan(sweep)
    process = start(*words[:-1], "hydra/launcher=basic")
    wait_until(lambda: process.poll() is not None)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert plan(sweep)["trials"] == begun["trials"]
    assert plan(sweep)["decisions"][:1] == begun["decisions"]
    return Run(sweep, words, output, errors)


def test_killed_on_its_way_it_decides_what_it_would_have_and_ends_with_the_same_numbers(
    halved, full_trainings, numbers
):
    names = drawn(9)
    at_12, at_14, finals = (best_until(full_trainings, step) for step in (12, 14, 18))
    assert len(set(at_14.values())) > 2, "the scores must differ, or this test shows nothing"
    kept = best_of(names, at_12, 5)
    last = best_of(kept, at_14, 2)
    decisions = plan(halved.sweep)["decisions"]
    assert [decision["kept"] for decision in decisions] == [kept, last]
    assert decisions[0]["scores"] == {name: at_12[name] for name in names}
    assert decisions[1]["scores"] == {name: at_14[name] for name in kept}
    steps = assert_beginnings(numbers(halved.sweep), numbers(full_trainings))
    assert steps == {name: 18 if name in last else 14 if name in kept else 12 for name in names}
    assert statuses(halved.sweep) == {name: "completed" if name in last else "stopped" for name in names}
    assert not list(halved.sweep.glob("init=*/checkpoint"))
    outcome = plan(halved.sweep)["outcome"]
    assert outcome["cost"] == pytest.approx((9 * 12 + 5 * 2 + 2 * 4) / 18)
    assert outcome["best_found"] == max(*(finals[name] for name in last), *at_12.values(), *(at_14[k] for k in kept))
    assert "rung 1       step 12 of 18 (66.7 %): 9 trials, 5 kept" in halved.output
    assert "rung 2       step 14 of 18 (77.8 %): 5 trials, 2 kept" in halved.output
    assert "cost         7.00 full trainings; all 9 in full: 9" in halved.output
    assert "mean, std    not available" in halved.output
    assert "2 of 2 trials to the end" in halved.errors


def test_without_checkpoints_those_that_go_on_are_trained_again(command, learnable, full_trainings, numbers, tmp_path):
    sweep = tmp_path / "sweep"
    options = ("hydra.sweeper.start=3", "hydra.sweeper.stop_at=0.75", "hydra.sweeper.keep=1")
    words = (*START_MANY, *learnable, *options, "hydra.sweeper.resume_by=retrain", f"sweep={sweep}")
    code, output, errors = command(*words, "hydra/launcher=basic")
    assert code == 0, errors
    [kept] = best_of(drawn(3), best_until(full_trainings, 14), 1)
    steps = assert_beginnings(numbers(sweep), numbers(full_trainings))
    assert steps == {name: 18 if name == kept else 14 for name in drawn(3)}
    assert plan(sweep)["outcome"]["cost"] == pytest.approx((3 * 14 + 18) / 18)
    assert "3 of 9 pairs of seeds (spread, draw seed 0)" in output
    assert "of 3 trials to rung 1 of 1 (step 14 of 18)" in errors


def test_done_it_answers_without_torch_and_changes_nothing(halved, command):
    before = {path: path.stat().st_mtime_ns for path in (*halved.sweep.glob("init=*/*"), halved.sweep / FILE)}
    code, output, errors = command(*halved.words, env={"PYTHONPROFILEIMPORTTIME": "1"}, new=True)
    assert code == 0, errors
    assert output == halved.output
    imported = {line.rpartition("|")[2].strip() for line in errors.splitlines()}
    assert "seedgrid.sweep.start_many" in imported
    assert not imported & {"torch", "pytorch_lightning", "wandb"}
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (
            "hydra.sweeper.draw_seed=3",
            "hydra.sweeper.draw_seed=3: {sweep} was begun with 0; choose another sweep=FOLDER",
        ),
        ("seed.init=range(0,4)", "seed: {sweep} was begun with other choices of seeds; give the same, choose another"),
    ],
)
def test_other_numbers_or_seeds_in_its_folder_are_refused_and_nothing_is_lost(halved, command, word, expected):
    before = {path: path.read_bytes() for path in (*halved.sweep.glob("init=*/*"), halved.sweep / FILE)}
    code, output, errors = command(*halved.words, word)
    assert (code, output) == (1, "")
    assert errors.startswith("error: " + expected.format(sweep=halved.sweep))
    assert f"move {halved.sweep / FILE} away to plan anew" in errors
    assert errors.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before


def test_a_plain_grid_trains_what_was_stopped_to_the_end(halved, command, learnable, full_trainings, numbers, tmp_path):
    sweep = tmp_path / "sweep"
    shutil.copytree(halved.sweep, sweep)
    code, output, errors = command("-m", *learnable, *GRID, f"sweep={sweep}", "hydra/launcher=basic")
    assert code == 0, errors
    assert numbers(sweep) == numbers(full_trainings)
    assert "9 trials, 9 completed" in output
    assert "mean, std    not available" not in output


def test_finished_trials_are_used_for_what_they_had_at_the_rung_and_lost_ones_are_dropped_first(
    command, learnable, full_trainings, tmp_path
):
    sweep = tmp_path / "sweep"
    shutil.copytree(full_trainings, sweep)
    at_14 = best_until(full_trainings, 14)
    lost = best_of(drawn(9), at_14, 1)[0]  # the best one loses its way at step 9
    record = json.loads((sweep / lost / "trial.json").read_text())
    (sweep / lost / "trial.json").write_text(json.dumps(record | {"status": "nonfinite"}))
    for name, column in (("evaluations", "step"), ("train_loss", "step")):
        table = pq.read_table(sweep / lost / f"{name}.parquet")
        pq.write_table(table.filter(pa.compute.less(table[column], 10)), sweep / lost / f"{name}.parquet")
    with np.load(sweep / lost / "predictions.npz") as archive:
        kept = archive["steps"] < 10
        parts = {"steps": archive["steps"][kept], "logits": archive["logits"][kept], "labels": archive["labels"]}
    np.savez(sweep / lost / "predictions.npz", **parts)
    before = {path: path.stat().st_mtime_ns for path in sweep.glob("init=*/*")}
    options = ("hydra.sweeper.draw=full", "hydra.sweeper.stop_at=0.75", "hydra.sweeper.keep=3")
    words = (*START_MANY, *learnable, *options, f"sweep={sweep}", f"hydra.sweeper.plan_from={full_trainings}")
    code, output, errors = command(*words, env={"PYTHONPROFILEIMPORTTIME": "1"}, new=True)
    assert code == 0, errors
    assert "torch" not in {line.rpartition("|")[2].strip() for line in errors.splitlines()}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    [decision] = plan(sweep)["decisions"]
    others = [name for name in drawn(9) if name != lost]
    assert decision["kept"] == best_of(others, at_14, 3)
    assert decision["ended"] == {lost: "nonfinite"}
    assert decision["scores"][lost] is None
    cost = (8 * 14 + 9 + 3 * 4) / 18
    assert plan(sweep)["outcome"]["cost"] == plan(sweep)["outcome"]["found"] == pytest.approx(cost)
    assert "9 trials, 3 kept" in output and "1 nonfinite" in output
    assert f"cost         {cost:.2f} full trainings, {cost:.2f} of it by earlier commands" in output
    # Best of 7 of 9 trials, without replacement: the mean over all 36 choices.
    finals = sorted(best_until(full_trainings, 18).values())
    expected = (28 * finals[8] + 7 * finals[7] + 1 * finals[6]) / 36
    assert f"expected     {expected:.4f} from 7 full trainings" in output


def test_a_trial_that_fails_is_left_out_and_the_rest_is_decided(command, learnable, full_trainings, tmp_path):
    sweep = tmp_path / "sweep"
    shutil.copytree(full_trainings, sweep)
    failed = drawn(9)[0]
    record = json.loads((sweep / failed / "trial.json").read_text())
    changes = {"status": "failed", "error": "OutOfMemoryError: no more"}
    (sweep / failed / "trial.json").write_text(json.dumps(record | changes))
    options = ("hydra.sweeper.draw=full", "hydra.sweeper.stop_at=0.75", "hydra.sweeper.keep=2", "retry=none")
    code, output, errors = command(*START_MANY, *learnable, *options, f"sweep={sweep}")
    assert code == 1, errors
    [decision] = plan(sweep)["decisions"]
    assert decision["ended"] == {failed: "failed"}
    assert decision["kept"] == best_of(drawn(9)[1:], best_until(full_trainings, 14), 2)
    assert "9 trials, 2 kept" in output and "1 failed" in output
    assert f"left out     {failed}, which failed before its rung: OutOfMemoryError: no more" in output


def test_pairs_that_the_seeds_make_promising_are_started_besides(command, learnable, full_trainings, tmp_path):
    sweep = tmp_path / "sweep"
    shutil.copytree(full_trainings, sweep)
    options = ("hydra.sweeper.start=5", "hydra.sweeper.extend=2", "hydra.sweeper.stop_at=0.75", "hydra.sweeper.keep=2")
    code, output, errors = command(*START_MANY, *learnable, *options, f"sweep={sweep}")
    assert code == 0, errors
    extended = plan(sweep)["extended"]
    assert len(extended) == 2
    assert not set(extended) & set(drawn(5))
    [decision] = plan(sweep)["decisions"]
    assert list(decision["scores"]) == [*drawn(5), *extended]
    assert decision["kept"] == best_of([*drawn(5), *extended], best_until(full_trainings, 14), 2)
    assert plan(sweep)["outcome"]["cost"] == pytest.approx((7 * 14 + 2 * 4) / 18)
    assert "5 of 9 pairs of seeds (spread, draw seed 0), then the 2 most promising others" in output


def test_a_dry_run_of_an_experiment_shows_the_plan_of_its_budget(command, learnable, tmp_path):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "saving.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /hydra/sweeper: start_many\n"
        "hydra:\n  sweeper:\n    budget: 3\n    params:\n      seed.init: range(0,4)\n      seed.order: range(0,4)\n"
    )
    words = ("-m", f"--config-dir={folder.parent}", "experiment=saving", *learnable, f"sweep={tmp_path / 'sweep'}")
    code, output, errors = command(*words, "dry_run=true")
    assert code == 0, errors
    # The rule of thumb for 3 full trainings on 9 evaluations: 10 x 2/9 + 1 x 7/9.
    assert "10 of 16 pairs of seeds (spread, draw seed 0)" in output
    assert "rung 1       step 4 of 18 (22.2 %): 10 trials, 0 done, 1 kept" in output
    assert "end          step 18 of 18 (100.0 %): 1 trial, 0 done" in output
    assert "cost         3.00 full trainings; all 10 in full: 10" in output
    assert [line.split()[-1] for line in output.splitlines() if "would run" in line] == drawn(10, seeds=4)
    assert "at once" in output
    assert not list((tmp_path / "sweep").glob("init=*"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("start=4 rungs=[{at:0.5}]", "hydra.sweeper.rungs.0: {'at': 0.5} is no rung; write each as {at: 0.3, keep: 5}"),
        ("start=4 stop_at=0.95 keep=2", "hydra.sweeper.stop_at=0.95: the first evaluation from there on is the last"),
    ],
)
def test_options_that_do_not_fit_end_the_command_with_one_line_before_any_trial(
    command, tiny, tmp_path, words, expected
):
    options = [f"hydra.sweeper.{word}" for word in words.split()]
    grid = ("seed.init=range(0,4)", "seed.order=range(0,4)")
    code, output, errors = command(
        "-m", "hydra/sweeper=start_many", *tiny, *grid, *options, f"sweep={tmp_path / 'sweep'}"
    )
    assert (code, output) == (1, "")
    assert errors.startswith(f"error: {expected}")
    assert errors.count("\n") == 1
    assert not list((tmp_path / "sweep").glob("init=*"))
    assert not (tmp_path / "sweep" / FILE).exists()
