"""The protocol's document against the code: every table, every name, and the rules in prose."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import struct
import types
import zlib
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest

from medsam2.core import errors
from medsam2.core.backend import ModelInfo
from medsam2.core.volume import Volume
from medsam2.server.app import build_app
from medsam2.server.settings import Settings
from medsam2.server.tokens import Tenant
from medsam2.wire import (
    arrays,
    limits,
    messages,
    problems,
    prompts,
    records,
    routes,
    strict,
    volumes,
)
from medsam2.wire.schema import schema

MESSAGES = {
    kind.__name__: kind
    for module in (arrays, messages, prompts, records, volumes)
    for kind in vars(module).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
}
NOT_OURS = {"Origin", "Host", "Bearer", "NaN", "PUT"}
"""Words of HTTP and JSON that the page sets like code."""

PARAMETERS = {"after", "wait"}
"""Of queries; the application reads them by hand."""


@pytest.fixture(scope="module")
def page(repository) -> str:
    return (repository / "server" / "docs" / "protocol.md").read_text("utf-8")


@pytest.fixture(scope="module")
def prose(page) -> str:
    """The page on one line."""
    return " ".join(page.split())


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    return build_app(Settings((Tenant("a", "0" * 64),))).openapi()


def table(page: str, head: str) -> list[list[str]]:
    """The cells of the table whose head line begins so."""
    lines = page[page.index(f"| {head} |") :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def operation(document: dict[str, Any], row: list[str]) -> dict[str, Any]:
    """The OpenAPI description of a row of the table of paths."""
    method, path = code_in(row[0])[0].split()
    found: dict[str, Any] = document["paths"][path][method.lower()]
    return found


def code_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def values_in(kind: Any) -> set[str]:
    """The texts that a field may be, and the names of its fields."""
    if get_origin(kind) is Literal:
        return set(get_args(kind))
    if dataclasses.is_dataclass(kind):
        return {field.name for field in dataclasses.fields(kind)}
    return set().union(*(values_in(arm) for arm in get_args(kind)))


def vocabulary() -> set[str]:
    """Every word of the code that the page may use."""
    words = {
        *MESSAGES,
        *problems.REFUSALS,
        *NOT_OURS,
        *PARAMETERS,
        arrays.MAGIC.decode(),
        "Retry-After",
    }
    for kind in MESSAGES.values():
        for name, field in strict.hints(kind).items():
            words |= {name} | values_in(field)
    words |= {value for value in vars(routes).values() if isinstance(value, str)}
    for route in build_app(Settings((Tenant("a", "0" * 64),))).routes:
        words |= {f"{{{name}}}" for name in getattr(route, "param_convertors", {})}
    return words


def test_the_page_names_this_version(prose):
    assert f"Version {routes.PROTOCOL}, over HTTP/1.1." in prose


def test_the_table_of_headers_is_the_codes(page):
    named = {code_in(row[0])[0] for row in table(page, "header")}
    ours = {routes.AUTHORIZATION, routes.REQUEST, routes.SESSION_ID, routes.PROTOCOL_VERSION}
    assert named == ours | {routes.RUN, routes.IDEMPOTENCY_KEY, "Retry-After"}


def test_the_table_of_paths_is_the_applications(page):
    told = sorted(code_in(row[0])[0] for row in table(page, "method and path"))
    app = build_app(Settings((Tenant("a", "0" * 64),)))
    assert told == sorted(f"{m} {route.path}" for route in app.routes for m in route.methods)


def test_every_body_in_the_table_is_the_openapi_documents(page, document):
    for row in table(page, "method and path"):
        content = operation(document, row).get("requestBody", {}).get("content", {})
        if row[1] == "an array's frame":
            assert list(content) == [routes.FRAME]
        else:
            told = [schema(MESSAGES[name]) for name in code_in(row[1])]
            assert told == [content[routes.JSON]["schema"] for _ in content], row


def test_every_answer_in_the_table_is_the_openapi_documents(page, document):
    for row in table(page, "method and path"):
        answers = operation(document, row)["responses"]
        told = re.findall(r"\b(\d{3})\b(?: `(\w+)`)?", row[2])
        assert {status for status, _ in told} <= set(answers), row
        assert {status for status, _ in told if status < "3"} == {s for s in answers if s < "3"}
        for status, name in told:
            if name:
                assert answers[status]["content"][routes.JSON]["schema"] == schema(MESSAGES[name])
        if "results" in row[2]:
            assert list(answers["200"]["content"]) == [routes.RECORDS]


def test_the_table_of_refusals_is_the_codes(page):
    told = {code_in(row[0])[0]: (int(row[1]), row[2]) for row in table(page, "code")}
    ours = {code: (entry.status, entry.meaning) for code, entry in problems.REFUSALS.items()}
    assert told == ours


def test_errors_of_the_users_making_have_the_status_that_is_told(prose):
    assert "errors of the volume, the prompts and the model are answered 422" in prose.lower()
    for kind in problems.engine_errors().values():
        if issubclass(kind, errors.VolumeError | errors.PromptError | errors.ModelError):
            assert problems.status_of(kind("")) == 422, kind


def test_every_status_in_prose_is_that_of_its_code(prose):
    pairs = re.findall(r"(?:answers?|answered|\() ?(\d{3}) `([a-z_]+)`", prose)
    assert len(pairs) >= 4
    assert [p for p in pairs if problems.REFUSALS[p[1]].status != int(p[0])] == []


def test_every_name_set_like_code_exists(page):
    words = vocabulary()
    plain = {name for name in code_in(page) if re.fullmatch(r"[A-Za-z{][\w{}-]*", name)}
    assert len(plain) > 50
    assert sorted(plain - words) == []


@pytest.mark.parametrize(
    "name", ["wire.volumes.wire_volume", "wire.prompts.digest", "medsam2.core.errors"]
)
def test_every_function_the_page_points_to_exists(page, name):
    assert f"`{name}`" in page
    found: Any = __import__("medsam2.wire").wire if name.startswith("wire") else errors
    for part in name.split(".")[1:] if name.startswith("wire") else []:
        found = getattr(found, part)
    assert callable(found) or isinstance(found, types.ModuleType)


def test_the_numbers_in_prose_are_the_codes(prose):
    assert f"whole slices in {limits.MOST_CHUNK_BYTES >> 20} MiB" in prose
    assert f"`wait` seconds (at most {routes.LONGEST_WAIT_S})" in prose
    assert "`{volume}` is the content hash, 64 hexadecimal digits" in prose
    for media_type in (routes.JSON, routes.FRAME, routes.RECORDS):
        assert f"`{media_type}`" in prose
    for codec in get_args(arrays.Codec):
        assert f"`{codec}`" in prose
    for dtype in get_args(arrays.DtypeName):
        assert dtype in prose


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("int16", (300, 512, 512)),
        ("uint8", (5, 4096, 4096)),
        ("float32", (7, 4096, 4096)),
        ("uint8", (40, 600, 600, 3)),
        ("int32", (3, 3, 3)),
    ],
)
def test_the_rule_for_chunks_holds(dtype, shape):
    header = volumes.VolumeHeader(dtype, shape)
    slice_bytes = math.prod(shape[1:]) * np.dtype(dtype).itemsize
    p = min(max(1, (8 << 20) // slice_bytes), shape[0])
    for n in range(header.chunk_count):
        held = range(shape[0])[header.chunk(n)]
        assert (held[0], held[-1]) == (n * p, min(n * p + p, shape[0]) - 1)
    assert header.chunk_count == -(-shape[0] // p)


def test_the_rule_for_a_volumes_name_holds(prose):
    told = re.search(r"for instance `<i2\(([\d, ]+)\)`; type `\|u1` for bytes", prose)
    assert told
    shape = tuple(int(n) for n in told[1].split(", "))
    assert str(shape) == f"({told[1]})"
    for dtype, text in (("int16", "<i2(3, 4, 5)"), ("uint8", "|u1(3, 4, 5)")):
        voxels = np.arange(60).reshape(3, 4, 5).astype(dtype)
        name = hashlib.sha256(text.encode("ascii") + voxels.tobytes()).hexdigest()
        assert Volume(voxels, np.eye(4)).content_hash == name


@pytest.mark.parametrize("codec", ["raw", "zlib"])
def test_an_arrays_frame_can_be_written_from_the_prose_alone(codec):
    voxels = np.arange(24, dtype="<i2").reshape(2, 3, 4) * 301
    plain = voxels.tobytes()
    header = {"dtype": "int16", "shape": [2, 3, 4], "codec": codec, "crc32": zlib.crc32(plain)}
    text = json.dumps(header).encode()
    body = plain if codec == "raw" else zlib.compress(plain[0::2] + plain[1::2])
    read = np.zeros_like(voxels)
    arrays.decode_into(b"MS2A" + struct.pack(">I", len(text)) + text + body, read)
    assert np.array_equal(read, voxels)


def test_a_record_can_be_written_from_the_prose_alone():
    mask_rc = np.zeros((6, 9), dtype=bool)
    mask_rc[2:5, 3:8] = np.arange(15).reshape(3, 5) % 2
    fields = {"kind": "slice", "number": 1, "object_id": 7, "index": 0, "score": 0.5}
    fields |= {"origin": "tracked", "shape_rc": [6, 9], "box_rc": [2, 3, 4, 7]}
    header = json.dumps(fields).encode()
    body = zlib.compress(np.packbits(mask_rc[2:5, 3:8].reshape(-1)).tobytes())
    sums = struct.pack(">III", len(header), len(body), zlib.crc32(header + body))
    [(head, bits)] = records.RecordReader().feed(sums + header + body)
    assert isinstance(head, records.Slice)
    assert np.array_equal(records.result_of(head, bits).mask_rc.unpack(), mask_rc)


def test_the_rule_for_a_sessions_fingerprint_holds():
    row = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)
    request = messages.SessionRequest("a" * 64, row, "K", (0.0, 1.0))
    compact = json.dumps(dataclasses.asdict(request), separators=(",", ":"))
    text = f"{compact}\nsome-model\n{'b' * 64}"
    model = ModelInfo("some-model", frozenset(), "cpu", "b" * 64, "")
    assert messages.fingerprint(request, model) == hashlib.sha256(text.encode()).hexdigest()
