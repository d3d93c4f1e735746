"""How long a trial should take; and what is said where it would fail."""

from dataclasses import replace

import pytest

from seedgrid.errors import InputError
from seedgrid.training.kinds import training_of
from seedgrid.trials.preparation import prepare


def test_a_dry_run_of_a_trial_that_would_fail_says_so_in_one_line(tiny, settings_of, tmp_path):
    settings = settings_of([*tiny, f"sweep={tmp_path / 'sweep'}"])
    prepared = prepare(settings)
    assert training_of(settings).seconds(prepared) > 0
    with pytest.raises(InputError, match=r"^a trial would fail: IndexError: ") as refused:
        training_of(settings).seconds(replace(prepared, labels=("one",)))
    assert "\n" not in str(refused.value)
