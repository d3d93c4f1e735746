"""The records of trials on disk: their format, written and read."""
