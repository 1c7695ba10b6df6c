"""``make bench``: our engine against the stock SAM2 predictor, and what each saving brings.

Both sides run random SAM2.1-tiny weights of one seed on the same synthetic volume, in alternation, in
one process (memory and start-up in processes of their own). Times are wall seconds; every figure in
the *ours / stock* column is a ratio of two times of this one run.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from medsam2.core.prompts import BoxPrompt, ObjectPrompts

from .components import component_rows, encoder_rows
from .footprint import import_row, memory_row
from .rivals import Ours, Stock, phantom
from .table import Row, measure


def timed(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def first_pass_rows(slices: int, slices_1024: int, repeats: int) -> list[Row]:
    """One object through all slices with nothing cached: files, loading, prompt, propagation."""
    volume, boxes = phantom(slices)
    ours, stock, times = Ours(512), Stock(512), ([], [])  # type: tuple[Ours, Stock, tuple[list[float], list[float]]]
    for _ in range(repeats):
        times[0].append(timed(lambda: _fresh(ours, volume, boxes[:1])))
        times[1].append(timed(lambda: stock.whole_pass(volume, boxes[0])))
    mine, theirs = (statistics.median(t) for t in times)
    rows = [Row.ratio(f"first pass, {slices} slices, one object, 512 px", mine, theirs, 1.8)]
    short, boxes = phantom(slices_1024)
    mine = timed(lambda: _fresh(ours, short, boxes[:1]))
    large = Stock(1024)
    theirs = timed(lambda: large.whole_pass(short, boxes[0]))
    name = f"the same at 512 px against stock at 1024 px, {slices_1024} slices"
    return [*rows, Row.ratio(name, mine, theirs, 12.0)]


def cached_rows(slices: int) -> list[Row]:
    """What features that are kept bring: another propagation, and a prompt on another slice."""
    volume, boxes = phantom(slices)
    ours, stock = Ours(512), Stock(512)
    moved = tuple(edge + 3 for edge in boxes[0])
    with ours.session(volume) as session, tempfile.TemporaryDirectory() as folder:
        ours.run(session, boxes[:1])
        state = stock.open(volume, Path(folder))
        stock.prompt(state, boxes[0])
        stock.propagate(state)
        mine = timed(lambda: ours.run(session, [moved]))  # type: ignore[list-item]
        stock.predictor.reset_state(state)
        theirs = timed(lambda: (stock.prompt(state, moved), stock.propagate(state)))  # type: ignore[arg-type,func-returns-value]
        again = Row.ratio(f"re-propagation over {slices} slices", mine, theirs, 4.0)
        clicks: tuple[list[float], list[float]] = ([], [])
        for number, index in enumerate(range(5, min(slices, 30), 5)):
            box = BoxPrompt(index, boxes[1])
            session.put(10 + number, ObjectPrompts((box,)))
            clicks[0].append(timed(lambda n=number, i=index: session.predict(10 + n, i)))  # type: ignore[misc]
            stock.predictor.reset_state(state)
            clicks[1].append(timed(lambda i=index: stock.prompt(state, boxes[1], i)))  # type: ignore[misc]
    mine, theirs = (statistics.median(t) for t in clicks)
    return [again, Row.ratio("a prompt on another slice", mine, theirs, 20.0)]


def objects_row(slices: int) -> Row:
    """Three objects in one pass against three passes."""
    volume, boxes = phantom(slices)
    ours, stock = Ours(512), Stock(512)
    mine = timed(lambda: _fresh(ours, volume, boxes))
    theirs = timed(lambda: [stock.whole_pass(volume, box) for box in boxes])
    return Row.ratio(f"three objects, {slices} slices, against three passes", mine, theirs, 2.5)


def _fresh(ours: Ours, volume: object, boxes: object) -> None:
    ours.backend.features.clear()
    with ours.session(volume) as session:  # type: ignore[arg-type]
        ours.run(session, boxes)  # type: ignore[arg-type]


def main() -> None:
    """Runs all parts and writes ``bench-engine.md`` and ``bench-engine.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("Testing/results"))
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--slices-1024", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    parts: list[Callable[[], list[Row]]] = [
        lambda: [import_row()],
        encoder_rows,
        component_rows,
        lambda: [memory_row()],
        lambda: cached_rows(min(20, options.slices)),
        lambda: [objects_row(min(20, options.slices))],
        lambda: first_pass_rows(options.slices, options.slices_1024, options.repeats),
    ]
    measure(parts, "Engine benchmark", options.output / "bench-engine.md")


if __name__ == "__main__":
    main()
