"""The error that means: what the user gave cannot be used; and how a command ends on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """One line that names the key or file, its value and the remedy; entry points print it and exit with code 1."""


@contextmanager
def plain_exit() -> Iterator[None]:
    """Around a command's work: what its user or reader ends, ends with code 1 and no traceback.

    An InputError is printed as its line. A reader who has seen enough (``| head``) needs none.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left unsaid is flushed at exit
        sys.exit(1)
    except InputError as error:
        sys.exit(f"error: {error}")
