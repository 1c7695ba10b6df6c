"""A volume on disk with two bright balls, and the command line with a backend that thresholds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner, Result
from fake_backend import FakeBackend

from medsam2.cli import local
from medsam2.cli.main import cli
from medsam2.core.masks import BoolArray
from medsam2.core.volume import Volume
from medsam2.io.volumes import read_volume

SHAPE_KJI = (14, 40, 48)
LEFT, RIGHT = (12, 18, 5), (34, 22, 8)
"""Centres of the two balls, i, j, k."""


def ball(centre_ijk: tuple[int, int, int]) -> BoolArray:
    k, j, i = np.ogrid[: SHAPE_KJI[0], : SHAPE_KJI[1], : SHAPE_KJI[2]]
    ci, cj, ck = centre_ijk
    return (i - ci) ** 2 + (j - cj) ** 2 + 4.0 * (k - ck) ** 2 <= 36


def box_around(centre_ijk: tuple[int, int, int]) -> str:
    i, j, k = centre_ijk
    return f"{i - 8},{j - 8},{k - 3},{i + 8},{j + 8},{k + 3}"


def oblique_affine() -> np.ndarray[Any, Any]:
    """Left-handed, turned about two axes, anisotropic."""
    a, b = 0.2, -0.1
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn_z @ turn_x @ np.diag([-0.75, -0.75, -2.0])
    affine[:3, 3] = [31.5, -20.25, 70.0]
    return affine


@dataclasses.dataclass(frozen=True)
class Case:
    """A folder with a volume in it."""

    folder: Path
    path: Path
    volume: Volume

    def write_json(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(content))
        return path

    @property
    def files(self) -> set[str]:
        """Names of the files in the folder, hidden ones too."""
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    rng = np.random.default_rng(3)
    voxels = 100 + 800 * (ball(LEFT) | ball(RIGHT)) + rng.integers(0, 40, SHAPE_KJI)
    image = nibabel.Nifti1Image(voxels.astype(np.int16).T, oblique_affine())
    image.header.set_xyzt_units("mm")
    path = tmp_path / "scan.nii.gz"
    nibabel.save(image, path)
    return Case(tmp_path, path, read_volume(path))


Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Runs the command line in this process."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """Stands in for the engine."""
    backend = FakeBackend()

    def make_backend(*engine: object) -> FakeBackend:
        backend.closed = False
        return backend

    monkeypatch.setattr(local, "make_backend", make_backend)
    return backend
