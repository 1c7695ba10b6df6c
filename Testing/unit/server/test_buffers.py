"""Memory that is used again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medsam2.server.buffers import KEPT, Buffers


@given(st.lists(st.lists(st.binary(max_size=9), max_size=5), max_size=8))
def test_messages_come_out_as_their_parts_in_a_row(messages):
    buffers = Buffers()
    for parts in messages:
        with buffers.joined(parts) as whole:
            assert bytes(whole) == b"".join(parts)


def test_messages_at_once_have_memory_of_their_own():
    buffers = Buffers()
    with buffers.joined([b"one"]) as one, buffers.joined([b"two"]) as two:
        assert (bytes(one), bytes(two)) == (b"one", b"two")


def test_memory_is_used_again_and_only_so_much_of_it_is_kept():
    buffers = Buffers()
    with buffers.joined([b"first"]) as view:
        first = view.obj
    with buffers.joined([b"next"]) as view:
        assert view.obj is first
    blocks = [buffers.joined([b"x"]) for _ in range(KEPT + 3)]
    for block in blocks:
        block.__enter__()
    for block in blocks:
        block.__exit__(None, None, None)
    assert len(buffers._free) == KEPT
