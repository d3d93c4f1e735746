"""Hydra's own keys that would have a command do otherwise than its user means: refused in one line."""

import pytest
from hydra import compose, initialize_config_dir

from hydra_plugins.seedgrid_sweepers import OwnKeys


@pytest.mark.parametrize(
    ("mode", "word", "expected"),
    [
        ("run", "hydra.job.chdir=true", "error: hydra.job.chdir=true: trials lie in sweep=FOLDER"),
        ("multirun", "hydra.job.chdir=true", "error: hydra.job.chdir=true: trials lie in sweep=FOLDER"),
        ("run", "hydra.run.dir=outputs", "error: hydra.run.dir=outputs: trials lie in sweep=FOLDER"),
        ("multirun", "hydra.sweep.dir=outputs", "error: hydra.sweep.dir=outputs: trials lie in sweep=FOLDER"),
        ("multirun", "hydra/sweeper=basic", "error: hydra/sweeper=basic: a sweep is run by grid or start_many"),
        ("run", "hydra/sweeper=start_many", "error: hydra/sweeper=start_many starts trials only with -m"),
        ("multirun", "hydra/sweeper=start_many", None),
        ("multirun", "hydra.verbose=true", None),
        ("run", "hydra.job.chdir=false", None),
    ],
)
def test_what_would_put_trials_elsewhere_or_run_them_otherwise_is_refused(repository, mode, word, expected):
    with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
        config = compose("train", overrides=[word], return_hydra_config=True)
    check = getattr(OwnKeys(), f"on_{mode}_start")
    if expected is None:
        check(config)
        return
    with pytest.raises(SystemExit) as ended:
        check(config)
    assert str(ended.value).startswith(expected)
    assert "\n" not in str(ended.value)
