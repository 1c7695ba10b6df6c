"""How intensities are shown to the model: a window, as a radiologist sets it.

The user's voxels are never changed; a window maps them to 0..1 for the model alone. CT presets are
level/width in Hounsfield units; MR and other grey images take percentiles of their non-zero voxels;
PET takes a fixed upper bound; colour images pass through.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .volume import Volume

AUTO = "auto"
MR_PERCENTILES = (0.5, 99.5)
PET_PERCENTILES = (0.0, 99.9)
_SAMPLE = 2_000_000


@dataclasses.dataclass(frozen=True)
class Window:
    """A linear map of ``low..high`` to 0..1, clipped.

    Args:
        low: value shown as black.
        high: value shown as white, above ``low``.
        name: the preset it came from, for messages.
    """

    low: float
    high: float
    name: str = "manual"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.high > self.low):
            msg = (
                f"The window {self.low}..{self.high} is empty; its upper value must be above "
                "its lower one."
            )
            raise InputError(msg)

    @classmethod
    def level_width(cls, level: float, width: float, name: str = "manual") -> Window:
        """Makes a window from its centre and its width."""
        return cls(level - width / 2, level + width / 2, name)

    def apply(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Maps values of any shape to 0..1 as float32."""
        scaled = values.astype(np.float32)
        scaled -= np.float32(self.low)
        scaled *= np.float32(1.0 / (self.high - self.low))
        return np.clip(scaled, 0.0, 1.0, out=scaled)

    def __str__(self) -> str:
        return f"{self.name} ({self.low:g} to {self.high:g})"


PRESETS: dict[str, Window] = {
    name: Window.level_width(level, width, name)
    for name, level, width in (
        ("abdomen", 40, 400),
        ("lung", -600, 1500),
        ("brain", 40, 80),
        ("mediastinum", 50, 350),
        ("bone", 400, 1800),
        ("liver", 50, 150),
    )
}
"""CT windows by name, level and width in Hounsfield units."""

COMPUTED = ("auto", "percentile", "pet", "full")
"""Names that are worked out from the voxels."""


def resolve_window(volume: Volume, window: Window | str = AUTO) -> Window:
    """Returns the window for a volume: as given, by preset's name, or worked out from its voxels.

    ``auto`` takes the abdomen window for CT (and for images without a modality whose voxels span air
    to bone in Hounsfield units), the PET bound for PET, 0..255 for colour and for images that are
    already 8 bit, and percentiles otherwise. ``LOW:HIGH`` is a window of its own.

    Raises:
        InputError: no such preset, or the volume is constant.
    """
    if isinstance(window, Window):
        return window
    if window in PRESETS:
        return PRESETS[window]
    if ":" in window:
        return _parse(window)
    if window not in COMPUTED:
        msg = (
            f"No window is called {window!r}; take {', '.join([*COMPUTED, *PRESETS])} or LOW:HIGH."
        )
        raise InputError(msg)
    return _computed(volume, _auto_name(volume) if window == AUTO else window)


def _parse(text: str) -> Window:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        msg = f"The window {text!r} is not LOW:HIGH with two numbers (for instance -160:240)."
        raise InputError(msg) from None
    return Window(low, high)


def _auto_name(volume: Volume) -> str:
    if volume.is_color or volume.voxels_kji.dtype == np.uint8:
        return "8-bit"
    if volume.modality == "CT" or (not volume.modality and _looks_like_ct(volume)):
        return "abdomen"
    return "pet" if volume.modality in {"PT", "PET", "NM"} else "percentile"


def _looks_like_ct(volume: Volume) -> bool:
    """Whether voxels span air to bone in Hounsfield units, for formats that name no modality."""
    values = sample_values(volume.voxels_kji)
    return bool(values.min() <= -500 and values.max() >= 200)


def _computed(volume: Volume, name: str) -> Window:
    if name == "8-bit":
        return Window(0, 255, name)
    if name in PRESETS:
        return PRESETS[name]
    values = sample_values(volume.voxels_kji)
    if name != "full" and np.any(values != 0):
        values = values[values != 0]
    percentiles = {"pet": PET_PERCENTILES, "full": (0.0, 100.0)}.get(name, MR_PERCENTILES)
    low, high = (float(v) for v in np.percentile(values, percentiles))
    if name == "pet":
        low = 0.0
    if high <= low:
        msg = f"{volume.name} is constant ({low:g} everywhere); there is nothing to segment."
        raise InputError(msg)
    return Window(low, high, name)


def sample_values(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns at most about two million voxels, evenly spread, as a flat array."""
    step = max(1, round((voxels.size / _SAMPLE) ** (1 / 3)))
    return np.asarray(voxels[::step, ::step, ::step]).ravel()
