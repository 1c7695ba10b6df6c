"""Segmentations in and out: the one door to all their formats.

``.seg.nrrd`` keeps names, colours and overlaps and is what 3D Slicer saves; label maps (``.nii``,
``.nii.gz``, ``.nrrd``, ``.mha``) keep numbers alone; ``.dcm`` is a DICOM SEG for volumes that came
from DICOM.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from medsam2.core.errors import NotAnImageError, UnwritableOutputError
from medsam2.core.volume import Volume

from . import labelmaps
from .dicom_seg import write_dicom_seg
from .files import has_suffix
from .labelmaps import read_labelmap, write_labelmap
from .seg_nrrd import is_seg_nrrd, read_seg_nrrd, write_seg_nrrd
from .segments import Code, Segment, Segmentation, Terminology, default_color

__all__ = [
    "Code",
    "Segment",
    "Segmentation",
    "Terminology",
    "default_color",
    "read_segments",
    "write_dicom_seg",
    "write_labelmap",
    "write_seg_nrrd",
    "write_segmentation",
]

FORMATS = (".seg.nrrd", *labelmaps.SUFFIXES, ".dcm")


def write_segmentation(
    path: Path,
    segments: Sequence[Segment],
    volume: Volume,
    format: str | None = None,  # noqa: A002
) -> tuple[str, ...]:
    """Writes segments in the format of the path's ending, or in ``format`` (one of ``FORMATS``).

    Returns:
        Warnings for the user, one line each.

    Raises:
        BadGeometryError: a mask isn't on the volume's grid.
        UnwritableOutputError: the format is unknown, does not fit the volume, or the place can't be
            written.
        DiskFullError: no room is left. Nothing was written in either case.
    """
    path = Path(path)
    ending = _ending(path.name if format is None else f".{format.removeprefix('.')}")
    if not ending or not has_suffix(path, ending):
        msg = f"{path.name} must end in {ending or 'one of ' + ', '.join(FORMATS)}; rename it."
        raise UnwritableOutputError(msg)
    if ending == ".seg.nrrd":
        write_seg_nrrd(path, segments, volume)
        return ()
    if ending == ".dcm":
        write_dicom_seg(path, segments, volume)
        return ()
    return write_labelmap(path, segments, volume)


def read_segments(
    path: Path, *, onto: Volume | None = None, labels: Collection[int] | None = None
) -> Segmentation:
    """Reads a ``.seg.nrrd`` or a label map.

    Args:
        path: the file.
        onto: puts the masks on this volume's grid; voxels outside of it are dropped.
        labels: reads only the segments with these label values.

    Raises:
        NotAnImageError: the file is missing, of another format, or lacks a label.
        TruncatedFileError: it is damaged or incomplete.
        NotAVolumeError: its voxels are no labels.
        BadGeometryError: its grid and the volume's differ by more than whole voxels.
    """
    path = Path(path)
    if not has_suffix(path, *labelmaps.SUFFIXES, ".nhdr", ".mhd"):
        msg = f"{path.name} is no segmentation; give .seg.nrrd, .nii.gz, .nii, .nrrd or .mha."
        raise NotAnImageError(msg)
    if not has_suffix(path, ".nrrd", ".nhdr") or not is_seg_nrrd(path):
        return read_labelmap(path, onto=onto, labels=labels)
    found = read_seg_nrrd(path, onto=onto)
    if labels is None:
        return found
    chosen = tuple(s for s in found.segments if s.label_value in set(labels))
    if {s.label_value for s in chosen} != set(labels):
        present = [f"{s.label_value} ({s.name})" for s in found.segments]
        msg = f"{path.name} lacks a label of {sorted(labels)}; it has {', '.join(present)}."
        raise NotAnImageError(msg)
    return Segmentation(chosen, found.affine_ijk_to_ras, found.shape_kji)


def _ending(name: str) -> str:
    return next((ending for ending in FORMATS if name.lower().endswith(ending)), "")
