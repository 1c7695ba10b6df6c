"""MedSAM-style ``.npz`` archives.

``imgs`` is ``[K, J, I]`` (or ``[J, I]``, or RGB with 3 last). ``spacing`` (mm along i, j, k),
``origin`` and ``direction`` (LPS) are as SimpleITK gives them. ``boxes`` and ``gts`` come back in
the volume's metadata as ``boxes`` and ``gts_kji``. Nothing in the archive is ever unpickled.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.errors import BadGeometryError, NotAnImageError, TruncatedFileError
from medsam2.core.volume import Volume

from .files import first_bytes, reading
from .grids import Array, affine_from_lps, native, refuse_2d, refuse_more_axes

_USED = ("imgs", "gts", "boxes", "spacing", "origin", "direction")


def read_npz(path: Path, *, allow_2d: bool) -> Volume:
    """Reads a MedSAM-style archive; see :func:`~medsam2.io.volumes.read_volume`."""
    arrays = _load(path)
    if "imgs" not in arrays:
        msg = f"{path.name} holds no array named imgs; give a MedSAM-style archive."
        raise NotAnImageError(msg)
    voxels_kji = _arrange(path.name, arrays["imgs"], allow_2d=allow_2d)
    metadata: dict[str, Any] = {"format": "npz"}
    if "gts" in arrays:
        gts = arrays["gts"]
        metadata["gts_kji"] = gts[np.newaxis] if gts.ndim == 2 else gts
    if "boxes" in arrays:
        metadata["boxes"] = arrays["boxes"]
    affine = affine_from_lps(
        _numbers(path.name, arrays, "direction", np.eye(3)),
        _numbers(path.name, arrays, "spacing", np.ones(3)),
        _numbers(path.name, arrays, "origin", np.zeros(3)),
    )
    return Volume(native(voxels_kji), affine, name=path.name, metadata=metadata)


def _load(path: Path) -> dict[str, Array]:
    zipped = first_bytes(path, 2) == b"PK"
    with reading(path):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in _USED if name in archive.files}
        except zipfile.BadZipFile as error:
            msg = f"{path.name} is damaged or incomplete; copy or download it again."
            raise TruncatedFileError(msg) from error
        except (ValueError, AttributeError) as error:
            if not zipped:
                msg = f"{path.name} is not an npz archive; check what it is."
                raise NotAnImageError(msg) from error
            msg = (
                f"{path.name} holds Python objects, which could run code, or a damaged array; it "
                "was not read. Save it again with plain arrays."
            )
            raise NotAnImageError(msg) from error


def _arrange(name: str, imgs: Array, *, allow_2d: bool) -> Array:
    colour = imgs.dtype == np.uint8 and imgs.ndim >= 3 and imgs.shape[-1] == 3
    axes = imgs.ndim - int(colour)
    if axes > 3:
        raise refuse_more_axes(name, imgs.shape, "its first axis")
    if axes == 3:
        return imgs
    if axes != 2 or not allow_2d:
        raise refuse_2d(name)
    return imgs[np.newaxis]


def _numbers(name: str, arrays: dict[str, Array], key: str, default: Array) -> Array:
    """Returns a numeric field with the default's size; a 2D image's spacing gets 1 mm across."""
    if key not in arrays:
        return default
    numbers = np.asarray(arrays[key], dtype=np.float64).ravel()
    if key == "spacing" and numbers.size == 2:
        numbers = np.append(numbers, 1.0)
    if numbers.size != default.size or not np.isfinite(numbers).all():
        msg = f"{name}: {key} holds {numbers.tolist()}; {default.size} numbers are needed."
        raise BadGeometryError(msg)
    return numbers.reshape(default.shape)
