"""The page on records names what a real trial writes, no more and no less, and its examples read it."""

import json
import re

import numpy as np
import pyarrow.parquet as pq


def _named(page, heading):
    """Names in the first column of the table below a heading, and the types beside them where there are any."""
    section = re.split(rf"^#+ {re.escape(heading)}$", page, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    named = {}
    for row in re.findall(r"^\| (`.*) \|$", section, re.MULTILINE):
        first, second = row.split(" | ")[:2]
        named |= dict.fromkeys(re.findall(r"`([^`]+)`", first), second)
    return named


def test_the_page_names_what_a_real_trial_writes_and_its_examples_read_it(user, fences, repository):
    path = repository / "docs" / "records.md"
    user.follow(fences(path))
    page, trial = path.read_text(), user.folder / "runs" / "debug" / "init=001,order=000"
    headings = [heading for heading in re.findall(r"^### (.*)$", page, re.MULTILINE) if "." in heading]
    assert sorted(headings) == sorted(file.name for file in trial.iterdir())
    for name in ("evaluations", "train_loss", "gradient_norms"):
        schema = pq.read_schema(trial / f"{name}.parquet")
        assert _named(page, f"{name}.parquet") == {field.name: str(field.type) for field in schema}
    record = json.loads((trial / "trial.json").read_text())
    assert list(_named(page, "trial.json")) != []
    assert set(_named(page, "trial.json")) == set(record)
    with np.load(trial / "predictions.npz") as archive:
        assert _named(page, "predictions.npz") == {key: str(array.dtype) for key, array in archive.items()}
    assert set(_named(page, "One tidy file")) == set(pq.read_schema(user.folder / "trials.parquet").names)
