"""Images: a small convolutional network on scikit-learn's digits, shifted at random."""

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    def __init__(self, images, labels, shift: int = 0) -> None:
        self.images, self.labels, self.shift = images, labels, shift

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        moved = torch.randint(-self.shift, self.shift + 1, (2,)).tolist()
        return self.images[index].roll(moved, dims=(1, 2)), self.labels[index]


class Digits(pl.LightningDataModule):
    def __init__(self, batch_size: int = 32, train_size: int = 1000, shift: int = 1) -> None:
        super().__init__()
        self.batch_size, self.train_size, self.shift = batch_size, train_size, shift

    def setup(self, stage: str | None = None) -> None:
        digits = load_digits()
        images, labels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16, torch.tensor(digits.target)
        self.train = Images(images[: self.train_size], labels[: self.train_size], self.shift)
        self.validation = Images(images[1000:], labels[1000:])

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.validation, 200)


class ConvNet(pl.LightningModule):
    def __init__(self, channels: int = 8, learning_rate: float = 0.1) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.body = nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2))
        self.head = nn.Linear(9 * channels, 10)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        return cross_entropy(self.head(self.body(images)), labels)

    def validation_step(self, batch, batch_idx):
        images, labels = batch
        logits = self.head(self.body(images))
        right = logits.argmax(1) == labels
        self.log_dict({"val_loss": cross_entropy(logits, labels), "accuracy": right.float().mean()})
        return {"logits": logits, "labels": labels}  # so that the report compares trials example by example

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), self.learning_rate, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_epochs)]
