"""A trial's settings, checked: types, ranges, and which of them change its numbers.

Hydra composes, this module checks. Everything below the entry points takes these objects, never Hydra's config.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import Annotated, Any, Literal, TypeVar, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from seedgrid.errors import InputError
from seedgrid.keys import instead
from seedgrid.seeds import Seeds

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1, pattern="^[^/]*$")]  # part of a folder's name
Checked = TypeVar("Checked", bound=BaseModel)


# What pydantic adds to the path of a key under a union; no part of what the user wrote.
_UNION_MEMBERS = ("glue", "files", "grammar", "list[str]", "list[int]", "str", "int", "constrained-int")


class SettingsGroup(BaseModel):
    """Settings that refuse a wrong key or type, and never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TrainingSettings(SettingsGroup):
    """``training``: what is trained.

    Attributes:
        kind: which kind of training, each with settings of its own.
        name: part of the default sweep folder.
    """

    kind: str
    name: Name


class EvaluationSettings(SettingsGroup):
    """``evaluation``: when to validate.

    Attributes:
        schedule: ``even``, or ``dodge2020``: as the paper's code, denser at the start (see ``evaluation.schedule``).
        per_epoch: validations an epoch; 0.5 means every second epoch.
        at_start: validate before the first step too.
        batch_size: examples a validation batch.
    """

    schedule: Literal["even", "dodge2020"]
    per_epoch: Annotated[float, Field(gt=0, le=10_000)]  # above it, a mistake: more validations than steps
    at_start: bool
    batch_size: Count


class TrainerSettings(SettingsGroup):
    """``trainer``: the device of one trial.

    Attributes:
        accelerator: ``cpu``, ``gpu``, or ``auto``: a GPU if there is one.
        precision: Lightning's name for it; ``auto``: bf16-mixed on a GPU and on a CPU that computes it, else 32-true.
        threads: CPU threads of one trial; a different number may change the last bits of its results.
        per_gpu: trials that share one GPU; ``auto``: as many as its memory, the model's size and the cores allow.
        mps: run a sweep's trials below a server of NVIDIA's Multi-Process Service, so that they compute at once.
        capture: record a training step once on a GPU and replay it.
        deterministic: use deterministic GPU kernels only.
    """

    accelerator: Literal["auto", "cpu", "gpu"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]
    threads: Count
    per_gpu: Count | Literal["auto"]
    mps: bool
    capture: bool
    deterministic: bool


def _or_variable(name: str, otherwise: str | None = None) -> BeforeValidator:
    """Takes for None what an environment variable says, or else ``otherwise``."""
    return BeforeValidator(lambda value: os.environ.get(name) or otherwise if value is None else value)


_NOT_GIVEN = Field(None, validate_default=True)


class LoggerSettings(SettingsGroup):
    """``logger``: where curves go besides the records.

    Attributes:
        kind: ``wandb``, ``lightning`` or ``none``.
        lightning: one of Lightning's kind, by ``_target_`` and its arguments, in which ``{sweep}`` stands for the
            sweep's folder and ``{trial}`` for the name of the trial's.
        project, entity: of Weights & Biases; where they are not given, those of W&B's own variables, or else
            ``seedgrid`` and None, the user's default.
        tags: added to the tags that every run has.
        offline: where runs go that W&B's servers do not get: ``records``, nowhere else; ``folders`` of W&B's own.
    """

    kind: Literal["wandb", "lightning", "none"]
    lightning: dict[str, Any] | None = None
    project: Annotated[str, Field(min_length=1), _or_variable("WANDB_PROJECT", "seedgrid")] = _NOT_GIVEN
    entity: Annotated[str | None, _or_variable("WANDB_ENTITY")] = _NOT_GIVEN
    tags: list[str] = []
    offline: Literal["records", "folders"] = "records"

    @model_validator(mode="after")
    def _has_its_logger(self) -> LoggerSettings:
        if (self.kind == "lightning") != (self.lightning is not None):
            raise ValueError("kind=lightning needs logger.lightning._target_, and no other kind has a logger.lightning")
        return self


class CheckpointSettings(SettingsGroup):
    """``checkpoint``: minutes of training between two checkpoints of a running trial; 0: after every step."""

    minutes: Annotated[float, Field(ge=0)]


class Settings(SettingsGroup):
    """All of one trial's settings; each kind of training adds its own.

    Attributes:
        sweep: the sweep's folder.
        dry_run: list what would run instead of running it.
        gradient_norms: steps between two measurements of the gradients' norms; 0: never. It changes no number either.
        keep_best: keep the best model of the sweep in ``<sweep>/best_model``.
        retry: whether trials that failed before are tried again.
        redo: whether damaged records are moved aside and run again.
        prepared: set by the sweeper: the fingerprint of what it has prepared in the sweep's folder.
        rung: set by the sweeper: the step at which the trial stops; no part of its identity, it changes no number.
    """

    training: TrainingSettings
    seed: Seeds
    evaluation: EvaluationSettings
    trainer: TrainerSettings
    logger: LoggerSettings
    checkpoint: CheckpointSettings
    sweep: Annotated[str, Field(min_length=1), AfterValidator(os.path.expanduser)]
    dry_run: bool
    gradient_norms: Annotated[int, Field(ge=0)]
    keep_best: bool
    retry: Literal["failed", "none"]
    redo: bool
    prepared: str | None
    rung: Count | None


