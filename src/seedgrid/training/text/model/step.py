"""A training step, the same on every device: called on a CPU; on a GPU recorded once a shape, and replayed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from seedgrid.training.text.data.datamodule import Batch
from seedgrid.training.text.data.shapes import Filled
from seedgrid.training.text.model.bert_adam import BertAdam
from seedgrid.training.text.model.layers import depths, layer_groups
from seedgrid.training.text.model.network import draw_new, input_names
from seedgrid.training.text.model.packing import first_tokens, head_logits
from seedgrid.training.text.model.recording import Recording
from seedgrid.training.text.settings import Recipe

_CLIPPING_EPS = 1e-6  # what PyTorch adds to a norm before it divides by it
_STORED = {"bf16-true": torch.bfloat16, "64-true": torch.float64}  # weights, by Lightning's name of a precision
_COMPUTED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # products


class TrainingStep:
    """A network, its optimizer, and what a step of a training does with them.

    It can serve one training after another: :meth:`begin` makes it as it was when it was new, and everything stays
    where it is, as recordings need it.

    Args:
        network: a classifier in float32; it is moved to the device.
        recipe: how to optimize.
        device: where.
        precision: Lightning's name of it.
        capture: whether to record batches of static shapes, once each. On a CPU all is then done as for a recording,
            but called.

    Attributes:
        optimizer: of the weights that are not frozen.
        scaler: of half precision's gradients, to be set where there is one.
        norms: of the gradients of the latest step's weights, before clipping: a tensor on the device, overwritten by
            the next step; see :meth:`group_norms`. None where nobody needed them.
        capture_seconds: spent on recording.
        untrained: for whoever validates before training: what the pretrained encoder makes of each batch, once known.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        recipe: Recipe,
        device: torch.device | str = "cpu",
        precision: str = "32-true",
        capture: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device, _STORED.get(precision))
        self.recipe = recipe
        self.computed = _COMPUTED.get(precision)
        self.capture = capture
        self.scaler: torch.amp.GradScaler | None = None
        self.norms: torch.Tensor | None = None
        self.capture_seconds = 0.0
        self.untrained: list[torch.Tensor] = []
        self.recordings: dict[tuple, Recording] = {}
        self._stream = torch.cuda.Stream(self.device) if capture and self.device.type == "cuda" else None
        self._trained = [weight for weight in network.parameters() if weight.requires_grad]
        # For recordings to read, the rate is a tensor. The scaler of half precision knows no such optimizer.
        on_device = (capture or self.device.type == "cuda") and precision != "16-mixed"
        self._rate = torch.zeros((), device=self.device) if on_device else None
        self.optimizer = self._new_optimizer(fused=precision != "16-mixed")
        self._initial = {name: value.clone() for name, value in network.state_dict().items()}

    def begin(self, init_seed: int, state: dict[str, Any] | None = None) -> None:
        """Start a training: pretrained weights, the new layers of the init seed, an optimizer that knows nothing.

        Args:
            init_seed: draws what is new.
            state: of a checkpoint to go on from instead: ``network`` and ``optimizer``, state dicts.
        """
        if state is None:
            _copy(self.network.state_dict(), self._initial)
            draw_new(self.network, init_seed)
        else:
            _copy(self.network.state_dict(), state["network"])
        known = self.optimizer.state_dict()["state"]  # a new optimizer has none: steps before recordings make it
        for values in known.values():
            for value in values.values():
                value.zero_()
        if state is not None and not known:
            rates = [group["lr"] for group in self.optimizer.param_groups]
            self.optimizer.load_state_dict(state["optimizer"])
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
        elif state is not None:
            for index, values in state["optimizer"]["state"].items():
                _copy(known[index], values)

    def __call__(
        self, batch: Batch | Filled, rate: float, seed: int, dropout: bool = True, measure: bool = False
    ) -> torch.Tensor:
        """Take a step; nothing waits for the device.

        Args:
            batch: as :mod:`seedgrid.training.text.data.datamodule` makes them, on the host.
            rate: learning rate of the top layer.
            seed: of the dropout masks.
            dropout: whether there is dropout in this step.
            measure: whether :attr:`norms` are wanted, if clipping does not need them.

        Returns:
            The mean cross-entropy of the examples, on the device, without dimensions.
        """
        self._set_rate(rate)
        if self.network.training != dropout:
            self.network.train(dropout)
        # Lightning calls this within its own context of mixed precision, which is for the forward pass alone.
        with torch.autocast(self.device.type, enabled=False):
            if not isinstance(batch, Filled):
                torch.manual_seed(seed)
                loss, self.norms = self._step(self._on_device(batch), measure)
                return loss

            shape = batch.shape

            def step(buffer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
                return self._step(shape.parts(buffer), measure=True)

            work = self._recorded(step, batch, dropout, changes=True)
            torch.manual_seed(seed)
            loss, self.norms = work(batch.buffer)
            return loss.clone()

    def encode(self, batch: Batch | Filled) -> torch.Tensor:
        """What the encoder makes of a packed batch; examples x width. Of a static shape: without gradients."""
        if not isinstance(batch, Filled):
            with self._forward_context():
                return first_tokens(self.network, self._on_device(batch))
        shape = batch.shape

        def encode(buffer: torch.Tensor) -> torch.Tensor:
            with self._forward_context():
                return first_tokens(self.network, shape.parts(buffer))

        # What is kept between passes is no tensor of the inference mode: those refuse to be written to elsewhere.
        with torch.inference_mode(False), torch.no_grad():
            return self._recorded(encode, batch)(batch.buffer)[: batch.rows].clone()

    def classify(self, encoded: torch.Tensor) -> torch.Tensor:
        """Logits from what :meth:`encode` gives; examples x classes."""
        with self._forward_context():
            return head_logits(self.network, encoded)

    def logits(self, batch: Batch | Filled) -> torch.Tensor:
        """Logits of any batch, with dropout and gradients where network and caller have them on; examples x classes."""
        if isinstance(batch, Filled):
            return self.classify(self.encode(batch))
        return self._forward(self._on_device(batch))

    def group_norms(self, norms: list[float]) -> dict[str, float]:
        """The L2 norm of each of :func:`seedgrid.training.text.model.layers.layer_groups`, from :attr:`norms`."""
        of = dict(zip((id(weight) for weight in self._with_gradient()), norms, strict=True))
        groups = layer_groups(self.network)
        return {
            name: math.hypot(*(of[id(one)] for one in members if id(one) in of)) for name, members in groups.items()
        }

    def _forward(self, batch: Batch) -> torch.Tensor:
        with self._forward_context():
            if "attention_mask" not in batch:
                return head_logits(self.network, first_tokens(self.network, batch))
            return self.network(**{name: batch[name] for name in input_names(self.network.config)}).logits

    def _on_device(self, batch: Batch) -> Batch:
        return {name: values.to(self.device, non_blocking=True) for name, values in batch.items()}

    def _step(self, batch: Batch, measure: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        logits = self._forward(batch).float()
        if "counts" in batch:
            losses = cross_entropy(logits, batch["labels"], reduction="none")
            loss = (losses * batch["counts"]).sum() / batch["counts"].sum()
        else:
            loss = cross_entropy(logits, batch["labels"])
        self.optimizer.zero_grad(set_to_none=True)
        if self.scaler is None:
            loss.backward()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
        norms = self._clip(measure)
        if self._rate is not None:
            for group in self.optimizer.param_groups:
                torch.mul(self._rate, group["share"], out=group["lr"])
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return loss.detach(), norms

    def _clip(self, measure: bool) -> torch.Tensor | None:
        """Clip the gradients as the recipe says; gives their norms before that, where they are known."""
        limit, gradients = self.recipe.gradient_norm, [weight.grad for weight in self._with_gradient()]
        norms = None
        if measure or (limit is not None and self.recipe.clip == "global"):
            norms = torch.stack(torch._foreach_norm(gradients))
        if limit is None:
            return norms
        if self.recipe.clip == "tensor":
            for gradient in gradients:
                self._scale([gradient], torch.linalg.vector_norm(gradient), limit)
        elif self._rate is not None and self.recipe.bias_correction:
            # The fused optimizer divides gradients by it on the way.
            self.optimizer.grad_scale = ((torch.linalg.vector_norm(norms) + _CLIPPING_EPS) / limit).clamp(min=1).float()
        else:
            self._scale(gradients, torch.linalg.vector_norm(norms), limit)
        return norms

    def _scale(self, gradients: list[torch.Tensor], norm: torch.Tensor, limit: float) -> None:
        """Scale gradients down to the norm ``limit``, given the norm that they have together."""
        # Most steps have nothing to clip. A CPU knows at once, and need not multiply all gradients by 1.
        at_once = self._rate is None and norm.device.type == "cpu"
        if not (at_once and norm + _CLIPPING_EPS <= limit):
            torch._foreach_mul_(gradients, torch.clamp(limit / (norm + _CLIPPING_EPS), max=1.0))

    def _with_gradient(self) -> list[torch.nn.Parameter]:
        return [weight for weight in self._trained if weight.grad is not None]

    def _set_rate(self, rate: float) -> None:
        if self._rate is not None:
            self._rate.fill_(rate)
            return
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]

    @contextmanager
    def _forward_context(self) -> Iterator[None]:
        mixed = self.computed is not None
        # A recording holds no cast that was made before it.
        with torch.autocast(self.device.type, self.computed, enabled=mixed, cache_enabled=self.device.type != "cuda"):
            yield

    def _recorded(
        self, function: Callable[[torch.Tensor], Any], batch: Filled, *conditions: bool, changes: bool = False
    ) -> Callable[[torch.Tensor], Any]:
        """The recording of ``function`` for the batch's shape; the function itself where nothing is to be recorded."""
        if not self.capture:
            return lambda content: function(content.to(self.device, non_blocking=True))
        key = (batch.shape, changes, *conditions)
        if key not in self.recordings:
            begin = time.perf_counter()
            recording = Recording(function, batch.buffer, self.device, self._stream)
            if self._stream is not None:
                undo = self._as_now() if changes else None
                recording.warm_up()
                if undo is not None:
                    undo()
                    del undo  # with the copies that it kept
                recording.record(next((one.graph.pool() for one in self.recordings.values()), None))
            self.recordings[key] = recording
            self.capture_seconds += time.perf_counter() - begin
        return self.recordings[key]

    def _as_now(self) -> Callable[[], None]:
        """A function that puts weights and optimizer back to what they are now, where they are."""
        weights, state = [weight.detach().clone() for weight in self._trained], self.optimizer.state
        before = {weight: {name: value.clone() for name, value in values.items()} for weight, values in state.items()}

        @torch.no_grad()
        def undo() -> None:
            torch._foreach_copy_(self._trained, weights)
            for weight, values in state.items():
                for name, value in values.items():
                    if weight in before:
                        value.copy_(before[weight][name])
                    else:
                        value.zero_()
            self.optimizer.zero_grad(set_to_none=True)

        return undo

    def _new_optimizer(self, fused: bool) -> torch.optim.Optimizer:
        recipe = self.recipe
        below = depths(self.network) if recipe.layer_decay < 1 else {}
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                # One-dimensional parameters are the biases and norms' weights, whatever an architecture calls them.
                decay = 0.0 if parameter.ndim < 2 or name.endswith("bias") else recipe.weight_decay
                share = recipe.layer_decay ** below.get(name, 0)
                groups.setdefault((decay, share), []).append(parameter)
        parameters = [
            {
                "params": members,
                "weight_decay": decay,
                "share": share,
                "lr": 0.0 if self._rate is None else torch.zeros_like(self._rate),  # it is set before every step
            }
            for (decay, share), members in groups.items()
        ]
        settings = {"lr": 0.0, "betas": tuple(recipe.betas), "eps": recipe.eps}
        if recipe.bias_correction:
            # The fused step scales half precision's gradients back: too late to clip them.
            return torch.optim.AdamW(parameters, fused=fused, capturable=self._rate is not None, **settings)
        return BertAdam(parameters, **settings)


@torch.no_grad()
def _copy(into: dict[str, torch.Tensor], values: dict[str, torch.Tensor]) -> None:
    for name, value in into.items():
        value.copy_(values[name])
