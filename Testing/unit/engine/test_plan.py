from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medsam2.core.backend import Direction
from medsam2.engine.plan import Interval, intervals, nearest

evidence_lists = st.sets(st.integers(0, 30), min_size=1, max_size=6).map(sorted)


@given(evidence_lists)
def test_every_slice_is_evidence_or_in_exactly_one_interval(evidence):
    covered = [i for part in intervals(evidence, 0, 30) for i in range(part.first, part.last + 1)]
    assert sorted(covered + evidence) == list(range(31))


@given(evidence_lists, st.sampled_from(Direction))
def test_no_interval_is_followed_through_evidence(evidence, direction):
    for part in intervals(evidence, 0, 30, direction):
        assert part.below in {None, part.first - 1}
        assert part.above in {None, part.last + 1}
        assert part.below is not None or part.above is not None


def test_a_direction_drops_what_lies_the_other_way():
    assert intervals([3, 7], 0, 9, Direction.FORWARD) == [
        Interval(4, 6, 3, None),
        Interval(8, 9, 7, None),
    ]
    assert intervals([3, 7], 0, 9, Direction.BACKWARD) == [
        Interval(0, 2, None, 3),
        Interval(4, 6, None, 7),
    ]


def test_weights_grow_linearly_towards_the_evidence_above():
    between = Interval(4, 6, 3, 7)
    assert [between.weight_above(i) for i in (4, 5, 6)] == [0.25, 0.5, 0.75]
    assert Interval(0, 2, None, 3).weight_above(1) == 1.0
    assert Interval(8, 9, 7, None).weight_above(8) == 0.0


def test_the_nearest_evidence_informs_an_interval():
    assert nearest([0, 3, 7, 20, 30], Interval(4, 6, 3, 7), 3) == (0, 3, 7)
