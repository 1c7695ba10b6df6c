"""Label maps: one image whose voxels name their segment by number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from medsam2.core.errors import NotAnImageError, NotAVolumeError, UnwritableOutputError
from medsam2.core.geometry import FloatArray
from medsam2.core.volume import Volume

from . import itk
from .files import has_suffix, replacing
from .grids import Array
from .nrrd_writing import write_layers
from .placement import place_labels
from .segments import Segment, Segmentation, check_masks
from .volumes import read_volume

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def write_labelmap(path: Path, segments: Sequence[Segment], volume: Volume) -> tuple[str, ...]:
    """Writes the segments as labels 1, 2, 3 ... in a NIfTI, NRRD or MetaImage file.

    Returns:
        Warnings: a label map can't hold overlapping segments, the later one wins.

    Raises:
        BadGeometryError: a mask isn't on the volume's grid.
        UnwritableOutputError, DiskFullError: nothing was written.
    """
    check_masks(segments, volume)
    if not has_suffix(path, *SUFFIXES):
        msg = f"{path.name} is no label map; name it {', '.join(SUFFIXES)}."
        raise UnwritableOutputError(msg)
    labels_kji = np.zeros(volume.shape_kji, dtype=np.uint8 if len(segments) < 256 else np.uint16)
    warnings = []
    for value, segment in enumerate(segments, start=1):
        lost = int(np.count_nonzero(labels_kji[segment.mask_kji]))
        if lost:
            warnings.append(
                f"{segment.name} covers {lost} voxels of earlier segments, which {path.name} can't "
                "hold; write .seg.nrrd to keep them."
            )
        labels_kji[segment.mask_kji] = value
    with replacing(path) as temporary:
        if has_suffix(path, ".mha"):
            _write_metaimage(temporary, labels_kji, volume.affine_ijk_to_ras)
        elif has_suffix(path, ".nrrd"):
            write_layers(temporary, [labels_kji], volume.affine_ijk_to_ras, {})
        else:
            _write_nifti(temporary, labels_kji, volume.affine_ijk_to_ras)
    return tuple(warnings)


def read_labelmap(
    path: Path, *, onto: Volume | None = None, labels: Collection[int] | None = None
) -> Segmentation:
    """Reads every non-zero label (or only ``labels``) of a label map as a segment.

    Raises:
        NotAVolumeError: its voxels are not whole numbers, or not one to a voxel.
        BadGeometryError: its grid isn't the volume's up to whole voxels.
        NotAnImageError, TruncatedFileError: the file can't be read.
    """
    image = read_volume(path)
    labels_kji = image.voxels_kji
    if image.is_color or (labels_kji.dtype.kind == "f" and (labels_kji % 1).any()):
        msg = f"{path.name} is no label map (its voxels are not whole numbers); give one."
        raise NotAVolumeError(msg)
    affine = image.affine_ijk_to_ras
    if onto is not None:
        labels_kji = place_labels(path.name, labels_kji, affine, onto)
        affine = onto.affine_ijk_to_ras
    present = {int(v) for v in np.unique(labels_kji)} - {0}
    if labels is not None:
        missing = set(labels) - present
        if missing:
            msg = f"{path.name} has no label {sorted(missing)}; it has {sorted(present)[:20]}."
            raise NotAnImageError(msg)
        present &= set(labels)
    segments = tuple(
        Segment(f"Label {value}", labels_kji == value, label_value=value)
        for value in sorted(present)
    )
    k, j, i = labels_kji.shape
    return Segmentation(segments, affine, (k, j, i))


def _write_nifti(path: Path, labels_kji: Array, affine_ijk_to_ras: FloatArray) -> None:
    import nibabel

    image = nibabel.Nifti1Image(labels_kji.T, affine_ijk_to_ras)
    image.set_sform(affine_ijk_to_ras, code=1)
    image.set_qform(affine_ijk_to_ras, code=1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _write_metaimage(path: Path, labels_kji: Array, affine_ijk_to_ras: FloatArray) -> None:
    """Writes with ITK, which may not notice a full disk: the file is read back and compared."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(labels_kji)
    itk.place(image, affine_ijk_to_ras)
    with itk.quiet():
        try:
            sitk.WriteImage(image, str(path), useCompression=True)
            same = np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), labels_kji)
        except RuntimeError:
            same = False
    if not same:
        with path.open("ab", buffering=0) as file:  # the system's own reason, if it has one
            file.write(bytes(1 << 20))
        msg = "The .mha file can't be written; write .nii.gz or .seg.nrrd instead."
        raise UnwritableOutputError(msg)
