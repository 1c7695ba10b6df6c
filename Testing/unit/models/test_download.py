"""A download is whole and right, or it is not there."""

from __future__ import annotations

import hashlib
import itertools
import random
import sys
import threading
from pathlib import Path

import filelock
import pytest

from medsam2.core.errors import (
    CancelledError,
    DiskFullError,
    DownloadError,
    ModelError,
    UnwritableOutputError,
    WeightsHashError,
)
from medsam2.models.download import Patience, download

from .loopback import FileServer, serving

CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(timeout_s=5.0, retries=2, pause_s=0.01)


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "models" / "weights.pt"


def names(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir() if not path.name.startswith(".")}


def test_a_file_arrives_with_progress_and_nothing_else_is_left(target):
    seen: list[tuple[int, int | None]] = []
    with serving(FileServer(CONTENT)) as server:
        found = download(
            server.url, target, sha256=SHA256.upper(), progress=lambda *a: seen.append(a)
        )
    assert found == SHA256
    assert target.read_bytes() == CONTENT
    assert names(target) == {"weights.pt"}
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_a_connection_that_breaks_again_and_again_is_continued(target):
    with serving(FileServer(CONTENT, cut_after=400_000, cuts=6)) as server:
        download(server.url, target, sha256=SHA256, patience=QUICK)
    assert target.read_bytes() == CONTENT
    starts = [int(asked[6:-1]) for asked in server.asked[1:]]
    assert len(starts) == 6
    # What was on its way when a connection broke may be lost, but no more.
    assert all(300_000 < b - a <= 400_000 for a, b in itertools.pairwise([0, *starts]))


def test_a_later_call_continues_where_the_last_one_gave_up(target):
    once = Patience(timeout_s=5.0, retries=0)
    with serving(FileServer(CONTENT, cut_after=1_000_000, cuts=1)) as server:
        with pytest.raises(DownloadError, match="no connection"):
            download(server.url, target, sha256=SHA256, patience=once)
        assert names(target) == {"weights.pt.part", "weights.pt.part.json"}
        download(server.url, target, sha256=SHA256, patience=once)
    start = int(server.asked[1][6:-1])
    assert 900_000 < start <= 1_000_000
    assert target.read_bytes() == CONTENT
    assert names(target) == {"weights.pt"}


def interrupted(server: FileServer, target: Path, at: int = 1_000_000) -> None:
    server.cut_after, server.cuts = at, 1
    with pytest.raises(DownloadError):
        download(server.url, target, patience=Patience(retries=0))


def test_a_server_without_ranges_starts_again(target):
    with serving(FileServer(CONTENT, ranges=False)) as server:
        interrupted(server, target)
        download(server.url, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"two"', None, 'W/"two"'])
def test_a_file_that_changed_meanwhile_starts_again(etag, target):
    other = random.Random(1).randbytes(2_000_000)
    with serving(FileServer(CONTENT)) as server:
        interrupted(server, target)
        server.content, server.etag = other, etag
        download(server.url, target)
    assert target.read_bytes() == other


def test_a_file_that_changed_without_a_version_is_told_by_its_size(target):
    with serving(FileServer(CONTENT, etag=None)) as server:
        interrupted(server, target)
        server.content = CONTENT[:2_000_000]
        download(server.url, target)
    assert target.read_bytes() == CONTENT[:2_000_000]


def test_a_file_that_became_shorter_than_what_is_there_starts_again(target):
    with serving(FileServer(CONTENT, etag=None)) as server:
        interrupted(server, target)
        server.content = b"short"
        download(server.url, target)
    assert target.read_bytes() == b"short"
    assert server.asked[1].startswith("bytes=")
    assert server.asked[2] is None


def test_a_server_that_sends_another_range_than_asked_starts_again(target):
    with serving(FileServer(CONTENT)) as server:
        interrupted(server, target)
        server.wrong_range = True
        download(server.url, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_a_server_that_gives_short_ranges_is_asked_for_the_next(target):
    with serving(FileServer(CONTENT)) as server:
        interrupted(server, target)
        server.longest_range = 700_000
        download(server.url, target, sha256=SHA256, patience=QUICK)
    assert target.read_bytes() == CONTENT


def test_another_address_does_not_continue_the_first(target):
    with serving(FileServer(CONTENT)) as first:
        interrupted(first, target)
    with serving(FileServer(b"something else")) as second:
        download(second.url, target)
    assert target.read_bytes() == b"something else"


def test_a_finished_part_is_not_asked_for_again(target):
    with serving(FileServer(CONTENT)) as server:
        with pytest.raises(CancelledError):
            download(server.url, target, cancel=Until(len(CONTENT), target))
        assert len(server.asked) == 1
        download(server.url, target, sha256=SHA256)
        assert len(server.asked) == 1
    assert target.read_bytes() == CONTENT


def test_a_file_of_unknown_length_arrives(target):
    seen: list[tuple[int, int | None]] = []
    with serving(FileServer(CONTENT, says_length=False, etag=None)) as server:
        download(server.url, target, sha256=SHA256, progress=lambda *a: seen.append(a))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), None)


