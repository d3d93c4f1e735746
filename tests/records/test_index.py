"""What is kept of ended trials counts as long as their files are the ones that it was made of, and never else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from seedgrid.records import index as index_module
from seedgrid.records.index import FILES, Index
from seedgrid.records.store import check_finished, read_sweep, read_trial, trial_folders, trial_name
from seedgrid.seeds import Seeds

FIRST = trial_name(Seeds())


@pytest.fixture
def sweep(tmp_path, write_sweep, monkeypatch):
    """2 x 3 trials of which two have not ended, and their index, unknown to this process."""
    monkeypatch.setattr(index_module, "SETTLED", 0)
    status = {(0, 1): "running", (1, 0): "failed", (1, 1): "nonfinite", (1, 2): "stopped"}
    folder = write_sweep(tmp_path / "sweep", 2, 3, status=status, norms=lambda *_: [{"step": 10, "head": 1.0}])
    learn(folder)
    return folder


def learn(sweep: Path) -> Index:
    index = Index(sweep)
    for _, folder in trial_folders(sweep):
        if index.find(folder, whole=True) is None:
            check_finished(folder, index)
    index.save()
    return index


def known(sweep: Path, whole: bool = True) -> list[str]:
    """Names of the trials that a new process need not read."""
    index = Index(sweep)
    return [folder.name for _, folder in trial_folders(sweep) if index.find(folder, whole=whole) is not None]


ENDED = [trial_name(Seeds(init=init, order=order)) for init, order in ((0, 0), (0, 2), (1, 1), (1, 2))]


def test_the_index_has_what_ended_trials_recorded_and_no_others(sweep):
    assert known(sweep) == ENDED
    index = Index(sweep)
    for name in ENDED:
        found = index.find(sweep / name)
        assert found.trial == json.loads((sweep / name / "trial.json").read_text())
        assert found.evaluations.equals(pq.read_table(sweep / name / "evaluations.parquet"))


def test_a_sweep_reads_the_same_with_and_without_its_index(sweep):
    indexed = read_sweep(sweep)
    plain = sweep.rename(sweep.with_name("plain"))
    (plain / ".cache" / "index").unlink()
    read = read_sweep(plain)
    pd.testing.assert_frame_equal(indexed.evaluations, read.evaluations)
    pd.testing.assert_frame_equal(indexed.trials.drop(columns="folder"), read.trials.drop(columns="folder"))
    assert (indexed.config, indexed.identity, indexed.versions) == (read.config, read.identity, read.versions)


def keep_time(path: Path, change) -> None:
    """Change a file and give it its time of modification back."""
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def overwrite(path: Path) -> None:
    """As many bytes, in the same file."""
    with path.open("r+b") as file:
        last = path.stat().st_size - 1
        file.seek(last)
        file.write(b" ")


def replace(path: Path) -> None:
    """The same bytes, in another file."""
    other = path.with_name("other")
    shutil.copy2(path, other)
    other.replace(path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [overwrite, replace, Path.unlink, lambda path: os.truncate(path, 10)])
def test_a_trial_of_which_any_file_was_changed_is_read_again_also_with_its_old_size_and_date(sweep, name, change):
    path = sweep / FIRST / name
    if change is Path.unlink:
        path.unlink()
    else:
        keep_time(path, change)
    assert known(sweep) == ENDED[1:]


def test_a_copied_sweep_is_read_and_a_moved_one_keeps_its_index(sweep):
    copy = sweep.with_name("copy")
    shutil.copytree(sweep, copy)  # with times of modification
    assert known(copy) == []
    assert known(sweep.rename(sweep.with_name("moved"))) == ENDED
    learn(copy)
    assert known(copy) == ENDED


def test_trials_that_were_exchanged_are_read(sweep):
    one, other = (sweep / name for name in ENDED[:2])
    one.rename(sweep / "aside")
    other.rename(one)
    (sweep / "aside").rename(other)
    assert known(sweep) == ENDED[2:]


def test_what_a_trial_leaves_behind_when_it_is_removed_goes_with_the_next_writing(sweep):
    for name in ENDED[1:]:
        shutil.rmtree(sweep / name)
    replace(sweep / FIRST / "trial.json")
    learn(sweep)
    small = (sweep / ".cache" / "index").stat().st_size
    (sweep / ".cache" / "index").unlink()
    learn(sweep)
    assert (sweep / ".cache" / "index").stat().st_size == small


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: path.write_bytes(b""),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_an_index_that_is_damaged_counts_for_nothing(sweep, change):
    change(sweep / ".cache" / "index")
    assert known(sweep) == []
    assert len(read_sweep(sweep).trials) == 6


def test_an_index_of_other_checks_counts_for_nothing(sweep, monkeypatch):
    monkeypatch.setattr(index_module, "_CHECKS", "0.0.9 1")
    assert known(sweep) == []


def test_a_bit_that_flips_in_the_index_changes_nothing_that_is_read_from_it(sweep):
    path = sweep / ".cache" / "index"
    content = path.read_bytes()
    right = {name: Index(sweep).find(sweep / name) for name in ENDED}
    for place in range(0, len(content), 29):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        index = Index(sweep)
        for name, known in right.items():
            found = index.find(sweep / name)
            if found is not None:
                assert (found.trial, found.whole) == (known.trial, known.whole), place
                assert found.evaluations.equals(known.evaluations), place


def test_it_is_no_error_where_an_index_cannot_be_written(sweep, no_room):
    (sweep / ".cache" / "index").unlink()
    with no_room():
        assert len(read_sweep(sweep).trials) == 6
    assert not list((sweep / ".cache").glob("*index*"))


def test_a_trial_is_entered_once_its_files_are_older_than_a_tick_of_the_clock(sweep, monkeypatch):
    (sweep / ".cache" / "index").unlink()
    monkeypatch.undo()
    learn(sweep)
    assert known(sweep) == []


def test_what_was_read_for_its_scores_alone_does_not_pass_for_checked(sweep):
    (sweep / ".cache" / "index").unlink()
    (sweep / FIRST / "predictions.npz").write_bytes(b"damaged")
    read_sweep(sweep)
    assert known(sweep, whole=False) == ENDED
    assert known(sweep) == []


def test_the_index_is_written_again_only_once_enough_is_new(sweep, monkeypatch):
    path = sweep / ".cache" / "index"
    written = path.stat().st_mtime_ns
    monkeypatch.setattr(index_module, "_NEW", 3)
    replace(sweep / FIRST / "trial.json")
    index = learn(sweep)
    assert path.stat().st_mtime_ns == written
    assert index.find(sweep / FIRST).trial == read_trial(sweep / FIRST)
    replace(sweep / ENDED[1] / "trial.json")
    learn(sweep)
    assert path.stat().st_mtime_ns > written
    assert known(sweep) == ENDED
