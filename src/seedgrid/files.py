"""Files that are written whole or not at all, and text files that are read as UTF-8 or refused."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from seedgrid.errors import InputError


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark and with its line ends as they are.

    Raises:
        InputError: the file is not UTF-8; names the line.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text; convert the file to UTF-8") from None


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write`` with a file beside ``path`` and rename it: readers see all of it or the old content.

    An OSError on the way names the file.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk is noticed where the name is not known any more
        raise
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
