"""The words of a command line in Hydra's grammar: refused in one line that says how to quote."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser  # Hydra's own: which words are overrides and which belong to flags
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException

from seedgrid.shell import plain_or_quoted, quoted


def check_words() -> tuple[list[str], str | None]:
    """The overrides of this command, and its ``--config-dir``.

    Exits with one line if Hydra's grammar refuses a word of it, before Hydra does.

    A name with brackets, an equals sign, an umlaut or the like is no value of that grammar unless it is quoted.
    """
    given, unknown = get_args_parser().parse_known_args()
    if given.shell_completion:
        sys.exit('error: -sc: seedgrid completes words in its own way: eval "$(seedgrid completion bash)"')
    if unknown:
        sys.exit(f"error: {unknown[0]}: no option of this command; keys are written without dashes: key=value")
    swept = given.multirun or any(word.startswith("hydra.mode=") for word in given.overrides)
    for word in given.overrides:
        reason = refusal(word, swept)
        if reason is not None:
            sys.exit(f"error: {word}: {reason}")
    return given.overrides, given.config_dir


def refusal(word: str, swept: bool) -> str | None:
    """What is wrong with a word in Hydra's grammar, and what to type instead; None if nothing is.

    Args:
        word: of the command line.
        swept: whether the command may sweep over several values of a key.
    """
    parser = OverridesParser.create()
    key, equals, value = word.partition("=")
    try:
        override = parser.parse_override(word)
    except HydraException:
        override = None
    if override is not None:
        if swept or not override.is_sweep_override():
            return None
        text = override.value_type == ValueType.SIMPLE_CHOICE_SWEEP and re.search("[a-z]", value, re.IGNORECASE)
        remedy = f"; one text with a comma is quoted: {_typed(key, value)}" if text else ""
        return f"several values are swept over with -m{remedy}"
    try:
        parser.parse_override(f"{key}=null" if equals else word)
    except HydraException:
        if not equals and Path(word).is_dir():
            return f"not of the form key=value; a sweep's folder: {shlex.quote(f'sweep={plain_or_quoted(word)}')}"
        return f"not of the form key=value; a value with blanks is quoted: {_typed('key', 'a value')}"
    if key.startswith("seed."):
        return f"cannot be read; several seeds are swept over with -m: {key}=0,1,2 or '{key}=range(0,5)'"
    if value.startswith(("[", "{")):
        items = f"[{quoted('a (b)')},{quoted('c')}]"
        return f"cannot be read; texts that are not plain words are quoted: {shlex.quote(f'{key}={items}')}"
    return f"cannot be read; a text that is no plain word is quoted inside of the shell's quotes: {_typed(key, value)}"


def _typed(key: str, value: str) -> str:
    """What to type in a shell to set a key to a text."""
    return shlex.quote(f"{key}={quoted(value)}")
