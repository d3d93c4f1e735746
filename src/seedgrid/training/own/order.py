"""The user's training loader, with the order of each epoch, and what is drawn for its examples, from the order seed.

The loader's sampler stays what it is, and draws from the order seed: each epoch anew. A plain one, shuffled or not,
gives way to the permutation that the order seed means for texts too. Before an example is fetched, the generators that
PyTorch, NumPy and Python share are seeded from (order seed, epoch, index), before a batch is put together from (order
seed, epoch, batch); so it is the same whichever process fetches it and wherever the training began. What draws from a
generator of its own, made once, is out of reach.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from seedgrid.errors import InputError
from seedgrid.seeds import collate_seed, epoch_order, item_seeds, order_address, seed_generators


@contextmanager
def generators_kept() -> Iterator[None]:
    """Whatever is drawn or seeded within, the shared generators go on as if nothing had been."""
    states = generator_states()
    try:
        yield
    finally:
        set_generator_states(states)


def generator_states() -> tuple[Any, ...]:
    """States of the shared generators; of PyTorch's, the CPU's."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def set_generator_states(states: tuple[Any, ...]) -> None:
    """Put back what :func:`generator_states` gave."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


def check_loader(loader: Any) -> None:
    """Raise InputError unless the order seed can decide what a training loader gives."""
    key = "training.data: train_dataloader"
    if not isinstance(loader, DataLoader):
        raise InputError(f"{key} gives a {type(loader).__name__}; give one torch.utils.data.DataLoader")
    if isinstance(loader.dataset, IterableDataset):
        raise InputError(
            f"{key} reads {type(loader.dataset).__name__}, an iterable data set, whose order no seed decides; give one"
            " with __getitem__ and __len__"
        )
    if loader.batch_sampler is None:
        raise InputError(f"{key} has batch_size=None, so that it has no order of batches; give a batch size")
    if type(loader).__iter__ is not DataLoader.__iter__:
        raise InputError(
            f"{key} gives a {type(loader).__name__}, which has an order of its own; give torch's DataLoader"
        )
    sampler = _sampler(loader)
    with generators_kept():
        if _drawn(loader, 0, 0) != _drawn(loader, 0, 0):
            raise InputError(
                f"{key}: {type(sampler).__name__} draws from a generator of its own, which no seed reaches; let it"
                " draw from torch's, or give shuffle=True"
            )


def order_matters(loader: DataLoader) -> bool:
    """Whether two order seeds give two orders."""
    with generators_kept():
        return _drawn(loader, 0, 0) != _drawn(loader, 1, 0)


class SeededEpochs:
    """The batches of each epoch, as a loader's ``batch_sampler``.

    Args:
        order_seed: draws them.
        epoch, skipped: where the training goes on: in which epoch, and how many of its batches were taken.

    Attributes:
        epoch: the one to come.
    """

    def __init__(self, order_seed: int, epoch: int = 0, skipped: int = 0) -> None:
        self.order_seed = order_seed
        self.epoch = epoch
        self._start = (epoch, skipped)
        self._loader: DataLoader

    def take_over(self, loader: DataLoader) -> DataLoader:
        """The same loader in this order."""
        check_loader(loader)
        self._loader = loader
        workers: dict[str, Any] = {}
        if loader.num_workers:
            workers = {
                name: getattr(loader, name)
                for name in ("prefetch_factor", "persistent_workers", "multiprocessing_context", "worker_init_fn")
            }
        return DataLoader(
            _SeededData(loader, self.order_seed),
            batch_sampler=self,
            collate_fn=_as_it_is,
            num_workers=loader.num_workers,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            **workers,
        )

    def __len__(self) -> int:
        return len(self._loader.batch_sampler)

    def __iter__(self) -> Iterator[list]:
        with generators_kept():
            batches = _drawn(self._loader, self.order_seed, self.epoch)
        skipped = self._start[1] if self.epoch == self._start[0] else 0
        for number in range(skipped, len(batches)):
            yield [(self.epoch, number), *batches[number]]


class _SeededData(Dataset):
    """A loader's examples, a batch at a time; each begins with where it is: (epoch, number)."""

    def __init__(self, loader: DataLoader, order_seed: int) -> None:
        self.examples = loader.dataset
        self.collate = loader.collate_fn
        self.order_seed = order_seed
        self._seeds: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, batch: list) -> Any:
        (epoch, number), *indices = batch
        if self._seeds is None or self._seeds[0] != epoch:
            self._seeds = (epoch, item_seeds(self.order_seed, epoch, len(self.examples)))
        with generators_kept():
            items = []
            for index in indices:
                _seed(int(self._seeds[1][index]))
                items.append(self.examples[index])
            _seed(collate_seed(self.order_seed, epoch, number))
            return self.collate(items)


def _seed(value: int) -> None:
    """Seed the shared generators of the process that fetches; it uses no GPU."""
    torch.default_generator.manual_seed(value)
    np.random.seed(value)
    random.seed(value)


def _as_it_is(batch: Any) -> Any:
    return batch


def _sampler(loader: DataLoader) -> Any:
    """What decides the order."""
    return loader.sampler if type(loader.batch_sampler) is BatchSampler else loader.batch_sampler


def _drawn(loader: DataLoader, order_seed: int, epoch: int) -> list[list]:
    """Indices of each batch of an epoch."""
    sampler, batches = _sampler(loader), loader.batch_sampler
    every = type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(loader.dataset)
    if every or type(sampler) is SequentialSampler:
        order = epoch_order(order_seed, len(loader.dataset), epoch).tolist()
        return list(BatchSampler(order, batches.batch_size, batches.drop_last))
    address = order_address(order_seed, epoch)
    seed_generators(*address)
    for each in {id(each): each for each in (sampler, getattr(sampler, "sampler", None))}.values():
        if isinstance(getattr(each, "generator", None), torch.Generator):
            each.generator.manual_seed(torch.initial_seed())
        if hasattr(each, "set_epoch"):
            each.set_epoch(epoch)
    return [list(batch) for batch in batches]
