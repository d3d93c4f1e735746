"""What a trial needs to know of what it trains, and no more.

A :class:`Training` is a kind of training with a sweep's settings: it says what its numbers depend on, and makes a
:class:`Run`, one training under its seeds. The run takes the steps, and tells its :class:`Course` of each; who records,
logs, writes checkpoints or ends the training listens there, and knows nothing else of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from seedgrid.evaluation.evaluation import Evaluation
from seedgrid.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a training before its first trial; of plain values, for a file holds it.

    Attributes:
        identity: what changes its numbers, apart from seeds, device and schedule of evaluations: flat keys.
        task, model: names for captions.
        metric: name of the score.
        direction: of better scores.
        range: the least and the greatest possible score; None where there is none.
        diverged_at: best found there or worse means diverged; None: no score does.
        majority: score of always predicting the most frequent validation label; None where that means nothing.
        labels: class names; empty without classes.
        predictions: whether evaluations come with logits and labels.
        train_examples, validation_examples: sizes; None: not known.
        steps_per_epoch: optimizer steps of one pass over the training set.
        steps: of a whole trial.
        remarks: what is to be known before the numbers, a line each.
        content: what its runs start from, whatever that is.
    """

    identity: dict[str, Any]
    task: str
    model: str
    metric: str
    direction: Literal["max", "min"]
    range: tuple[float | None, float | None]
    diverged_at: float | None
    majority: float | None
    labels: tuple[str, ...]
    predictions: bool
    train_examples: int | None
    validation_examples: int | None
    steps_per_epoch: int
    steps: int
    remarks: tuple[str, ...] = ()
    content: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prepared(Facts):
    """What every trial of a sweep starts from.

    Attributes:
        fingerprint: digest of the identity, which holds all that changes a trial's numbers by then, seeds aside.
        device, precision: what ``auto`` came to.
    """

    fingerprint: str
    device: str
    precision: str


class Listener:
    """Takes part in a training; does nothing by itself."""

    def on_start(self, course: Course) -> None:
        """The first step is about to be taken, also where a trial goes on."""

    def on_step(self, course: Course, loss: torch.Tensor | None, learning_rate: float) -> None:
        """Step number ``course.step`` was taken.

        Args:
            course: that of the training.
            loss: of the step, on its device, without dimensions; overwritten later; None where there is none.
            learning_rate: of the step.
        """

    def on_evaluation(self, course: Course, evaluation: Evaluation) -> None:
        """The validation set was passed after step number ``course.step``, or before the first."""

    def on_step_done(self, course: Course) -> None:
        """All that belongs to step number ``course.step`` has happened; a checkpoint may be taken now."""


class Course:
    """The way of one training. Listeners are told in their order, of evaluations until one of them ends the training.

    Args:
        start: steps that were taken before.
        evaluated: steps after which to validate; 0 is before the first.
        listeners: who takes part.

    Attributes:
        step: the latest that was taken.
        ended: whether no further step is wanted; for everybody to set.
    """

    def __init__(self, start: int, evaluated: Collection[int], listeners: Sequence[Listener]) -> None:
        self.step = start
        self.evaluated = frozenset(evaluated)
        self.listeners = listeners
        self.ended = False

    @property
    def due(self) -> bool:
        """Whether to validate now."""
        return self.step in self.evaluated and not self.ended

    def start(self) -> None:
        for listener in self.listeners:
            listener.on_start(self)

    def take(self, loss: torch.Tensor | None, learning_rate: float) -> None:
        """Count a step that was taken; as :meth:`Listener.on_step`."""
        self.step += 1
        for listener in self.listeners:
            listener.on_step(self, loss, learning_rate)

    def evaluate(self, evaluation: Evaluation) -> None:
        for listener in self.listeners:
            if not self.ended:
                listener.on_evaluation(self, evaluation)

    def finish_step(self) -> None:
        for listener in self.listeners:
            listener.on_step_done(self)


class Training(ABC):
    """A kind of training, with a sweep's settings.

    Attributes:
        mixes: whether ``trainer.precision=auto`` may mean bf16-mixed.
        plain: whether its checkpoints hold nothing but tensors and plain values.
    """

    mixes: ClassVar[bool] = False
    plain: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def look(self, device: str, precision: str) -> Facts:
        """Check all that can be checked before anything is written; raises InputError."""

    @abstractmethod
    def prepare(self, facts: Facts, cache: Path, before: Prepared | None) -> Facts:
        """Leave in a folder what all trials share; the facts, with what is known by then.

        Args:
            facts: of :meth:`look`.
            cache: the folder.
            before: of the latest command with this identity; without one, try what shows that trials can run.

        Raises:
            InputError: they cannot.
        """

    @abstractmethod
    def identity_now(self, prepared: Prepared) -> dict[str, Any]:
        """:attr:`Facts.identity`, for workers that start late, by what can be told at once; raises InputError."""

    def labels(self, prepared: Prepared) -> np.ndarray | None:
        """Labels of the validation examples, int64; None: not before an evaluation tells them."""
        return None

    @abstractmethod
    def seconds(self, prepared: Prepared) -> float:
        """Seconds of a trial on this machine with nothing else running, by a few real steps; raises InputError."""

    def memory(self, prepared: Prepared) -> tuple[float, float]:
        """Number of weights, and bytes of GPU memory that a trial takes; raises ValueError where it is not known."""
        raise ValueError("not known of this training")

    @abstractmethod
    def begin(self, prepared: Prepared, device: torch.device, state: dict[str, Any] | None) -> Run:
        """One training under the settings' seeds.

        Args:
            prepared: what the sweep's trials share.
            device: to train on.
            state: what :meth:`Run.state` gave, to go on from.
        """

    @abstractmethod
    def card(self, facts: dict[str, Any], chosen: str) -> str:
        """A page for the best model, in Markdown.

        Args:
            facts: as they are kept with it (:mod:`seedgrid.trials.best_model`).
            chosen: what it is the best evaluation of.
        """

    def test_score(self, prepared: Prepared, model: Path, facts: dict[str, Any]) -> float | None:
        """Score of the sweep's best model on examples that no choice has seen; None where there are none.

        Args:
            prepared: what the sweep's trials share.
            model: the best model's folder.
            facts: that are kept with it.
        """
        return None


class Run(ABC):
    """One training; the device and the process are its own until :meth:`fit` returns."""

    @abstractmethod
    def fit(self, course: Course) -> None:
        """Take steps until the course ends or the training does.

        Raises:
            SIGTERMException: Lightning was asked to end before the course started.
            Exception: whatever failed.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that the next step starts from: keys but ``step`` and ``seconds``.

        To be asked for when a step is done, also when it was the last of the course and :meth:`fit` has returned.
        """

    def take_gradient_norms(self) -> list[dict[str, float]]:
        """What was measured since the last time: ``step``, and the L2 norm of the gradients of each group of layers."""
        return []

    @abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """The model's weights of the evaluation that the course is told of; overwritten later."""

    @abstractmethod
    def whole(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Weights as :meth:`weights` gave them, as their file has them."""

    @abstractmethod
    def furnish(self, folder: Path) -> None:
        """Write into an empty folder what a model's users need beside its weights."""
