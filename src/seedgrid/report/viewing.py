"""What ``seedgrid view`` calls with its composed config: serves the sweeps' reports to a browser on this machine."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig
from pydantic import Field

from seedgrid.errors import InputError, plain_exit
from seedgrid.report.comparing import ComparisonOptions, check_power
from seedgrid.report.entry import ReportOptions
from seedgrid.report.server import ViewServer
from seedgrid.settings import read_config


class ViewSettings(ReportOptions, ComparisonOptions):
    """``view.yaml``, which says what each of them means."""

    runs: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=0, le=65535)]


@plain_exit()
def view(config: DictConfig) -> None:
    """Serve until Ctrl-C, which ends it with code 0; exits with code 1 where that is not possible."""
    settings = read_config(config, ViewSettings)
    server = open_server(settings)
    with server:
        runs = Path(settings.runs).resolve()
        waits = "" if runs.is_dir() else " (no such folder yet)"
        print(f"{server.url}   all sweeps in {runs}{waits}, for this machine only; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends: a second Ctrl-C would interrupt the clearing up


def open_server(settings: ViewSettings) -> ViewServer:
    """The server, bound to its port.

    Raises:
        InputError: a setting does not do, the folder is a file, or the port is not to be had.
    """
    check_power(settings)
    if Path(settings.runs).exists() and not Path(settings.runs).is_dir():
        raise InputError(f"runs={settings.runs}: a file; name the folder that sweeps are in")
    try:
        return ViewServer(Path(settings.runs), settings.port, settings)
    except OSError as error:
        reason = "in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
        raise InputError(f"port={settings.port}: {reason}; give another one, or port=0 for any that is free") from None
