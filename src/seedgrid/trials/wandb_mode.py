"""Whether runs go to W&B's servers, what they are called there, how to send those that stayed; imports no W&B."""

from __future__ import annotations

import hashlib
import netrc
import os
import shlex
from pathlib import Path
from urllib.parse import urlparse

from seedgrid.seeds import Seeds
from seedgrid.trials.store import trial_name

# W&B's own server: under the one name since wandb 0.31, under the other before, and logins to either count.
_SERVERS = ("api.forge.coreweave.com", "api.wandb.ai")


def wandb_is_online() -> bool:
    """Whether runs are sent to W&B's servers: WANDB_MODE decides if it is set, else whether the user is logged in."""
    mode = os.environ.get("WANDB_MODE")
    return mode in ("online", "shared") if mode else logged_in()


def logged_in() -> bool:
    """Whether this machine has a login to W&B's servers, or to the one that WANDB_BASE_URL names."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = urlparse(os.environ.get("WANDB_BASE_URL") or f"https://{_SERVERS[0]}")
    # Where the address has a port, wandb 0.31 writes it to the netrc file; before, it did not.
    names = _SERVERS if server.hostname in _SERVERS else (server.netloc, server.hostname)
    for path in filter(None, (os.environ.get("NETRC"), "~/.netrc", "~/_netrc")):
        try:
            logins = netrc.netrc(os.path.expanduser(path))
            return any(logins.authenticators(name) is not None for name in names)
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def run_id(sweep: str, fingerprint: str, seeds: Seeds) -> str:
    """A stable W&B id: the same trial of the same sweep continues the same run."""
    return hashlib.sha256(f"{Path(sweep).name} {fingerprint} {trial_name(seeds)}".encode()).hexdigest()[:16]


def upload_hint(sweep: Path) -> str | None:
    """The command that uploads the runs of a sweep that stayed offline; None if there are none.

    It may be given again: what is uploaded is marked by W&B, and left out.
    """
    folder = sweep / "wandb"
    if all(any(run.glob("*.wandb.synced")) for run in folder.glob("offline-run-*")):
        return None
    return f"W&B runs are kept offline; upload them with: wandb sync {shlex.quote(str(folder))}/offline-run-*"
