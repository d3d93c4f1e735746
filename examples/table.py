"""A table: how far diabetes has progressed after a year; root mean squared error, lower is better."""

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics import MeanSquaredError


class Diabetes(pl.LightningDataModule):
    def __init__(self, batch_size: int = 16, validation_size: int = 142) -> None:
        super().__init__()
        self.batch_size, self.validation_size = batch_size, validation_size

    def setup(self, stage: str | None = None) -> None:
        columns, progression = load_diabetes(return_X_y=True, scaled=True)
        table = TensorDataset(torch.tensor(columns * 20).float(), torch.tensor(progression).float())
        # Drawn, and yet the same in every trial: no seed of a trial touches the data.
        self.train, self.validation = random_split(table, [len(table) - self.validation_size, self.validation_size])

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.validation, self.validation_size)


class Regression(pl.LightningModule):
    def __init__(self, width: int = 32, learning_rate: float = 0.01) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.net = nn.Sequential(
            nn.Linear(10, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )
        self.rmse = MeanSquaredError(squared=False)

    def forward(self, columns):
        return 150 + 50 * self.net(columns).squeeze(1)

    def training_step(self, batch, batch_idx):
        columns, progression = batch
        return mse_loss(self(columns), progression) / 50**2

    def validation_step(self, batch, batch_idx):
        columns, progression = batch
        self.rmse(self(columns), progression)
        self.log("rmse", self.rmse)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.learning_rate)
