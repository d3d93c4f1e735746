"""The error that means: what the user gave cannot be used; and how a command ends on it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What the file system says of a name or a place that cannot be used.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT)


class InputError(ValueError):
    """One line that names the key or file, its value and the remedy; entry points print it and exit with code 1."""


def one_line(error: BaseException) -> str:
    """An error's kind and what it says, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextmanager
def plain_exit() -> Iterator[None]:
    """Around a command's work: ends it without a traceback where its user, or the file system, is the reason.

    An InputError is printed as its line, and so is a file that may not be read or written; a reader who has seen enough
    (``| head``) needs none. All end with code 1, Ctrl-C with 130.
    """
    try:
        try:
            yield
        except InputError as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            if error.errno not in _REFUSED or error.filename is None:
                raise
            sys.exit(f"error: {error.filename}: {error.strerror.lower()}; name another, or change that")
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left unsaid is flushed at exit
        sys.exit(1)
