"""Reading with honest errors, and writing all or nothing."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import re
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

from medsam2.core.errors import (
    DiskFullError,
    NotAnImageError,
    OutputError,
    TruncatedFileError,
    UnwritableOutputError,
)

_NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_GZIP_MAGIC = b"\x1f\x8b"


def has_suffix(path: Path, *suffixes: str) -> bool:
    """Whether the file's name ends in one of ``suffixes`` (``.nii.gz`` ...), in any case."""
    return path.name.lower().endswith(suffixes)


def first_bytes(path: Path, count: int) -> bytes:
    """Returns up to ``count`` bytes from the file's start.

    Raises:
        NotAnImageError: the file is missing, is a folder, or may not be read.
    """
    with reading(path), path.open("rb") as file:
        return file.read(count)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts ``frame2`` before ``frame10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the operating system and the decompressors raise into the project's errors.

    Raises:
        NotAnImageError: the file is missing, is a folder, or may not be read.
        TruncatedFileError: its compressed stream is damaged or ends early.
    """
    damaged = f"{path.name} is damaged or incomplete; copy or download it again."
    try:
        yield
    except FileNotFoundError as error:
        missing = Path(error.filename or path)
        msg = f"{missing} does not exist; check the path."
        raise NotAnImageError(msg) from error
    except IsADirectoryError as error:
        msg = f"{path} is a folder; give a file."
        raise NotAnImageError(msg) from error
    except PermissionError as error:
        msg = f"{path} may not be read; check its permissions."
        raise NotAnImageError(msg) from error
    except gzip.BadGzipFile as error:
        with path.open("rb") as file:
            if file.read(2) == _GZIP_MAGIC:
                raise TruncatedFileError(damaged) from error
        msg = f"{path.name} is named as a gzip file but is none; check what it is."
        raise NotAnImageError(msg) from error
    except (EOFError, zlib.error) as error:
        raise TruncatedFileError(damaged) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """Returns the error to raise for an operating-system error while ``path`` was written."""
    if error.errno in _NO_ROOM:
        return DiskFullError(
            f"No room is left to write {path}; nothing was written. Free some space, or choose "
            "another folder."
        )
    reason = error.strerror or str(error)
    return UnwritableOutputError(f"{path} can't be written ({reason}); choose another place.")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that takes its place when the block succeeds.

    The temporary file keeps the name's ending, for libraries that choose a format by it. Whatever
    goes wrong, it is removed and an older file at ``path`` stays as it was.

    Raises:
        UnwritableOutputError: the folder is missing, not writable, or ``path`` is a folder.
        DiskFullError: no room is left.
    """
    if not path.parent.is_dir():
        msg = f"{path} can't be written: {path.parent} is not a folder; make it first."
        raise UnwritableOutputError(msg)
    if path.is_dir():
        msg = f"{path} is a folder; give a file name."
        raise UnwritableOutputError(msg)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
