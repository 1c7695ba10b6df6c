"""``medsam2 models``."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from medsam2.models import registry

from .conftest import Run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDSAM2_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_the_list_shows_size_licence_and_who_may_use_it(run: Run) -> None:
    result = run("models", "list")
    assert result.exit_code == 0, result.stderr
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "Apache-2.0" in lines["litemedsam"]
    assert "[research only]" in lines["medsam2-latest"]
    assert "898 MB" in lines["sam2.1-large"]
    assert "[research only]" not in lines["sam2.1-large"]


def test_the_list_is_json_when_asked(run: Run) -> None:
    found = {entry["name"]: entry for entry in json.loads(run("models", "list", "--json").stdout)}
    assert list(found) == list(registry.cards())
    large = found["sam2.1-large"]
    assert large["installed"] is False
    assert len(large["sha256"]) == 64
    assert large["url"].startswith("https://")
    assert found["medsam2-latest"]["research_only"] is True


def test_where_prints_the_folder(run: Run, folder: Path) -> None:
    assert run("models", "where").stdout.strip() == str(folder)


@pytest.mark.parametrize("command", ["download", "verify", "remove"])
def test_an_unknown_model_is_told_with_the_nearest_name(run: Run, command: str) -> None:
    result = run("models", command, "sam2.1-tini")
    assert result.exit_code == 2
    assert "did you mean sam2.1-tiny" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_model_that_is_not_here_is_told_with_the_command_to_get_it(run: Run) -> None:
    result = run("models", "verify", "sam2.1-tiny")
    assert result.exit_code == 2
    assert "medsam2 models download sam2.1-tiny" in result.stderr


def test_removing_what_is_not_here_is_no_error(run: Run) -> None:
    result = run("models", "remove", "sam2.1-tiny")
    assert (result.exit_code, result.stdout) == (0, "sam2.1-tiny was not here.\n")


def test_wrong_weights_are_found_and_removed(run: Run, folder: Path) -> None:
    folder.mkdir()
    (folder / "sam2.1_hiera_tiny.pt").write_bytes(b"x" * 2_000_000)
    result = run("models", "verify", "sam2.1-tiny")
    assert result.exit_code == 2
    assert "sha256" in result.stderr
    assert run("models", "remove", "sam2.1-tiny").stdout == "Removed sam2.1-tiny, 2 MB.\n"
    assert not list(folder.iterdir())


@pytest.fixture
def address() -> Iterator[str]:
    """A server on this machine that has other weights than the registry's."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"wrong")

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/weights.pt"
        server.shutdown()
        thread.join()


def test_a_download_shows_the_licence_and_checks_what_came(
    run: Run, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    card = dataclasses.replace(registry.cards()["sam2.1-tiny"], url=address)
    monkeypatch.setattr(registry, "cards", lambda: {card.name: card})
    result = run("models", "download", card.name)
    assert result.exit_code == 2
    assert "sam2.1-tiny: licence Apache-2.0" in result.stderr
    assert "sha256" in result.stderr
    assert not (folder / "sam2.1_hiera_tiny.pt").exists()


def test_no_connection_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from medsam2.models import library
    from medsam2.models.download import Patience

    card = dataclasses.replace(registry.cards()["sam2.1-tiny"], url="http://127.0.0.1:9/w.pt")
    monkeypatch.setattr(registry, "cards", lambda: {card.name: card})
    monkeypatch.setattr(library, "Patience", lambda: Patience(1.0, 0, 0.0))
    monkeypatch.setattr("medsam2.models.download.Patience", lambda: Patience(1.0, 0, 0.0))
    result = run("models", "download", card.name, "--quiet")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_model_without_a_download_says_so(run: Run) -> None:
    result = run("models", "download", "tiny-random")
    assert result.exit_code == 2
    assert "needs no download" in result.stderr
