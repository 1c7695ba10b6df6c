"""One DICOM file: a single image, an enhanced volume, or a cine whose frames become slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.errors import NotAnImageError, NotAVolumeError, TruncatedFileError
from medsam2.core.geometry import FloatArray
from medsam2.core.volume import Volume

from . import itk
from .dicom_geometry import Plane, arrange, plane_of
from .files import reading
from .grids import Array, default_affine, refuse_2d, refuse_components, scaled

_FRAME_GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
_CM = 3
"""DICOM's code for centimetres in the regions of an ultrasound image."""


def read_dicom_file(path: Path, *, allow_2d: bool) -> Volume:
    """Reads one DICOM file; see :func:`~medsam2.io.volumes.read_volume`.

    Frames without a place in the patient (an ultrasound cine) become slices 1 mm apart, in their
    own order; ``metadata["source_frames"]`` gives the 1-based frame behind each slice.
    """
    header = _header(path)
    frames = int(header.get("NumberOfFrames") or 1)
    if frames == 1 and not allow_2d:
        raise refuse_2d(path.name)
    order, affine = _geometry(path, header, frames)
    voxels_kji = _voxels(path, frames)[order]
    return Volume(
        voxels_kji,
        affine,
        modality=str(header.get("Modality", "")),
        name=str(header.get("SeriesDescription", "")).strip() or path.name,
        metadata={
            "format": "dicom",
            "series_uid": str(header.get("SeriesInstanceUID", "")),
            "source_files": [str(path)],
            "source_frames": [n + 1 for n in order],
        },
    )


def _header(path: Path) -> Any:
    import pydicom

    with reading(path):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError as error:
            msg = f"{path.name} is not a DICOM file; check what it is."
            raise NotAnImageError(msg) from error
    if "Rows" not in header:
        what = header.get("Modality", "") or "no modality"
        msg = f"{path.name} is DICOM but holds no image ({what}); give an image."
        raise NotAnImageError(msg)
    return header


def _voxels(path: Path, frames: int) -> Array:
    import SimpleITK as sitk

    image = itk.read_image(path)
    components = image.GetNumberOfComponentsPerPixel()
    voxels = scaled(sitk.GetArrayFromImage(image))
    if components not in {1, 3} or (components == 3 and voxels.dtype != np.uint8):
        raise refuse_components(path.name, components)
    if image.GetDimension() == 2:
        voxels = voxels[np.newaxis]
    if voxels.shape[0] != frames:
        msg = f"{path.name} holds {voxels.shape[0]} of its {frames} frames; copy it again."
        raise TruncatedFileError(msg)
    return voxels


def _geometry(path: Path, header: Any, frames: int) -> tuple[list[int], FloatArray]:
    """Returns the order of frames as slices, and the affine of the grid that they form."""
    if "PerFrameFunctionalGroupsSequence" in header:
        planes = _planes_of_frames(path, header)
        if len(planes) == frames:
            return arrange(path.name, planes, _between_mm(header))
    if frames == 1 and "ImagePositionPatient" in header:
        return arrange(path.name, [plane_of(path.name, header)], _between_mm(header))
    i, j = _pixel_size_mm(header)
    return list(range(frames)), default_affine((i, j, 1.0))


def _planes_of_frames(path: Path, header: Any) -> list[Plane]:
    """Returns where each frame of an enhanced image lies; empty when the frames don't say."""
    import pydicom

    shared = (header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    rescales = set()
    planes = []
    for number, own in enumerate(header.PerFrameFunctionalGroupsSequence, start=1):
        merged = pydicom.Dataset()
        for groups in (shared, own):
            for keyword in _FRAME_GROUPS:
                merged.update((groups.get(keyword) or [pydicom.Dataset()])[0])
        if "ImagePositionPatient" not in merged:
            return []
        planes.append(plane_of(f"{path.name} frame {number}", merged))
        rescales.add((merged.get("RescaleSlope"), merged.get("RescaleIntercept")))
    if len(rescales) > 1:
        msg = (
            f"The frames of {path.name} are scaled differently; convert the file to single images "
            "(dcm2niix, say) and give those."
        )
        raise NotAVolumeError(msg)
    return planes


def _between_mm(header: Any) -> float:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        if header.get(keyword):
            return abs(float(header.get(keyword)))
    return 0.0


def _pixel_size_mm(header: Any) -> tuple[float, float]:
    """Returns a pixel's width and height, 1 mm when the file doesn't say."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = header.get(keyword)
        if spacing and len(spacing) == 2 and min(spacing) > 0:
            return float(spacing[1]), float(spacing[0])
    for region in header.get("SequenceOfUltrasoundRegions") or ():
        delta_x, delta_y = (abs(float(region.get(f"PhysicalDelta{d}") or 0)) for d in "XY")
        if region.get("PhysicalUnitsXDirection") == _CM and delta_x > 0 and delta_y > 0:
            return 10 * delta_x, 10 * delta_y
    return 1.0, 1.0
