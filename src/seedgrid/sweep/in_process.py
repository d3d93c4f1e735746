"""``seedgrid.run``: what the command ``train -m`` does, in the caller's own process, which it leaves as it was."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from pathlib import Path

import numpy as np
from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.types import HydraContext, RunMode
from joblib.externals.loky import reusable_executor

from seedgrid import targets
from seedgrid.command_line import refusal
from seedgrid.commands import COMMANDS
from seedgrid.composition import composing, explain, is_hydras
from seedgrid.configs import given, left_alone
from seedgrid.errors import InputError
from seedgrid.public import Place, Sweep, read
from seedgrid.shell import quoted
from seedgrid.sweep.expand import SEED_KEYS
from seedgrid.trials import interrupt

Seeds = int | Iterable[int]

_running = threading.Lock()


def run(
    *overrides: str,
    init: Seeds | None = None,
    order: Seeds | None = None,
    dropout: Seeds | None = None,
    folder: Place | None = None,
    config_dir: Place | None = None,
) -> Sweep:
    """Run the trials of a sweep that are not done yet, and return the sweep.

    The trials are those of the command ``seedgrid train -m`` with the same words, to the last bit, in the same folders:
    either goes on where the other stopped. Progress is shown on standard error, or beneath the cell of a notebook.

    Ctrl-C, or a kernel's interrupt, lets running trials write their checkpoints and then raises KeyboardInterrupt; a
    second one ends them at once. Failed trials take no other along: a warning names them, and they are in
    ``Sweep.failed``.

    Args:
        overrides: words of the command line, such as ``"task=mrpc"``.
        init, order, dropout: seeds, one or several; every combination is a trial.
        folder: of the sweep, instead of ``sweep=``.
        config_dir: folder of your own configs, besides a ``conf`` where this process runs.

    Raises:
        InputError: what was given cannot be used, with the command's own line.
        KeyboardInterrupt: the sweep was stopped; the same call goes on.
    """
    words = _words(overrides, {"init": init, "order": order, "dropout": dropout}, folder)
    if config_dir is not None and not Path(config_dir).is_dir():
        raise InputError(f"config_dir={config_dir}: no such folder")
    remark = left_alone() if config_dir is None else None
    said = [] if remark is None else [remark]
    if not _running.acquire(blocking=False):
        raise InputError("another seedgrid.run is at work in this process; wait for it, or run this one in another")

    def say(line: str, file: object = None) -> None:
        if file is sys.stderr:  # the rest is what the sweep itself shows
            said.append(line.strip())

    try:
        with _as_it_was(), interrupt.given_back(), given(None if config_dir is None else Path(config_dir)):
            place = _work(words, say)
            stopped_by = (interrupt.requested_by() or signal.SIGINT) if interrupt.requested() else None
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same call goes on where it stopped") from None
    finally:
        _running.release()
    if said:
        warnings.warn("\n".join(said), stacklevel=2)
    if stopped_by is not None:
        if stopped_by != signal.SIGINT:
            signal.raise_signal(stopped_by)  # now it means what it means to the caller's process: by default, its end
        raise KeyboardInterrupt("stopped; the same call goes on where it stopped")
    return read(place)


def _words(overrides: Sequence[str], seeds: dict[str, Seeds | None], folder: Place | None) -> list[str]:
    """The words of the command line that says the same."""
    words = []
    for word in overrides:
        if not isinstance(word, str):
            raise InputError(f'{word!r}: not a word of the command line, such as "task=mrpc"')
        words.append(word)
    words += [f"seed.{name}={_listed(name, given)}" for name, given in seeds.items() if given is not None]
    if folder is not None:
        if not isinstance(folder, str | os.PathLike):
            raise InputError(f'folder={folder!r}: give the path of the sweep\'s folder, such as folder="runs/mine"')
        words.append(f"sweep={quoted(os.fspath(folder))}")
    keys = []
    for word in words:
        if word.startswith("-"):
            raise InputError(f"{word}: no flags here, each call is a sweep; keys are written without dashes: key=value")
        reason = refusal(word, swept=True)
        if reason is not None:
            raise InputError(f"{word}: {reason}")
        keys.append(word.partition("=")[0])
    for name in (*(f"seed.{name}" for name in seeds), "sweep"):
        if keys.count(name) > 1:
            raise InputError(f"{name} is given twice, as a word and as an argument; leave out one of them")
    return words


def _listed(name: str, seeds: Seeds) -> str:
    try:
        given = [seeds] if hasattr(seeds, "__index__") else list(seeds)
        numbers = [index(seed) for seed in given]
    except TypeError:
        numbers = None
    if numbers is None or any(isinstance(seed, bool) for seed in given):
        raise InputError(f"{name}={seeds!r}: give a seed or several, such as {name}=0 or {name}=range(5)")
    if not numbers:
        raise InputError(f"{name}={seeds!r}: no seed; give one or more, such as {name}=range(5)")
    wrong = next((number for number in numbers if not 0 <= number < 2**32), None)
    if wrong is not None:
        raise InputError(f"{name}={wrong}: a seed is an integer from 0 to 2**32 - 1")
    return ",".join(map(str, numbers))


def _work(words: list[str], say: Callable[..., None]) -> Path:
    """What Hydra's multirun does, but for how it ends, which is the caller's to say; the sweep's folder."""
    try:
        with composing() as hydra:
            config = hydra.compose_config(
                "train", [*words, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN, with_log_configuration=False
            )
            context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
            try:
                context.callbacks.on_multirun_start(config=config, config_name="train")
            except SystemExit as refused:
                raise InputError(str(refused.code).removeprefix("error: ")) from None
            sweeper = Plugins.instance().instantiate_sweeper(
                config=config, hydra_context=context, task_function=COMMANDS["train"]
            )
            arguments = list(config.hydra.overrides.task)
            _refuse_other_axes([*(f"{key}={value}" for key, value in sweeper.params.items()), *arguments])
            [folder], _ = sweeper.work(arguments, say)
    except Exception as error:
        if not is_hydras(error):
            raise
        raise InputError(explain(error, words, "train")) from error
    return folder


def _refuse_other_axes(words: Sequence[str]) -> None:
    parser = OverridesParser.create()
    for word in words:
        override = parser.parse_override(word)
        if override.is_sweep_override() and override.get_key_element() not in SEED_KEYS:
            raise InputError(f"{word}: only seeds vary in a sweep; call seedgrid.run once for each value")


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Around a sweep in the caller's process: Hydra, torch, warnings and the environment are theirs again."""
    environment, drawn = dict(os.environ), (random.getstate(), np.random.get_state())
    Plugins.instance(), ConfigStore.instance()  # what these learn, they may keep
    kinds = (GlobalHydra, HydraConfig, JobRuntime, version.VersionBase)
    theirs = {kind: Singleton._instances.pop(kind, None) for kind in kinds}
    _end_workers()  # of the caller's: they may have imported other code, in another folder
    targets.forget()
    if "seedgrid.training.borrowed" in sys.modules:
        sys.modules["seedgrid.training.borrowed"].forget()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # of a bar by ipywidgets, which nobody needs here
            yield
    finally:
        _end_workers()
        if "seedgrid.training.borrowed" in sys.modules:
            sys.modules["seedgrid.training.borrowed"].put_back()
        for kind, instance in theirs.items():
            Singleton._instances.pop(kind, None)
            if instance is not None:
                Singleton._instances[kind] = instance
        for kind in SourcesRegistry.instance().types.values():
            # With one core, Hydra's launcher has executed these modules again; what is made of them goes to workers.
            setattr(sys.modules[kind.__module__], kind.__name__, kind)
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        for name in {*environment, *os.environ}:
            if name not in environment:
                del os.environ[name]
            elif os.environ.get(name) != environment[name]:
                os.environ[name] = environment[name]


def _end_workers() -> None:
    """End joblib's worker processes: they would keep their memory, their folder, and the code that they imported."""
    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=True, kill_workers=interrupt.requested())
