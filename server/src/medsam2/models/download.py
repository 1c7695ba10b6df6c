"""Downloads one file: resumable, checked before it gets its name, never half there.

The bytes go to ``NAME.part`` beside the target, with what the server said of the file in
``NAME.part.json``, so that a later call continues, and starts again if the file changed meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medsam2.core.errors import (
    CancelledError,
    DiskFullError,
    DownloadError,
    MedSAM2Error,
    UnwritableOutputError,
    WeightsHashError,
)

from .hashing import file_sha256
from .part_file import PartFile

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and those that there will be, None where not known."""
Cancel = Callable[[], bool]
"""Asked often; True ends the download."""

_CHUNK: Final = 1 << 16
"""Bytes lost at most when a connection breaks."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to try.

    Args:
        timeout_s: without any byte from the server.
        retries: failures in a row, without a byte between them, that are not yet the end.
        pause_s: before the first retry; each later pause is twice as long.
    """

    timeout_s: float = 30.0
    retries: int = 4
    pause_s: float = 1.0


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    accept: Callable[[Path], None] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    patience: Patience | None = None,
) -> str:
    """Downloads a file and returns its sha256.

    Args:
        url: http or https.
        target: replaced at once, when all is there and right; its folder is made.
        sha256: what the file's must be; None takes any.
        accept: called with the finished file before it gets its name; raises if it's not right.
        progress: see :data:`Progress`.
        cancel: see :data:`Cancel`.
        patience: how long to try.

    Raises:
        DownloadError: no connection, a refusal, or another program is downloading it too.
        WeightsHashError: the bytes are not those that were meant; they were removed.
        CancelledError: ``cancel`` said so; what is there is kept for the next call.
        DiskFullError: there is no room; nothing was left.
        UnwritableOutputError: the folder can't be written.
    """
    transfer = _Transfer(url, PartFile(target), progress, cancel, patience or Patience())
    with _writing(transfer.part), transfer.part.locked():
        transfer.run()
        return _finish(transfer.part, sha256, accept)


@contextlib.contextmanager
def _writing(part: PartFile) -> Iterator[None]:
    """Says in the project's errors what goes wrong with the disk."""
    folder = part.target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in _FULL:
            part.remove()
            msg = (
                f"The disk of {folder} is full; make room, or set MEDSAM2_MODELS to another folder."
            )
            raise DiskFullError(msg) from error
        msg = f"{folder} can't be written ({error.strerror}); set MEDSAM2_MODELS to another folder."
        raise UnwritableOutputError(msg) from error


def _finish(part: PartFile, sha256: str | None, accept: Callable[[Path], None] | None) -> str:
    found = file_sha256(part.path)
    try:
        if sha256 is not None and found != sha256.lower():
            msg = (
                f"What came for {part.target.name} is not the file: its sha256 is {found}, "
                f"not {sha256.lower()}. It was removed; try again, or on another network."
            )
            raise WeightsHashError(msg)
        if accept is not None:
            accept(part.path)
    except MedSAM2Error:
        part.remove()
        raise
    part.finish()
    return found


@dataclasses.dataclass
class _Transfer:
    """Brings the bytes of one URL into a part file, over as many connections as it takes."""

    url: str
    part: PartFile
    progress: Progress | None
    cancel: Cancel | None
    patience: Patience

    def run(self) -> None:
        import requests

        failures = 0
        while not self.part.complete(self.url):
            before = self.part.size
            try:
                with requests.Session() as session:
                    self._continue(session)
                    return
            except requests.RequestException as error:
                # Bytes came: the connection is worth another try, however often it breaks.
                failures = 1 if self.part.size > before else failures + 1
                if failures > self.patience.retries or not _worth_retrying(error):
                    raise self._refused(error) from error
                self._pause(self.patience.pause_s * 2 ** (failures - 1))

    def _continue(self, session: requests.Session) -> None:
        asked = self.part.request_headers(self.url)
        with session.get(
            self.url,
            headers={"Accept-Encoding": "identity", **asked},
            stream=True,
            timeout=self.patience.timeout_s,
        ) as response:
            status = response.status_code
            if asked and (
                status == 416 or not self.part.continues(self.url, status, response.headers)
            ):
                self.part.remove()  # another file by now: from its first byte, then
                self._continue(session)
                return
            response.raise_for_status()
            total = self.part.begin(self.url, status, response.headers)
            self._receive(response, total)

    def _receive(self, response: requests.Response, total: int | None) -> None:
        import requests

        self._report(total)
        with self.part.path.open("ab") as file:
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                file.flush()
                self._report(total)
        if total is not None and self.part.size < total:
            msg = f"the connection ended after {self.part.size} of {total} bytes"
            raise requests.ConnectionError(msg)

    def _report(self, total: int | None) -> None:
        self._check_cancelled()
        if self.progress is not None:
            self.progress(self.part.size, total)

    def _check_cancelled(self) -> None:
        if self.cancel is not None and self.cancel():
            msg = f"Cancelled; what has come of {self.part.target.name} is kept for the next try."
            raise CancelledError(msg)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_cancelled()
            time.sleep(min(left, 0.1))

    def _refused(self, error: requests.RequestException) -> DownloadError:
        status = error.response.status_code if error.response is not None else None
        why = f"the server answered {status}" if status else _reason(error)
        return DownloadError(
            f"{self.url} could not be downloaded ({why}). Fetch it on another machine and put it "
            f"at {self.part.target}, or give it with --checkpoint FILE."
        )


def _worth_retrying(error: requests.RequestException) -> bool:
    import requests

    if error.response is not None:
        return error.response.status_code in _TRY_AGAIN
    wrong_address = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
    return not isinstance(error, (*wrong_address, requests.exceptions.MissingSchema))


def _reason(error: requests.RequestException) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "the connection is not secure"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "no connection"
    return type(error).__name__
