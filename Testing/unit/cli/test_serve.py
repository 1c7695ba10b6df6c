from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from medsam2.server.settings import Limits

from .conftest import Run


def test_the_limits_are_listed_with_their_values(run: Run) -> None:
    result = run("serve", "--show-limits")
    assert result.exit_code == 0
    listed = dict(line.split("=") for line in result.stdout.split())
    assert listed.keys() == {field.name for field in dataclasses.fields(Limits)}
    assert float(listed["idle_s"]) == 3600


def test_the_openapi_document_names_every_path(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSAM2_TOKEN", "x" * 40)
    document = json.loads(run("serve", "--openapi").stdout)
    assert "/v1/sessions/{session}/jobs" in document["paths"]
    assert "requestBody" in document["paths"]["/v1/sessions/{session}"]["put"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "--tls-cert"),
        (("--host", "192.168.0.7"), "--insecure-http"),
        (("--tls-cert", "nothing.pem"), "--tls-key"),
        (("--limit", "idle_s"), "--show-limits"),
        (("--limit", "idle_s=-1"), "--show-limits"),
        (("--limit", "nonsense=1"), "--show-limits"),
        (("--model", "no-such-model"), "no model"),
        (("--token-file", "nothing"), "can't be read"),
    ],
)
def test_what_can_not_be_served_is_refused_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str], said: str
) -> None:
    monkeypatch.setenv("MEDSAM2_TOKEN", "x" * 40)
    result = run("serve", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.strip().count("\n") == 0


def test_a_short_token_is_refused_and_not_repeated(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSAM2_TOKEN", "swordfish")
    result = run("serve")
    assert result.exit_code == 2
    assert "32" in result.stderr
    assert "swordfish" not in result.stderr


def test_a_server_whose_parent_is_gone_before_it_listens_ends_at_once() -> None:
    command = [sys.executable, "-m", "medsam2", "serve", "--port", "0", "--model", "tiny-random"]
    subprocess.run(  # it may have come to listening, but it ends
        [*command, "--exit-with-parent"],
        env={**os.environ, "MEDSAM2_TOKEN": "x" * 40},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a signal")
def test_a_first_start_makes_a_token_and_the_next_one_keeps_it(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("MEDSAM2_TOKEN", None)
    tokens = []
    for _ in range(2):
        command = [
            sys.executable,
            "-m",
            "medsam2",
            "serve",
            "--port",
            "0",
            "--model",
            "tiny-random",
        ]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(
                r"MedSAM2 server ready at http://127\.0\.0\.1:\d+ \(token in (.+)\)\n", line
            )
            process.send_signal(signal.SIGINT)
            rest, log = process.communicate(timeout=30)
            assert (process.returncode, rest) == (0, "")
        assert found, line
        path = Path(found[1])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        tokens.append(path.read_text(encoding="ascii").strip())
        assert tokens[-1] not in log
    assert tokens[0] == tokens[1]
