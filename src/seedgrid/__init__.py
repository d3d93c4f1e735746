"""Fine-tune a pretrained language model over a grid of seeds, and learn what the seeds did."""

__version__ = "0.1.0"
