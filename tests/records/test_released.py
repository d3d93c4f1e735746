"""The authors' pickle becomes sweeps; whatever else is in a file is named in one line, and nothing of it runs."""

from __future__ import annotations

import copyreg
import datetime
import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seedgrid.errors import InputError
from seedgrid.records.released import read_released

SCORES = {"mrpc": ("acc", "f1", "acc_and_f1"), "rte": ("acc",), "cola": ("mcc",), "sst": ("acc",)}


def trial(task: str, steps=(0, 23, 46), shift: float = 0.0) -> dict:
    """A trial as the authors' file holds it; scores rise from 0.25 by 0.125 an evaluation, losses from 0.75 by 0.25."""

    def metric(start: float, slope: float) -> dict:
        during = [[step, start + slope * (k + 1)] for k, step in enumerate(steps)]
        return {"before": start, "during": during, "after": start + slope * (len(steps) + 1)}

    scores = {key: metric(0.25 + shift, 0.125) for key in SCORES[task]}
    return {**scores, "loss": metric(0.75, 0.25), "train_loss": {"during": [0.7, 0.6, 0.5]}}


def content(*tasks: str) -> dict:
    return {
        task: {init: {order: trial(task, shift=0.01 * (init + 2 * order)) for order in (1, 2)} for init in (1, 2, 3)}
        for task in tasks
    }


