"""Batches: training batches in the order that the order seed draws, validation batches sorted by length."""

from __future__ import annotations

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from seedgrid.seeds import epoch_order
from seedgrid.training.text.data.shapes import Filled, Shape, choose_shapes, choose_validation_shapes, fill
from seedgrid.training.text.data.tokens import Tokens

Batch = dict[str, torch.Tensor]


def training_batches(order_seed: int, examples: int, batch_size: int, steps: int, start: int = 0) -> list[np.ndarray]:
    """Indices of the examples of each step in ``range(start, steps)``.

    All epochs are one sequence, so that a trial can start at any step. An epoch's last batch may be smaller.
    """
    per_epoch = -(-examples // batch_size)
    batches = []
    for epoch in range(start // per_epoch, -(-steps // per_epoch)):
        order = epoch_order(order_seed, examples, epoch)
        for index in range(per_epoch):
            if start <= epoch * per_epoch + index < steps:
                batches.append(order[index * batch_size : (index + 1) * batch_size])
    return batches


def validation_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Every example once, similar lengths together, so that little is padded."""
    order = np.argsort(lengths, kind="stable")
    return [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]


class TokenDataModule(pl.LightningDataModule):
    """Training batches from step ``start`` on, and the validation batches.

    Args:
        train, validation: tokenized examples.
        order_seed: draws the permutation of each epoch.
        batch_size: training examples a step.
        validation_batch_size: examples a validation batch.
        steps: steps of the whole training.
        start: steps that were taken before (a resumed trial).
        pad_id: the word piece to pad with.
        pad_left: whether padding goes before the text.
        packing: batches as :func:`collate_packed` makes them instead of padded ones.
        static: packed ones of a few static shapes, as :func:`seedgrid.training.text.data.shapes.fill` makes them.
    """

    def __init__(
        self,
        train: Tokens,
        validation: Tokens,
        *,
        order_seed: int,
        batch_size: int,
        validation_batch_size: int,
        steps: int,
        start: int = 0,
        pad_id: int = 0,
        pad_left: bool = False,
        packing: bool = False,
        static: bool = False,
    ) -> None:
        super().__init__()
        self.train = train
        self.validation = validation
        self.train_batches = training_batches(order_seed, len(train), batch_size, steps, start)
        self.validation_batches = validation_batches(validation.lengths, validation_batch_size)
        self.pad_id = pad_id
        self.pad_left = pad_left
        self.packing = packing
        self.shapes = choose_shapes(train.lengths, batch_size) if static else ()
        self.validation_shapes = choose_validation_shapes(validation.lengths, self.validation_batches) if static else ()

    @property
    def validation_order(self) -> np.ndarray:
        """The validation examples' indices in the order in which the batches hold them; int64."""
        return np.concatenate(self.validation_batches)

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.train, self.train_batches, self.shapes)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.validation, self.validation_batches, self.validation_shapes)

    def _loader(self, tokens: Tokens, batches: list[np.ndarray], shapes: tuple[Shape, ...]) -> DataLoader:
        # Collating a batch takes microseconds: a worker process would cost more than it saves.
        def collated(indices: list[int]) -> Batch | Filled:
            if shapes:
                return fill(tokens, indices, shapes, pin=torch.cuda.is_available())
            if self.packing:
                return collate_packed(tokens, indices)
            return collate(tokens, indices, self.pad_id, self.pad_left)

        return DataLoader(range(len(tokens)), batch_sampler=batches, collate_fn=collated)


def collate(tokens: Tokens, indices: list[int], pad_id: int, pad_left: bool = False) -> Batch:
    """Pad the examples at ``indices`` to their longest, after the text or before it.

    Returns:
        ``input_ids``, ``token_type_ids``, ``attention_mask``: int64, examples x longest; ``labels``: int64, examples.
    """
    indices = np.asarray(indices)
    lengths = tokens.lengths[indices]
    columns = np.arange(lengths.max()) - (lengths.max() - lengths[:, None] if pad_left else 0)
    real = (columns >= 0) & (columns < lengths[:, None])
    positions = np.where(real, tokens.starts[indices][:, None] + columns, 0)
    ids = np.where(real, tokens.ids[positions], pad_id)
    segments = np.where(real, tokens.segments[positions], 0)
    return {
        "input_ids": torch.from_numpy(ids.astype(np.int64)),
        "token_type_ids": torch.from_numpy(segments.astype(np.int64)),
        "attention_mask": torch.from_numpy(real.astype(np.int64)),
        "labels": torch.from_numpy(tokens.label[indices]),
    }


def collate_packed(tokens: Tokens, indices: list[int]) -> Batch:
    """The examples at ``indices`` one after the other, the shortest first: examples of one length are neighbours.

    Returns:
        ``input_ids``, ``token_type_ids``: int64, one per token; ``lengths`` (tokens) and ``labels``: int64, examples.
    """
    indices = np.asarray(indices)
    indices = indices[np.argsort(tokens.lengths[indices], kind="stable")]
    at = np.concatenate([np.arange(tokens.starts[index], tokens.starts[index + 1]) for index in indices])
    return {
        "input_ids": torch.from_numpy(tokens.ids[at].astype(np.int64)),
        "token_type_ids": torch.from_numpy(tokens.segments[at].astype(np.int64)),
        "lengths": torch.from_numpy(tokens.lengths[indices]),
        "labels": torch.from_numpy(tokens.label[indices]),
    }
