"""A pass without padding: all tokens of a batch in one row, attention within each sequence.

It uses the modules of Transformers' BERT-like classifiers, but not their ``forward``: linear layers, norms and dropout
see real tokens only, and the last layer is computed for the first tokens alone, since the head reads no other. Both
leave logits and gradients as they are, up to the rounding of float additions in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import groupby

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import PreTrainedModel

from seedgrid.model.dropout import DropoutMasks
from seedgrid.model.pretrained import PACKABLE

Dropout = Callable[[torch.Tensor, float], torch.Tensor]


def can_pack(network: PreTrainedModel) -> bool:
    """Whether :func:`packed_logits` knows the architecture."""
    return network.config.model_type in PACKABLE and not network.config.is_decoder


def packed_logits(network: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of a sequence classifier, as its own ``forward`` gives them for the same sequences padded.

    In train mode, dropout masks follow from the state of PyTorch's CPU generator alone.

    Args:
        network: a classifier that :func:`can_pack`.
        batch: ``input_ids``, ``token_type_ids``: int64, the tokens of all sequences one after the other; ``lengths``:
            int64, tokens of each sequence. Sequences of one length that follow each other are computed together.

    Returns:
        Sequences x classes.
    """
    config, encoder = network.config, network.base_model
    drop = DropoutMasks(int(torch.randint(2**63 - 1, ()))) if network.training else _keep
    lengths = batch["lengths"]
    hidden = _embed(encoder, batch, drop)
    first = lengths.cumsum(0) - lengths
    attention = RunAttention(lengths) if hidden.device.type == "cpu" else PaddedAttention(lengths)
    for number, layer in enumerate(encoder.encoder.layer, start=1):
        heads, after, feed_forward = layer.attention.self, layer.attention.output, layer.output
        asked = hidden[first] if number == config.num_hidden_layers else hidden
        context = attention(
            *(
                projected.view(len(projected), heads.num_attention_heads, -1)
                for projected in (heads.query(asked), heads.key(hidden), heads.value(hidden))
            ),
            config.attention_probs_dropout_prob,
            drop,
        ).flatten(1)
        attended = after.LayerNorm(drop(after.dense(context), config.hidden_dropout_prob) + asked)
        hidden = feed_forward.dense(layer.intermediate(attended))
        hidden = feed_forward.LayerNorm(drop(hidden, config.hidden_dropout_prob) + attended)
    hidden = hidden.unsqueeze(1)  # what reads [:, 0] of examples x tokens x width
    if getattr(encoder, "pooler", None) is not None:
        hidden = network.dropout(encoder.pooler(hidden))
    return network.classifier(hidden)


def _keep(values: torch.Tensor, probability: float) -> torch.Tensor:
    return values


def _embed(encoder: PreTrainedModel, batch: dict[str, torch.Tensor], drop: Dropout) -> torch.Tensor:
    embeddings, config = encoder.embeddings, encoder.config
    words, lengths = batch["input_ids"], batch["lengths"]
    # RoBERTa's kin number positions from after the padding's, and do not count a padding token, should a text hold one.
    padding = getattr(embeddings, "padding_idx", None)
    counted = torch.ones_like(words) if padding is None else words.ne(padding).long()
    count = counted.cumsum(0)
    before = (count - counted)[lengths.cumsum(0) - lengths]
    positions = count - torch.repeat_interleave(before, lengths)
    positions = positions - 1 if padding is None else positions * counted + padding
    segments = batch["token_type_ids"] if config.type_vocab_size > 1 else torch.zeros_like(words)
    embedded = embeddings.word_embeddings(words) + embeddings.token_type_embeddings(segments)
    embedded = embedded + embeddings.position_embeddings(positions)
    embedded = drop(embeddings.LayerNorm(embedded), config.hidden_dropout_prob)
    return encoder.embeddings_project(embedded) if hasattr(encoder, "embeddings_project") else embedded


class RunAttention:
    """Attention within each sequence, for each run of sequences of one length at once: nothing is padded.

    Args:
        lengths: tokens of each sequence.
    """

    def __init__(self, lengths: torch.Tensor) -> None:
        self.runs = [(length, len(list(same))) for length, same in groupby(lengths.tolist())]
        self.sequences = len(lengths)

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, probability: float, drop: Dropout
    ) -> torch.Tensor:
        """What each query finds.

        Args:
            query: tokens x heads x size; of all tokens, or of one token a sequence.
            key, value: tokens x heads x size, of all tokens.
            probability: of dropping an attention weight.
            drop: drops them.

        Returns:
            Shaped as ``query``.
        """
        asked = [(1, count) for _, count in self.runs] if len(query) == self.sequences else self.runs
        parts = (_by_run(query * query.shape[-1] ** -0.5, asked), _by_run(key, self.runs), _by_run(value, self.runs))
        contexts = []
        for queries, keys, values in zip(*parts, strict=True):
            weights = drop(torch.softmax(queries @ keys.mT, dim=-1), probability)
            contexts.append((weights @ values).transpose(1, 2).flatten(0, 1))
        return torch.cat(contexts)


def _by_run(tokens: torch.Tensor, runs: list[tuple[int, int]]) -> list[torch.Tensor]:
    """Views of tokens x heads x size: for each run (length, count), count x heads x length x size."""
    parts = tokens.split([length * count for length, count in runs])
    return [part.unflatten(0, (-1, length)).transpose(1, 2) for part, (length, _) in zip(parts, runs, strict=True)]


class PaddedAttention:
    """As :class:`RunAttention`, for devices that want few large kernels: padded, but inside of attention only."""

    def __init__(self, lengths: torch.Tensor) -> None:
        self.lengths = lengths
        self.longest = int(lengths.max())
        self.real = torch.arange(self.longest, device=lengths.device) < lengths[:, None]  # sequences x longest
        self.places = self.real.flatten().nonzero().squeeze(1)  # of each token among the padded ones

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, probability: float, drop: Dropout
    ) -> torch.Tensor:
        one_each = len(query) == len(self.lengths)
        if drop is _keep and not torch.is_grad_enabled() and _has_kernel(query):
            return self._variable_length(query, key, value, torch.ones_like(self.lengths) if one_each else self.lengths)
        context = scaled_dot_product_attention(
            query.unsqueeze(2) if one_each else self._pad(query),
            self._pad(key),
            self._pad(value),
            self.real[:, None, None, :],
            dropout_p=0.0 if drop is _keep else probability,
        )
        context = context.transpose(1, 2).flatten(0, 1)
        return context if one_each else context[self.places]

    def _pad(self, tokens: torch.Tensor) -> torch.Tensor:
        """Sequences x heads x longest x size."""
        padded = tokens.new_zeros(self.real.numel(), *tokens.shape[1:]).index_copy(0, self.places, tokens)
        return padded.unflatten(0, self.real.shape).transpose(1, 2)

    def _variable_length(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, asked: torch.Tensor
    ) -> torch.Tensor:
        from torch.nn.attention.varlen import varlen_attn

        ends = (pad(lengths.cumsum(0), (1, 0)).int() for lengths in (asked, self.lengths))
        return varlen_attn(query, key, value, *ends, self.longest, self.longest)


def _has_kernel(query: torch.Tensor) -> bool:
    """Whether PyTorch has a kernel for sequences of several lengths: in half precision, without dropout."""
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and query.shape[-1] % 8 == 0
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
        and find_spec("torch.nn.attention.varlen") is not None  # PyTorch 2.10
    )