@pytest.fixture
def written(tmp_path):
    """Write a content as a pickle, or bytes as they are."""

    def write(what, protocol: int = 3):
        path = tmp_path / "released.pickle"
        path.write_bytes(what if isinstance(what, bytes) else pickle.dumps(what, protocol))
        return path

    return write


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        read_released(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 500
    return message.removeprefix(f"{path}: ")


# ----------------------------------------------------------------------------------------------------------- content


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_each_task_of_the_file_is_a_sweep_whatever_the_protocol(written, protocol):
    path = written(content("mrpc", "sst"), protocol)
    mrpc, sst2 = read_released(path)
    assert [(sweep.name, sweep.task, sweep.metric) for sweep in (mrpc, sst2)] == [
        ("mrpc-bert_large-dodge2020", "mrpc", "acc_and_f1"),
        ("sst2-bert_large-dodge2020", "sst2", "accuracy"),
    ]
    assert mrpc.trials[["init", "order"]].values.tolist() == [[i, j] for i in (1, 2, 3) for j in (1, 2)]
    assert (mrpc.trials["status"] == "completed").all() and (mrpc.trials["folder"] == str(path)).all()
    # 0.25 at the start, 0.01 (init + 2 order), 0.125 for each of the four evaluations after it
    np.testing.assert_allclose(mrpc.trials["best_found"], [0.78, 0.80, 0.79, 0.81, 0.80, 0.82], rtol=1e-12)


def test_a_step_of_the_file_is_validated_after_it_so_its_first_is_one_step_and_before_and_after_frame_it(written):
    (sweep,) = read_released(written({"mrpc": {1: {1: trial("mrpc")}}}))
    evaluations = sweep.evaluations
    assert evaluations["step"].tolist() == [0, 1, 24, 47, 690]
    np.testing.assert_allclose(evaluations["epoch"], [0, 1 / 230, 24 / 230, 47 / 230, 3])
    for column in ("accuracy", "f1", "acc_and_f1", "score"):
        assert evaluations[column].tolist() == [0.25, 0.375, 0.5, 0.625, 0.75]
    assert evaluations["loss"].tolist() == [0.75, 1.0, 1.25, 1.5, 1.75]
    assert sweep.trials.loc[0, ["best_found", "best_step", "last_step", "steps"]].tolist() == [0.75, 690, 690, 690]


def test_what_was_recorded_after_the_last_step_during_training_is_not_doubled(written):
    (sweep,) = read_released(written({"mrpc": {1: {1: trial("mrpc", steps=(0, 689))}}}))
    assert sweep.evaluations["step"].tolist() == [0, 1, 690]
    assert sweep.evaluations["score"].tolist() == [0.25, 0.375, 0.5]


@pytest.mark.parametrize(
    ("steps", "expected", "scores"),
    [
        ((23, 46), [0, 23, 46, 690], [0.25, 0.375, 0.5, 0.625]),
        ((23, 690), [0, 23, 690], [0.25, 0.375, 0.5]),
        ((0, 690), [0, 690], [0.375, 0.5]),  # 690 can only count steps done, so 0 is before training
    ],
)
def test_a_file_that_counts_steps_done_is_taken_at_its_word(written, steps, expected, scores):
    (sweep,) = read_released(written({"mrpc": {1: {1: trial("mrpc", steps)}}}))
    assert sweep.evaluations["step"].tolist() == expected
    assert sweep.evaluations["score"].tolist() == scores


@pytest.mark.parametrize(
    ("task", "steps", "sizes", "majority"),
    [
        ("mrpc", 690, (3668, 408), 0.75),
        ("rte", 468, (2490, 277), 0.53),
        ("cola", 1605, (8551, 1043), 0.0),
        ("sst", 12630, (67349, 872), 0.51),
    ],
)
def test_a_task_has_the_papers_sizes_and_baseline_and_the_threshold_and_metric_of_our_own_task(
    written, repository, task, steps, sizes, majority
):
    (sweep,) = read_released(written(content(task)))
    assert (sweep.trials["steps"] == steps).all()
    assert (sweep.train_examples, sweep.validation_examples, sweep.majority) == (*sizes, majority)
    ours = yaml.safe_load((repository / "conf" / "task" / f"{sweep.task}.yaml").read_text())
    assert (sweep.task, sweep.metric, sweep.diverged_at) == (ours["name"], ours["metric"], ours["diverged_at"])


def test_a_trial_at_the_threshold_has_diverged(written):
    poor = {"acc": {"before": 0.9, "during": [[0, 0.4], [5, 0.5]], "after": 0.45}}
    (sweep,) = read_released(written({"rte": {1: {1: poor, 2: trial("rte")}}}))
    assert sweep.trials["diverged"].tolist() == [True, False]


@pytest.mark.parametrize("name", ["sst", "SST", "sst2", "sst-2", "SST-2"])
def test_sst2_goes_by_several_names(written, name):
    path = written({name: content("sst")["sst"]})
    assert [sweep.task for sweep in read_released(path, [name])] == ["sst2"]


def test_only_the_tasks_asked_for_are_read_in_the_order_asked(written):
    file = {**content("mrpc", "rte", "cola"), "sst": "never looked at"}
    assert [sweep.task for sweep in read_released(written(file), ["cola", "mrpc"])] == ["cola", "mrpc"]


def test_a_task_that_is_not_in_the_file_is_named_with_those_that_are(written):
    path = written(content("mrpc", "rte"))
    with pytest.raises(InputError, match=r"^task=cola: .* has no such task; it has mrpc, rte$"):
        read_released(path, ["cola"])


def test_tuples_whole_numbers_shared_lists_and_missing_cells_are_fine(written):
    shared = ((0, 0), (10, 1))
    file = {
        "rte": {i: {j: {"acc": {"before": 0, "during": shared, "after": 1}} for j in range(1, i + 1)} for i in (2, 1)}
    }
    (sweep,) = read_released(written(file))
    assert sweep.trials[["init", "order"]].values.tolist() == [[1, 1], [2, 1], [2, 2]]
    assert sweep.evaluations["loss"].isna().all()
    assert sweep.evaluations["score"].tolist() == [0, 0, 1, 1] * 3


# ------------------------------------------------------------------------------------------------- wrong, but harmless


def changed(place: tuple, value) -> dict:
    """The content of a file with what lies at a place replaced, or removed where the value is ``...``."""
    file = content("mrpc", "rte")
    holder = file
    for key in place[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return file


METRIC = ("mrpc", 2, 1, "acc_and_f1")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("qqp",), {}, "'qqp' is none of the tasks mrpc, rte, cola, sst2"),
        ((3,), {}, "3 is none of the tasks"),
        (("MRPC",), {}, "holds task mrpc under two names"),
        (("mrpc",), {}, "mrpc: holds an empty dict, not a dict from init seed"),
        (("mrpc",), [1], "mrpc: holds a list, not a dict from init seed"),
        (("mrpc", -1), {}, "mrpc: -1 is no init seed"),
        (("mrpc", "1"), {}, "mrpc: '1' is no init seed"),
        (("mrpc", 2**32), {}, "mrpc: 4294967296 is no init seed"),
        (("mrpc", 2), None, "mrpc, init 2: holds a NoneType, not a dict from order seed"),
        (("mrpc", 2, 1.5), {}, "mrpc, init 2: 1.5 is no order seed"),
        (("mrpc", 2, 1), [], "mrpc, init 2, order 1: holds an empty list, not a dict of metrics"),
        (METRIC, ..., "mrpc, init 2, order 1: has no metric acc_and_f1"),
        (METRIC, 0.5, "mrpc, init 2, order 1, acc_and_f1: holds 0.5, not a dict of before, during and after"),
        ((*METRIC, "after"), ..., "mrpc, init 2, order 1, acc_and_f1: has no after"),
        ((*METRIC, "before"), "0.5", "mrpc, init 2, order 1, acc_and_f1, before: '0.5' is not a number from 0 to 1"),
        ((*METRIC, "before"), True, "mrpc, init 2, order 1, acc_and_f1, before: True is not"),
        ((*METRIC, "after"), float("nan"), "mrpc, init 2, order 1, acc_and_f1, after: nan is not"),
        (
            (*METRIC, "after"),
            91.4,
            "mrpc, init 2, order 1, acc_and_f1, after: 91.4 is not a number from 0 to 1 (0.914,",
        ),
        ((*METRIC, "after"), 10**400, "mrpc, init 2, order 1, acc_and_f1, after: an int is not"),
        ((*METRIC, "after"), "x" * 9999, "mrpc, init 2, order 1, acc_and_f1, after: 'xxxx"),
        ((*METRIC, "during"), [], "mrpc, init 2, order 1, acc_and_f1, during: holds an empty list"),
        ((*METRIC, "during"), "abc", "mrpc, init 2, order 1, acc_and_f1, during: holds 'abc'"),
        ((*METRIC, "during", 1), 0.5, "mrpc, init 2, order 1, acc_and_f1, during[1]: holds 0.5, not [step, value]"),
        ((*METRIC, "during", 1), [23], "mrpc, init 2, order 1, acc_and_f1, during[1]: holds a list, not"),
        ((*METRIC, "during", 1), [0, 0.5], "mrpc, init 2, order 1, acc_and_f1, during[1]: 0 is no step"),  # restarts
        ((*METRIC, "during", 1), [1.0, 0.5], "mrpc, init 2, order 1, acc_and_f1, during[1]: 1.0 is no step"),
        ((*METRIC, "during", 2), [691, 0.5], "mrpc, init 2, order 1, acc_and_f1, during[2]: 691 is no step"),
        ((*METRIC, "during", 2), [46, -0.1], "mrpc, init 2, order 1, acc_and_f1, during[2]: -0.1 is not"),
        ((*METRIC, "during", 2), [46, None], "mrpc, init 2, order 1, acc_and_f1, during[2]: a NoneType is not"),
        ((*METRIC, "during", 2), [47, 0.5], "mrpc, init 2, order 1, loss: has other steps than acc_and_f1"),
        (
            ("mrpc", 2, 1, "loss", "after"),
            float("inf"),
            "mrpc, init 2, order 1, loss, after: inf is not a finite number",
        ),
    ],
)
def test_another_structure_is_named_with_its_place(written, place, value, message):
    assert refusal(written(changed(place, value))).startswith(message)


