"""How commands end that cannot do what is asked for, or whose reader has gone."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from seedgrid.errors import InputError, plain_exit
from seedgrid.records.store import read_sweep


def test_what_cannot_be_used_is_one_line_and_other_errors_stay_what_they_are():
    @plain_exit()
    def command(error):
        raise error

    with pytest.raises(SystemExit, match=r"^error: size=0: give more$"):
        command(InputError("size=0: give more"))
    with pytest.raises(SystemExit, match=r"^error: /x: permission denied; name another"):
        command(PermissionError(errno.EACCES, "Permission denied", "/x"))
    with pytest.raises(ZeroDivisionError):
        command(ZeroDivisionError())
    with pytest.raises(SystemExit) as ended:
        command(KeyboardInterrupt())
    assert ended.value.code == 130


@pytest.fixture
def without_reader(start_python, tmp_path):
    """Exit code and complaints of a command whose reader has gone before it says anything."""

    def ran(name, words):
        process = start_python("-m", "seedgrid", name, *words, cwd=tmp_path)
        process.stdout.close()
        errors = process.stderr.read()
        return process.wait(), errors

    return ran


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_standard_output_is_one_line():
    said = "from seedgrid.errors import plain_exit\nwith plain_exit():\n    print('a summary')"
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-c", said], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "error: standard output: no space left on device; make room there\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report", ["sweep=mine", "splits=2"]),
        ("compare", ["a=mine", "b=other", "max_budget=0"]),
        ("plan", ["sweep=mine", "budget=2"]),
        ("plan", ["budget=2"]),
        ("status", ["sweep=mine"]),
        ("dashboard", ["sweep=mine", "dry_run=true"]),
    ],
)
def test_a_reader_who_has_seen_enough_sees_no_traceback(without_reader, write_sweep, tmp_path, name, words):
    write_sweep(tmp_path / "mine", 2, 2)
    write_sweep(tmp_path / "other", 2, 2, seed=1)
    code, errors = without_reader(name, words)
    assert code == 1
    assert "Traceback" not in errors and "Broken" not in errors


def test_a_trial_goes_on_without_a_reader(without_reader, tiny, tmp_path):
    code, errors = without_reader("train", [*tiny, "sweep=alone"])
    assert code == 1
    assert "Traceback" not in errors and "Broken" not in errors
    [trial] = read_sweep(tmp_path / "alone").trials["status"]
    assert trial == "completed"
