"""The error that means: what the user gave cannot be used."""


class InputError(ValueError):
    """One line that names the key or file, its value and the remedy; entry points print it and exit with code 1."""
