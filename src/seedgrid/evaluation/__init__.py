"""When to validate, how, and by which metrics."""
