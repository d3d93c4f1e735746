"""A LightningModule and a LightningDataModule of the user's own."""
