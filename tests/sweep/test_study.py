"""What a plan costs, against the steps that were trained for it, and what it decides, whichever end is better."""

import json
import math
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seedgrid.records.store import trial_name
from seedgrid.seeds import Seeds
from seedgrid.sweep.plan import trained_before
from seedgrid.sweep.study import Study
from seedgrid.trials.rungs import Rung, StartMany

STEPS, RUNG = 30, 20
NAMES = ("init=000,order=000", "init=000,order=001")


@pytest.mark.parametrize(
    ("status", "taken", "checkpoint", "trained"),
    [
        ("completed", 30, False, 0),
        ("stopped", 10, True, 20),
        ("stopped", 10, False, 30),  # an earlier plan left it behind at its rung
        ("stopped", 20, False, 30),  # it is here at its rung already, and has to begin again to get to the end
        ("stopped", 20, True, 10),
        ("running", 10, True, 20),
        ("running", 10, False, 30),  # killed before its first checkpoint
        ("failed", 10, False, 30),
    ],
)
def test_the_cost_less_what_earlier_commands_trained_is_what_this_one_trains(
    write_sweep, tmp_path, status, taken, checkpoint, trained
):
    sweep = write_sweep(tmp_path / "sweep", 1, 2)

    def record(status, taken):
        path = sweep / NAMES[0] / "trial.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"status": status}))
        pq.write_table(pa.table({"step": range(1, taken + 1)}), sweep / NAMES[0] / "train_loss.parquet")

    pq.write_table(pa.table({"step": range(1, STEPS + 1)}), sweep / NAMES[1] / "train_loss.parquet")
    record(status, taken)
    if checkpoint:
        (sweep / NAMES[0] / "checkpoint").mkdir()
    plan = StartMany(
        fingerprint="",
        asked={"extend": 0},
        steps=STEPS,
        resume_by="checkpoint",
        rungs=(Rung(at=0.6, step=RUNG, keep=2),),
        trials=NAMES,
        **trained_before(sweep, NAMES),
    )
    settings = SimpleNamespace(sweep=str(sweep), redo=False, retry="failed")
    prepared = SimpleNamespace(metric="accuracy", direction="max", range=(0, 1))
    study = Study(SimpleNamespace(settings=settings, seeds=()), prepared, plan)
    plan.write(sweep)
    if status != "completed":
        record("stopped", max(taken, RUNG))
    (sweep / ".cache" / "locks").mkdir(parents=True)
    assert study.decide(0)
    record("completed", STEPS)
    assert study.decide(1)
    outcome = study.plan.outcome
    assert outcome.cost == 2
    assert (outcome.cost - outcome.found) * STEPS == pytest.approx(trained)


@pytest.mark.parametrize("turned", [lambda score: 0.0 - score, lambda score: 1.0 - score], ids=["negative", "one less"])
def test_where_lower_is_better_the_same_trials_are_started_kept_and_named_the_best(write_sweep, tmp_path, turned):
    """A grid of 4 x 4 of which 7 are started, 2 more that they make promising, 3 kept, and one had a loss no number."""
    choices = [Seeds(init=init, order=order) for init in range(4) for order in range(4)]
    started = [trial_name(choices[place]) for place in (0, 5, 10, 15, 1, 6, 11)]

    def decided(name, **other):
        sweep = write_sweep(tmp_path / name, 4, 4, seed=3)
        for folder in sweep.iterdir():
            path, table = folder / "trial.json", pq.read_table(folder / "evaluations.parquet")
            changes = dict(other)
            if folder.name == started[4]:
                changes["status"] = "nonfinite"
                table = table.slice(0, 1)
                pq.write_table(pa.table({"step": range(1, 11)}), folder / "train_loss.parquet")
            if other:
                scores = [turned(score) for score in table["score"].to_pylist()]
                table = table.set_column(table.column_names.index("score"), "score", pa.array(scores))
            pq.write_table(table, folder / "evaluations.parquet")
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        plan = StartMany(
            fingerprint="",
            asked={"extend": 2, "draw_seed": 0},
            steps=STEPS,
            resume_by="retrain",
            rungs=(Rung(at=0.6, step=RUNG, keep=3),),
            trials=started,
            found={},
        )
        plan.write(sweep)
        settings = SimpleNamespace(sweep=str(sweep), redo=False, retry="failed")
        prepared = {"metric": "error", "direction": other.get("direction", "max"), "range": (None, None)}
        prepared = SimpleNamespace(**prepared, diverged_at=turned(0.5) if other else 0.5)
        study = Study(SimpleNamespace(settings=settings, seeds=choices), prepared, plan)
        study.extend()
        assert study.decide(0) and study.decide(1)
        return study.plan

    highest = decided("highest")
    facts = {"task": "grammar", "metric": "error", "range": [None, None], "majority": None, "predictions": True}
    lowest = decided("lowest", direction="min", **facts)
    scores = {name: score for name, score in highest.decisions[0].scores.items() if score is not None}
    assert highest.decisions[0].kept == tuple(sorted(scores, key=scores.get, reverse=True)[:3])
    assert len(highest.extended) == 2 and lowest.extended == highest.extended
    assert (lowest.decisions[0].kept, lowest.decisions[0].ended) == (
        highest.decisions[0].kept,
        {started[4]: "nonfinite"},
    )
    assert lowest.outcome.trial == highest.outcome.trial
    assert lowest.outcome.best_found == turned(highest.outcome.best_found)
    for name, score in highest.decisions[0].scores.items():
        assert lowest.decisions[0].scores[name] == (None if score is None else turned(score))
    assert math.isfinite(lowest.outcome.best_found)
