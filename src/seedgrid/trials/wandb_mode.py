"""Whether a trial goes to W&B's servers, which run is its own there, and what they have of it; imports no W&B."""

from __future__ import annotations

import configparser
import hashlib
import json
import netrc
import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from filelock import FileLock

from seedgrid.errors import InputError
from seedgrid.files import write_json
from seedgrid.records.index import Index, index_of
from seedgrid.records.store import read_trial, status_now, trial_folders
from seedgrid.shell import command

# W&B's own server: under the one name since wandb 0.31, under the other before, and logins to either count.
_SERVERS = ("api.forge.coreweave.com", "api.wandb.ai")
# What may be set from outside: how to reach a server, and where W&B's library keeps its own files. No other of its
# variables, such as those that its agents give to their programs: they would say which run a trial is.
_VARIABLES = tuple(
    f"WANDB_{name}"
    for name in (
        *("MODE", "DISABLED", "PROJECT", "ENTITY", "BASE_URL", "APP_URL", "API_KEY", "IDENTITY_TOKEN_FILE"),
        *("CREDENTIALS_FILE", "USERNAME", "USER_EMAIL", "HTTP_PROXY", "HTTPS_PROXY", "HTTP_TIMEOUT"),
        *("INSECURE_DISABLE_SSL", "_EXTRA_HTTP_HEADERS", "X_EXTRA_HTTP_HEADERS", "CONFIG_DIR", "CACHE_DIR", "DATA_DIR"),
        *("ERROR_REPORTING", "CORE_DEBUG"),
    )
)


def forget_other_runs() -> None:
    """Take from this process's environment what would make its runs W&B's agent's, or another tool's."""
    for name in list(os.environ):
        if name.startswith("WANDB_") and name not in _VARIABLES:
            del os.environ[name]


def wandb_mode(otherwise: Literal["records", "folders"] = "records") -> Literal["online", "folders", "records"]:
    """Where curves go: to W&B's servers, to its offline folders, or nowhere, for the records are enough.

    Args:
        otherwise: where W&B's own ``mode`` says nothing and the user is not logged in.
    """
    if is_disabled():
        return "records"
    if _setting("mode") in ("offline", "dryrun"):
        return "folders"
    return "online" if logged_in() else otherwise


def is_disabled() -> bool:
    """Whether the user wants nothing of W&B."""
    return _setting("mode") == "disabled" or os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1")


def check_account() -> None:
    """Raise InputError unless W&B's servers may be asked."""
    mode = "disabled" if is_disabled() else _setting("mode")
    if mode in ("offline", "dryrun", "disabled"):
        raise InputError(f"WANDB_MODE={mode}: W&B's servers are not to be asked; unset it")
    if not logged_in():
        raise InputError("no W&B account: log in with `wandb login`")


def logged_in() -> bool:
    """Whether this machine has a login to W&B's servers, or to the one that the user named to W&B."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = urlparse(_setting("base_url") or f"https://{_SERVERS[0]}")
    # Where the address has a port, wandb 0.31 writes it to the netrc file; before, it did not.
    names = _SERVERS if server.hostname in _SERVERS else (server.netloc, server.hostname)
    for path in filter(None, (os.environ.get("NETRC"), "~/.netrc", "~/_netrc")):
        try:
            logins = netrc.netrc(os.path.expanduser(path))
            return any(logins.authenticators(name) is not None for name in names)
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _setting(name: str) -> str | None:
    """One of W&B's settings: its variable, or else what ``wandb login --host``, ``wandb offline`` and so on keep."""
    value = os.environ.get(f"WANDB_{name.upper()}")
    if value:
        return value
    kept = configparser.ConfigParser(interpolation=None)
    home = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    try:
        kept.read([home / "settings", Path("wandb") / "settings"])
        return kept.get("default", name, fallback=None)
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None


# ------------------------------------------------------------------------------------------------------ a trial's run


def run_id(trial: dict[str, Any]) -> str:
    """Id of a trial's run: drawn with the record; for a record that is older than ids, from what only it can have."""
    if "run_id" in trial:
        return trial["run_id"]
    own = [trial.get(key) for key in ("fingerprint", "seeds", "started", "host")]
    return hashlib.sha256(json.dumps(own).encode()).hexdigest()[:16]


def run_lock(folder: Path) -> FileLock:
    """The lock that a process holds while it writes to the run of the trial of ``folder``."""
    locks = folder.parent / ".cache" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{folder.name}.wandb.lock")


def group_of(sweep: Path) -> str:
    """W&B's group of a sweep's runs."""
    return sweep.resolve().name


def read_shown(folder: Path, index: Index | None = None) -> dict[str, Any]:
    """As :func:`seedgrid.records.store.read_trial`, for W&B to show it: with the status that it has by now."""
    trial = read_trial(folder, index)
    return trial | {"status": status_now(trial["status"], folder)}


def note_sent(folder: Path, trial: dict[str, Any], place: dict[str, str]) -> None:
    """Keep in mind that W&B has all of a trial.

    Args:
        folder: the trial's.
        trial: as :func:`read_shown` gives it.
        place: the server's address, the entity and the project.
    """
    path = _note(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, _state(folder, trial) | place)


def is_sent(folder: Path, trial: dict[str, Any], **place: str) -> bool:
    """Whether W&B was seen to have all of a trial as it is now, and in that place."""
    try:
        noted = json.loads(_note(folder).read_text())
        return (_state(folder, trial) | place).items() <= noted.items()
    except (OSError, ValueError, AttributeError):
        return False


def _note(folder: Path) -> Path:
    return folder.parent / ".cache" / "wandb" / f"{folder.name}.json"


def _state(folder: Path, trial: dict[str, Any]) -> dict[str, str]:
    """What all that W&B shows of a trial follows from."""
    content = json.dumps(trial, sort_keys=True).encode()
    return {"record": hashlib.sha256(content).hexdigest()[:16], "group": group_of(folder.parent)}


def upload_hint(sweep: Path, *, every: bool = False) -> str | None:
    """The command that sends W&B what it lacks of a sweep, in a line; None if that is nothing.

    Args:
        sweep: its folder.
        every: count also the trials that had another logger, or none.
    """
    index = index_of(sweep)
    trials = [(folder, read_shown(folder, index)) for _, folder in trial_folders(sweep)]
    logged = [(folder, trial) for folder, trial in trials if every or trial.get("logger", {}).get("kind") == "wandb"]
    sent = sum(is_sent(folder, trial) for folder, trial in logged)
    if sent == len(logged) or is_disabled():
        return None
    login = "" if logged_in() else " (once you are logged in: wandb login)"
    return f"W&B has {sent or 'none'} of {len(logged)} trials; {upload_command(sweep)} sends what it lacks{login}"


def upload_command(sweep: Path) -> str:
    """What to type to send a sweep to W&B."""
    return command("upload", sweep=str(sweep))
