"""From the words of the command line to the trials of one or several sweeps."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from seedgrid.errors import InputError
from seedgrid.seeds import Seeds
from seedgrid.settings import Settings, checked, read_seeds
from seedgrid.training.kinds import read_settings

SEED_KEYS = tuple(f"seed.{name}" for name in Seeds.model_fields)


@dataclass(frozen=True)
class PlannedSweep:
    """One sweep of the command line.

    Attributes:
        settings: of its first trial.
        overrides: what composes its config, seeds apart.
        seeds: of its trials, in the order of the command line, without repeats.
    """

    settings: Settings
    overrides: tuple[str, ...]
    seeds: tuple[Seeds, ...]


class _ReadOnce(CachingConfigRepository):
    """Each file of ``conf/`` as it was when it was first read; goes along to the workers."""

    def __deepcopy__(self, memo: dict) -> _ReadOnce:
        return self  # Hydra copies the repository for each config that it composes

    def load_config(self, config_path: str) -> object:
        return copy.deepcopy(super().load_config(config_path))


def read_once(loader: ConfigLoader) -> None:
    """Have a command's trials composed of what it has checked, whatever is edited while they wait for their turn.

    Hydra composes a trial's config where and when the trial starts.
    """
    loader.repository = _ReadOnce(loader.repository)


def plan_sweeps(
    hydra_context: HydraContext, config: DictConfig, params: dict[str, str], arguments: list[str]
) -> list[PlannedSweep]:
    """Every sweep that the command line asks for, each with a folder of its own.

    Only seeds are swept inside a sweep. Each value of any other swept key makes a sweep; where the folder's name does
    not tell them apart, the swept values are added to it.

    Args:
        hydra_context: composes configs.
        config: the config of the command itself.
        params: the sweeper's own overrides, which ``arguments`` replace.
        arguments: the command line's.

    Raises:
        InputError: a value is wrong, or of a kind that cannot be swept.
        HydraException: a key or group does not exist.
    """
    parser = OverridesParser.create(config_loader=hydra_context.config_loader)
    chosen: dict[str, Override] = {}
    for line in [*(f"{key}={value}" for key, value in params.items()), *arguments]:
        [override] = parser.parse_overrides([line])
        chosen[override.get_key_element().lstrip("+")] = override
    seed_axes = {key: _values(chosen[key]) for key in SEED_KEYS if key in chosen and chosen[key].is_sweep_override()}
    constant = [override.input_line for override in chosen.values() if not override.is_sweep_override()]
    swept = [
        [f"{override.get_key_element()}={value}" for value in _values(override)]
        for key, override in chosen.items()
        if override.is_sweep_override() and key not in seed_axes
    ]
    if "seed.order" in seed_axes and config.hydra.runtime.choices.get("seed") == "paired":
        raise InputError(
            f"seed=paired, and {chosen['seed.order'].input_line} (here or by an experiment): for pairs add"
            " 'seed.order=${seed.init}', for a grid leave out seed=paired"
        )
    composed = []
    for combination in itertools.product(*swept):
        overrides = (*constant, *combination)
        first_seeds = [f"{key}={values[0]}" for key, values in seed_axes.items()]
        point = hydra_context.config_loader.load_sweep_config(config, [*overrides, *first_seeds])
        _refuse_own_sweep(config, point, combination)
        with open_dict(point):
            del point["hydra"]
        composed.append((overrides, point, read_settings(point)))
    folders = {settings.sweep for *_, settings in composed}
    sweeps = []
    for (overrides, point, settings), combination in zip(composed, itertools.product(*swept), strict=True):
        if len(folders) < len(composed):
            folder = _folder(settings.sweep, [choice.lstrip("+") for choice in combination])
            settings = settings.model_copy(update={"sweep": folder})
        sweeps.append(PlannedSweep(settings, overrides, _grid(point, seed_axes)))
    named = [Path(sweep.settings.sweep).resolve() for sweep in sweeps]
    twice = next((sweep for sweep, folder in zip(sweeps, named, strict=True) if named.count(folder) > 1), None)
    if twice is not None:
        raise InputError(f"sweep={twice.settings.sweep}: two swept values share this folder; run them one by one")
    return sweeps


def _refuse_own_sweep(config: DictConfig, point: DictConfig, combination: tuple[str, ...]) -> None:
    """Raise InputError where a swept value (a study) says what is swept, or by what: the command is past that."""
    for part in ("sweeper", "launcher"):
        of_command, of_point = (OmegaConf.to_container(each.hydra[part]) for each in (config, point))
        if of_command != of_point:
            raise InputError(
                f"{' '.join(combination)}: brings a hydra.{part} of its own, its seeds for instance, which would not"
                " count among others; run one command for each"
            )


def _folder(folder: str, choices: Sequence[str]) -> str:
    """A sweep's folder with what is swept in its name, in characters that need quotes neither in a shell nor in Hydra.

    A folder that has the name of an earlier release, with commas and equals signs, stays in use.
    """
    before = f"{folder},{','.join(choices).replace('/', '_')}"
    if Path(before).is_dir():
        return before
    names = (re.sub(r"[^A-Za-z0-9_.+-]+", "_", choice.replace("=", "-", 1)) for choice in choices)
    return "+".join((folder, *names))


def _values(override: Override) -> list[str]:
    if not override.is_discrete_sweep():
        raise InputError(
            f"{override.input_line}: this sweeper knows choices, ranges and globs; intervals have no trials"
        )
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):  # range(0,3),7: Hydra parses the range, but does not go through it
        parts = (part.range() if isinstance(part, RangeSweep) else (part,) for part in sweep.list)
        sweep.list = list(itertools.chain(*parts))
    values = list(override.sweep_string_iterator())
    if not values:
        raise InputError(f"{override.input_line}: no value lies in it; give one or more, such as 'range(0,5)'")
    return values


def _grid(point: DictConfig, seed_axes: dict[str, list[str]]) -> tuple[Seeds, ...]:
    axes: dict[str, list[int]] = {}
    for key, values in seed_axes.items():
        for value in values:
            try:
                axes.setdefault(key, []).append(int(value))
            except ValueError:
                raise InputError(f"{key}={value}: a seed is an integer from 0 to 2**32 - 1") from None
    seeds: dict[Seeds, None] = {}
    others = OmegaConf.to_container(point.seed, resolve=False)
    following = any(OmegaConf.is_interpolation(point.seed, name) for name in others)
    for numbers in itertools.product(*axes.values()):
        if following:  # such as seed.order=${seed.init}: it takes its value here, trial by trial
            for key, number in zip(axes, numbers, strict=True):
                OmegaConf.update(point, key, number)
            seeds[read_seeds(point)] = None
        else:
            own = zip((key.removeprefix("seed.") for key in axes), numbers, strict=True)
            seeds[checked(Seeds, others | dict(own), "seed")] = None
    return tuple(seeds)
