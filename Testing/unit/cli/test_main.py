"""The program as a user starts it: a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsam2.io.segmentations import read_segments

from .conftest import LEFT, RIGHT, Case, box_around, oblique_affine

GROUPS = [[], ["segment"], ["demo"], ["info"], ["models"]]
MODELS = [["models", name] for name in ("list", "where", "download", "verify", "remove")]
COMMANDS = GROUPS + MODELS
HEAVY = ("torch", "scipy", "SimpleITK", "requests", "matplotlib", "nibabel", "pydicom", "sam2")


@pytest.fixture
def environment(repository: Path) -> dict[str, str]:
    source = str(repository / "server" / "src")
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}


def medsam2(
    environment: dict[str, str], *arguments: object, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "medsam2", *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=120, cwd=cwd, check=False,
    )  # fmt: skip


def test_help_imports_nothing_heavy(environment: dict[str, str]) -> None:
    code = f"""
import sys
from medsam2.cli.main import main
for arguments in {COMMANDS!r}:
    sys.argv = ["medsam2", *arguments, "--help"]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, end.code
print("heavy:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.rstrip().endswith("heavy: []")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_an_example(environment: dict[str, str], command: list[str]) -> None:
    result = medsam2(environment, *command, "--help")
    assert result.returncode == 0
    assert " medsam2 " in result.stdout.partition("--help")[2]
    assert result.stderr == ""


def test_nifti_in_and_both_formats_out_keep_the_geometry(
    case: Case, environment: dict[str, str]
) -> None:
    prompts = (
        "--box-ijk", f"left={box_around(LEFT)}", "--box-ijk", f"right={box_around(RIGHT)}",
        "--model", "tiny-random", "--device", "cpu", "--precision", "fp32",
    )  # fmt: skip
    masks = {}
    for name in ("out.seg.nrrd", "out.nii.gz"):
        result = medsam2(environment, "segment", case.path, *prompts, "-o", case.folder / name)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(f"Wrote {case.folder / name}\n")
        found = read_segments(case.folder / name, onto=case.volume).segments
        masks[name] = [segment.mask_kji for segment in found]
    image = nibabel.load(case.folder / "out.nii.gz")
    np.testing.assert_allclose(image.affine, oblique_affine(), atol=1e-5)
    names = [s.name for s in read_segments(case.folder / "out.seg.nrrd").segments]
    assert names == ["left", "right"]
    labels_kji = np.asarray(image.dataobj).T
    left, right = masks["out.seg.nrrd"]
    np.testing.assert_array_equal(labels_kji == 2, right)
    np.testing.assert_array_equal(labels_kji == 1, left & ~right)


def test_an_error_is_one_line_with_exit_code_2(case: Case, environment: dict[str, str]) -> None:
    result = medsam2(
        environment, "segment", case.path, "--box-ijk", "1,2,3", "-o", case.folder / "out.nii"
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: Invalid value for '--box-ijk'")
    assert result.stderr.count("\n") == 1


def test_a_full_disk_is_told_and_leaves_nothing(case: Case, environment: dict[str, str]) -> None:
    resource = pytest.importorskip("resource", reason="limits on a file's size need Unix")
    before = case.files
    arguments = (
        "segment", str(case.path), "--box-ijk", box_around(LEFT), "--model", "tiny-random",
        "--device", "cpu", "-o", str(case.folder / "out.nii"),
    )  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-B", "-m", "medsam2", *arguments],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    assert "No room is left" in result.stderr
    assert result.stderr.count("\n") == 1
    assert case.files == before


def test_a_reader_that_goes_away_causes_no_noise(environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "medsam2", "segment", "--help"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(timeout=30)


def test_ctrl_c_ends_it_and_writes_nothing(case: Case, environment: dict[str, str]) -> None:
    if sys.platform == "win32":
        pytest.skip("signals to a process group, which Windows lacks")
    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 900, (128, 128, 3000)).astype(np.int16)
    path = case.folder / "long.nii"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 3.0, 1.0])), path)
    before = case.files
    process = subprocess.Popen(
        [
            sys.executable, "-m", "medsam2", "segment", str(path), "-o", str(case.folder / "o.nii"),
            "--box-ijk", "10,10,0,90,90,2999", "--model", "tiny-random", "--device", "cpu",
        ],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until_running(process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().count("\n") == 0
    assert errors.strip().startswith("Error: Cancelled")
    assert "nothing was written" in errors
    assert output == ""
    assert case.files == before


def wait_until_running(process: subprocess.Popen[str]) -> None:
    """Waits until the process catches SIGINT itself, which it does while it segments."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.is_file():
        time.sleep(6)
        return
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        maps = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
        if "libtorch_cpu" in maps:
            time.sleep(3)
            return
        time.sleep(0.1)
