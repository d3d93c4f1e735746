"""Files that are written whole or not at all, and text files that are read as Unicode or refused."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from seedgrid.errors import InputError

DECOMPRESS = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}


def decompressed(path: Path | str, file: Path) -> tuple[bytes, str]:
    """The content of a file, and the ending that says what it is.

    Args:
        path: as the user wrote it, for messages.
        file: the same; one that ends in ``.gz``, ``.bz2``, ``.xz`` or ``.zip`` is unpacked.

    Raises:
        InputError: it is not compressed as its name says, or an archive of several files.
    """
    content, ending = file.read_bytes(), file.suffix.lower()
    try:
        if ending in DECOMPRESS:
            return DECOMPRESS[ending](content), file.with_suffix("").suffix.lower()
        if ending == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [member for member in archive.namelist() if not member.startswith("__MACOSX/")]
                if len(members) != 1:
                    some = [member if member.isprintable() else repr(member) for member in members[:10]]
                    more = ", ..." * (len(members) > 10)
                    raise InputError(
                        f"{path}: holds {len(members)} files, {', '.join(some)}{more}; unpack it and name one"
                    )
                return archive.read(members[0]), Path(members[0]).suffix.lower()
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{path}: cannot be decompressed ({error}); fetch it again, or unpack it") from None
    return content, ending


def read_text(path: Path) -> str:
    """The text of a file; as :func:`decode`."""
    return decode(path.read_bytes(), path)


def decode(content: bytes, path: Path | str) -> str:
    """A file's content as text, without a byte-order mark and with its line ends as they are.

    It is UTF-8, or UTF-16 with a byte-order mark, as spreadsheets write it.

    Raises:
        InputError: it is not; names the line.
    """
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        if content[:2].count(0) == 1:  # half a character, as far as UTF-8 is concerned a whole one
            raise UnicodeDecodeError("utf-8", content, 0, 1, "UTF-16")
        return content.decode(encoding)
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
