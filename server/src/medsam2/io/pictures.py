"""Pictures: single ones, TIFFs of many pages, and folders of a video's frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.errors import NotAnImageError, NotAVolumeError, TruncatedFileError
from medsam2.core.volume import Volume

from .files import natural_key, reading
from .grids import Array, default_affine, refuse_2d

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

_GREY = {"1": "L", "LA": "L", "La": "L"}
_AS_THEY_ARE = {"L", "I", "F", "RGB", "I;16", "I;16B", "I;16L"}


def read_picture(path: Path, *, allow_2d: bool) -> Volume:
    """Reads a picture, each page of a TIFF as a slice.

    See :func:`~medsam2.io.volumes.read_volume`.
    """
    pages = _pages(path)
    if len(pages) == 1 and not allow_2d:
        raise refuse_2d(path.name)
    names = [f"page {n + 1}" for n in range(len(pages))]
    return _stack(path.name, pages, names, {"format": "picture"})


def find_frames(folder: Path) -> list[Path]:
    """Returns the folder's pictures in the order of the numbers in their names."""
    inside = (p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return sorted((p for p in inside if p.name.lower().endswith(SUFFIXES)), key=natural_key)


def read_frames(folder: Path, frames: Sequence[Path], *, allow_2d: bool) -> Volume:
    """Reads a folder of pictures as slices; see :func:`~medsam2.io.volumes.read_volume`."""
    if len(frames) == 1 and not allow_2d:
        raise refuse_2d(f"The only picture in {folder}")
    planes = [_pages(path)[0] for path in frames]
    metadata = {"format": "frames", "source_files": [str(path) for path in frames]}
    return _stack(folder.name, planes, [path.name for path in frames], metadata)


def _pages(path: Path) -> list[Array]:
    """Returns every page, ``[rows, columns]`` or ``[rows, columns, 3]``."""
    from PIL import Image, ImageSequence, UnidentifiedImageError

    with reading(path):
        try:
            with Image.open(path) as image:
                return [_plane(page) for page in ImageSequence.Iterator(image)]
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            msg = f"{path.name} is not a picture that can be read ({error}); check what it is."
            raise NotAnImageError(msg) from error
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            msg = f"{path.name} is damaged or incomplete ({error}); copy it again."
            raise TruncatedFileError(msg) from error


def _plane(page: Any) -> Array:
    if page.mode not in _AS_THEY_ARE:
        page = page.convert(_GREY.get(page.mode, "RGB"))
    plane = np.asarray(page)
    return plane.astype(plane.dtype.newbyteorder("="))


def _stack(
    name: str, planes: Sequence[Array], names: Sequence[str], metadata: dict[str, Any]
) -> Volume:
    colour = any(plane.ndim == 3 for plane in planes)
    for plane, label in zip(planes, names, strict=True):
        if plane.shape[:2] != planes[0].shape[:2]:
            msg = (
                f"{name}: {label} has {plane.shape[1]} x {plane.shape[0]} pixels, {names[0]} has "
                f"{planes[0].shape[1]} x {planes[0].shape[0]}; give pictures of one size."
            )
            raise NotAVolumeError(msg)
        if colour and plane.dtype != np.uint8:
            msg = f"{name} mixes colour and deep grey pictures ({label}); give one kind."
            raise NotAVolumeError(msg)
    if colour:
        planes = [p if p.ndim == 3 else np.repeat(p[..., np.newaxis], 3, axis=2) for p in planes]
    return Volume(np.stack(planes), default_affine(), name=name, metadata=metadata)
