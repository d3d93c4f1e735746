"""One fine-tuning run, its record on disk, and the store that reads records back."""
