"""DICOM segmentation objects, which refer to the images they were made on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsam2 import __version__
from medsam2.core.errors import UnwritableOutputError
from medsam2.core.volume import Volume

from .files import reading, replacing
from .grids import Array
from .segments import Code, Segment, check_masks, default_color

_LONG_STRING = 64


def write_dicom_seg(path: Path, segments: Sequence[Segment], volume: Volume) -> None:
    """Writes a binary DICOM SEG of a volume that was read from DICOM.

    Frames are given in the order of the source images that ``volume.metadata`` lists, so they fit
    whatever the direction of the volume's k axis.

    Raises:
        BadGeometryError: a mask isn't on the volume's grid.
        UnwritableOutputError: the volume is not from DICOM, its images lack what the standard
            demands, or ``path`` can't be written.
        DiskFullError: no room is left. Nothing was written in either case.
    """
    check_masks(segments, volume)
    if volume.metadata.get("format") != "dicom":
        msg = f"{volume.name} was not read from DICOM; write {path.stem}.seg.nrrd instead of .dcm."
        raise UnwritableOutputError(msg)
    if not segments:
        msg = "A DICOM SEG needs at least one segment; there is none to write."
        raise UnwritableOutputError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # highdicom's remarks on the source's patient names
            dataset = _build(segments, volume)
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        msg = (
            f"No DICOM SEG can be made for {volume.name} ({error}); write {path.stem}.seg.nrrd "
            "instead."
        )
        raise UnwritableOutputError(msg) from error
    with replacing(path) as temporary:
        dataset.save_as(temporary)


def _build(segments: Sequence[Segment], volume: Volume) -> Any:
    import highdicom
    import pydicom

    sources = []
    for name in volume.metadata["source_files"]:
        with reading(Path(name)):
            sources.append(pydicom.dcmread(name, stop_before_pixels=True))
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=_frames(segments, volume),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(n, s) for n, s in enumerate(segments)],
        series_instance_uid=highdicom.UID(),
        series_number=int(sources[0].get("SeriesNumber") or 0) + 1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="MedSAM2Slicer",
        manufacturer_model_name="MedSAM2Slicer",
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        series_description="MedSAM2Slicer segmentation",
    )


def _frames(segments: Sequence[Segment], volume: Volume) -> Array:
    """Returns ``[frame, row, column, segment]`` in the order of the source's frames."""
    masks = np.stack([segment.mask_kji for segment in segments], axis=-1)
    numbers = volume.metadata.get("source_frames")
    if numbers is None:
        return masks
    frames = np.zeros_like(masks)
    frames[np.array(numbers) - 1] = masks
    return frames


def _describe(index: int, segment: Segment) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    color = np.array(segment.color or default_color(index))
    return highdicom.seg.SegmentDescription(
        segment_number=index + 1,
        segment_label=segment.name[:_LONG_STRING] or f"Segment {index + 1}",
        segmented_property_category=_coded(segment.terminology.category),
        segmented_property_type=_coded(segment.terminology.type),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="MedSAM2Slicer", family=codes.DCM.ArtificialIntelligence, version=__version__
        ),
        tracking_uid=highdicom.UID(),
        tracking_id=f"{segment.name[: _LONG_STRING - 6] or 'Segment'} {index + 1}",
        display_color=highdicom.color.CIELabColor.from_rgb(*(int(c) for c in np.rint(color * 255))),
    )


def _coded(code: Code) -> Any:
    from pydicom.sr.coding import Code as DicomCode

    return DicomCode(code.value, code.scheme, code.meaning)
