"""The error that means: what the user gave cannot be used; and how a command ends on it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What the file system says of a name or a place that cannot be used.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, *_FULL)


class InputError(ValueError):
    """One line that names the key or file, its value and the remedy; entry points print it and exit with code 1."""


def one_line(error: BaseException) -> str:
    """An error's kind and what it says, in one line; of an InputError its line."""
    return str(error) if isinstance(error, InputError) else " ".join(f"{type(error).__name__}: {error}".split())


def refusal(error: OSError) -> str:
    """What the file system says of a file, in one line with the remedy."""
    place = "" if error.filename is None else f"{error.filename}: "
    remedy = "make room there" if error.errno in _FULL else "name another, or change that"
    return f"{place}{(error.strerror or str(error)).lower()}; {remedy}"


@contextmanager
def plain_exit() -> Iterator[None]:
    """Around a command's work: ends it without a traceback where its user, or the file system, is the reason.

    An InputError is printed as its line, and so is a file that may not be read or written; a reader who has seen enough
    (``| head``) needs none; a full disk behind standard output is a line too. All end with code 1, Ctrl-C with 130.
    """
    try:
        try:
            yield
        except InputError as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            if error.errno not in _REFUSED or error.filename is None:
                raise
            sys.exit(f"error: {refusal(error)}")
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, *_FULL) or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left unsaid is flushed at exit
        sys.exit(1 if error.errno == errno.EPIPE else f"error: standard output: {refusal(error)}")
