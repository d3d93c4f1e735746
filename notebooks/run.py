"""Run notebooks from top to bottom and keep their outputs: python notebooks/run.py, or with the paths of some."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(Path(__file__).parent.glob("*.ipynb")):
    print(path)
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    # Times of day and the pieces in which output arrived would differ at each run. That a kernel listens on loopback
    # unencrypted, of which it warns, says nothing about the notebook.
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=900,
        record_timing=False,
        coalesce_streams=True,
        resources=place,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    ).execute()
    nbformat.write(notebook, path)
