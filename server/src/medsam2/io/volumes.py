"""Reading a volume, whatever it is stored as.

======================  ====================================================  ======================
what                    endings                                               read by
======================  ====================================================  ======================
NIfTI                   ``.nii``, ``.nii.gz``                                 :mod:`.nifti`
NRRD                    ``.nrrd``, ``.nhdr``                                  :mod:`.nrrd_files`
MetaImage               ``.mha``, ``.mhd``                                    :mod:`.metaimage`
DICOM series            a folder                                              :mod:`.dicom_series`
one DICOM file          ``.dcm``, ``.ima``, or none (by content)              :mod:`.dicom_files`
MedSAM archive          ``.npz``                                              :mod:`.npz`
picture                 ``.png``, ``.jpg``, ``.bmp``, ``.tif`` (many pages)   :mod:`.pictures`
video                   ``.mp4``, ``.avi``, ``.mov``, ``.mkv``, ``.gif``      :mod:`.video`
frames of a video       a folder of pictures, in the order of their numbers   :mod:`.pictures`
======================  ====================================================  ======================

Formats without geometry (pictures, videos, archives without it) get 1 mm voxels with the first at
the origin and index axes towards left, posterior and superior, which is how 3D Slicer opens them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from medsam2.core.errors import NotAnImageError
from medsam2.core.volume import Volume

from . import dicom_files, dicom_series, metaimage, nifti, npz, nrrd_files, pictures, video
from .files import first_bytes, has_suffix

KNOWN = (
    "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha, .mhd), a DICOM folder or file, .npz, "
    "a picture (.png, .jpg, .tif), a video (.mp4, .avi, .gif) or a folder of frames"
)


class _Reader(Protocol):
    def __call__(self, path: Path, *, allow_2d: bool) -> Volume: ...


_READERS: tuple[tuple[tuple[str, ...], _Reader], ...] = (
    ((".nii", ".nii.gz"), nifti.read_nifti),
    ((".nrrd", ".nhdr"), nrrd_files.read_nrrd),
    ((".mha", ".mhd"), metaimage.read_metaimage),
    ((".npz",), npz.read_npz),
    ((".dcm", ".ima"), dicom_files.read_dicom_file),
    (pictures.SUFFIXES, pictures.read_picture),
    (video.SUFFIXES, video.read_video),
)


def read_volume(path: Path, *, series: str | None = None, allow_2d: bool = False) -> Volume:
    """Reads a volume with its exact geometry.

    Args:
        path: a file, or a folder of DICOM images or of pictures.
        series: which series of a DICOM folder: its uid, or the uid's unique ending.
        allow_2d: read a single 2D image as a volume of one slice.

    Returns:
        A volume in the file's own voxel order and type, with its intensity scaling applied
        (Hounsfield units for CT).

    Raises:
        NotAnImageError: the path is missing, or of no known format.
        TruncatedFileError: the file is damaged or incomplete.
        NotAVolumeError: the image is 2D, has more than three axes, or is neither grey nor RGB.
        NonFiniteVoxelsError: it holds NaN or infinite voxels.
        BadGeometryError, ShearedGeometryError: its voxels are no regular right-angled grid.
        AmbiguousSeriesError: a DICOM folder holds several series and ``series`` names none.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, series, allow_2d=allow_2d)
    start = first_bytes(path, 132)
    for suffixes, reader in _READERS:
        if has_suffix(path, *suffixes):
            return reader(path, allow_2d=allow_2d)
    if start[128:132] == b"DICM":
        return dicom_files.read_dicom_file(path, allow_2d=allow_2d)
    msg = f"{path.name} is of no known image format; give {KNOWN}."
    raise NotAnImageError(msg)


def _read_folder(folder: Path, series: str | None, *, allow_2d: bool) -> Volume:
    found = dicom_series.find_series(folder)
    if found:
        return dicom_series.read_series(folder, found, series, allow_2d=allow_2d)
    frames = pictures.find_frames(folder)
    if frames:
        return pictures.read_frames(folder, frames, allow_2d=allow_2d)
    msg = f"The folder {folder} holds neither DICOM images nor pictures; give {KNOWN}."
    raise NotAnImageError(msg)
