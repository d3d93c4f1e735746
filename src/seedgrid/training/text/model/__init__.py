"""The fine-tuned network: pretrained encoder, new layer, optimizer and schedule."""
