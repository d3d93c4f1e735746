"""Runs one trial, or leaves it where it stopped."""
