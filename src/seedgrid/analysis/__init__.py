"""What the trials say: pure functions on arrays, without torch, Hydra, files or plots."""
