"""``python -m seedgrid``."""

from seedgrid.commands import main

if __name__ == "__main__":  # a worker process that is spawned imports this file too
    main()
