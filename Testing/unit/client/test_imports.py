from __future__ import annotations

import subprocess
import sys

import medsam2.client


def test_the_client_is_imported_without_requests_and_torch():
    (folder,) = medsam2.client.__path__
    code = (
        "import sys, pathlib, importlib\n"
        f"for path in pathlib.Path({folder!r}).glob('*.py'):\n"
        "    importlib.import_module(f'medsam2.client.{path.stem}')\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=f"{folder}/../..",
    )
    modules = set(done.stdout.split())
    assert "medsam2.client.backend" in modules
    assert modules.isdisjoint({"requests", "urllib3", "torch", "fastapi", "zstandard"})
