from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from server_process import ServerProcess, running

from medsam2.io.segmentations import read_segments

from .conftest import LEFT, Case, Run, box_around


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(factory="factories:tiny") as started:
        yield started


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps tokens of this user's own server out."""
    monkeypatch.delenv("MEDSAM2_TOKEN", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_server_gives_the_masks_of_this_process(
    case: Case, run: Run, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSAM2_TOKEN", server.token)
    masks = []
    for where in (("--device", "cpu", "--precision", "fp32"), ("--server", server.url)):
        out = case.folder / f"{len(masks)}.seg.nrrd"
        result = run(
            "segment", case.path, "-o", out, "--box-ijk", box_around(LEFT),
            "--model", "tiny-random", *where,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        masks.append(read_segments(out).segments[0].mask_kji)
    np.testing.assert_array_equal(*masks)


def test_the_token_may_lie_in_a_file(case: Case, run: Run, server: ServerProcess) -> None:
    path = case.folder / "token"
    path.write_text(f"{server.token}\n", encoding="ascii")
    result = run(
        "segment", case.path, "-o", case.folder / "o.nii", "--box-ijk", box_around(LEFT),
        "--server", server.url, "--token-file", path,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("token", "more", "said"),
    [
        ("x" * 43, (), "token"),
        ("", (), "--token-file"),
        (None, ("--model", "litemedsam"), "runs tiny-random"),
        (None, ("--device", "cpu"), "server's"),
    ],
)
def test_what_a_server_can_not_do_is_told_in_one_line(
    case: Case,
    run: Run,
    server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    more: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setenv("MEDSAM2_TOKEN", server.token if token is None else token)
    before = case.files
    result = run(
        "segment", case.path, "-o", case.folder / "o.nii", "--box-ijk", box_around(LEFT),
        "--server", server.url, *more,
    )  # fmt: skip
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert case.files == before


def test_images_do_not_travel_unencrypted_unless_asked(case: Case, run: Run) -> None:
    result = run(
        "segment", case.path, "-o", case.folder / "o.nii", "--box-ijk", box_around(LEFT),
        "--server", "http://segmentation.invalid:1527", "--token-file", case.path,
    )  # fmt: skip
    assert result.exit_code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_it_on_the_server_too_and_writes_nothing(case: Case) -> None:
    slow = {**os.environ, "SLICE_S": "1"}
    with running(factory="factories:fake", env=slow) as server:
        before = case.files
        process = subprocess.Popen(
            [
                sys.executable, "-m", "medsam2", "segment", str(case.path),
                "-o", str(case.folder / "o.nii"), "--box-ijk", box_around(LEFT),
                "--server", server.url,
            ],
            env={**os.environ, "MEDSAM2_TOKEN": server.token}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        while '"/v1/sessions/{session}/objects/{object_id}"' not in server.logs():
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
        assert process.returncode == 130, errors
        assert errors.strip().startswith("Error: Cancelled")
        assert output == ""
        assert case.files == before
        assert '"state": "cancelled"' in server.logs()
