"""Writes the example of a project: what ``seedgrid init`` does."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from seedgrid.configs import CONF, begins
from seedgrid.errors import InputError, plain_exit
from seedgrid.files import write_whole
from seedgrid.shell import command

_EXAMPLE = Path(__file__).with_name("example")
_USAGE = """\
seedgrid init [FOLDER]

Writes the example of a project: a task on files of one's own, a study of it, a Makefile and a README. Into a folder,
or here if here is nothing yet; what is there already stays as it is."""


@plain_exit()
def init(words: Sequence[str]) -> None:
    """Write the example and say what to type next; exits with code 1 where that is not possible.

    Args:
        words: what follows ``seedgrid init``.
    """
    if {"--help", "-h"} & set(words):
        print(_USAGE)
        return
    if len(words) > 1 or any(word.startswith("-") or "=" in word for word in words):
        raise InputError(f"{words[-1]}: seedgrid init takes the name of one folder, or none")
    folder = Path(*words)
    here = [] if words else sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if here:
        raise InputError(
            f"there is something here already ({here[0]}); seedgrid init FOLDER writes the example into a folder of its"
            " own, seedgrid init . here, overwriting nothing"
        )
    for file, written in write_example(folder).items():
        print(f"  {'wrote' if written else 'is there already, left as it is:'}  {file}")
    print("\nnext:")
    for line in _next(folder):
        print(f"  {line}")


def write_example(folder: Path) -> dict[Path, bool]:
    """Write the example's files, but for those that are there; each one's path, and whether it was written.

    Raises:
        InputError: the folder's ``conf`` is the package's, or another program's, or one of them is a file.
    """
    conf = folder / "conf"
    if conf.is_dir() and conf.samefile(CONF):
        raise InputError(
            f"{folder}: holds the package's own configs; name a folder for the project: seedgrid init FOLDER"
        )
    if begins(conf) is not None:
        raise InputError(f"{begins(conf)}: another program's configs begin there; name another folder")
    written = {}
    for file in sorted(path for path in _EXAMPLE.rglob("*") if path.is_file()):
        place = folder / file.relative_to(_EXAMPLE)
        written[place] = not os.path.lexists(place)
        if written[place]:
            content = file.read_bytes()
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise InputError(f"{error.filename}: a file; name another folder") from None
            write_whole(place, lambda opened, content=content: opened.write(content))
    return written


def _next(folder: Path) -> list[str]:
    lines = [] if folder == Path() else [f"cd {shlex.quote(str(folder))}"]
    program = command("train").removesuffix(" train")
    if os.sep in program and not os.path.isabs(program):
        program = os.path.relpath(program, folder)
    ours = (folder / "Makefile").read_bytes() == (_EXAMPLE / "Makefile").read_bytes()
    study, report = (" (make study)", " (make report)") if ours else ("", "")
    return [
        *lines,
        f"{program} train task=reviews dry_run=true   # what would run",
        f"{program} train -m experiment=reviews       # 3 x 3 trials, a minute{study}",
        f"{program} report sweep=runs/reviews         # what the seeds did{report}",
    ]