@pytest.mark.parametrize("what", [[], "mrpc", None, {}, 3.5])
def test_what_is_no_dict_of_tasks_is_refused(written, what):
    assert "not a dict of tasks" in refusal(written(what))


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match=r"^path=.*: no such file"):
            read_released(path)


@pytest.mark.parametrize("what", [b"", b"init,order\n1,2\n", b"\x1f\x8b\x08 zipped", b"PAR1", bytes(100), b"."])
def test_what_is_no_pickle_is_refused(written, what):
    refusal(written(what))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_file_that_ends_early_is_refused_wherever_it_ends(written, protocol):
    whole = pickle.dumps({"rte": {1: {1: trial("rte", (0, 5))}}}, protocol)
    assert read_released(written(whole))
    for length in range(len(whole)):
        refusal(written(whole[:length]))


WHOLE = [pickle.dumps({"rte": {1: {1: trial("rte", (0, 5))}}}, protocol) for protocol in (0, 2, 4)]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(), inner, max_size=3),
    max_leaves=10,
)


def survives(path) -> None:
    """A file is read or refused in one line: nothing else comes out."""
    try:
        sweeps = read_released(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(sweep.evaluations["score"].between(0, 1).all() for sweep in sweeps)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(WHOLE), st.data())
def test_a_damaged_file_is_read_or_refused(written, whole, data):
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    survives(written(bytes(damaged)))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 7), st.data())
def test_any_plain_data_is_read_or_refused(written, depth, data):
    place = ("rte", 1, 2, "acc", "during", 1, 1)[:depth]
    survives(written(changed(place, data.draw(PLAIN))))


