"""What a checkpoint holds besides weights: see ``test_killed`` for trials that go on from one."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision

from seedgrid.trials import checkpoint


def test_half_precisions_scale_goes_on_where_it_was(tmp_path):
    network = torch.nn.Linear(2, 1)
    precision = MixedPrecision("16-mixed", "cpu")
    trainer = pl.Trainer(accelerator="cpu", plugins=precision, logger=False, enable_checkpointing=False)
    trainer.optimizers = [torch.optim.AdamW(network.parameters())]
    precision.scaler.scale(network(torch.full((1, 2), torch.inf)).sum()).backward()
    precision.scaler.step(trainer.optimizers[0])
    precision.scaler.update()  # it overflowed: half the scale from now on
    checkpoint.save(tmp_path, {"scale": precision.state_dict()}, step=1, seconds=1.0)
    resumed = MixedPrecision("16-mixed", "cpu")
    assert resumed.scaler.get_scale() == 2 * precision.scaler.get_scale()
    resumed.load_state_dict(checkpoint.load(tmp_path)["scale"])
    assert resumed.state_dict() == precision.state_dict()
