"""The fingerprint of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from medsam2.core.errors import ModelError, WeightsMissingError


def file_sha256(path: Path) -> str:
    """Returns a file's sha256 in lower-case hexadecimal.

    Raises:
        WeightsMissingError: there is no such file.
        ModelError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError) as error:
        msg = f"There is no file of weights at {path}; check the path, or download the model."
        raise WeightsMissingError(msg) from error
    except OSError as error:
        msg = f"{path} can't be read ({error.strerror}); check its permissions."
        raise ModelError(msg) from error
