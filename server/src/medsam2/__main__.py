"""``python -m medsam2``: the command line, for a Python whose scripts are not on the path."""

from __future__ import annotations

from .cli.main import main

if __name__ == "__main__":
    main()
