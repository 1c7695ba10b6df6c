"""Runs the command line as ``python -m medsam2``."""

from __future__ import annotations

from medsam2.cli.main import main

if __name__ == "__main__":
    main()
