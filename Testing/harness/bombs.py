"""Small messages that would be large, deep or slow if anybody took them at their word."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator

import zstandard
from planted import Body, Planted

from medsam2.wire import limits, routes

Bomb = tuple[str, str, Body]
"""A method, a path's template, and what is sent there."""

MIB = 1 << 20


def bombs(planted: Planted) -> dict[str, Bomb]:
    """Bombs by name, for what exists on a server."""
    return dict((*_frames(planted), *_objects(planted), *_messages()))


def _frames(planted: Planted) -> Iterator[tuple[str, Bomb]]:
    header = planted.header
    honest = {"dtype": header.dtype, "shape": list(header.shape), "crc32": 0}
    huge = honest | {"shape": [limits.LONGEST_AXIS] * 3}
    zeros = bytes(64 * MIB)
    deflated, squeezed = zlib.compress(zeros, 9), zstandard.compress(zeros)
    lying = zstandard.ZstdCompressor(write_content_size=False).compress(zeros)
    for name, fields, body in (
        ("a deflated bomb", honest | {"codec": "zlib"}, deflated),
        ("a bomb of Zstandard", honest | {"codec": "zstd"}, squeezed),
        ("a bomb of Zstandard without its size", honest | {"codec": "zstd"}, lying),
        ("a deflated shape of 64 TiB", huge | {"codec": "zlib"}, deflated),
        ("a raw shape of 64 TiB", huge | {"codec": "raw"}, b""),
        ("a shape of many axes", honest | {"shape": [1] * 900, "codec": "raw"}, b""),
        ("a number of 900 digits", honest | {"crc32": 10**900, "codec": "raw"}, b""),
    ):
        text = json.dumps(fields).encode()
        data = b"MS2A" + struct.pack(">I", len(text)) + text + body
        yield name, ("PUT", routes.CHUNK, Body(routes.FRAME, data))
    for name, length in (("a header of 4 GiB", 0xFFFFFFFF), ("a header of a megabyte", MIB)):
        data = b"MS2A" + struct.pack(">I", length) + b"{" * 100_000
        yield name, ("PUT", routes.CHUNK, Body(routes.FRAME, data))


def _objects(planted: Planted) -> Iterator[tuple[str, Bomb]]:
    side = limits.LONGEST_AXIS
    bits = base64.b64encode(zlib.compress(bytes(side * side // 8), 9)).decode()
    mask = {"mask": {"index": 0, "shape_rc": [side, side], "bits": bits}}
    rows, columns = planted.volume.voxels_kji.shape[1:3]
    fitting = {"mask": {"index": 0, "shape_rc": [rows, columns], "bits": bits}}
    room = limits.MOST_OBJECT_JSON - 64
    point = {"point": {"index": 0, "point_rc": [1, 1]}}
    for name, data in (
        ("one mask of 16 million pixels", [mask]),
        ("4096 masks of 16 million pixels", [mask] * limits.MOST_PROMPTS),
        ("a mask that inflates beyond its shape", [fitting]),
        ("too many points", [point] * (limits.MOST_PROMPTS + 1)),
    ):
        text = json.dumps({"prompts": data}).encode()
        yield name, ("PUT", routes.OBJECT, Body(routes.JSON, text[: limits.MOST_OBJECT_JSON]))
    for name, text in (
        ("16 MiB of brackets", b"[" * room),
        ("16 MiB of empty lists", b"[" + b"[]," * (room // 3) + b"[]]"),
        ("16 MiB of empty objects", b'{"prompts":[' + b"{}," * (room // 3 - 8) + b"{}]}"),
        ("16 MiB of numbers", b'{"prompts":[' + b"1," * (room // 2 - 8) + b"1]}"),
        ("16 MiB of fields", b"{" + _fields(room) + b"}"),
        ("16 MiB of one text", b'{"prompts":"' + b"a" * (room - 32) + b'"}'),
        ("16 MiB of one number", b'{"roi":' + b"1" * (room - 32) + b"}"),
        ("16 MiB of escapes", b'{"roi":"' + rb"\u0041" * ((room - 32) // 6) + b'"}'),
    ):
        yield name, ("PUT", routes.OBJECT, Body(routes.JSON, text))


def _messages() -> Iterator[tuple[str, Bomb]]:
    for method, template in (
        ("PUT", routes.VOLUME),
        ("PUT", routes.SESSION),
        ("POST", routes.JOBS),
    ):
        deep = b"[" * (limits.MOST_JSON - 1)
        yield f"brackets to {template}", (method, template, Body(routes.JSON, deep))
        nested = b'{"a":' * (limits.MOST_JSON // 6)
        yield f"objects to {template}", (method, template, Body(routes.JSON, nested))
        wide = json.dumps({"objects": {str(n): "" for n in range(5000)}}).encode()
        yield (
            f"fields to {template}",
            (method, template, Body(routes.JSON, wide[: limits.MOST_JSON])),
        )
    shape = json.dumps({"dtype": "float32", "shape": [limits.LONGEST_AXIS] * 3}).encode()
    yield "a volume of 256 GiB", ("PUT", routes.VOLUME, Body(routes.JSON, shape))
    shape = json.dumps({"dtype": "uint8", "shape": [10**18, 1, 1]}).encode()
    yield "a volume with a long axis", ("PUT", routes.VOLUME, Body(routes.JSON, shape))


def _fields(room: int) -> bytes:
    count = room // 12
    return b",".join(b'"%07d":0' % n for n in range(count))
