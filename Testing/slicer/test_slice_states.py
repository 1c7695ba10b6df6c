from __future__ import annotations

import module_script  # noqa: F401 - makes the library importable
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2SlicerLib.SliceStates import (
    UNCERTAIN_BELOW,
    SliceState,
    describe,
    nextUncertain,
    sliceStates,
)

SOME = st.sets(st.integers(0, 7))


@given(
    filled=SOME,
    locked=SOME,
    prompted=SOME,
    changed=SOME,
    scores=st.dictionaries(st.integers(0, 7), st.floats(0, 1)),
)
def test_what_the_user_made_is_never_in_doubt(filled, locked, prompted, changed, scores):
    states = sliceStates(
        8, filled=filled, locked=locked, prompted=prompted, changed=changed, scores=scores
    )
    for index, state in enumerate(states):
        assert state.filled == (index in filled)
        assert state.locked == (index in locked)
        assert state.prompted == (index in prompted)
        assert state.changed == (index in changed - locked)
        doubted = scores.get(index, 1.0) < UNCERTAIN_BELOW
        assert state.uncertain == (doubted and index in filled - locked)


@given(uncertain=st.lists(st.booleans(), min_size=1, max_size=12), after=st.integers(0, 11))
def test_going_to_the_next_uncertain_slice_goes_round_all_of_them(uncertain, after):
    states = [SliceState(filled=True, uncertain=one) for one in uncertain]
    after %= len(states)
    expected = [n for n, one in enumerate(uncertain) if one]
    visited = []
    for _ in expected:
        after = nextUncertain(states, after)
        visited.append(after)
    assert sorted(visited) == expected
    assert expected or nextUncertain(states, after) is None


def test_a_slice_is_described_in_words():
    assert describe(SliceState()) == "empty"
    assert describe(SliceState(filled=True)) == "segmented"
    assert describe(SliceState(filled=True, locked=True, prompted=True)) == "locked, prompted"
    assert describe(SliceState(filled=True, changed=True, uncertain=True)) == "changed, uncertain"
