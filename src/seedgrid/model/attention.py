"""Attention within each of several sequences whose tokens lie one after the other, without padding."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import groupby
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from seedgrid.model.dropout import Dropout, NoDropout


class RunAttention:
    """Attention within each sequence, for each run of sequences of one length at once: nothing is padded.

    Args:
        lengths: tokens of each sequence.
    """

    def __init__(self, lengths: torch.Tensor) -> None:
        self.runs = [(length, len(list(same))) for length, same in groupby(lengths.tolist())]

    def __call__(
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


class Padding:
    """Where tokens lie when their sequences are padded to the longest.

    Args:
        lengths: tokens of each sequence.

    Attributes:
        real: sequences x longest; whether a token is there.
    """

    def __init__(self, lengths: torch.Tensor) -> None:
        self.longest = int(lengths.max())
        self.real = torch.arange(self.longest, device=lengths.device) < lengths[:, None]
        self.places = self.real.flatten().nonzero().squeeze(1)  # of each token among the padded ones

    def pad(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens x ... as sequences x longest x ..., with zeros between."""
        padded = tokens.new_zeros(self.real.numel(), *tokens.shape[1:]).index_copy(0, self.places, tokens)
        return padded.unflatten(0, self.real.shape)


class PaddedAttention:
    """As :class:`RunAttention`, for devices that want few large kernels: padded, but inside of attention only."""

    def __init__(self, lengths: torch.Tensor) -> None:
        self.lengths = lengths
        self.padding = Padding(lengths)

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, probability: float, drop: Dropout
    ) -> torch.Tensor:
        evaluates = isinstance(drop, NoDropout)
        if evaluates and not torch.is_grad_enabled() and _has_kernel(query):
            return self._variable_length(query, key, value)
        context = scaled_dot_product_attention(
            *(self.padding.pad(tokens).transpose(1, 2) for tokens in (query, key, value)),
            self.padding.real[:, None, None, :],
            dropout_p=0.0 if evaluates else probability,
        )
        return context.transpose(1, 2).flatten(0, 1)[self.padding.places]

    def _variable_length(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        from torch.nn.attention.varlen import varlen_attn

        ends, longest = pad(self.lengths.cumsum(0), (1, 0)).int(), self.padding.longest
        return varlen_attn(query, key, value, ends, ends, longest, longest)


def _has_kernel(query: torch.Tensor) -> bool:
    """Whether PyTorch has a kernel for sequences of several lengths: in half precision, without dropout."""
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and query.shape[-1] % 8 == 0
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
        and find_spec("torch.nn.attention.varlen") is not None  # PyTorch 2.10
    )


def first_token_attention(
    attention: torch.nn.Module, hidden: torch.Tensor, lengths: torch.Tensor, probability: float, drop: Dropout
) -> torch.Tensor:
    """What the first token of each sequence finds, without the keys and values of all tokens.

    A query's product with a key ``W x + b`` is that of ``W' query`` with ``x``, and that of the query with ``b``; the
    weighted sum of values is the value of the weighted sum. So two products of all tokens with matrices become two
    with a vector a head.

    Args:
        attention: has BERT's ``query``, ``key`` and ``value``, and ``num_attention_heads``.
        hidden: tokens x width.
        lengths: tokens of each sequence.
        probability: of dropping an attention weight.
        drop: drops them.

    Returns:
        Sequences x width.
    """
    by_head = (attention.num_attention_heads, -1)
    padding = Padding(lengths)
    seen = padding.pad(hidden)  # sequences x longest x width
    query = attention.query(hidden[lengths.cumsum(0) - lengths]).unflatten(1, by_head)
    query = query * query.shape[-1] ** -0.5
    key, value = (part.weight.unflatten(0, by_head) for part in (attention.key, attention.value))
    key_bias, value_bias = (part.bias.unflatten(0, by_head) for part in (attention.key, attention.value))
    scores = torch.einsum("shi,hiw->shw", query, key) @ seen.mT + (query * key_bias).sum(dim=-1, keepdim=True)
    weights = drop(torch.softmax(scores.masked_fill(~padding.real[:, None], -torch.inf), dim=-1), probability)
    found = torch.einsum("shw,hiw->shi", weights @ seen, value)
    return (found + weights.sum(dim=-1, keepdim=True) * value_bias).flatten(1)
