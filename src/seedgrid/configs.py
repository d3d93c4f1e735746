"""Where configs lie: the package's, and before them a user's own, which add options to its groups or replace them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The package's: beside this file in a wheel, at the top of the repository in a checkout.
_BESIDE = Path(__file__).with_name("conf")
CONF = _BESIDE if _BESIDE.is_dir() else Path(__file__).parents[2] / "conf"
# Folders of the package's options; of Hydra's own groups only the launchers, as the rest decides how a command behaves.
GROUPS = (*sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"), "hydra/launcher")

_given: Path | None = None
_said: set[Path] = set()


@contextmanager
def given(folder: str | Path | None) -> Iterator[None]:
    """Inside, a folder (``--config-dir``) holds a user's own configs too; None: nothing changes."""
    global _given
    before = _given
    if folder is not None:
        _given = Path(folder).absolute()
    try:
        yield
    finally:
        _given = before


def own_folders() -> list[Path]:
    """The folders of a user's own configs, the one that counts most first: the given one, and ``conf`` where one is.

    A ``conf`` with a YAML file beside its groups is that of another program of Hydra's, which begins there; a user's
    own has nothing to begin with. The package's is none of them, wherever a command runs.
    """
    here = Path.cwd() / "conf"
    folders = [] if _given is None or not _given.is_dir() else [_given]
    if here.is_dir() and not here.samefile(CONF) and begins(here) is None and here not in folders:
        folders.append(here)
    return folders


def begins(folder: Path) -> Path | None:
    """The first config that a program may begin with in a folder; None: there is none."""
    return min(folder.glob("*.yaml"), default=None)


def left_alone() -> str | None:
    """A line on a ``conf`` where a command runs that has our groups, and yet is not used; None: there is none such."""
    here = Path.cwd() / "conf"
    first = begins(here)
    if first is None or here.samefile(CONF) or not any((here / group).is_dir() for group in GROUPS):
        return None
    return f"conf is not used: conf/{first.name} makes it another program's; --config-dir=conf takes its options"


@contextmanager
def reading_own(folder: str, name: str) -> Iterator[None]:
    """Around the reading of a user's file; says once where it replaces the package's.

    Args:
        folder: of the user's configs.
        name: of the config in it, ``group/option``.

    Raises:
        ConfigLoadError: it is no YAML file that can be read.
    """
    file, packaged = Path(folder) / f"{name}.yaml", CONF / f"{name}.yaml"
    place = os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file)
    try:
        yield
    except Exception as error:
        from hydra.plugins.config_source import ConfigLoadError

        reason = " ".join(str(error).split())
        raise ConfigLoadError(f"{place}: no config can be read from it ({reason}); mend the file") from None
    if packaged.is_file() and packaged.read_bytes() != file.read_bytes() and file not in _said:
        _said.add(file)
        group, _, option = name.rpartition("/")
        print(f"{place}: replaces {group}={option} of the package", file=sys.stderr)
