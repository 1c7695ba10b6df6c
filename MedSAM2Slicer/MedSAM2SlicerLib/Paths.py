"""Where the module's other files are: the resources and the bundled Python package ``medsam2``.

Two layouts, told apart by what exists; the first is looked for first::

    installed, and build folder          checkout
    qt-scripted-modules/                 MedSAM2Slicer/
        MedSAM2Slicer.py                     MedSAM2Slicer.py
        MedSAM2SlicerLib/Paths.py            MedSAM2SlicerLib/Paths.py
        Resources/                       Resources/
            SampleData/                  Testing/data/demo/
        MedSAM2SlicerServer/src/         server/src/
"""

from __future__ import annotations

import sys
from pathlib import Path

MODULE_DIRECTORY = Path(__file__).resolve().parents[1]


def resourcesDirectory() -> Path:
    """The folder with ``Icons`` and ``UI``.

    Raises:
        FileNotFoundError: the module was copied without it.
    """
    return _firstExisting("Resources", "../Resources")


def resource(relative: str) -> Path:
    """One file or folder of the resources, ``"UI/MedSAM2Slicer.ui"`` say.

    Raises:
        FileNotFoundError: it is not there.
    """
    path = resourcesDirectory() / relative
    if not path.exists():
        raise FileNotFoundError(_missing([path]))
    return path


def sampleDataDirectory() -> Path:
    """The folder with the sample volume and its licence.

    Raises:
        FileNotFoundError: the module was copied without it.
    """
    return _firstExisting("Resources/SampleData", "../Testing/data/demo")


def bundledServerSource() -> Path:
    """The folder that holds the package ``medsam2``; a process with it as ``PYTHONPATH`` finds it.

    Raises:
        FileNotFoundError: the module was copied without it.
    """
    return _firstExisting("MedSAM2SlicerServer/src/medsam2", "../server/src/medsam2").parent


def useBundledServer() -> None:
    """Lets ``import medsam2`` find the bundled package, before any other of that name.

    Nothing is imported here. May be called any number of times; any thread.

    Raises:
        FileNotFoundError: the module was copied without it.
    """
    source = str(bundledServerSource())
    if sys.path[:1] != [source]:
        sys.path[:] = [source, *(entry for entry in sys.path if entry != source)]


def _firstExisting(*relatives: str) -> Path:
    tried = [(MODULE_DIRECTORY / relative).resolve() for relative in relatives]
    for path in tried:
        if path.exists():
            return path
    raise FileNotFoundError(_missing(tried))


def _missing(tried: list[Path]) -> str:
    places = " or ".join(str(path) for path in tried)
    return f"MedSAM2Slicer is not complete: {places} is missing. Install the extension again."
