"""The sections of a report: each builder takes finished trials of one or several sweeps and returns its part."""
