"""Two optimizers: a generator and a discriminator, on eight points of a ring."""

import math

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

CENTRES = torch.tensor([[2 * math.cos(k * math.pi / 4), 2 * math.sin(k * math.pi / 4)] for k in range(8)])


def network(inputs: int, outputs: int, width: int) -> nn.Sequential:
    middle = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*middle, nn.Linear(width, outputs))


class Ring(pl.LightningDataModule):
    def __init__(self, batch_size: int = 64) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str | None = None) -> None:
        self.train = TensorDataset(CENTRES.repeat(512, 1) + 0.05 * torch.randn(4096, 2))
        self.noise = TensorDataset(torch.randn(1024, 8))

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.noise, 1024)


class Gan(pl.LightningModule):
    def __init__(self, width: int = 64, learning_rate: float = 0.001) -> None:
        super().__init__()
        self.automatic_optimization, self.learning_rate = False, learning_rate
        self.generator, self.discriminator = network(8, 2, width), network(2, 1, width)

    def training_step(self, batch, batch_idx):
        of_generator, of_discriminator = self.optimizers()
        (real,) = batch
        made = self.generator(torch.randn(len(real), 8, device=self.device))
        loss = softplus(-self.discriminator(real)).mean() + softplus(self.discriminator(made.detach())).mean()
        self.take_step(of_discriminator, loss)
        self.take_step(of_generator, softplus(-self.discriminator(made)).mean())
        return loss

    def take_step(self, optimizer, loss) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def validation_step(self, batch, batch_idx):
        distance, nearest = torch.cdist(self.generator(batch[0]), CENTRES.to(self.device)).min(dim=1)
        near = torch.bincount(nearest[distance < 0.3], minlength=8)
        self.log_dict({"modes": (near >= 20).sum().float(), "near": (distance < 0.3).float().mean()})

    def configure_optimizers(self):
        parts = (self.generator, self.discriminator)
        return [torch.optim.Adam(part.parameters(), self.learning_rate, betas=(0.5, 0.99)) for part in parts]
