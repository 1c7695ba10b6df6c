"""Tenants never see each other: every mask shows whose it is, and foreign identifiers open nothing."""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from ledger import Ledger
from load import Visit, Visitor, session_request, together
from raw_http import Answer
from server_process import ServerProcess, running

from medsam2.core.backend import SliceResult
from medsam2.core.prompts import ObjectPrompts, RoiBox
from medsam2.core.volume import Volume
from medsam2.wire import names, prompts, routes, strict, volumes
from medsam2.wire.messages import SessionState
from medsam2.wire.volumes import UploadState

TENANTS = 20
SLICES, WIDTH = 6, 24
ROWS = (4, 6)
"""Of the watermark: the tenant's number in binary, and its complement."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(tenants=TENANTS, factory="factories:fake") as server:
        yield server


def test_no_tenant_ever_sees_anything_of_another(
    server: ServerProcess, ledger: Ledger, full: bool
) -> None:
    steps = 300 if full else 15
    board = Board()
    walkers = [Walker(server, tenant, board) for tenant in range(TENANTS)]
    faults: list[str] = []
    together([lambda walker=walker: walker.walk(steps) for walker in walkers], faults)
    assert faults[:3] == []
    masks, foreign, tries, accepted, telling = (
        sum(getattr(walker.count, name) for walker in walkers)
        for name in ("masks", "foreign", "tries", "accepted", "telling")
    )
    assert min(masks, tries) > TENANTS
    what = f"{TENANTS} tenants, {steps} random requests each, thresholding backend: "
    ledger.none("P8", f"{what}masks with another's watermark", foreign, masks)
    ledger.none("P8", f"{what}identifiers accepted across tokens", accepted, tries)
    ledger.none("P8", f"{what}answers that tell another's from absent", telling, tries)


def watermarked(tenant: int) -> Volume:
    """A dark volume with bright voxels that spell the tenant's number on every slice."""
    voxels = np.zeros((SLICES, WIDTH, WIDTH), np.uint8)
    bits = bits_of(tenant)
    for row, shown in zip(ROWS, (bits, ~bits), strict=True):
        voxels[:, row, : bits.size] = 200 * shown
    voxels[:, WIDTH - 8 :] = 200  # beyond all boxes; makes the window the same for everybody
    return Volume(voxels, np.eye(4))


def bits_of(tenant: int) -> np.ndarray:
    """The tenant's number, most significant bit first."""
    return np.unpackbits(np.array([tenant], np.uint8)).astype(bool)


def shows(result: SliceResult, tenant: int) -> bool:
    """Whether a mask is this tenant's watermark and nothing else."""
    expected = watermarked(tenant).voxels_kji[result.index] > 100
    expected[WIDTH - 8 :] = False
    return np.array_equal(result.mask_rc.unpack(), expected)


@dataclasses.dataclass
class Count:
    """What a walker met with.

    Args:
        masks: that it got.
        foreign: those that are not its own.
        tries: requests that name what is another's.
        accepted: those that were not refused.
        telling: those answered differently from one about something absent.
    """

    masks: int = 0
    foreign: int = 0
    tries: int = 0
    accepted: int = 0
    telling: int = 0


class Board:
    """Everybody's identifiers, as if they had leaked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: list[tuple[int, str, str]] = []

    def tell(self, tenant: int, session: str, job: str) -> None:
        """Publishes a session and a job of it."""
        with self._lock:
            self._known.append((tenant, session, job))

    def draw(self, random_one: random.Random, tenant: int) -> tuple[int, str, str] | None:
        """Another tenant's number, session and job."""
        with self._lock:
            others = [known for known in self._known[-400:] if known[0] != tenant]
        return random_one.choice(others) if others else None


