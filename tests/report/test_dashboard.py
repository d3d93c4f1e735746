"""``seedgrid dashboard``: what it prints without an account, and what it refuses in one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import seedgrid.report
from seedgrid.report.dashboard import dashboard
from seedgrid.shell import command
from seedgrid.trials.wandb_mode import note_sent, read_shown


@pytest.fixture(autouse=True)
def home(tmp_path, tmp_path_factory, monkeypatch):
    """A home folder without any login."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_ENTITY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sweep(write_sweep, tmp_path):
    return write_sweep(tmp_path / "runs" / "first", 3, 3)


def test_a_dry_run_prints_what_would_be_sent_and_needs_no_account(run_command, sweep, write_sweep, tmp_path):
    write_sweep(tmp_path / "runs" / "second", 2, 2)

    def there() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if ".cache" not in path.parts)  # an index is derived

    before = there()
    done = run_command("dashboard", "sweep='runs/*'", "dry_run=true", "logger.project=mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    assert [each["workspace"]["displayName"] for each in sent] == [
        f"{n}: what the seeds did" for n in ("first", "second")
    ]
    assert {(each["workspace"]["entity"], each["workspace"]["project"]) for each in sent} == {("your-entity", "mine")}
    assert {each["report"]["project"]["name"] for each in sent} == {"mine"}
    assert there() == before


def test_runs_that_w_and_b_does_not_have_are_said_once(entry, sweep, capsys):
    dashboard(entry("dashboard", f"sweep={sweep}", "dry_run=true"))
    assert capsys.readouterr().err.startswith(f"W&B has none of 9 trials; {command('upload', sweep=str(sweep))} sends ")
    for folder in sweep.glob("init=*"):
        note_sent(folder, read_shown(folder), {})
    dashboard(entry("dashboard", f"sweep={sweep}", "dry_run=true"))
    assert capsys.readouterr().err == ""


def test_without_an_account_one_line_names_the_remedies_before_any_work(run_command, tmp_path):
    done = run_command("dashboard", "sweep=no/where", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: no W&B account: log in with `wandb login`; dry_run=true prints what would be sent, and seedgrid report "
        "makes a local page\n"
    )


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_a_user_who_asked_to_stay_offline_stays_offline(entry, sweep, monkeypatch, mode):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", mode)
    with pytest.raises(SystemExit, match=rf"^error: WANDB_MODE={mode}: W&B's servers are not to be asked; [^\n]*$"):
        dashboard(entry("dashboard", f"sweep={sweep}"))


def test_a_server_that_cannot_be_reached_is_one_line(entry, sweep, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("seedgrid.report.wandb_dashboard.PATIENCE", 1)
    with pytest.raises(SystemExit, match=r"^error: W&B: [^\n]*127\.0\.0\.1:9[^\n]*$"):
        dashboard(entry("dashboard", f"sweep={sweep}"))


def test_the_library_that_is_not_installed_is_named_with_the_command_that_installs_it(entry, sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.delitem(sys.modules, "seedgrid.report.wandb_dashboard", raising=False)
    monkeypatch.delattr(seedgrid.report, "wandb_dashboard", raising=False)
    with pytest.raises(
        SystemExit, match=r"^error: wandb-workspaces is not installed; .* pip install -e '\.\[dashboard\]'$"
    ):
        dashboard(entry("dashboard", f"sweep={sweep}", "dry_run=true"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep=null"], "sweep has no value: give a sweep's folder"),
        (["sweep=no/where"], "sweep=no/where: no such folder"),
        (["sweep='no/*'"], r"sweep=no/\*: no sweep's folder is like that"),
        (["sweep=empty"], "empty: no finished trial with a score; it holds no trials; name a sweep's folder"),
        (["sweep=[runs/begun,empty]"], "runs/begun: no finished trial with a score; let the sweep run first"),
        (["sweep=3"], "sweep=3: input should be a valid string; .* is quoted: 'sweep=\"3\"'"),
        (["dry_run=maybe"], "dry_run=maybe: input should be a valid boolean"),
        (["logger=none"], "logger=none: a dashboard shows runs in W&B; leave logger=wandb"),
        (["logger.project=''"], "logger.project=: string should have at least 1 character"),
        (["+logger.team=x"], r"logger\.team: no such key; logger has kind"),
    ],
)
def test_what_cannot_be_laid_out_is_one_line(entry, write_sweep, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    write_sweep(tmp_path / "runs" / "begun", 1, 1, status={(0, 0): "running"})
    with pytest.raises(SystemExit, match=rf"^error: {said}[^\n]*$"):
        dashboard(entry("dashboard", "dry_run=true", *words))


def test_a_wrong_key_is_named(run_command, tmp_path):
    done = run_command("dashboard", "swep=runs/quickstart", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "swep" in done.stderr and "Traceback" not in done.stderr
