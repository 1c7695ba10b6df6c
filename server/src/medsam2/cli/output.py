"""Where the result goes, checked before anything is computed."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

from medsam2.core.errors import UnwritableOutputError
from medsam2.core.volume import Volume
from medsam2.io.files import has_suffix, output_error
from medsam2.io.segmentations import FORMATS

FORMAT_NAMES = tuple(ending.removeprefix(".") for ending in FORMATS)


def output_path(path: Path, chosen: str | None) -> Path:
    """Returns the file to write, with the chosen format's ending added where it has none.

    Args:
        path: as the user gave it.
        chosen: one of ``FORMAT_NAMES``, or None to go by the ending.

    Raises:
        UnwritableOutputError: the ending is unknown, or another one than the format's.
    """
    known = next((ending for ending in FORMATS if has_suffix(path, ending)), None)
    if chosen is None and known is None:
        names = ", ".join(FORMATS)
        msg = f"{path.name} has no known ending; name it one of {names}, or add --format."
        raise UnwritableOutputError(msg)
    if chosen is None or known == f".{chosen}":
        return path
    if known is None:
        return path.with_name(f"{path.name}.{chosen}")
    msg = f"{path.name} ends in {known} but --format says {chosen}; change one of them."
    raise UnwritableOutputError(msg)


def check_place(path: Path, source: Path, *, overwrite: bool) -> None:
    """Checks that ``path`` can be written and holds nothing that is to be kept.

    Raises:
        UnwritableOutputError: the folder is missing or read-only, ``path`` is a folder, exists, or
            is the image that is read.
        DiskFullError: there is no room at all.
    """
    if not path.parent.is_dir():
        msg = f"{path} can't be written: the folder {path.parent} does not exist; make it first."
        raise UnwritableOutputError(msg)
    if path.is_dir():
        msg = f"{path} is a folder; give the name of a file in it."
        raise UnwritableOutputError(msg)
    if path.exists() and source.exists() and path.samefile(source):
        msg = f"{path} is the image itself; give the result another name."
        raise UnwritableOutputError(msg)
    if path.exists() and not overwrite:
        msg = f"{path} exists already; add --overwrite to replace it, or choose another name."
        raise UnwritableOutputError(msg)
    probe = path.with_name(f".{uuid.uuid4().hex[:12]}.probe")
    try:
        probe.write_bytes(b"medsam2")
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def check_fits(path: Path, volume: Volume) -> None:
    """Checks that a volume's segmentation can have the format of ``path``.

    Raises:
        UnwritableOutputError: a DICOM SEG of what was not DICOM.
    """
    if has_suffix(path, ".dcm") and volume.metadata.get("format") != "dicom":
        msg = (
            f"{volume.name} was not read from DICOM, so it can have no DICOM SEG; write "
            f"{path.stem}.seg.nrrd instead of {path.name}."
        )
        raise UnwritableOutputError(msg)
