"""Starts a run in Weights & Biases, on its servers or offline."""

from __future__ import annotations

import os
import sys
from typing import Any

import wandb

from seedgrid.settings import LoggerSettings
from seedgrid.trials.wandb_mode import wandb_is_online

# Seconds to wait for W&B's servers before a run is kept offline.
PATIENCE = 20
_unreachable = False  # once the servers did not answer, this process does not wait for them again


def start_run(settings: LoggerSettings, *, resume: bool = False, **arguments: Any) -> Any:
    """A new run, whatever run this process has open; offline if the servers cannot be reached.

    Args:
        settings: project and entity.
        resume: continue the run of the same id, where it is on the servers.
        arguments: of ``wandb.init``.
    """
    global _unreachable
    online = wandb_is_online() and not _unreachable
    arguments |= {
        "project": settings.project,
        "entity": settings.entity,
        "reinit": "create_new",
        "settings": wandb.Settings(silent=True, console="off", init_timeout=PATIENCE),
    }
    try:
        # Offline, "allow" only earns a warning; the id makes the server continue the run when it is uploaded.
        return wandb.init(
            mode=None if online else os.environ.get("WANDB_MODE", "offline"),
            resume="allow" if online and resume else None,
            **arguments,
        )
    except Exception as error:
        if not online:
            raise
        print(f"logger: W&B cannot be reached ({type(error).__name__}); runs are kept offline", file=sys.stderr)
        _unreachable = True
        return wandb.init(mode="offline", **arguments)
