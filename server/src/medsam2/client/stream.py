"""Reading a stream of results: every record is checked against what was asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NoReturn

from medsam2.core.backend import SliceResult
from medsam2.core.errors import ServerAnswerError, WireError
from medsam2.wire import records
from medsam2.wire.records import End, Head, RecordReader, Slice

from .answer import Answer, Lost


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the results must belong to.

    Args:
        job: the job's key.
        session: the session's fingerprint.
        prompts: the digest of everything that the job was asked.
        object_ids: that may come.
        count: of slices in the volume.
        shape_rc: of each.
        index: the one slice that a prediction is for; None for a propagation.
    """

    job: str
    session: str
    prompts: str
    object_ids: frozenset[int]
    count: int
    shape_rc: tuple[int, int]
    index: int | None = None


def read_results(answer: Answer, asked: Asked, after: int) -> Iterator[Head | SliceResult | End]:
    """Yields the head, the slices and the end of one stream as they arrive.

    Args:
        answer: to the request for the results.
        asked: what they must belong to.
        after: number of the last slice that is there already.

    Raises:
        Lost: the stream was cut before its end.
        ServerAnswerError: it is damaged, or holds something else than was asked for.
    """
    checker = _Checker(asked, answer.request_id, after)
    reader = RecordReader()
    try:
        for piece in answer.pieces():
            for record, body in reader.feed(piece):
                yield checker.take(record, body)
    except WireError as error:
        _refuse(str(error))
    except Lost:
        if not checker.ended:
            raise
    if reader.pending and checker.ended:
        _refuse("Bytes follow its end.")
    if not checker.ended:
        msg = "the results were cut"
        raise Lost(msg)


class _Checker:
    """Follows one stream from its head to its end."""

    def __init__(self, asked: Asked, request_id: str, after: int) -> None:
        self._asked = asked
        self._request_id = request_id
        self._after = after
        self._last: int | None = None
        self.ended = False

    def take(self, record: records.Record, body: bytes) -> Head | SliceResult | End:
        if self.ended:
            _refuse("A record follows its end.")
        match record:
            case Head() if self._last is None:
                self._check_head(record)
                self._last = self._after
            case Slice() if self._last is not None:
                self._check_slice(record, self._last)
                self._last = record.number
                return records.result_of(record, body)
            case End() if self._last is not None:
                complete = record.last == self._last
                if not complete and (record.state == "done" or record.last < self._last):
                    _refuse("Its end does not fit its slices.")
                self.ended = True
            case _:
                _refuse("Its records are out of order.")
        return record

    def _check_head(self, head: Head) -> None:
        asked = self._asked
        theirs = head.request, head.job, head.session, head.prompts, head.after
        ours = self._request_id, asked.job, asked.session, asked.prompts, self._after
        if theirs != ours:
            _refuse("It belongs to something else.")

    def _check_slice(self, header: Slice, last: int) -> None:
        asked = self._asked
        if header.number != last + 1:
            _refuse("A slice is missing or repeated.")
        if header.object_id not in asked.object_ids or header.index >= asked.count:
            _refuse("A slice was not asked for.")
        if asked.index is not None and header.index != asked.index:
            _refuse("It is for another slice.")
        if header.shape_rc != asked.shape_rc:
            _refuse("A mask has not the volume's shape.")


def _refuse(what: str) -> NoReturn:
    msg = f"The server's stream of results can't be used. {what}"
    raise ServerAnswerError(msg) from None
