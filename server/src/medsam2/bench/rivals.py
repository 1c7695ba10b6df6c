"""Our engine and the stock SAM2 video predictor on the same weights, volume, box and slices."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.backend import SessionOptions
from medsam2.core.geometry import BoxRC
from medsam2.core.masks import BoolArray
from medsam2.core.prompts import BoxPrompt, ObjectPrompts
from medsam2.core.volume import Volume
from medsam2.engine.backend import LocalBackend
from medsam2.engine.session import LocalSession
from medsam2.models.load import LoadedModel
from medsam2.models.registry import card_of
from medsam2.models.sam2_builder import build_stock_predictor, random_weights
from medsam2.models.sam2_config import SAM2_1_TINY

SEED = 7


def phantom(count: int, side: int = 512) -> tuple[Volume, list[BoxRC]]:
    """A grey volume of ``count`` slices with three drifting discs, and their boxes on slice 0."""
    rng = np.random.default_rng(SEED)
    rows, columns = np.mgrid[:side, :side]
    centres = [(side * 0.3, side * 0.3), (side * 0.6, side * 0.65), (side * 0.75, side * 0.25)]
    radius = side / 9
    voxels_kji = np.empty((count, side, side), np.int16)
    for k in range(count):
        plane = rng.normal(-20, 15, (side, side))
        for row, column in centres:
            plane += 110 * (np.hypot(rows - row - k * 0.4, columns - column + k * 0.3) < radius)
        voxels_kji[k] = plane
    boxes = [
        (int(r - radius), int(c - radius), int(r + radius), int(c + radius)) for r, c in centres
    ]
    return Volume(voxels_kji, np.diag([0.8, 0.8, 2.0, 1.0]), "CT", "phantom"), boxes


class Ours:
    """The engine with random SAM2.1-tiny weights; nothing is kept between two instances."""

    def __init__(self, size: int, precision: str = "auto") -> None:
        config = SAM2_1_TINY.with_image_size(size)
        card = dataclasses.replace(card_of("sam2.1-tiny"), image_size=size)
        loaded = LoadedModel(card, random_weights(config, SEED), f"random-{SEED}", size)
        self.backend = LocalBackend(loaded, "cpu", precision)

    def session(self, volume: Volume) -> LocalSession:
        """Opens a session that sees whole slices and never stops early."""
        return self.backend.open(volume, SessionOptions(crop=False, stop_after_empty=0))

    @staticmethod
    def run(session: LocalSession, boxes: Sequence[BoxRC], index: int = 0) -> list[BoolArray]:
        """Segments all boxes in one pass; returns the masks as they come."""
        for number, box_rc in enumerate(boxes):
            session.put(number, ObjectPrompts((BoxPrompt(index, box_rc),)))
        return [result.mask_rc.unpack() for result in session.propagate()]


class Stock:
    """``sam2``'s own predictor on a folder of JPEG files, with its own defaults."""

    def __init__(self, size: int) -> None:
        config = SAM2_1_TINY.with_image_size(size)
        self.predictor: Any = build_stock_predictor(config)
        self.predictor.load_state_dict(random_weights(config, SEED).state_dict())

    def open(self, volume: Volume, folder: Path) -> dict[str, object]:
        """Writes the slices as JPEG and loads them, as its users do."""
        from PIL import Image

        for k in range(volume.shape_kji[0]):
            grey = ((volume.voxels_kji[k] + 160) / 400 * 255).clip(0, 255).astype(np.uint8)
            rgb = np.repeat(grey[..., None], 3, axis=2)
            Image.fromarray(rgb).save(folder / f"{k:05}.jpg", quality=95)
        state: dict[str, object] = self.predictor.init_state(str(folder))
        return state

    def prompt(self, state: dict[str, object], box_rc: BoxRC, index: int = 0) -> None:
        """Adds a box on a slice."""
        box_xy = np.array([box_rc[1], box_rc[0], box_rc[3], box_rc[2]], np.float32)
        self.predictor.add_new_points_or_box(state, index, 1, box=box_xy)

    def propagate(self, state: dict[str, object]) -> list[BoolArray]:
        """Tracks the box through all slices."""
        return [
            (logits[0, 0] > 0).numpy() for _, _, logits in self.predictor.propagate_in_video(state)
        ]

    def whole_pass(self, volume: Volume, box_rc: BoxRC) -> list[BoolArray]:
        """Everything a user waits for: files, loading, prompt, propagation."""
        with tempfile.TemporaryDirectory() as folder:
            state = self.open(volume, Path(folder))
            self.prompt(state, box_rc)
            return self.propagate(state)
