"""Trainings as users write them, with all that a resumption may lose: what they draw, count, schedule and average."""

from __future__ import annotations

import random

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, Dataset, IterableDataset, WeightedRandomSampler
from torchmetrics import MeanSquaredError

ROWS, SIZE = 22, 4


class Rows(Dataset):
    """Points near a line, moved at random whenever they are fetched, by each of the generators that people use."""

    def __init__(self, rows: int, moved: bool) -> None:
        generator = torch.Generator().manual_seed(rows)
        self.x = torch.randn(rows, 3, generator=generator)
        self.y = self.x.sum(1, keepdim=True)
        self.moved = moved

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int):
        x = self.x[index]
        if self.moved:
            x = x + 0.1 * torch.randn(3) + 0.1 * random.random() + 0.1 * float(np.random.rand())
        return index, x, self.y[index]


def collate(items):
    """With a draw of its own."""
    index, x, y = zip(*items, strict=True)
    return torch.tensor(index), torch.stack(x) + 0.01 * torch.rand(()), torch.stack(y)


class Points(pl.LightningDataModule):
    def __init__(self, workers: int = 0, shuffle: bool = True, sampler: str | None = None, rows: int = ROWS) -> None:
        super().__init__()
        self.workers, self.shuffle, self.sampler, self.rows = workers, shuffle, sampler, rows
        self.share = np.random.rand()  # drawn when it is made: the same in all trials

    def train_dataloader(self) -> DataLoader:
        rows = Rows(self.rows, moved=True)
        if self.sampler == "weighted":
            weights = torch.arange(1.0, self.rows + 1)
            how = {"sampler": WeightedRandomSampler(weights, self.rows, generator=torch.Generator())}
        elif self.sampler == "own_generator":
            how = {"sampler": OwnGenerator(self.rows)}
        else:
            how = {"shuffle": self.shuffle}
        return DataLoader(rows, SIZE, num_workers=self.workers, collate_fn=collate, **how)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Rows(9, moved=True), 5, shuffle=True)


class OwnGenerator:
    """A sampler that nobody's seed reaches."""

    def __init__(self, rows: int) -> None:
        self.rows, self.generator = rows, np.random.default_rng()

    def __len__(self) -> int:
        return self.rows

    def __iter__(self):
        return iter(self.generator.permutation(self.rows).tolist())


class Stream(Points):
    def train_dataloader(self) -> DataLoader:
        class Endless(IterableDataset):
            def __iter__(self):
                return iter(Rows(self.rows, False))

        return DataLoader(Endless(), SIZE)


class Backwards(DataLoader):
    """A loader that does as it likes."""

    def __iter__(self):
        return iter(list(super().__iter__())[::-1])


class Reversed(Points):
    def train_dataloader(self) -> DataLoader:
        return Backwards(Rows(self.rows, True), SIZE, collate_fn=collate)


class Net(pl.LightningModule):
    """Dropout, counts of epochs in a buffer and beside it, means over an epoch, a metric with a state."""

    def __init__(self, width: int = 5, schedule: str = "epoch", fail_at: int | None = None) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Dropout(0.3), nn.Linear(width, 1))
        self.register_buffer("shift", torch.tensor(float(np.random.rand()) + random.random()))
        self.register_buffer("epochs_seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("transferred", torch.zeros(()))
        self.error = MeanSquaredError()
        self.val_error = MeanSquaredError()
        self.schedule, self.fail_at = schedule, fail_at
        self.batches_seen = 0
        self.seen = []

    def forward(self, x):
        return self.net(x) + self.shift

    def training_step(self, batch, batch_idx):
        index, x, y = batch
        self.seen.append((self.current_epoch, batch_idx, index.tolist()))
        z = self(x)
        self.error(z, y)
        loss = mse_loss(z, y) * (1 + 0.1 * random.random() + 0.1 * float(np.random.rand()))
        if self.fail_at == self.global_step:
            loss = loss * float("nan")
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("train_error", self.error, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        _, x, y = batch
        z = self(x) + 0.01 * torch.rand(())  # draws, as a test-time augmentation does
        self.val_error(z, y)
        self.log("val_loss", mse_loss(z, y))
        self.log("val_error", self.val_error)

    def on_train_epoch_start(self) -> None:
        self.moved_by = random.random()
        self.log("moved_by", self.moved_by)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        """Augmentation where the batch lies, of its own state and draws."""
        if not self.trainer.training:
            return batch
        index, x, y = batch
        self.transferred += 1
        return index, x + 0.1 * self.moved_by + 0.1 * torch.rand(()) + 0.01 * self.transferred, y

    def on_train_batch_start(self, batch, batch_idx) -> None:
        self.batches_seen += 1

    def on_train_epoch_end(self) -> None:
        self.epochs_seen += 1
        means = self.trainer.callback_metrics
        self.shift += 0.01 * (means["train_loss_epoch"] + means["moved_by"]) + 0.01 * torch.rand(())

    def on_save_checkpoint(self, checkpoint) -> None:
        checkpoint["batches_seen"] = self.batches_seen

    def on_load_checkpoint(self, checkpoint) -> None:
        self.batches_seen = checkpoint["batches_seen"]

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)
        if self.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.8)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": self.schedule}}


class Validated(Net):
    """Remembers what it was validated with."""

    def __init__(self) -> None:
        super().__init__()
        self.validated = []

    def on_validation_epoch_start(self) -> None:
        self.validated.append({name: value.tolist() for name, value in self.state_dict().items()})


class Stopping(Net):
    """Ends its training early."""

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.trainer.should_stop = True


class Patient(Net):
    """Brings a callback that would."""

    def configure_callbacks(self):
        return pl.callbacks.EarlyStopping("val_loss")


class Two(Net):
    """Manual optimization with two optimizers, each with a schedule that the module steps."""

    def __init__(self, width: int = 5) -> None:
        super().__init__(width)
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        loss = super().training_step(batch, batch_idx)
        first.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(first, gradient_clip_val=0.5)
        first.step()
        if batch_idx % 2:
            second.zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            second.step()
            for schedule in self.lr_schedulers():
                schedule.step()
        return loss

    def configure_optimizers(self):
        first = torch.optim.Adam(self.net[0].parameters(), 0.02)
        second = torch.optim.SGD(self.net[3].parameters(), 0.02)
        return [first, second], [torch.optim.lr_scheduler.ExponentialLR(each, 0.95) for each in (first, second)]


class TwoSets(Points):
    """Two validation sets, there only where a training is set up."""

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self.sets = [Rows(9, moved=False), Rows(6, moved=False)]

    def val_dataloader(self) -> dict[str, DataLoader]:
        return {"first": DataLoader(self.sets[0], 5), "second": DataLoader(self.sets[1], 5)}


class Late(Net):
    """Its layers are made where a training is set up; its names are those of a record's own columns."""

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self.net = nn.Sequential(nn.LazyLinear(5), nn.Tanh(), nn.Linear(5, 1))
            self.net(torch.zeros(1, 3))

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        _, x, y = batch
        loss = mse_loss(self(x), y)
        self.log_dict({"val_loss": loss, "step": 7.0, "epoch": float(self.current_epoch)})
        return {"logits": self(x), "labels": y}  # of no classes


class Lazy(Net):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.LazyLinear(1)


class Silent(Net):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", 1.0, on_step=True, on_epoch=False)


class Fetching(Net):
    """Takes its batches itself."""

    def training_step(self, dataloader_iter):
        batch, batch_idx, _ = next(dataloader_iter)
        return super().training_step(batch, batch_idx)
