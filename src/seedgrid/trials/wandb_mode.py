"""Whether W&B's runs go to its servers, and how to send those that stayed here; imports no W&B."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from urllib.parse import urlparse


def wandb_is_online() -> bool:
    """Whether runs are sent to W&B's servers: WANDB_MODE decides if it is set, else whether the user is logged in."""
    mode = os.environ.get("WANDB_MODE")
    if mode:
        return mode in ("online", "shared")
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    for path in filter(None, (os.environ.get("NETRC"), "~/.netrc", "~/_netrc")):
        try:
            return netrc.netrc(os.path.expanduser(path)).authenticators(host) is not None
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def upload_hint(sweep: Path) -> str | None:
    """The command that uploads the runs of a sweep that stayed offline; None if there are none."""
    if not any((sweep / "wandb").glob("offline-run-*")):
        return None
    return f"W&B runs are kept offline; upload them with: wandb sync {sweep}/wandb/offline-run-*"
