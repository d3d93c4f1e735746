"""Commands of this project, written so that a shell and Hydra read them to the letter; without Hydra."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

# Texts that Hydra's override grammar takes as they are, and those of them that it reads as something else.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%*?+-]+")
_NO_TEXT = re.compile(r"[+-]?(inf|nan|[\d_]*\.?[\d_]*(e[+-]?[\d_]+)?)|true|false|null", re.IGNORECASE)


def quoted(value: str) -> str:
    """A string as a value in Hydra's override grammar, whatever it contains."""
    # Backslashes are as they are, but before a quotation mark.
    return '"' + re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + ('\\"' if found[2] else ""), value) + '"'


def plain_or_quoted(text: str) -> str:
    """A string as a value in that grammar, quoted only where it may be needed."""
    return text if _PLAIN.fullmatch(text) and not _NO_TEXT.fullmatch(text) else quoted(text)


def command(name: str, **values: str | Sequence[str]) -> str:
    """A command of this project, to be pasted into a shell where this one was typed.

    Args:
        name: of the sub-command.
        values: of its keys; several are a list.
    """
    words = [*_seedgrid(), name]
    for key, value in values.items():
        texts = [plain_or_quoted(text) for text in ([value] if isinstance(value, str) else value)]
        words.append(f"{key}={texts[0]}" if isinstance(value, str) else f"{key}=[{','.join(texts)}]")
    return shlex.join(words)


def _seedgrid() -> list[str]:
    """How a shell finds the ``seedgrid`` of this environment: by its name, by its path, or through Python."""
    typed = Path(sys.argv[0])
    script = typed if typed.name == "seedgrid" else Path(sys.executable).with_name("seedgrid")
    if not script.is_file():
        return [sys.orig_argv[0], "-m", "seedgrid"]
    found = shutil.which("seedgrid")
    if found is not None and script.samefile(found):
        return ["seedgrid"]
    return [str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)]
