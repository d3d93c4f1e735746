"""What a plan costs, against the steps that were trained for it."""

import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
    study = Study(SimpleNamespace(settings=settings, seeds=()), SimpleNamespace(), plan)
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
