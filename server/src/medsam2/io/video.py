"""Videos: every frame becomes a slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medsam2.core.errors import NotAnImageError, NotAVolumeError, TruncatedFileError
from medsam2.core.volume import Volume

from .files import first_bytes, reading
from .grids import Array, default_affine, refuse_2d

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif")

LIMIT_BYTES = 8 << 30
"""Largest decoded video that is read, so that a long one fails with a message and not by memory."""

_RIFF_HEADER = 8


def read_video(path: Path, *, allow_2d: bool) -> Volume:
    """Reads a video, grey when it is stored so, else RGB.

    See :func:`~medsam2.io.volumes.read_volume`.
    """
    _check_size(path)
    with reading(path):
        frames, rate = _decode(path)
    if not frames:
        msg = f"{path.name} holds no picture; copy it again."
        raise TruncatedFileError(msg)
    if len(frames) == 1 and not allow_2d:
        raise refuse_2d(path.name)
    metadata = {"format": "video", "frames_per_second": rate}
    return Volume(np.stack(frames), default_affine(), name=path.name, metadata=metadata)


def _decode(path: Path) -> tuple[list[Array], float]:
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                msg = f"{path.name} holds no video; check what it is."
                raise NotAnImageError(msg)
            stream = container.streams.video[0]
            return _frames(path, container, stream), float(stream.average_rate or 0.0)
    except av.error.FFmpegError as error:
        reason = error.strerror
        if _looks_like_video(path):
            msg = f"{path.name} is damaged or incomplete ({reason}); copy it again."
            raise TruncatedFileError(msg) from error
        msg = f"{path.name} can't be read as a video ({reason}); check what it is."
        raise NotAnImageError(msg) from error


def _frames(path: Path, container: Any, stream: Any) -> list[Array]:
    frames: list[Array] = []
    size = 0
    for frame in container.decode(stream):
        kind = "gray" if frame.format.name.startswith("gray") else "rgb24"
        frames.append(frame.to_ndarray(format=kind))
        size += frames[-1].nbytes
        if frames[-1].shape != frames[0].shape:
            msg = f"{path.name} changes its size at frame {len(frames)}; give one size."
            raise NotAVolumeError(msg)
        if size > LIMIT_BYTES:
            msg = f"{path.name} is longer than {LIMIT_BYTES >> 30} GiB of frames; cut it first."
            raise NotAVolumeError(msg)
    return frames


def _looks_like_video(path: Path) -> bool:
    start = first_bytes(path, 12)
    return start[4:8] == b"ftyp" or start[:4] in {b"RIFF", b"GIF8", b"\x1aE\xdf\xa3"}


def _check_size(path: Path) -> None:
    """Compares an AVI with the length in its header, because decoders end early without a word."""
    start = first_bytes(path, _RIFF_HEADER)
    if start[:4] != b"RIFF":
        return
    needed = int.from_bytes(start[4:8], "little") + _RIFF_HEADER
    if path.stat().st_size < needed:
        msg = f"{path.name} ends early: {path.stat().st_size} of {needed} bytes; copy it again."
        raise TruncatedFileError(msg)
