"""Fine-tune: one trial, or with -m a sweep of seeds; what `seedgrid train` does. See `python train.py --help`."""

import sys

from seedgrid.commands import run

if __name__ == "__main__":
    run("train", sys.argv[1:])
