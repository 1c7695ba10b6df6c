from __future__ import annotations

import multiprocessing

import pytest

from medsam2.server import link


def test_a_message_arrives_with_its_body():
    ours, theirs = multiprocessing.Pipe()
    link.send(ours, {"kind": "job", "known": [[1, 2]]}, b"\x00\xff" * 1000)
    assert link.receive(theirs) == ({"kind": "job", "known": [[1, 2]]}, b"\x00\xff" * 1000)
    ours.close()
    with pytest.raises(EOFError):
        link.receive(theirs)
    theirs.close()
