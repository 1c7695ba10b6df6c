"""DICOM series folders: finding, choosing and reading a stack of single-frame images.

Geometry comes from the images' own positions and orientation, never from the order of files, from
slice thickness or from ITK's guess, so that a missing slice and a gantry tilt are seen. Slices are
stored in ascending position along the normal (row direction x column direction), as in 3D Slicer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.errors import AmbiguousSeriesError, NotAVolumeError
from medsam2.core.volume import Volume

from . import dicom_files, itk
from .dicom_geometry import Stack, stack_of
from .files import natural_key, reading
from .grids import Array, refuse_2d, scaled

Dataset = Any
Found = Mapping[str, Sequence[tuple[Path, Dataset]]]

_NOT_IMAGES = {"SEG", "PR", "KO", "SR", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "DOC"}
_TAGS = [
    "SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "Modality", "Rows", "Columns",
    "NumberOfFrames", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "InstanceNumber",
]  # fmt: skip


def find_series(folder: Path) -> Found:
    """Returns the images below ``folder`` by series uid; empty when there are none."""
    import pydicom

    found: dict[str, list[tuple[Path, Dataset]]] = {}
    for path in sorted((p for p in folder.rglob("*") if p.is_file()), key=natural_key):
        if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
            continue
        with reading(path):
            if not pydicom.misc.is_dicom(path):
                continue
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        if "Rows" in header and header.get("Modality", "") not in _NOT_IMAGES:
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((path, header))
    return found


def choose_series(folder: Path, found: Found, series: str | None) -> str:
    """Returns the uid of the series to read.

    Raises:
        AmbiguousSeriesError: there are several and ``series`` (a uid or its ending) isn't one's.
    """
    fitting = [uid for uid in found if series is None or uid.endswith(series)]
    if len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(_describe(uid, found[uid]) for uid in found)
    asked = "" if series is None else f" {len(fitting)} of them end in '{series}'."
    msg = (
        f"The folder {folder} holds {len(found)} series: {listed}.{asked} Choose one by its "
        "uid or the unique ending of its uid."
    )
    raise AmbiguousSeriesError(msg)


def read_series(folder: Path, found: Found, series: str | None, *, allow_2d: bool) -> Volume:
    """Reads one series of those in ``folder``; see :func:`~medsam2.io.volumes.read_volume`."""
    uid = choose_series(folder, found, series)
    images = found[uid]
    if len(images) == 1:
        path, header = images[0]
        if int(header.get("NumberOfFrames") or 1) == 1 and not allow_2d:
            raise refuse_2d(f"The series in {folder} ({_describe(uid, images)})")
        return dicom_files.read_dicom_file(path, allow_2d=allow_2d)
    if any(int(header.get("NumberOfFrames") or 1) > 1 for _, header in images):
        msg = (
            f"The series {_describe(uid, images)} holds several multi-frame files; give one of the "
            "files instead of the folder."
        )
        raise NotAVolumeError(msg)
    name = str(images[0][1].get("SeriesDescription", "")).strip() or folder.name
    stack = stack_of(name, images)
    return Volume(
        _read_stack(stack),
        stack.affine_ijk_to_ras,
        modality=str(images[0][1].get("Modality", "")),
        name=name,
        metadata={
            "format": "dicom",
            "series_uid": uid,
            "source_files": [str(path) for path in stack.paths],
        },
    )


def _describe(uid: str, images: Sequence[tuple[Path, Dataset]]) -> str:
    header = images[0][1]
    text = str(header.get("SeriesDescription", "")).strip() or "no description"
    frames = int(header.get("NumberOfFrames") or 1)
    count = f"{len(images)} images" if frames == 1 else f"{frames} frames"
    return f"'{text}' ({header.get('Modality', '?')}, {count}, uid {uid})"


def _read_stack(stack: Stack) -> Array:
    """Returns ``[K, J, I]`` or ``[K, J, I, 3]``, rescaled by each image's own slope."""
    import SimpleITK as sitk

    voxels: Array | None = None
    for index, path in enumerate(stack.paths):
        plane = scaled(sitk.GetArrayFromImage(itk.read_image(path)))[0]
        if voxels is None:
            voxels = np.empty((len(stack.paths), *plane.shape), dtype=plane.dtype)
        if plane.dtype != voxels.dtype:
            voxels = voxels.astype(np.result_type(voxels, plane))
        voxels[index] = plane
    if voxels is None:
        msg = f"{stack.name} holds no image."
        raise NotAVolumeError(msg)
    return voxels