class Until:
    """Cancels once so many bytes are there."""

    def __init__(self, size: int, target: Path) -> None:
        self.size, self.part = size, target.with_name(target.name + ".part")

    def __call__(self) -> bool:
        return self.part.exists() and self.part.stat().st_size >= self.size


def test_cancelling_keeps_what_is_there_for_the_next_call(target):
    with serving(FileServer(CONTENT)) as server:
        with pytest.raises(CancelledError, match="kept for the next try"):
            download(server.url, target, cancel=Until(1, target))
        assert not target.exists()
        assert 0 < target.with_name("weights.pt.part").stat().st_size < len(CONTENT)
        download(server.url, target, sha256=SHA256)
    assert server.asked[1] is not None
    assert target.read_bytes() == CONTENT


def test_cancelling_ends_a_pause_between_two_tries(target):
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with serving(FileServer(CONTENT, statuses=[503] * 9)) as server, pytest.raises(CancelledError):
        download(server.url, target, cancel=cancelled.is_set, patience=Patience(pause_s=60.0))


def test_the_wrong_bytes_are_told_and_removed(target):
    page = FileServer(b"<html>sign in</html>")
    with serving(page) as server, pytest.raises(WeightsHashError) as caught:
        download(server.url, target, sha256=SHA256)
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(server.content).hexdigest() in str(caught.value)
    assert names(target) == set()


def test_a_failed_download_leaves_the_file_that_was_there(target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    with serving(FileServer(b"wrong")) as server, pytest.raises(WeightsHashError):
        download(server.url, target, sha256=SHA256)
    assert target.read_bytes() == b"old"


def test_what_is_not_acceptable_is_removed(target):
    def refuse(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise ModelError("no")

    with serving(FileServer(CONTENT)) as server, pytest.raises(ModelError, match="no"):
        download(server.url, target, accept=refuse)
    assert names(target) == set()


def test_a_busy_server_is_asked_again(target):
    with serving(FileServer(CONTENT, statuses=[503, 429])) as server:
        download(server.url, target, sha256=SHA256, patience=QUICK)
    assert len(server.asked) == 3


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (500, 3)])
def test_a_refusal_names_the_address_and_the_way_round(status, tries, target):
    with serving(FileServer(CONTENT, statuses=[status] * 9)) as server:
        with pytest.raises(DownloadError) as caught:
            download(server.url, target, patience=QUICK)
        assert len(server.asked) == tries
    text = str(caught.value)
    assert server.url in text
    assert f"the server answered {status}" in text
    assert "--checkpoint FILE" in text
    assert str(target) in text


def test_no_network_names_the_address_and_the_way_round(target):
    with serving(FileServer(CONTENT)) as server:
        pass
    with pytest.raises(DownloadError, match=r"no connection.*--checkpoint FILE") as caught:
        download(server.url, target, patience=QUICK)
    assert server.url in str(caught.value)
    assert names(target) == set()


def test_a_server_that_falls_silent_is_given_up(target):
    told = pytest.raises(DownloadError, match=r"did not answer in time|no connection")
    with serving(FileServer(CONTENT, stall=2.0)) as server, told:
        download(server.url, target, patience=Patience(timeout_s=0.2, retries=0))


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "weights.pt", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url, target):
    with pytest.raises(DownloadError):
        download(url, target)


def test_two_downloads_of_one_file_do_not_mix(target):
    target.parent.mkdir()
    with filelock.FileLock(target.with_name(".weights.pt.lock")):
        with serving(FileServer(CONTENT)) as server, pytest.raises(DownloadError, match="wait"):
            download(server.url, target)
        assert server.asked == []
    assert names(target) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX only")
def test_a_full_disk_leaves_nothing(target):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(FileServer(CONTENT)) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
        try:
            with pytest.raises(DiskFullError, match="make room"):
                download(server.url, target, sha256=SHA256)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(target) == set()


def test_a_disk_without_room_is_found_before_the_first_byte(target, monkeypatch):
    import collections
    import shutil

    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with serving(FileServer(CONTENT)) as server, pytest.raises(DiskFullError):
        download(server.url, target)
    assert names(target) == set()


def test_a_folder_that_can_not_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    told = pytest.raises(UnwritableOutputError, match="MEDSAM2_MODELS")
    with serving(FileServer(CONTENT)) as server, told:
        download(server.url, tmp_path / "file" / "models" / "weights.pt")
    assert server.asked == []
