"""What ``seedgrid dashboard`` calls with its composed config: a workspace and a report in W&B for sweeps."""

from __future__ import annotations

import json
import sys
from types import ModuleType

from omegaconf import DictConfig

from seedgrid.errors import InputError, one_line, plain_exit
from seedgrid.records.store import find_sweeps, read_sweep
from seedgrid.report.arrays import finished_trials
from seedgrid.settings import LoggerSettings, SettingsGroup, read_config
from seedgrid.trials.wandb_mode import check_account, upload_hint


class DashboardSettings(SettingsGroup):
    """``dashboard.yaml``, which says what each of them means."""

    sweep: str | list[str] | None
    dry_run: bool
    logger: LoggerSettings


@plain_exit()
def dashboard(config: DictConfig) -> None:
    """Lay out a workspace and a report for each sweep, or print them; exits with code 1 where that is not possible."""
    settings = read_config(config, DashboardSettings)
    if settings.logger.kind != "wandb":
        raise InputError(f"logger={settings.logger.kind}: a dashboard shows runs in W&B; leave logger=wandb")
    wandb_dashboard = _library()
    if not settings.dry_run:
        _check_account()
    studies = [finished_trials(read_sweep(folder)) for folder in find_sweeps(settings.sweep)]
    for line in filter(None, (upload_hint(study.sweep.folder, every=True) for study in studies)):
        print(line, file=sys.stderr)
    if settings.dry_run:
        place = wandb_dashboard.assumed_place(settings.logger)
        print(json.dumps([wandb_dashboard.preview(study, place) for study in studies], indent=2), flush=True)
        return
    try:
        place = wandb_dashboard.find_place(settings.logger)
        for study in studies:
            workspace, report = wandb_dashboard.save(study, place)
            print(f"{study.name}\n  workspace    {workspace}\n  report       {report}")
    except InputError:
        raise
    except Exception as error:  # of the server, the network or the library: each has its own kinds
        raise InputError(f"W&B: {one_line(error)}") from None


def _library() -> ModuleType:
    """The module that needs W&B's library for workspaces and reports, which is an extra."""
    try:
        from seedgrid.report import wandb_dashboard
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "wandb_workspaces":
            raise
        raise InputError("wandb-workspaces is not installed; install it with: pip install -e '.[dashboard]'") from None
    return wandb_dashboard


def _check_account() -> None:
    try:
        check_account()
    except InputError as error:
        raise InputError(
            f"{error}; dry_run=true prints what would be sent, and seedgrid report makes a local page"
        ) from None
