"""The door to the engine: what goes wrong with a model or a device is one line too."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from .conftest import LEFT, Case, Run, box_around


class Malicious:
    """Runs code when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.trace,)


def segment(case: Case, run: Run, *options: object) -> str:
    """Runs a call that must fail with exit code 2 and returns its one line."""
    out = case.folder / "out.nii"
    before = case.files
    result = run("segment", case.path, "--box-ijk", box_around(LEFT), "-o", out, *options)
    assert result.exit_code == 2, result.stderr
    assert result.stderr.count("\n") == 1
    assert case.files == before
    return result.stderr


def test_a_checkpoint_that_runs_code_is_not_read(case: Case, run: Run) -> None:
    trace = case.folder / "it-ran"
    (case.folder / "evil.pt").write_bytes(pickle.dumps({"model": Malicious(trace)}))
    segment(case, run, "--checkpoint", case.folder / "evil.pt")
    torch.save({"model": Malicious(trace)}, case.folder / "evil2.pt")
    segment(case, run, "--checkpoint", case.folder / "evil2.pt")
    assert not trace.exists()


def test_a_checkpoint_of_another_architecture_is_told(case: Case, run: Run) -> None:
    torch.save({"wrong.weight": torch.zeros(3)}, case.folder / "other.pt")
    assert "other.pt" in segment(case, run, "--checkpoint", case.folder / "other.pt")


def test_a_missing_checkpoint_is_told(case: Case, run: Run) -> None:
    assert "no.pt" in segment(case, run, "--checkpoint", case.folder / "no.pt")


def test_weights_that_are_not_here_are_told_with_the_command_to_get_them(
    case: Case, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDSAM2_MODELS", str(tmp_path / "none"))
    message = segment(case, run, "--model", "sam2.1-tiny")
    assert "medsam2 models download sam2.1-tiny" in message


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "tpu0"])
def test_a_device_that_is_not_there_is_told(case: Case, run: Run, device: str) -> None:
    assert device in segment(case, run, "--model", "tiny-random", "--device", device)