def read_config(config: DictConfig, kind: type[Checked]) -> Checked:
    """Check a composed config (without Hydra's own part).

    Raises:
        InputError: a value is missing, of the wrong type or out of range, or an interpolation leads nowhere.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        reason = str(error).splitlines()[0].rstrip(".")
        if "Missing mandatory value" in reason:
            if "interpolation" in reason:  # of another key
                key = reason.rpartition(": ")[2]
            raise InputError(f"{key} has no value: give one, for instance {key}=... on the command line") from None
        raise InputError(f"{key}: {reason}") from None
    values.pop("hydra", None)
    return checked(kind, values)


def read_seeds(config: DictConfig) -> Seeds:
    """Check the seed group of a composed config alone; as :func:`read_settings`."""
    try:
        values = OmegaConf.to_container(config.seed, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"seed: {str(error).splitlines()[0]}") from None
    return checked(Seeds, values, "seed")


def checked(kind: type[Checked], values: Any, *prefix: str) -> Checked:
    """Values as an object of ``kind``; raises InputError with the first wrong key, below ``prefix``, in one line."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in (*prefix, *first["loc"]) if part not in _UNION_MEMBERS)
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "value_error":
            raise InputError(f"{key}: {message}" if key else message) from None
        if first["type"] == "extra_forbidden":
            for part in reversed(prefix):
                values = {part: values}
            if any(f"task.source.{name}" == key for name in _names_of_sources(kind)):
                raise InputError(
                    f"{key}: no key of task.source.kind={first['loc'][-2]}; an experiment that sets it is of its own"
                    " task: leave out experiment=NAME or task=NAME"
                ) from None
            raise InputError(f"{key}: no such key; {instead(key, values)}") from None
        if first["type"] == "model_type" and len(first["loc"]) == 1:
            names = kind.model_fields[first["loc"][0]].annotation.model_fields
            task = "; a task is chosen with task=NAME" if key == "data" else ""
            keys = ", ".join(f"{key}.{name}" for name in names)
            raise InputError(f"{key}={first['input']}: give one of its keys, {keys}{task}") from None
        if first["type"] == "union_tag_invalid":
            allowed = first["ctx"]["expected_tags"]
            raise InputError(f"{key}.kind={first['ctx']['tag']}: input should be one of {allowed}") from None
        if first["type"] in ("missing", "union_tag_not_found"):
            key = f"{key}.kind" if first["type"] == "union_tag_not_found" else key
            raise InputError(f"{key} has no value: give one, for instance {key}=... on the command line") from None
        value, remedy = first["input"], ""
        if value is None or isinstance(value, bool):
            value = json.dumps(value)  # as it is written in YAML
        if first["type"] == "string_type" and isinstance(first["input"], (bool, int, float)):
            remedy = "; a text that looks like something else is quoted"
            if not any(isinstance(part, int) for part in first["loc"]):
                remedy += f": '{key}=\"{value}\"'"
        if key.startswith("seed.") and first["type"].startswith("int_"):
            remedy = f"; several are swept over with -m: {key}=0,1,2 or '{key}=range(0,5)'"
        for other in error.errors(include_url=False)[1:]:  # of a number or a word, what is said of the number is first
            if str(other["loc"][-1]).startswith("literal[") and other["loc"][:-1] == first["loc"][:-1]:
                message += f", or {other['ctx']['expected']}"
        raise InputError(f"{key}={value}: {message[0].lower()}{message[1:]}{remedy}") from None


def _names_of_sources(kind: type[BaseModel]) -> set[str]:
    """Keys of all kinds of ``task.source``, each of which has its own."""
    task = kind.model_fields.get("task")
    sources = get_args(task.annotation.model_fields["source"].annotation) if task else ()
    return {name for source in sources for name in source.model_fields}


# Raised when a change of this code changes the numbers of trials: those of before and after do not belong together.
_ARITHMETIC = 3


def identity(settings: Settings, device: str, precision: str, training: dict[str, Any]) -> dict[str, Any]:
    """Everything that changes a trial's numbers, apart from its seeds, as flat keys.

    Names, folders, loggers, launchers and workers do not count.

    Args:
        settings: the trial's.
        device, precision: what ``auto`` came to.
        training: what belongs to it of the training itself.
    """
    parts = {
        "evaluation": settings.evaluation.model_dump(exclude={"batch_size"}),
        "trainer": {
            "device": device,
            "precision": precision,
            "threads": settings.trainer.threads,
            "deterministic": settings.trainer.deterministic,
            "arithmetic": _ARITHMETIC,
            # Of a GPU alone: replayed, an operation may come from another kernel than called.
            **({"capture": settings.trainer.capture} if device == "gpu" else {}),
        },
    }
    return training | {f"{group}.{key}": value for group, values in parts.items() for key, value in values.items()}


def fingerprint(identity: dict[str, Any]) -> str:
    """A short digest of :func:`identity`."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Steps that one pass over ``examples`` takes; the last batch of an epoch may be smaller."""
    return math.ceil(examples / batch_size)
