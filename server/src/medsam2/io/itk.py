"""SimpleITK without its chatter, and the geometry of its images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.errors import NotAnImageError, TruncatedFileError
from medsam2.core.geometry import LPS_FROM_RAS, FloatArray, spacing_ijk

from .grids import affine_from_lps

_ENDS_EARLY = ("truncated", "not read completely", "unexpected end", "end of file", "premature")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps ITK's warnings off the console."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def read_image(path: Path) -> Any:
    """Reads a file as a ``SimpleITK.Image``.

    Raises:
        TruncatedFileError: ITK says that the file ends early.
        NotAnImageError: ITK can't read it for any other reason.
    """
    import SimpleITK as sitk

    with quiet():
        try:
            return sitk.ReadImage(str(path))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            if any(words in str(error).lower() for words in _ENDS_EARLY):
                msg = f"{path.name} is damaged or incomplete ({reason}); copy it again."
                raise TruncatedFileError(msg) from error
            msg = f"{path.name} can't be read as an image ({reason}); check what it is."
            raise NotAnImageError(msg) from error


def affine_of(image: Any) -> FloatArray:
    """Returns the ``ijk`` to RAS affine of a 3D ``SimpleITK.Image``."""
    return affine_from_lps(image.GetDirection(), image.GetSpacing(), image.GetOrigin())


def place(image: Any, affine_ijk_to_ras: FloatArray) -> None:
    """Gives a 3D ``SimpleITK.Image`` the geometry of an affine."""
    affine_lps = LPS_FROM_RAS @ affine_ijk_to_ras
    spacing = np.array(spacing_ijk(affine_ijk_to_ras))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
