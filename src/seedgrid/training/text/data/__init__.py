"""Text to batches: where examples come from, how they are tokenized, ordered and collated."""
