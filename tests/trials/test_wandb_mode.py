"""Whether runs go to W&B's servers, and how to send those that stayed here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seedgrid.seeds import Seeds
from seedgrid.trials.wandb_mode import run_id, upload_hint, wandb_is_online

VARIABLES = ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder without any login."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def log_in(file, host: str = "api.wandb.ai") -> None:
    file.write_text(f"machine {host}\n  login user\n  password {'0' * 40}\n")
    file.chmod(0o600)


def test_a_user_who_never_logged_in_is_offline():
    assert not wandb_is_online()


@pytest.mark.parametrize("host", ["api.wandb.ai", "api.forge.coreweave.com"])
@pytest.mark.parametrize("name", [".netrc", "_netrc"])
def test_a_user_who_logged_in_is_online(home, name, host):
    log_in(home / name, host)
    assert wandb_is_online()


@pytest.mark.parametrize("server", [None, "https://wandb.example.org:8080"])
def test_a_login_by_wandbs_own_command_is_seen(home, monkeypatch, server):
    if server is not None:
        monkeypatch.setenv("WANDB_BASE_URL", server)
    command = [sys.executable, "-m", "wandb", "login", "--no-verify", "0" * 40]
    subprocess.run(command, check=True, capture_output=True, cwd=home, timeout=60)
    assert wandb_is_online()


def test_a_login_may_lie_where_netrc_says(home, monkeypatch):
    log_in(home / "logins")
    monkeypatch.setenv("NETRC", str(home / "logins"))
    assert wandb_is_online()


def test_an_api_key_is_a_login(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_is_online()


def test_a_login_to_another_server_is_none(home, monkeypatch):
    log_in(home / ".netrc")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert not wandb_is_online()
    log_in(home / ".netrc", "wandb.example.org")
    assert wandb_is_online()


@pytest.mark.parametrize(
    ("mode", "online"), [("online", True), ("shared", True), ("offline", False), ("disabled", False)]
)
@pytest.mark.parametrize("logged_in", [False, True])
def test_the_mode_that_the_user_set_decides(home, monkeypatch, mode, online, logged_in):
    monkeypatch.setenv("WANDB_MODE", mode)
    if logged_in:
        log_in(home / ".netrc")
    assert wandb_is_online() == online


@pytest.mark.parametrize("content", ["", "nonsense here", "machine github.com login me password secret"])
def test_a_netrc_without_the_server_is_no_login(home, content):
    (home / ".netrc").write_text(content)
    assert not wandb_is_online()


def test_runs_that_stayed_here_can_be_uploaded_by_the_command_that_is_told(tmp_path):
    assert upload_hint(tmp_path) is None
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "run-20250101_000000-abc").mkdir()
    assert upload_hint(tmp_path) is None
    (tmp_path / "wandb" / "offline-run-20250101_000000-abc").mkdir()
    hint = upload_hint(tmp_path)
    assert hint.endswith(f"wandb sync {tmp_path}/wandb/offline-run-*")
    assert len(hint.splitlines()) == 1


def test_the_command_takes_a_folder_with_spaces_and_is_not_told_for_what_it_has_uploaded(tmp_path):
    run = tmp_path / "my sweep" / "wandb" / "offline-run-20250101_000000-abc"
    run.mkdir(parents=True)
    command = upload_hint(tmp_path / "my sweep").partition("wandb sync ")[2]
    assert subprocess.run(["sh", "-c", f"ls -d {command}"], capture_output=True, text=True).stdout == f"{run}\n"
    (run / "run-abc.wandb.synced").touch()
    assert upload_hint(tmp_path / "my sweep") is None


def test_the_id_of_a_run_is_stable_and_tells_trials_sweeps_and_configurations_apart():
    seeds, other = Seeds(init=1), Seeds(init=2)
    ids = [
        run_id("runs/a", "f1", seeds),
        run_id("runs/b", "f1", seeds),
        run_id("runs/a", "f2", seeds),
        run_id("runs/a", "f1", other),
    ]
    assert len(set(ids)) == 4
    assert run_id("elsewhere/runs/a", "f1", seeds) == ids[0]


def test_the_question_needs_no_wandb():
    code = "import sys, seedgrid.trials.wandb_mode; sys.exit(bool({'wandb', 'torch'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
