"""What cannot be trained under seeds is said in one line before any trial starts."""

from __future__ import annotations

import pytest

from seedgrid.errors import InputError
from seedgrid.trials.preparation import prepare
from seedgrid.trials.run import run_trial


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("training.module._target_=their_own.Nett", r"^training\.module\._target_=their_own\.Nett: cannot be imported"),
        ("training.module._target_=__main__.Net", r"^training\.module\._target_=__main__\.Net: .* give mine\.Net$"),
        ("training.module._target_=their_own.Points", r"^training\.module\._target_=their_own\.Points: gives a Points"),
        ("training.data._target_=their_own.Net", r"^training\.data\._target_=their_own\.Net: gives a Net"),
        ("+training.module.widht=3", r"^training\.module: their_own\.Net could not be made \(TypeError: .*'widht'"),
        ("training.score=accuracy", r"^training\.score=accuracy: validation logs val_loss, val_error; give one"),
        ("training.module._target_=their_own.Lazy", r"^training\.module: net\.weight, net\.bias would be drawn"),
        ("training.module._target_=their_own.Silent", r"^training\.score=val_loss: validation logs nothing"),
        ("training.data._target_=their_own.Stream", r"reads Endless, an iterable data set"),
        ("+training.data.sampler=own_generator", r"OwnGenerator draws from a generator of its own"),
        ("training.data._target_=their_own.Reversed", r"gives a Backwards, which has an order of its own"),
        ("training.module._target_=their_own.Fetching", r"training_step takes dataloader_iter"),
        ("+training.data.rows=0", r"^training\.data"),
        ("training.range=[1,0]", r"^training: training\.range"),
        (
            "+training.callbacks.keep._target_=pytorch_lightning.callbacks.ModelCheckpoint",
            r"^training\.callbacks\.keep\._target_=.*leave checkpoints to the trials",
        ),
        (
            "+training.callbacks.stop={_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: val_loss}",
            r"^training: the callback EarlyStopping changes how many steps are taken.*; leave it out$",
        ),
        ("training.module._target_=their_own.Patient", r"^training: the callback EarlyStopping .*; leave it out$"),
    ],
)
def test_a_training_that_cannot_be_swept_is_refused_in_one_line(own_settings, word, line):
    with pytest.raises(InputError, match=line) as refused:
        prepare(own_settings(word))
    assert "\n" not in str(refused.value)


def test_an_error_in_the_users_code_names_its_place(own_settings, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(
        "from their_own import Net\n\n\nclass Broken(Net):\n    def validation_step(self, batch, batch_idx):\n"
        "        raise ValueError('no such\\nthing')\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^training: ValueError: no such thing \(.*broken\.py, line 6\)$"):
        prepare(own_settings("training.module._target_=broken.Broken"))


def test_a_training_that_ends_by_itself_fails_with_the_reason(own_settings):
    settings = own_settings("training.module._target_=their_own.Stopping")
    outcome = run_trial(settings, prepare(settings))
    assert outcome.status == "failed"
    assert "trials are compared at equal steps" in outcome.error


def test_a_class_that_was_edited_is_another_configuration(own_settings, tmp_path, monkeypatch):
    source = tmp_path / "mine.py"
    source.write_text("from their_own import Net\n\n\nclass Mine(Net):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = own_settings("training.module._target_=mine.Mine")
    assert run_trial(settings, prepare(settings)).status == "completed"
    source.write_text(source.read_text() + "    rate = 2\n")
    with pytest.raises(InputError, match=r"training\.source\.mine\.Mine was \w+, now \w+"):
        prepare(settings)


def test_data_that_say_what_they_are_may_change_their_arguments(own_settings, tmp_path, monkeypatch):
    (tmp_path / "told.py").write_text(
        "from their_own import Points\n\n\nclass Told(Points):\n    def fingerprint(self):\n"
        "        return f'points of {self.rows} rows'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ("training.data._target_=told.Told",)
    one, same, other = (
        prepare(own_settings(*words, *more, sweep=name))
        for more, name in (((), "a"), (("+training.data.workers=1",), "b"), (("+training.data.rows=30",), "c"))
    )
    assert one.fingerprint == same.fingerprint != other.fingerprint
