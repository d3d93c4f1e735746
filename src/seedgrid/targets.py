"""Objects that a config names by ``_target_``: the user's own classes, or a library's."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from seedgrid.errors import InputError, one_line

_current: set[str] = set()  # modules of the user's that are as their files are


def forget() -> None:
    """Before another command of this process: the user may have edited a file since it was imported."""
    _current.clear()


def find(key: str, config: Mapping[str, Any]) -> Any:
    """The class or function that ``config`` names; modules in the working directory are found.

    Args:
        key: of the config, for messages.
        config: with ``_target_``, a dotted name.

    Raises:
        InputError: it names none, or its module cannot be imported.
    """
    name = config.get("_target_")
    if not isinstance(name, str) or not name:
        raise InputError(f"{key}._target_ has no value: give a class, for instance {key}._target_=mine.Net")
    if name.startswith("__main__."):
        raise InputError(
            f"{key}._target_={name}: is in no file that trials could import; write it into one beside your notebook or"
            f" script (%%writefile mine.py on top of a cell does) and give mine.{name.removeprefix('__main__.')}"
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # the last: a file of the user's hides no package
    try:
        _refresh(name)
        return pkgutil.resolve_name(name)
    except Exception as error:  # whatever a module does when it is imported
        raise InputError(
            f"{key}._target_={name}: cannot be imported ({one_line(error)}); give module.Class, of an installed"
            f" package or of a file in {Path.cwd()}"
        ) from error


def make(key: str, config: Mapping[str, Any], *more: Any, **extra: Any) -> Any:
    """What ``config`` names, called with its other keys; a ``_target_`` among them is made first.

    Args:
        key: of the config, for messages.
        config: with ``_target_``.
        more, extra: further arguments.

    Raises:
        InputError: as :func:`find`; or it does not take these arguments, or refuses them.
    """
    find(key, config)
    try:
        return instantiate(dict(config), *more, **extra, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error
        raise InputError(f"{key}: {config['_target_']} could not be made ({one_line(cause)})") from error


def _refresh(name: str) -> None:
    """Import a module of the user's anew where an earlier command, or the user, had imported it."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        module = sys.modules.get(".".join(parts[:count]))
        file = getattr(module, "__file__", None)
        if file is None or module.__name__ in _current or "site-packages" in file:
            continue
        if Path(file).is_relative_to(Path.cwd()):
            importlib.reload(module)
    _current.update(".".join(parts[:count]) for count in range(1, len(parts)))
