"""P24: what the product is made of is pinned, listed and without known holes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

OWN = "medsam2-slicer"
PIN = re.compile(r"^([\w.-]+)==([\w.+]+)$", re.MULTILINE)

BUILD = re.compile(r"\+.*")
"""A local version, like the one that names torch's build for the CPU."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def pins(repository) -> dict[str, str]:
    text = (repository / "server" / "constraints.txt").read_text("utf-8")
    return {canonical(name): version for name, version in PIN.findall(text)}


def needed(name: str, extras: frozenset[str]) -> dict[str, str]:
    """The versions installed here of all that a package needs, by name."""
    found: dict[str, str] = {}
    seen, left = set(), [(name, extras)]
    while left:
        name, extras = left.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        package = importlib.metadata.distribution(name)
        for requirement in map(Requirement, package.requires or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in extras | {""}):
                other = canonical(requirement.name)
                left.append((other, frozenset(requirement.extras)))
                if other != OWN:
                    found[other] = BUILD.sub("", importlib.metadata.version(other))
    return found


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


def skip(ledger, what: str, reason: str) -> None:
    ledger.skipped.append(("P24", f"{what}: {reason}"))
    pytest.skip(f"{what}: {reason}")


def test_the_security_rules_find_nothing_in_the_source(ledger, repository):
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        skip(ledger, "security rules over the source", "ruff is not installed beside this Python")
    # Pauses between attempts are jittered by plain random numbers; see the next test.
    done = run(str(ruff), "check", "--select", "S", "--ignore", "S311", "--output-format", "json",
               "server/src", cwd=repository)  # fmt: skip
    found = [f"{hit['code']} {hit['filename']}" for hit in json.loads(done.stdout)]
    ledger.none("P24", "findings of ruff's security rules in server/src", len(found))


def test_nothing_secret_comes_from_plain_random_numbers(ledger, repository):
    package = repository / "server" / "src" / "medsam2"
    files = [*(package / "server").rglob("*.py"), *(package / "wire").rglob("*.py")]
    guessable = [
        file.name for file in files if re.search(r"import random|random\.", file.read_text("utf-8"))
    ]
    ledger.none("P24", "files of server and wire that use random", len(guessable), len(files))


def test_the_security_rules_are_silenced_with_a_reason_only(ledger, repository):
    bare = [
        f"{path.name}:{number}"
        for path in sorted((repository / "server" / "src").rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(r"# (noqa: S\d+\b(?! \()|nosec)", line)
    ]
    ledger.none("P24", "security rules silenced without a reason", len(bare))


def test_constraints_are_names_and_versions_alone(ledger, repository):
    text = (repository / "server" / "constraints.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    other = [line for line in lines if not PIN.fullmatch(line)]
    ledger.none("P24", "lines of constraints.txt that pip can't use", len(other), len(lines))


def test_everything_the_product_and_its_tests_need_is_pinned(ledger, pins):
    if not Path(sys.prefix, ".development").exists():
        skip(ledger, "pins", "this environment was not made by make from constraints.txt")
    found = needed(OWN, frozenset({"dev"}))
    loose = [
        name for name, version in found.items() if BUILD.sub("", pins.get(name, "")) != version
    ]
    assert len(found) > 80
    print(*loose)
    ledger.none("P24", "packages that constraints.txt does not pin", len(loose), len(found))


def test_a_bill_of_materials_names_every_package_the_product_needs(ledger, full, repository):
    if not full:
        skip(ledger, "bill of materials", "takes half a minute; make soak makes one")
    if importlib.util.find_spec("cyclonedx_py") is None:
        skip(ledger, "bill of materials", "cyclonedx-bom is not installed")
    done = run(sys.executable, "-m", "cyclonedx_py", "environment", cwd=repository)
    assert done.returncode == 0, done.stderr[-500:]
    named = {canonical(part["name"]) for part in json.loads(done.stdout)["components"]}
    missing = set(needed(OWN, frozenset({"server", "cli"}))) - named
    ledger.none("P24", "packages missing in the bill of materials", len(missing))


def test_no_pinned_package_has_a_known_hole(ledger, repository):
    if importlib.util.find_spec("pip_audit") is None:
        skip(ledger, "known holes", "pip-audit is not installed")
    try:
        socket.create_connection(("api.osv.dev", 443), 3).close()
    except OSError:
        skip(ledger, "known holes", "the database of advisories can't be reached")
    command = (sys.executable, "-m", "pip_audit", "--format", "json", "--skip-editable",
               "--vulnerability-service", "osv")  # fmt: skip
    done = run(*command, cwd=repository)
    holes = [p["name"] for p in json.loads(done.stdout)["dependencies"] if p.get("vulns")]
    ledger.none("P24", "installed packages with a known hole", len(holes))
