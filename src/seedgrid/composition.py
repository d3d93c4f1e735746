"""Has Hydra compose and run a command; what it cannot compose, in one line that names what there is instead."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, RangeSweep
from hydra.errors import HydraException, MissingConfigException
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from seedgrid.command_line import check_words
from seedgrid.commands import Command
from seedgrid.configs import CONF, given, left_alone
from seedgrid.keys import instead

VERSION_BASE = "1.3"  # of Hydra's behaviour

_FULL_ERROR = "HYDRA_FULL_ERROR"
_START_MANY = "hydra/sweeper=start_many"
_ARGUMENTS = ("training.module.", "training.data.", "training.callbacks.")  # of classes, which name their own


def run_command(command: Command, words: Sequence[str]) -> None:
    """Have Hydra run a command; what Hydra cannot read or compose ends it with one line and code 1.

    Args:
        command: what Hydra calls, and whose name its primary config has.
        words: of the command line, from behind the command's name.
    """
    sys.argv[1:] = words  # where Hydra looks for them
    overrides, config_dir = check_words()
    remark = left_alone() if command.name == "train" and config_dir is None else None
    if remark is not None:
        print(remark, file=sys.stderr)
    asked = os.environ.get(_FULL_ERROR)
    os.environ[_FULL_ERROR] = "1"  # or Hydra prints its errors itself, in many lines, and exits
    with given(config_dir):
        try:
            hydra.main(version_base=VERSION_BASE, config_path=str(CONF), config_name=command.name)(command)()
        except Exception as error:
            if asked == "1" or not is_hydras(error):
                raise
            sys.exit(f"error: {explain(error, overrides, command.name)}")


@contextmanager
def composing() -> Iterator[Hydra]:
    """Hydra, for a command in this process that no command line gives: it composes configs, and runs trials and sweeps.

    ``composing() as hydra`` and then ``hydra.compose_config("train", ["task=mrpc"], RunMode.RUN)``, or
    ``hydra.multirun("train", COMMANDS["train"], overrides)``.
    """
    with hydra.initialize_config_dir(str(CONF), job_name="seedgrid", version_base=VERSION_BASE):
        yield GlobalHydra.instance().hydra


def compose(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """A command's config, as the command line would compose it where this process runs, without Hydra's own part.

    Args:
        name: of the command.
        overrides: words such as ``task=mrpc``.

    Raises:
        HydraException: a word cannot be read, or a key or option does not exist; :func:`explain` says it in one line.
    """
    with hydra.initialize_config_dir(str(CONF), job_name="seedgrid", version_base=VERSION_BASE):
        return hydra.compose(name, overrides=list(overrides))


def is_hydras(error: Exception) -> bool:
    if isinstance(error, HydraException | OmegaConfBaseException):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals["__name__"].partition(".")[0] == "hydra"


def explain(error: Exception, words: Sequence[str], name: str) -> str:
    """What Hydra says of a command line, in one line that names what there is instead.

    Args:
        error: Hydra's.
        words: the command line's overrides.
        name: the command's.
    """
    if isinstance(error, MissingConfigException) and error.options:
        return _explain_option(error, words)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key and cause.parent_node is not None:
        return _explain_key(cause, words)
    for word in words if isinstance(error, ValueError | TypeError) else ():
        if _gives_no_option(word):
            return _explain_group(word, name)
    said = str(error).splitlines()
    training = next((word for word in words if _key(word) == "training"), None)
    if training is not None and "No match in the defaults list" in str(error):
        return f"{said[0].partition('. No match')[0]}: {training} has no such group; leave it out"
    if cause is not None and cause is not error:
        said += str(cause).splitlines()[:1]
    return ": ".join(line.strip().rstrip(".:") for line in said if line.strip())


def _gives_no_option(word: str) -> bool:
    """Whether a word gives a group a number, a truth value or null."""
    override = OverridesParser.create().parse_override(word)
    if override.is_delete() or not (CONF / _key(word)).is_dir():
        return False
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else value if isinstance(value, list) else [value]
    return isinstance(value, RangeSweep) or any(each is None or isinstance(each, int | float) for each in values)


def _explain_group(word: str, name: str) -> str:
    key, _, value = word.lstrip("+").partition("=")
    own = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"), resolve=False)
    defaults = own.pop("defaults")
    if name == "train":
        defaults += OmegaConf.load(CONF / "training" / "text.yaml").defaults
    if not any(key in (str(group).lstrip("/") for group in each) for each in defaults if not isinstance(each, str)):
        return f"{word}: no such key; {instead(key, own)}"
    if key != "seed" or value == "null":
        return f"{word}: {key} takes the name of one of its options: {', '.join(_options(key))}"
    several = value.startswith("[") or OverridesParser.create().parse_override(word).is_sweep_override()
    init, order = (shlex.quote(f"seed.{name}={value.strip('[]')}") for name in ("init", "order"))
    both, pairs = (f"-m {init} {order} for a grid", "-m seed=paired") if several else (f"{init} {order}", "seed=paired")
    return f"{word}: the new layer and the order have a seed each; give {both}, or {pairs} {init}"


def _explain_option(error: MissingConfigException, words: Sequence[str]) -> str:
    there = f"there are {', '.join(error.options)}"
    for word in words:
        key, value = _key(word), word.partition("=")[2]
        if f"{key}/{value}" != error.missing_cfg_file:
            continue
        if key == "model":
            there += f"; one of the hub, or a folder: {shlex.quote(f'model.path={value}')}"
        if key == "task":
            there += "; your own files: task=csv task.source.train=FILE task.source.validation=FILE"
        return f"{word}: no such option; {there}"
    return f"{str(error).partition(':')[0]}: no {error.missing_cfg_file}; {there}"


def _explain_key(cause: ConfigAttributeError | ConfigKeyError, words: Sequence[str]) -> str:
    key = cause.full_key
    word = next((word for word in words if f"{_key(word)}.".startswith(f"{key}.")), key)
    group, _, inside = key.partition(".")
    if group == "hydra":
        if key.startswith("hydra.sweeper.") and _START_MANY not in words:
            return f"{word}: no key of the sweeper grid; to start many and stop early add {_START_MANY}"
        there = ", ".join(str(name) for name in cause.parent_node if not str(name).startswith("_"))
        return f"{word}: no such key; {key.rpartition('.')[0]} has {there}"
    tree = OmegaConf.to_container(cause.parent_node._get_root(), resolve=False)
    if key.startswith(_ARGUMENTS) and key.split(".")[1] in tree.get("training", {}):
        return f"{word}: no such argument in the config; to give it to the class, write +{word}"
    for option, config in _options(group).items() if inside else ():
        if isinstance(config, DictConfig) and inside in _keys(config):
            return f"{word}: no such key here; {group}={option} has it"
    for name in ("hydra", "prepared", "rung"):  # Hydra's own, and the sweeper's
        tree.pop(name, None)
    return f"{word}: no such key; {instead(key, tree)}"


def _options(group: str) -> dict[str, Container]:
    """The options of a group, the package's and the user's, and what is in each."""
    with composing() as hydra:
        repository = hydra.config_loader.repository
        return {name: repository.load_config(f"{group}/{name}").config for name in repository.get_group_options(group)}


def _key(word: str) -> str:
    return OverridesParser.create().parse_override(word).get_key_element().lstrip("+")


def _keys(config: DictConfig, prefix: str = "") -> set[str]:
    keys = set()
    for name in config:
        keys.add(f"{prefix}{name}")
        node = config._get_node(name)
        if isinstance(node, DictConfig):
            keys |= _keys(node, f"{prefix}{name}.")
    return keys
