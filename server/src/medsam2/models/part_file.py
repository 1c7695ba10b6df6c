"""The unfinished file of a download, and what the server said of it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medsam2.core.errors import DownloadError


class PartFile:
    """``NAME.part`` and ``NAME.part.json`` beside a target."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._notes_path = target.with_name(target.name + ".part.json")
        self._lock_path = target.with_name(f".{target.name}.lock")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def leftovers(self) -> tuple[Path, Path]:
        """The files that an unfinished download leaves."""
        return self.path, self._notes_path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing the same file meanwhile.

        Raises:
            DownloadError: another one is writing it.
        """
        import filelock

        try:
            with filelock.FileLock(self._lock_path, timeout=0):
                yield
        except filelock.Timeout as error:
            msg = f"Another program is downloading {self.target.name} now; wait for it to finish."
            raise DownloadError(msg) from error

    def complete(self, url: str) -> bool:
        """Whether all of the file that this URL offered is there."""
        notes = self._notes(url)
        return "total" in notes and self.size == notes["total"]

    def request_headers(self, url: str) -> dict[str, str]:
        """What to ask the server for: the rest of what is there, if it is still the same file."""
        notes = self._notes(url)
        if not notes or not self.size:
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        if notes.get("validator"):
            headers["If-Range"] = str(notes["validator"])
        return headers

    def finish(self) -> None:
        """Gives the file its name, at once."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self._notes_path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Leaves nothing."""
        for path in self.leftovers:
            with contextlib.suppress(OSError):
                path.unlink()

    def continues(self, url: str, status: int, headers: Mapping[str, str]) -> bool:
        """Whether an answer's bytes follow those that are there, or begin the file again."""
        if status != 206:
            return True
        notes = self._notes(url)
        same = (notes.get("total"), notes.get("validator")) == (
            _total(status, headers),
            _validator(headers),
        )
        return _first_byte(headers) == self.size and (same or not self.size)

    def begin(self, url: str, status: int, headers: Mapping[str, str]) -> int | None:
        """Makes ready for the bytes of an answer that :meth:`continues`.

        Returns:
            bytes of the whole file, None where the server does not say.

        Raises:
            OSError: there is no room for the file.
        """
        if status != 206:
            self.path.write_bytes(b"")
        total = _total(status, headers)
        notes = {"url": url, "total": total, "validator": _validator(headers)}
        self._notes_path.write_text(json.dumps(notes), encoding="utf-8")
        if total is not None and shutil.disk_usage(self.path.parent).free < total - self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return total

    def _notes(self, url: str) -> dict[str, Any]:
        """What the server said of this URL's file; empty if it said nothing of use."""
        try:
            notes = json.loads(self._notes_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        known = isinstance(notes, dict) and notes.get("url") == url
        return notes if known and (notes.get("total") or notes.get("validator")) else {}


def _total(status: int, headers: Mapping[str, str]) -> int | None:
    if status == 206:
        size = headers.get("Content-Range", "").rpartition("/")[2]
    else:
        size = headers.get("Content-Length", "")
    return int(size) if size.isdecimal() else None


def _validator(headers: Mapping[str, str]) -> str | None:
    """What changes when the file changes; a weak ETag does not promise the same bytes."""
    tag = headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return headers.get("Last-Modified")


def _first_byte(headers: Mapping[str, str]) -> int | None:
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(found[1]) if found else None
