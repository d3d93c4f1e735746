"""Attention within each of several sequences whose tokens lie one after the other, without padding.

Two ways to keep them apart, with the same methods: :class:`Runs`, for a CPU, where each operation costs what it
computes, and :class:`Slots`, for a device that replays recorded operations and so wants static shapes.
"""

from __future__ import annotations

from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from seedgrid.training.text.model.dropout import Dropout, NoDropout


class Runs:
    """Sequences of any lengths; those of one length that follow each other are computed at once.

    Args:
        lengths: tokens of each sequence.
    """

    def __init__(self, lengths: torch.Tensor) -> None:
        self.lengths = lengths
        self.runs = [(length, len(list(same))) for length, same in groupby(lengths.tolist())]

    @property
    def starts(self) -> torch.Tensor:
        """Where the sequence of each token starts; tokens."""
        return torch.repeat_interleave(self._first, self.lengths)

    @property
    def _first(self) -> torch.Tensor:
        return self.lengths.cumsum(0) - self.lengths

    def first(self, values: torch.Tensor) -> torch.Tensor:
        """Those of each sequence's first token; sequences x ... of tokens x ..."""
        return values[self._first]

    @cached_property
    def real(self) -> torch.Tensor:
        """Sequences x longest; whether a token is there."""
        return torch.arange(int(self.lengths.max())) < self.lengths[:, None]

    def pad(self, values: torch.Tensor) -> torch.Tensor:
        """Tokens x ... as sequences x longest x ..., with zeros between."""
        places = self.real.flatten().nonzero().squeeze(1)
        padded = values.new_zeros(self.real.numel(), *values.shape[1:]).index_copy(0, places, values)
        return padded.unflatten(0, self.real.shape)

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, probability: float, drop: Dropout
    ) -> torch.Tensor:
        """What each query finds.

        Args:
            query, key, value: tokens x heads x size.
            probability: of dropping an attention weight.
            drop: drops them.

        Returns:
            tokens x heads x size.
        """
        heads = query.shape[1]
        mask = drop.mask(sum(heads * count * length**2 for length, count in self.runs), probability)
        return _WithinRuns.apply(query, key, value, self.runs, None if mask is None else mask.to(query.dtype))


