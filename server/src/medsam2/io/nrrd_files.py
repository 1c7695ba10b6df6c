"""NRRD volumes, and the geometry of any NRRD header."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from medsam2.core.errors import BadGeometryError, NotAnImageError, TruncatedFileError
from medsam2.core.geometry import LPS_FROM_RAS, FloatArray, check_affine
from medsam2.core.volume import Volume

from .files import reading
from .grids import Array, default_affine, native, refuse_2d, refuse_components, refuse_more_axes

Header = dict[str, Any]

_SPACE_SIGNS = {
    "left": -1,
    "right": 1,
    "posterior": -1,
    "anterior": 1,
    "inferior": -1,
    "superior": 1,
}
_SHORT = {"lps": "left-posterior-superior", "ras": "right-anterior-superior",
          "las": "left-anterior-superior"}  # fmt: skip
_RGB_KINDS = {"RGB-color", "XYZ-color", "3-color", "3-vector", "vector", "list"}


def read_nrrd(path: Path, *, allow_2d: bool) -> Volume:
    """Reads a ``.nrrd`` or ``.nhdr`` volume; see :func:`~medsam2.io.volumes.read_volume`."""
    voxels, header = load(path)
    spatial = spatial_axes(header, voxels.ndim)
    others = [a for a in range(voxels.ndim) if a not in spatial]
    if len(spatial) > 3:
        raise refuse_more_axes(path.name, voxels.shape, "its last axis")
    if others:
        voxels = _colour(path, voxels, header, others)
    if len(spatial) == 2:
        if not allow_2d:
            raise refuse_2d(path.name)
        voxels = voxels[:, :, np.newaxis]
    voxels_kji = native(voxels.transpose(2, 1, 0, *range(3, voxels.ndim)))
    return Volume(
        np.ascontiguousarray(voxels_kji),
        affine_of(path, header),
        modality=str(header.get("modality", "")).upper(),
        name=path.name,
        metadata={"format": "nrrd"},
    )


def load(path: Path) -> tuple[Array, Header]:
    """Returns the array in the file's axis order (the fastest axis first) and the header.

    Raises:
        NotAnImageError: the file is no NRRD.
        TruncatedFileError: it ends early.
    """
    import nrrd

    with reading(path), path.open("rb") as file:
        header = _header(path, file)
        try:
            return nrrd.read_data(header, file, str(path)), header
        except (nrrd.NRRDError, ValueError) as error:
            if "size" in str(error).lower():
                msg = f"{path.name} ends before its voxels do; copy or download it again."
                raise TruncatedFileError(msg) from error
            msg = f"{path.name} can't be read as NRRD ({error}); save it again."
            raise NotAnImageError(msg) from error


def load_header(path: Path) -> Header:
    """Returns the header alone; raises as :func:`load` does."""
    with reading(path), path.open("rb") as file:
        return _header(path, file)


def _header(path: Path, file: BinaryIO) -> Header:
    """Reads the header and leaves ``file`` where the voxels start.

    pynrrd gets text, because it drops all but ASCII from bytes and names of segments are UTF-8.
    """
    import nrrd

    if file.read(4) != b"NRRD":
        msg = f"{path.name} is not an NRRD image; check what it is."
        raise NotAnImageError(msg)
    file.seek(0)
    lines = []
    while (line := file.readline()).strip():
        lines.append(line.decode("utf-8", "replace"))
    try:
        return dict(nrrd.read_header(lines))
    except (nrrd.NRRDError, ValueError, KeyError) as error:
        msg = f"{path.name} has an NRRD header that can't be read ({error}); save it again."
        raise NotAnImageError(msg) from error


def spatial_axes(header: Header, count: int) -> list[int]:
    """Returns which of the array's axes lie in space (lists and vectors of numbers don't)."""
    directions = header.get("space directions")
    if directions is not None:
        return [a for a, row in enumerate(directions) if row is not None and not _is_none(row)]
    kinds = header.get("kinds") or ["domain"] * count
    return [a for a, kind in enumerate(kinds) if kind in {"domain", "space", "time", "???", "none"}]


def affine_of(path: Path, header: Header) -> FloatArray:
    """Returns the ``ijk`` to RAS affine of the header's spatial axes.

    Without ``space`` the axes are taken as left-posterior-superior, as ITK does.

    Raises:
        BadGeometryError: a spacing is zero or not finite, or the space isn't three-dimensional.
        ShearedGeometryError: the axes are not at right angles.
    """
    directions = header.get("space directions")
    if directions is None:
        spacings = [float(s) for s in header.get("spacings", [1.0, 1.0, 1.0])]
        i, j, k = ([s for s in spacings if not np.isnan(s)] + [1.0, 1.0, 1.0])[:3]
        return check_affine(default_affine((i, j, k)))
    rows = [np.asarray(row, dtype=np.float64) for row in directions if not _is_none(row)]
    rows = [np.pad(row, (0, max(0, 3 - row.size))) for row in rows]
    if not 2 <= len(rows) <= 3 or any(row.size != 3 for row in rows):
        msg = f"{path.name} doesn't say where its voxels lie in 3D; save it with 3D geometry."
        raise BadGeometryError(msg)
    if len(rows) == 2:
        normal = np.cross(rows[0], rows[1])
        rows.append(normal / (np.linalg.norm(normal) or 1.0))
    affine = np.eye(4)
    affine[:3, :3] = np.stack(rows, axis=1)
    origin = np.asarray(header.get("space origin", np.zeros(3)), dtype=np.float64)
    affine[:3, 3] = np.pad(origin, (0, 3 - origin.size))
    return check_affine(_ras_from_space(header) @ affine)


def _is_none(row: Any) -> bool:
    """Whether a row of ``space directions`` is ``none``, which pynrrd gives as NaN."""
    return row is None or bool(np.isnan(np.asarray(row, dtype=np.float64)).all())


def _ras_from_space(header: Header) -> FloatArray:
    name = str(header.get("space", "left-posterior-superior")).lower()
    words = re.split(r"[- ]", _SHORT.get(name, name))
    if len(words) < 3 or not all(word in _SPACE_SIGNS for word in words[:3]):
        return LPS_FROM_RAS
    signs = [float(_SPACE_SIGNS[word]) for word in words[:3]]
    return np.diag([*signs, 1.0])


def _colour(path: Path, voxels: Array, header: Header, others: list[int]) -> Array:
    """Returns ``[I, J, K, 3]`` from an image with one axis of numbers, or refuses it."""
    kinds = header.get("kinds") or [""] * voxels.ndim
    count = voxels.shape[others[0]]
    if len(others) > 1:
        raise refuse_more_axes(path.name, voxels.shape, f"axis {others[-1] + 1}")
    if count == 1:
        return voxels[..., 0] if others[0] == voxels.ndim - 1 else np.squeeze(voxels, others[0])
    if kinds[others[0]] in {"list", "time"} and count != 3:
        raise refuse_more_axes(path.name, voxels.shape, f"axis {others[0] + 1} (a list)")
    if kinds[others[0]] not in _RGB_KINDS or count != 3 or voxels.dtype != np.uint8:
        raise refuse_components(path.name, count)
    return np.moveaxis(voxels, others[0], -1)