# ------------------------------------------------------------------------------------------------------------ harmful


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_is_named_and_not_run(written, tmp_path, protocol):
    target = tmp_path / "ran"
    file = content("rte") | {"mrpc": Runs(target)}
    path = written(file, protocol)
    assert "mkdir" in refusal(path)
    assert not target.exists()
    pickle.loads(path.read_bytes())  # it would have run
    assert target.exists()


class Sized:
    """A class of one's own."""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "what",
    [
        *(np.float64(0.5), np.arange(3), Sized, datetime.date(2020, 2, 15), OrderedDict(a=1)),
        *(len, {1}, frozenset({1}), b"bytes", bytearray(b"bytes"), 1j, range(3)),
    ],
    ids=lambda what: getattr(what, "__name__", type(what).__name__),
)
def test_nothing_but_plain_containers_numbers_and_strings_is_admitted(written, what, protocol):
    message = refusal(written(changed((*METRIC, "after"), what), protocol))
    assert "plain container" in message and "nothing was run" in message


def test_a_class_is_named_even_if_nothing_is_made_of_it(written):
    assert "'seedgrid.nowhere.Nothing'" in refusal(written(b"cseedgrid.nowhere\nNothing\n0}."))
    assert "'os.system'" in refusal(written(b"(ios\nsystem\n."))
    assert "'os.system'" in refusal(written(b"\x80\x04\x8c\x02os\x8c\x06system\x93."))


def test_persistent_references_are_refused(written):
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return "elsewhere" if obj == 0.5 else None

    for protocol in (0, 2):
        file = io.BytesIO()
        Pickler(file, protocol).dump(content("rte"))
        assert "PERSID" in refusal(written(file.getvalue()))


def test_registered_extensions_are_refused(written):
    copyreg.add_extension("os", "mkdir", 240)
    try:
        assert "EXT1" in refusal(written(b"\x80\x02\x82\xf0."))
    finally:
        copyreg.remove_extension("os", "mkdir", 240)


@pytest.mark.parametrize(
    "what",
    [
        b"\x80\x02}r\xff\xff\xff\xff.",  # LONG_BINPUT: an index of 4,294,967,295 in the memo
        b"}p99999999999\n.",  # PUT
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}.",  # a frame of 4 EiB
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"text.",  # BINUNICODE8
        b"\x80\x02X\xff\xff\xff\xfftext.",  # BINUNICODE
        b"\x80\x02\x8b\xff\xff\xff\x7f1.",  # LONG4
        b"T\xff\xff\xff\x7ftext.",  # BINSTRING
        b"I" + b"9" * 100_000 + b"\n.",
    ],
    ids=["memo", "memo-text", "frame", "unicode8", "unicode", "long", "string", "digits"],
)
def test_lengths_and_indices_beyond_the_file_are_refused_before_memory_is_asked_for(written, what):
    refusal(written(what))


def test_lists_that_hold_themselves_are_refused(written):
    circle: list = []
    circle.append(circle)
    doubling: list = [0.5]
    for _ in range(200):
        doubling = [doubling, doubling]
    refusal(written(changed((*METRIC, "during"), circle)))
    refusal(written(changed((*METRIC, "during"), doubling)))
    refusal(written(b"]" * 100_000 + b"a" * 99_999 + b"."))  # 100,000 lists, each in the other
