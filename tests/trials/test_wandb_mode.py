"""Whether trials go to W&B's servers, which run is whose, and how to send those that stayed here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from seedgrid.errors import InputError
from seedgrid.records.store import read_trial, trial_lock
from seedgrid.settings import LoggerSettings
from seedgrid.shell import command
from seedgrid.trials.wandb_mode import (
    check_account,
    forget_other_runs,
    is_sent,
    note_sent,
    read_shown,
    run_id,
    upload_hint,
    wandb_mode,
)

VARIABLES = ("WANDB_MODE", "WANDB_DISABLED", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_CONFIG_DIR", "NETRC")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder without any login."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def log_in(file, host: str = "api.wandb.ai") -> None:
    file.write_text(f"machine {host}\n  login user\n  password {'0' * 40}\n")
    file.chmod(0o600)


def test_a_user_who_never_logged_in_is_offline():
    assert wandb_mode() == "records"


@pytest.mark.parametrize("host", ["api.wandb.ai", "api.forge.coreweave.com"])
@pytest.mark.parametrize("name", [".netrc", "_netrc"])
def test_a_user_who_logged_in_is_online(home, name, host):
    log_in(home / name, host)
    assert wandb_mode() == "online"


@pytest.mark.parametrize("server", [None, "https://wandb.example.org:8080"])
@pytest.mark.parametrize("by", ["variable", "host"])
def test_a_login_by_wandbs_own_command_is_seen(home, monkeypatch, server, by):
    if server is not None and by == "variable":
        monkeypatch.setenv("WANDB_BASE_URL", server)
    host = ["--host", server] if server is not None and by == "host" else []
    command = [sys.executable, "-m", "wandb", "login", "--no-verify", *host, "0" * 40]
    subprocess.run(command, check=True, capture_output=True, cwd=home, timeout=60)
    assert wandb_mode() == "online"


def test_a_login_may_lie_where_netrc_says(home, monkeypatch):
    log_in(home / "logins")
    monkeypatch.setenv("NETRC", str(home / "logins"))
    assert wandb_mode() == "online"


def test_an_api_key_is_a_login(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_mode() == "online"


def test_a_login_to_another_server_is_none(home, monkeypatch):
    log_in(home / ".netrc")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert wandb_mode() == "records"
    log_in(home / ".netrc", "wandb.example.org")
    assert wandb_mode() == "online"


@pytest.mark.parametrize(
    ("mode", "without", "with_login"),
    [
        ("online", "records", "online"),
        ("shared", "records", "online"),
        ("offline", "folders", "folders"),
        ("dryrun", "folders", "folders"),
        ("disabled", "records", "records"),
    ],
)
def test_the_mode_that_the_user_set_decides(home, monkeypatch, mode, without, with_login):
    monkeypatch.setenv("WANDB_MODE", mode)
    assert wandb_mode() == without
    log_in(home / ".netrc")
    assert wandb_mode() == with_login
    if with_login == "online":
        check_account()
    else:
        with pytest.raises(InputError, match=f"^WANDB_MODE={mode}: W&B's servers are not to be asked; unset it$"):
            check_account()


def test_the_folders_of_wandbs_own_are_there_for_who_asks_for_them(home, monkeypatch):
    assert wandb_mode("folders") == "folders"
    log_in(home / ".netrc")
    assert wandb_mode("folders") == "online"
    monkeypatch.setenv("WANDB_DISABLED", "true")
    assert wandb_mode("folders") == "records"


def test_a_mode_that_wandbs_own_command_keeps_decides_too(home):
    log_in(home / ".netrc")
    (home / "wandb").mkdir()
    (home / "wandb" / "settings").write_text("[default]\nmode = offline\n")
    assert wandb_mode() == "folders"


@pytest.mark.parametrize("content", ["", "nonsense here", "machine github.com login me password secret"])
def test_a_netrc_without_the_server_is_no_login(home, content):
    (home / ".netrc").write_text(content)
    assert wandb_mode() == "records"


@pytest.fixture
def trial(write_sweep, tmp_path):
    """The folder of the one trial of a sweep."""
    return write_sweep(tmp_path / "my sweep", 1, 1, logger={"kind": "wandb"}) / "init=000,order=000"


def test_the_hint_is_the_command_that_sends_and_is_gone_once_all_is_sent(trial, monkeypatch):
    sweep = trial.parent
    said = f"W&B has none of 1 trials; {command('upload', sweep=str(sweep))} sends what it lacks"
    assert upload_hint(sweep) == f"{said} (once you are logged in: wandb login)"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert upload_hint(sweep) == said
    place = {"address": "https://one", "entity": "me", "project": "seedgrid"}
    note_sent(trial, read_shown(trial), place)
    assert upload_hint(sweep) is None
    assert is_sent(trial, read_shown(trial), project="seedgrid")
    assert not is_sent(trial, read_shown(trial), project="another")
    sweep.rename(sweep.with_name("renamed"))
    assert upload_hint(sweep.with_name("renamed")).startswith("W&B has none of 1 trials")


def test_who_has_no_wandb_is_told_nothing(write_sweep, tmp_path, trial, monkeypatch):
    assert upload_hint(write_sweep(tmp_path / "csv", 1, 1, logger={"kind": "csv"})) is None
    assert upload_hint(write_sweep(tmp_path / "none", 1, 1)) is None
    assert upload_hint(tmp_path / "none", every=True).startswith("W&B has none of 1 trials")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert upload_hint(trial.parent) is None


def test_a_record_that_was_written_again_is_sent_again(trial):
    note_sent(trial, read_shown(trial), {})
    assert is_sent(trial, read_shown(trial))
    assert not is_sent(trial, read_shown(trial) | {"seconds": 121.0})
    (trial.parent / ".cache" / "wandb" / f"{trial.name}.json").write_text("[")
    assert not is_sent(trial, read_shown(trial))


def test_a_trial_that_no_process_runs_is_shown_as_interrupted(write_sweep, tmp_path):
    trial = write_sweep(tmp_path / "sweep", 1, 1, status={(0, 0): "running"}) / "init=000,order=000"
    assert read_shown(trial)["status"] == "interrupted"
    with trial_lock(trial):
        assert read_shown(trial)["status"] == "running"


def test_every_record_has_a_run_of_its_own_and_an_old_one_keeps_the_one_it_follows_from(write_sweep, tmp_path):
    ids = [
        run_id(read_trial(write_sweep(tmp_path / name, 1, 1, fingerprint="f") / "init=000,order=000"))
        for name in ("one", "two")
    ]
    assert ids[0] != ids[1]
    old = read_trial(tmp_path / "one" / "init=000,order=000")
    del old["run_id"]
    assert run_id(old) == run_id(dict(old)) not in ids
    assert run_id(old | {"started": "2026-01-01T00:00:00+00:00"}) != run_id(old)


def test_of_the_environment_stays_what_reaches_a_server_and_nothing_that_names_a_run(monkeypatch):
    kept = {"MODE", "PROJECT", "ENTITY", "BASE_URL", "API_KEY", "CACHE_DIR", "HTTPS_PROXY"}
    gone = {
        "SWEEP_ID",
        "RUN_ID",
        "RUN_GROUP",
        "NAME",
        "RESUME",
        "TAGS",
        "NOTES",
        "DIR",
        "SERVICE",
        "LAUNCH",
        "FORK_FROM",
    }
    for name in kept | gone:
        monkeypatch.setenv(f"WANDB_{name}", "x")
    forget_other_runs()
    assert {name for name in os.environ if name.startswith("WANDB_")} == {f"WANDB_{name}" for name in kept}


def test_project_and_entity_are_wandbs_variables_unless_the_command_names_others(monkeypatch, settings_of):
    for name in ("WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    logger = settings_of(["logger=wandb"]).logger
    assert (logger.project, logger.entity) == ("seedgrid", None)
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    logger = settings_of(["logger=wandb"]).logger
    assert (logger.project, logger.entity) == ("theirs", "team")
    logger = settings_of(["logger=wandb", "logger.project=mine", "logger.entity=me"]).logger
    assert (logger.project, logger.entity) == ("mine", "me")
    assert LoggerSettings(kind="wandb").project == "theirs"  # as a report's, or of trials that had no logger


def test_the_question_needs_no_wandb():
    code = "import sys, seedgrid.trials.wandb_mode; sys.exit(bool({'wandb', 'torch'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
