"""Which trials a sweep runs, skips and continues, and what it says at the end."""