class _WithinRuns(torch.autograd.Function):
    """The products of all runs as one operation: autograd's bookkeeping for each of them costs more than they do."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        runs: list[tuple[int, int]],
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        context, scale = torch.empty_like(query), query.shape[-1] ** -0.5
        ctx.runs, ctx.saved, begin = runs, [], 0
        for q, k, v, found in zip(*(_by_run(tensor, runs) for tensor in (query, key, value, context)), strict=True):
            # Batches of matrices, one a sequence and head; copied only where a run has several sequences.
            q, k, v = (part.reshape(-1, *part.shape[2:]) for part in (q, k, v))
            scores = q.new_empty(len(q), q.shape[1], q.shape[1])
            weights = torch.softmax(torch.baddbmm(scores, q, k.mT, beta=0, alpha=scale), dim=-1)
            kept = None
            if mask is not None:
                kept = mask[begin : begin + weights.numel()].view_as(weights)
                begin += weights.numel()
            found.copy_((weights if kept is None else weights * kept).bmm(v).view(found.shape))
            if any(ctx.needs_input_grad):
                ctx.saved.append((q, k, v, weights, kept))
        return context

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scale = gradient.shape[-1] ** -0.5
        gradients = [torch.empty_like(gradient) for _ in range(3)]
        parts = [_by_run(tensor, ctx.runs) for tensor in (gradient, *gradients)]
        for (q, k, v, weights, kept), found, for_query, for_key, for_value in zip(ctx.saved, *parts, strict=True):
            found = found.reshape(v.shape)
            used = weights if kept is None else weights * kept
            for_value.copy_(used.mT.bmm(found).view(for_value.shape))
            scores = found.bmm(v.mT)
            if kept is not None:
                scores.mul_(kept)
            scores.mul_(weights)  # and the derivative of the softmax:
            scores.addcmul_(weights, scores.sum(dim=-1, keepdim=True), value=-1)
            scores.mul_(scale)
            for_query.copy_(scores.bmm(k).view(for_query.shape))
            for_key.copy_(scores.mT.bmm(q).view(for_key.shape))
        return *gradients, None, None


def _by_run(tokens: torch.Tensor, runs: list[tuple[int, int]]) -> list[torch.Tensor]:
    """Views of tokens x heads x size: for each run (length, count), count x heads x length x size."""
    parts = tokens.split([length * count for length, count in runs])
    return [part.unflatten(0, (-1, length)).transpose(1, 2) for part, (length, _) in zip(parts, runs, strict=True)]


class Slots:
    """Sequences padded to one length, inside of attention alone, by indices that were made beforehand.

    Args:
        batch: the parts of a batch of a static shape, as
            :attr:`seedgrid.training.text.data.shapes.Shape.sizes` names them.
    """

    def __init__(self, batch: dict[str, torch.Tensor]) -> None:
        self.starts = batch["starts"]
        self.slots, self.tokens = batch["slots"], batch["tokens"]
        self.real = batch["real"].unflatten(0, (len(batch["labels"]), -1)).bool()

    def first(self, values: torch.Tensor) -> torch.Tensor:
        """As :meth:`Runs.first`."""
        return self.pad(values)[:, 0]

    def pad(self, values: torch.Tensor) -> torch.Tensor:
        """As :meth:`Runs.pad`, with a filler's values between."""
        return _Moved.apply(values, self.tokens, self.slots).unflatten(0, self.real.shape)

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """Sequences x longest x ... as tokens x ..., fillers with what they find in the slot that they share."""
        return _Moved.apply(padded.flatten(0, 1), self.slots, self.tokens)

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, probability: float, drop: Dropout
    ) -> torch.Tensor:
        """As :meth:`Runs.attend`."""
        context = scaled_dot_product_attention(
            *(self.pad(values).transpose(1, 2) for values in (query, key, value)),
            self.real[:, None, None, :],
            dropout_p=0.0 if isinstance(drop, NoDropout) else probability,
        )
        return self.unpad(context.transpose(1, 2))


class _Moved(torch.autograd.Function):
    """Values from places to places, and their gradients back: two lookups, where autograd would add up.

    Fillers' gradients are 0, and so are those of slots without a token: what a filler brings along is right for both.
    """

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, there: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        ctx.back = back
        return values.index_select(0, there)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient.index_select(0, ctx.back), None, None


Sequences = Runs | Slots


def first_token_attention(
    attention: torch.nn.Module, hidden: torch.Tensor, sequences: Sequences, probability: float, drop: Dropout
) -> torch.Tensor:
    """What the first token of each sequence finds, without the keys and values of all tokens.

    A query's product with a key ``W x + b`` is that of ``W' query`` with ``x``, and that of the query with ``b``; the
    weighted sum of values is the value of the weighted sum. So two products of all tokens with matrices become two
    with a vector a head.

    Args:
        attention: has BERT's ``query``, ``key`` and ``value``, and ``num_attention_heads``.
        hidden: tokens x width.
        sequences: of the tokens.
        probability: of dropping an attention weight.
        drop: drops them.

    Returns:
        Sequences x width.
    """
    by_head = (attention.num_attention_heads, -1)
    seen = sequences.pad(hidden)  # sequences x longest x width
    query = attention.query(sequences.first(hidden)).unflatten(1, by_head)
    query = query * query.shape[-1] ** -0.5
    key, value = (part.weight.unflatten(0, by_head) for part in (attention.key, attention.value))
    key_bias, value_bias = (part.bias.unflatten(0, by_head) for part in (attention.key, attention.value))
    scores = torch.einsum("shi,hiw->shw", query, key) @ seen.mT + (query * key_bias).sum(dim=-1, keepdim=True)
    weights = drop(torch.softmax(scores.masked_fill(~sequences.real[:, None], -torch.inf), dim=-1), probability)
    found = torch.einsum("shw,hiw->shi", weights @ seen, value)
    return (found + weights.sum(dim=-1, keepdim=True) * value_bias).flatten(1)
