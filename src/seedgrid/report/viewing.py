"""What ``seedgrid view`` calls with its composed config: serves the sweeps' reports to a browser on this machine."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig
from pydantic import Field

from seedgrid.errors import InputError, plain_exit
from seedgrid.report.comparing import check_power
from seedgrid.report.server import ViewServer
from seedgrid.settings import SettingsGroup, read_config


class ViewSettings(SettingsGroup):
    """``view.yaml``.

    Attributes:
        runs: folder with sweeps in it.
        port: of the server; 0: any that is free.
        level: of all intervals.
        splits: of reports, halvings of the validation examples.
        power, max_budget, draws: of comparisons, as in ``compare.yaml``.
        random_seed: of everything that is drawn.
    """

    runs: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=0, le=65535)]
    level: Annotated[float, Field(gt=0, lt=1)]
    splits: Annotated[int, Field(ge=2)]
    power: Annotated[float, Field(gt=0, lt=1)]
    max_budget: Annotated[int, Field(ge=0)]
    draws: Annotated[int, Field(ge=2)]
    random_seed: Annotated[int, Field(ge=0)]


@plain_exit()
def view(config: DictConfig) -> None:
    """Serve until Ctrl-C, which ends it with code 0; exits with code 1 where that is not possible."""
    settings = read_config(config, ViewSettings)
    server = open_server(settings)
    with server:
        print(f"{server.url}   all sweeps in {settings.runs}, for this machine only; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def open_server(settings: ViewSettings) -> ViewServer:
    """The server, bound to its port.

    Raises:
        InputError: a setting does not do, the folder is a file, or the port is not to be had.
    """
    check_power(settings.power, settings.level)
    if Path(settings.runs).exists() and not Path(settings.runs).is_dir():
        raise InputError(f"runs={settings.runs}: a file; name the folder that sweeps are in")
    both = {"level": settings.level, "random_seed": settings.random_seed}
    of_comparisons = {key: getattr(settings, key) for key in ("power", "max_budget", "draws")}
    try:
        return ViewServer(Path(settings.runs), settings.port, both | {"splits": settings.splits}, both | of_comparisons)
    except OSError as error:
        reason = "in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
        raise InputError(f"port={settings.port}: {reason}; give another one, or port=0 for any that is free") from None
