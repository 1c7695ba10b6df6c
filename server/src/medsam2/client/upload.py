"""Sending a volume's voxels: what is missing, in parallel, until the server has them all."""

from __future__ import annotations

import dataclasses
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

from medsam2.core.errors import MessageTooLargeError, ServerAnswerError, ServerError
from medsam2.core.volume import Volume
from medsam2.wire import arrays, routes, strict
from medsam2.wire.arrays import Codec
from medsam2.wire.volumes import UploadState, VolumeHeader, header_of, wire_volume

from .http import Call
from .link import Link
from .retry import MOST_REPLAYS

IN_FLIGHT = 2
"""Chunks under way at once: one is made while the other is sent."""

_narrowed: weakref.WeakKeyDictionary[Volume, Volume] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def narrowed(volume: Volume) -> Volume:
    """Returns a volume as it is sent, with its hash worked out; kept as long as the volume lives.

    Raises:
        WireError: an axis is too long, or there are too many voxels.
    """
    with _lock:
        known = _narrowed.get(volume)
    if known is not None:
        return known
    made = wire_volume(volume)
    header_of(made)
    _ = made.content_hash
    with _lock:
        return _narrowed.setdefault(volume, made)


def check_size(volume: Volume, most_bytes: int) -> None:
    """Refuses a volume that the server would refuse.

    Raises:
        MessageTooLargeError: it is too large.
    """
    size = header_of(narrowed(volume)).size_bytes
    if size > most_bytes:
        msg = (
            f"{volume.name} has {size >> 20} MiB of voxels; this server takes {most_bytes >> 20} MiB "
            "at most. Crop the volume, or ask for a higher limit."
        )
        raise MessageTooLargeError(msg)


def upload(link: Link, volume: Volume, codec: Codec, stop: threading.Event | None = None) -> None:
    """Sends what a server lacks of a volume; returns once it has all of it.

    Args:
        link: to the server.
        volume: as :func:`narrowed` returned it.
        codec: that the server can read.
        stop: ends it between two chunks.

    Raises:
        CancelledError: stopped.
        Forgotten: the server dropped the upload meanwhile.
        ServerError: see :meth:`Link.ask`; or the server goes on to miss what it was sent.
    """
    header = header_of(volume)
    path = routes.VOLUME.format(volume=volume.content_hash)
    begin = Call("PUT", path, strict.to_json(header))
    patience, rounds, fewest = link.patience(stop), 0, header.chunk_count + 1
    while True:
        state = _checked(link.ask(UploadState, begin, stop), header)
        if state.complete:
            return
        if not state.missing:
            patience.pause(
                ServerError("The server does not finish checking the volume; try again.")
            )
            continue
        rounds = 0 if len(state.missing) < fewest else rounds + 1
        fewest = min(fewest, len(state.missing))
        if rounds > MOST_REPLAYS:
            msg = (
                "The server goes on to miss parts of the volume that it was sent; try again later."
            )
            raise ServerError(msg)
        if _send(_Sending(link, volume, header, codec, stop or threading.Event()), state.missing):
            return
        patience = link.patience(stop)


@dataclasses.dataclass(frozen=True)
class _Sending:
    """What all chunks of an upload have in common."""

    link: Link
    volume: Volume
    header: VolumeHeader
    codec: Codec
    stop: threading.Event

    def send(self, number: int) -> bool:
        """Sends one chunk; returns whether the server has all of them."""
        frame = arrays.encode(self.volume.voxels_kji[self.header.chunk(number)], self.codec)
        path = routes.CHUNK.format(volume=self.volume.content_hash, number=number)
        call = Call("PUT", path, frame, kind=routes.FRAME)
        return _checked(self.link.ask(UploadState, call, self.stop), self.header).complete


def _send(sending: _Sending, missing: tuple[int, ...]) -> bool:
    """Sends chunks; returns whether the server has all of them."""
    if len(missing) == 1:
        return sending.send(missing[0])
    with ThreadPoolExecutor(IN_FLIGHT, "medsam2-upload") as pool:
        return any(list(pool.map(sending.send, missing)))


def _checked(state: UploadState, header: VolumeHeader) -> UploadState:
    if (state.complete and state.missing) or any(n >= header.chunk_count for n in state.missing):
        msg = "The server's answer is about another volume; nothing of it was used."
        raise ServerAnswerError(msg)
    return state
