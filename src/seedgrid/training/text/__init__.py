"""Text: a pretrained encoder that is fine-tuned to classify it."""
