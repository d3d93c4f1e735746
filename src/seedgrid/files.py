"""Files that are either whole or absent."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write`` with a file beside ``path`` and rename it: readers see all of it or the old content."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