class Walker:
    """One tenant, doing at random what a client may do, and what only an intruder would.

    Args:
        server: everybody's.
        tenant: its number.
        board: others' identifiers.
    """

    def __init__(self, server: ServerProcess, tenant: int, board: Board) -> None:
        self.count = Count()
        self._server = server
        self._tenant = tenant
        self._board = board
        self._random = random.Random(tenant)
        self._volume = watermarked(tenant)
        self._visits: list[Visit] = []

    def walk(self, steps: int) -> None:
        """Takes so many steps, then closes everything."""
        with Visitor(self._server.port, self._server.tokens[self._tenant]) as visitor:
            self._visitor = visitor
            self._open()
            for _ in range(steps):
                self._random.choice(self._steps())()
            for visit in self._visits:
                self._propagate(visit)
                visit.close()

    def _steps(self) -> list[Callable[[], None]]:
        visit = self._random.choice(self._visits)
        return [
            self._open,
            self._close,
            self._intrude,
            self._intrude,
            self._squat,
            self._claim_volume,
            lambda: self._predict(visit),
            lambda: self._propagate(visit),
            lambda: visit.put(self._prompts()),
        ]

    # What a client may do

    def _prompts(self) -> ObjectPrompts:
        row = self._random.randrange(8, WIDTH - 8)
        return ObjectPrompts(roi=RoiBox(0, SLICES - 1, (0, 0, row, WIDTH - 1)))

    def _open(self) -> None:
        if len(self._visits) < 4:
            visit = self._visitor.open(self._volume)
            visit.put(self._prompts())
            self._visits.append(visit)

    def _close(self) -> None:
        if len(self._visits) > 1:
            self._visits.pop(0).close()

    def _predict(self, visit: Visit) -> None:
        self._look([visit.predict(self._random.randrange(SLICES))])

    def _propagate(self, visit: Visit) -> None:
        key = names.new_id()
        answer = visit.ask(key=key)
        self._board.tell(self._tenant, visit.key, key)
        results = visit.finished(answer, key)
        assert len(results) == SLICES
        self._look(results)

    def _look(self, results: list[SliceResult]) -> None:
        self.count.masks += len(results)
        self.count.foreign += sum(not shows(result, self._tenant) for result in results)

    # What only an intruder would do

    def _intrude(self) -> None:
        """Names what is another's; the answer must be that for something that never was."""
        known = self._board.draw(self._random, self._tenant)
        if known is None:
            return
        other, session, job = known
        mine = self._random.choice(self._visits)
        hers = volumes.wire_volume(watermarked(other)).content_hash
        way = self._random.choice(INTRUSIONS)
        found = way(self._visitor, mine, session, job, hers)
        absent = way(self._visitor, mine, names.new_id(), names.new_id(), "0" * 64)
        self.count.tries += 1
        self.count.accepted += found.status != absent.status or found.status not in {204, 404}
        self.count.telling += (found.status, found.body) != (absent.status, absent.body)

    def _squat(self) -> None:
        """Opens a session under another's identifier: a session of one's own, on one's own volume."""
        known = self._board.draw(self._random, self._tenant)
        if known is None:
            return
        path = routes.SESSION.format(session=known[1])
        request = session_request(self._volume, self._visitor.upload(self._volume))
        answer = self._visitor.get("PUT", path, strict.to_json(request))
        state = strict.from_json(SessionState, answer.body)
        self.count.tries += 1
        self.count.accepted += bool(state.objects)
        visit = Visit(self._visitor, known[1], state.fingerprint)
        visit.put(self._prompts())
        self._look(visit.propagate())
        visit.close()

    def _claim_volume(self) -> None:
        """Begins to send another's volume: that it is there already must not show."""
        other = watermarked(self._random.choice([n for n in range(TENANTS) if n != self._tenant]))
        wire = volumes.wire_volume(other)
        path = routes.VOLUME.format(volume=wire.content_hash)
        header = strict.to_json(volumes.header_of(wire))
        answer = self._visitor.get("PUT", path, header)
        self.count.tries += 1
        self.count.accepted += strict.from_json(UploadState, answer.body).complete
        self._visitor.get("DELETE", path)


Intrusion = Callable[[Visitor, Visit, str, str, str], Answer]


def _within(method: str, rest: str = "") -> Intrusion:
    """Asks about another's session, or something in it."""
    body = prompts.encode(ObjectPrompts(roi=RoiBox(0, 1, (0, 0, 9, 9))))

    def ask(visitor: Visitor, mine: Visit, session: str, job: str, hers: str) -> Answer:
        target = routes.SESSION.format(session=session) + rest.format(job=job)
        return visitor.ask(method, target, body if method == "PUT" else b"")

    return ask


def _job_in_mine(visitor: Visitor, mine: Visit, session: str, job: str, hers: str) -> Answer:
    """Looks for another's job in a session of one's own."""
    return visitor.ask("GET", f"{mine.path}/jobs/{job}/results")


def _start_there(visitor: Visitor, mine: Visit, session: str, job: str, hers: str) -> Answer:
    """Starts a job in another's session, with a fingerprint of one's own."""
    there = Visit(visitor, session, mine.fingerprint)
    there.adopt(mine)
    return there.ask()


def _open_volume(visitor: Visitor, mine: Visit, session: str, job: str, hers: str) -> Answer:
    """Opens a session on another's volume."""
    request = session_request(watermarked(0), hers)
    path = routes.SESSION.format(session=names.new_id())
    return visitor.ask("PUT", path, strict.to_json(request))


def _about_volume(method: str, rest: str = "", kind: str = routes.JSON) -> Intrusion:
    """Asks about another's volume."""

    def ask(visitor: Visitor, mine: Visit, session: str, job: str, hers: str) -> Answer:
        target = routes.VOLUME.format(volume=hers) + rest
        return visitor.ask(method, target, b"x" if method == "PUT" else b"", kind)

    return ask


INTRUSIONS: list[Intrusion] = [
    _within("GET"),
    _within("DELETE"),
    _within("PUT", "/objects/1"),
    _within("DELETE", "/objects/1"),
    _within("GET", "/jobs/{job}"),
    _within("GET", "/jobs/{job}/results"),
    _within("DELETE", "/jobs/{job}"),
    _job_in_mine,
    _start_there,
    _open_volume,
    _about_volume("GET"),
    _about_volume("DELETE"),
    _about_volume("PUT", "/chunks/0", routes.FRAME),
]
