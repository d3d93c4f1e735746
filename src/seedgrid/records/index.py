"""A sweep's index: what its ended trials recorded, in one file, so that the next command need not open them all.

It is derived. The trials are the truth: an entry counts as long as the trial's files are the very ones that it was made
of, and whatever is not in the index, or does not fit, is read from the trial.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from seedgrid import __version__
from seedgrid.files import write_whole

FILES = ("trial.json", "evaluations.parquet", "train_loss.parquet", "gradient_norms.parquet", "predictions.npz")
# What an entry was checked against, so that an index of other checks is made anew: the number is raised with each
# change of them, or of the file's format.
_CHECKS = f"{__version__} 1"
# Nanoseconds since the last change of a trial's files before it is entered. A file that is written twice within one
# tick of the file system's clock shows the same time for both; ticks are of 10 ms on disks, of up to 2 s elsewhere.
SETTLED = 2 * 10**9
# The file is written again once a fiftieth of it is new: until then it is cheaper to read these trials again.
_NEW = 50


class Known(NamedTuple):
    """What an ended trial recorded.

    Attributes:
        state: of its files, when they were read.
        whole: whether its gradient norms and its predictions were looked at too.
        own, shared: the keys of its ``trial.json``, as JSON: those that other trials have alike apart, parsed once.
        table, start, rows: where its evaluations are.
    """

    state: bytes
    whole: bool
    own: str
    shared: str
    table: pa.Table
    start: int
    rows: int

    @property
    def trial(self) -> dict[str, Any]:
        """Its ``trial.json``."""
        return _parsed(self.shared) | json.loads(self.own)

    @property
    def evaluations(self) -> pa.Table:
        """Its ``evaluations.parquet``."""
        return self.table.slice(self.start, self.rows)


_parsed = lru_cache(maxsize=64)(json.loads)


class Index:
    """The ended trials of a sweep, as far as they are known.

    Args:
        sweep: its folder; without an index of use there, nothing is known yet.
    """

    def __init__(self, sweep: Path) -> None:
        self.sweep = sweep
        self._path = sweep / ".cache" / "index"
        self._seen: dict[str, tuple[bytes, bool] | None] = {}
        self._new: set[str] = set()
        try:
            self._known = _read(self._path)
        except Exception:  # not there, damaged, or of another release: each has its own kinds
            self._known = {}

    def find(self, trial: Path, *, whole: bool = False) -> Known | None:
        """What is known of a trial, if its files are as they were; None: it is to be read.

        Trusted is that a file has changed if, and only if, its inode, its size or one of its times has. Its time of
        change (ctime) is set by the system at each write and each replacement, and cannot be set by hand as that of
        modification is, so that edits count too that keep size and date. A copy has times of its own, and is read. Not
        noticed is what no file system says: a block that rots on the disk, or, where a network's file system gives old
        times for seconds after another host's write, what is newer than these. Where inodes are drawn anew, or chmod
        and links change times, no more is lost than time.

        Args:
            trial: its folder.
            whole: it must have been looked at with its gradient norms and its predictions.
        """
        name = trial.name
        self._seen[name] = seen = _state(trial)
        known = self._known.get(name)
        if known is None or seen is None or known.state != seen[0]:
            self._known.pop(name, None)
            return None
        return known if known.whole or not whole else None

    def add(self, trial: Path, header: dict[str, Any], evaluations: pa.Table, *, whole: bool = False) -> None:
        """Enter an ended trial that was read, and found to be in order, after :meth:`find` did not have it.

        Args:
            trial: its folder.
            header: its ``trial.json``.
            evaluations: all of its evaluations.
            whole: whether its gradient norms and its predictions were looked at too.
        """
        seen = self._seen.get(trial.name)
        if seen is None or not seen[1] or not len(evaluations):
            return
        if self._known and next(iter(self._known.values())).table.schema != evaluations.schema:
            return  # read each time: no two kinds of tables in one file
        shared = {key for key, value in header.items() if isinstance(value, dict | list) and key != "seeds"}
        own, same = (json.dumps({key: header[key] for key in header if (key in shared) is to}) for to in (False, True))
        self._known[trial.name] = Known(seen[0], whole, own, same, evaluations, 0, len(evaluations))
        self._new.add(trial.name)

    def save(self) -> None:
        """Write what is new, if that is worth it and can be done: nothing is lost where it cannot."""
        if not self._new or len(self._new) * _NEW < len(self._known):
            return
        self._new.clear()
        try:
            known = {name: each for name, each in list(self._known.items()) if (self.sweep / name).is_dir()}
            evaluations = pa.concat_tables(each.evaluations for each in known.values()).combine_chunks()
            ends = [0]
            for each in known.values():
                ends.append(ends[-1] + each.rows)
            columns = {
                "name": list(known),
                "state": [each.state for each in known.values()],
                "whole": [each.whole for each in known.values()],
                "own": [each.own for each in known.values()],
                "shared": pa.array([each.shared for each in known.values()]).dictionary_encode(),
                "evaluations": pa.ListArray.from_arrays(
                    pa.array(ends, pa.int32()), evaluations.to_struct_array().combine_chunks()
                ),
            }
            content = pa.BufferOutputStream()
            pq.write_table(pa.table(columns), content, compression="zstd")
            content = content.getvalue()
            self._path.parent.mkdir(exist_ok=True)
            write_whole(self._path, lambda file: (file.write(_digest(content)), file.write(content)))
        except (OSError, pa.ArrowException, OverflowError):
            return


@lru_cache(maxsize=1)  # several readers of a command, one after the other
def _index_of(sweep: Path) -> Index:
    return Index(sweep)


def index_of(sweep: Path) -> Index:
    """The index of a sweep: what this process knows already, or else its file."""
    return _index_of(sweep.resolve())


def _digest(content: bytes | memoryview | pa.Buffer) -> bytes:
    """Parquet has checksums of its pages alone: a flipped bit of its footer renames a column."""
    digest = hashlib.blake2b(_CHECKS.encode(), digest_size=16)
    digest.update(content)
    return digest.digest()


def _read(path: Path) -> dict[str, Known]:
    content = memoryview(path.read_bytes())
    if content[:16] != _digest(content[16:]):
        return {}
    table = pq.read_table(pa.BufferReader(content[16:])).combine_chunks()
    lists = table["evaluations"].combine_chunks()
    evaluations = pa.Table.from_struct_array(lists.flatten())
    shared = table["shared"].combine_chunks()
    alike = shared.dictionary.to_pylist()
    columns = [table[name].to_pylist() for name in ("name", "state", "whole", "own")]
    starts = lists.offsets.to_pylist()
    return {
        name: Known(state, whole, own, alike[place], evaluations, start, end - start)
        for name, state, whole, own, place, start, end in zip(
            *columns, shared.indices.to_pylist(), starts[:-1], starts[1:], strict=True
        )
    }


def _state(trial: Path) -> tuple[bytes, bool] | None:
    """What tells whether a trial's files were written since, and whether it does so surely; None: not to be had."""
    facts: list[tuple[int, ...] | None] = []
    try:
        for name in FILES:
            try:
                stat = os.stat(f"{trial}/{name}")
                facts.append((stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
            except FileNotFoundError:
                facts.append(None)
    except OSError:
        return None
    last = max((max(fact[2:]) for fact in facts if fact is not None), default=0)
    settled = time.time_ns() - last >= SETTLED
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).digest(), settled
