"""A pass without padding: all tokens of a batch in one row, attention within each sequence.

It uses the modules of Transformers' BERT-like classifiers, but not their ``forward``: linear layers, norms and dropout
see real tokens only, and the last layer is computed for the first tokens alone, since the head reads no other. Both
leave logits and gradients as they are, up to the rounding of float additions in another order.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from seedgrid.training.text.model.attention import Runs, Sequences, Slots, first_token_attention
from seedgrid.training.text.model.dropout import Dropout, DropoutMasks, NoDropout
from seedgrid.training.text.model.pretrained import PACKABLE


def can_pack(network: PreTrainedModel) -> bool:
    """Whether :func:`packed_logits` knows the architecture."""
    return network.config.model_type in PACKABLE and not network.config.is_decoder


def packed_logits(network: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of a sequence classifier, as its own ``forward`` gives them for the same sequences padded.

    In train mode, dropout masks follow from the state of PyTorch's CPU generator alone. Arguments are those of
    :func:`first_tokens`.

    Returns:
        Sequences x classes.
    """
    return head_logits(network, first_tokens(network, batch))


def head_logits(network: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """Logits (sequences x classes) from what :func:`first_tokens` gives."""
    hidden = hidden.unsqueeze(1)  # what reads [:, 0] of examples x tokens x width
    if getattr(network.base_model, "pooler", None) is not None:
        hidden = network.dropout(network.base_model.pooler(hidden))
    return network.classifier(hidden)


def first_tokens(network: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the encoder makes of the first token of each sequence, which is all that the head reads.

    Args:
        network: a classifier that :func:`can_pack`.
        batch: ``input_ids``, ``token_type_ids``: int64, the tokens of all sequences one after the other; ``lengths``:
            int64, tokens of each sequence. Sequences of one length that follow each other are computed together.
            Or the parts of a batch of a static shape (:mod:`seedgrid.training.text.data.shapes`): then nothing depends
            on values.

    Returns:
        Sequences x width.
    """
    config, encoder = network.config, network.base_model
    sequences = Runs(batch["lengths"]) if "lengths" in batch else Slots(batch)
    drop = DropoutMasks(int(torch.randint(2**63 - 1, ()))) if network.training else NoDropout()
    hidden = _embed(encoder, batch, sequences, drop)
    *layers, top = encoder.encoder.layer
    for layer in layers:
        heads = layer.attention.self
        projected = (
            projection(hidden).unflatten(1, (heads.num_attention_heads, -1))
            for projection in (heads.query, heads.key, heads.value)
        )
        context = sequences.attend(*projected, config.attention_probs_dropout_prob, drop).flatten(1)
        hidden = _above_attention(layer, context, hidden, drop, config)
    probability = config.attention_probs_dropout_prob
    context = first_token_attention(top.attention.self, hidden, sequences, probability, drop)
    return _above_attention(top, context, sequences.first(hidden), drop, config)


def _above_attention(
    layer: torch.nn.Module, context: torch.Tensor, asked: torch.Tensor, drop: Dropout, config: PreTrainedConfig
) -> torch.Tensor:
    """The rest of a layer: from what ``asked`` found to the layer's output."""
    after, above, probability = layer.attention.output, layer.output, config.hidden_dropout_prob
    attended = after.LayerNorm(drop.add(after.dense(context), asked, probability))
    hidden = above.dense(layer.intermediate(attended))
    return above.LayerNorm(drop.add(hidden, attended, probability))


def _embed(
    encoder: PreTrainedModel, batch: dict[str, torch.Tensor], sequences: Sequences, drop: Dropout
) -> torch.Tensor:
    embeddings, config = encoder.embeddings, encoder.config
    words = batch["input_ids"]
    # RoBERTa's kin number positions from after the padding's, and do not count a padding token, should a text hold one.
    padding = getattr(embeddings, "padding_idx", None)
    counted = torch.ones_like(words) if padding is None else words.ne(padding).long()
    count = counted.cumsum(0)
    positions = count - (count - counted)[sequences.starts]
    positions = positions - 1 if padding is None else positions * counted + padding
    segments = batch["token_type_ids"] if config.type_vocab_size > 1 else torch.zeros_like(words)
    embedded = embeddings.word_embeddings(words) + embeddings.token_type_embeddings(segments)
    embedded = embedded + embeddings.position_embeddings(positions)
    embedded = drop(embeddings.LayerNorm(embedded), config.hidden_dropout_prob)
    return encoder.embeddings_project(embedded) if hasattr(encoder, "embeddings_project") else embedded
