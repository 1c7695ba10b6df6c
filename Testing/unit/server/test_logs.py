from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import threading
from typing import Any

import pytest

from medsam2.server.logs import EVENTS, FIELDS, IDS, Log, place_of, quiet_uvicorn
from medsam2.server.tokens import tenant_of

LIBRARIES = "uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access", "asyncio"
SECRET = "Doe^Jane 1.2.840.113619"


class Lines(io.StringIO):
    """A log that can be read."""

    def read_all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def _own_logging():
    """Puts the libraries' loggers back as they were."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    kept = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, kept, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_an_event_is_one_line_of_json_with_the_time(lines):
    Log(lines).event("job_over", kind="predict", state="done", slices=3, seconds=0.25)
    (line,) = lines.read_all()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*Z", line.pop("time"))
    assert line == {
        "event": "job_over", "kind": "predict", "state": "done", "slices": 3, "seconds": 0.25,
    }  # fmt: skip


def test_identifiers_are_brought_together_within_a_run_and_never_shown(lines):
    session = "0123456789abcdef" * 2
    first = Log(lines)
    for log in (first, first, Log(lines)):
        log.event("session_closed", session=session, tenant="radiology", reason="expired")
    one, two, other_run = (line["session"] for line in lines.read_all())
    assert re.fullmatch("[0-9a-f]{8}", one)
    assert one == two != other_run
    assert session[:8] not in lines.getvalue()
    assert "radiology" not in lines.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        "two words",
        "Jane in room",
        "a" * 81,
        "näme",
        "line\nbreak",
        '"',
        ["GET"],
        {"a": 1},
        b"GET",
        object(),
    ],
)
def test_only_numbers_and_plain_words_pass(lines, value):
    Log(lines).event("request", route=value)
    assert lines.read_all()[0]["route"] == "?"


def test_templates_of_addresses_and_codes_pass(lines):
    words = ["/v1/sessions/{session}/jobs/{job}", "medsam2.server.gate:12", "queue_full", ""]
    words += ["ValueError in _run:12", "KeyError in <lambda>:3"]
    for word in words:
        Log(lines).event("request", route=word)
    assert [line["route"] for line in lines.read_all()] == words


@pytest.mark.parametrize("fields", [{"path": "x"}, {"token": "x"}, {"message": "x"}])
def test_unknown_fields_and_events_are_defects(lines, fields):
    with pytest.raises(TypeError, match=next(iter(fields))):
        Log(lines).event("request", **fields)
    with pytest.raises(TypeError, match="surprise"):
        Log(lines).event("surprise")
    assert lines.getvalue() == ""


def test_the_tables_are_the_documentation():
    assert not IDS.keys() & FIELDS.keys()
    assert all(text for table in (EVENTS, IDS, FIELDS) for text in table.values())


def test_a_log_that_nobody_reads_any_more_is_no_reason_to_fail():
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    closed = io.StringIO()
    closed.close()
    for stream in (Broken(), closed):
        Log(stream).event("started", port=1)


def test_lines_of_many_threads_are_not_mixed(lines):
    log = Log(lines)
    work = [
        threading.Thread(target=lambda: [log.event("request", status=n) for n in range(50)])
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(lines.read_all()) == 200


def test_a_defects_place_is_the_innermost_one_of_our_own():
    with pytest.raises(Exception, match="token") as caught:
        tenant_of("short")
    assert re.fullmatch(r"medsam2\.server\.tokens:\d+", place_of(caught.value))
    assert place_of(ValueError(SECRET)) == "?"
    wrapped = RuntimeError("started already")
    wrapped.__cause__ = caught.value
    assert place_of(wrapped) == place_of(caught.value)


@pytest.mark.usefixtures("_own_logging")
def test_libraries_report_errors_without_their_text(lines, capfd):
    quiet_uvicorn(Log(lines))
    error = logging.getLogger("uvicorn.error")
    error.info("Started by %s", SECRET)
    error.warning(SECRET)
    logging.getLogger("uvicorn.access").warning(SECRET)
    error.error("Exception in %s", SECRET, exc_info=ValueError(SECRET))

    async def forget():
        asyncio.get_running_loop().call_exception_handler(
            {"message": SECRET, "exception": KeyError(SECRET)}
        )

    asyncio.run(forget())
    assert [(line["event"], line["level"], line["error"]) for line in lines.read_all()] == [
        ("library", "error", "ValueError"),
        ("library", "error", "KeyError"),
    ]
    assert SECRET not in lines.getvalue() + "".join(capfd.readouterr())
