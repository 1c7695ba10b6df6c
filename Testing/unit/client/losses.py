"""What the tests of losses share: two objects, and the masks that they have."""

from __future__ import annotations

from medsam2.core.prompts import BoxPrompt, ObjectPrompts, RoiBox

ROI = ObjectPrompts(roi=RoiBox(1, 9, (10, 12, 50, 52)), name="Other")
BOX = ObjectPrompts((BoxPrompt(6, (20, 20, 44, 44)),))


def masks(results) -> list[tuple[int, int, bytes]]:
    return [(r.object_id, r.index, r.mask_rc.bits.tobytes()) for r in results]


def run(backend, volume) -> list[tuple[int, int, bytes]]:
    with backend.open(volume) as session:
        session.put(1, ROI)
        session.put(2, BOX)
        return masks(session.propagate())
