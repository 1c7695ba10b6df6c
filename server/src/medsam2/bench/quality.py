"""``make quality``: Dice and surface Dice from one 3D box per target on the open volumes.

The box is the reference's bounding box, its inclusive voxel indices, and nothing else of the reference
is used. Slices are taken across the axis that a user gets by default. Results are scored in the whole
volume, so what leaks out of the target counts.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medsam2.core.backend import Backend, SessionOptions
from medsam2.core.geometry import BoxIJK, default_axis
from medsam2.core.masks import BoolArray
from medsam2.core.prompts import ObjectPrompts, box_3d
from medsam2.engine.backend import LocalBackend
from medsam2.models.load import load_model

from .datasets import Case, all_cases
from .machine import describe_machine
from .metrics import dice, surface_dice

TOLERANCE_MM = 2.0
EXPLANATION = f"""\
The box is the reference's bounding box; everything in the volume is scored. Surface Dice is at
{TOLERANCE_MM:g} mm. *Plain chain* is box chaining with a 3-pixel margin from the largest slice's tight
box, *slice boxes* gives the model every slice's own tight box: both know more of the reference than
one box."""


@dataclasses.dataclass(frozen=True)
class Score:
    """One case's figures."""

    case: Case
    dice: float
    surface_dice: float
    slices: int


def tight_box(mask_kji: BoolArray) -> BoxIJK:
    """The inclusive voxel box around a mask."""
    k, j, i = (np.flatnonzero(mask_kji.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return int(i[0]), int(j[0]), int(k[0]), int(i[-1]), int(j[-1]), int(k[-1])


def score_case(backend: Backend, case: Case) -> Score:
    """Segments a case from its box and compares it with its reference."""
    volume, reference_kji = case.load()
    axis = default_axis(volume.affine_ijk_to_ras)
    with backend.open(volume, SessionOptions(axis=axis)) as session:
        session.put(1, ObjectPrompts(roi=box_3d(tight_box(reference_kji), volume, axis)))
        slices = sum(1 for _ in session.propagate())
        mask_kji = session.mask_kji(1)
    near = surface_dice(mask_kji, reference_kji, volume.spacing_ijk, TOLERANCE_MM)
    return Score(case, dice(mask_kji, reference_kji), near, slices)


def report(scores: Sequence[Score], command: str, device: str) -> str:
    """The Markdown page: summary by group, then every case."""
    machine = ", ".join(f"{key} {value}" for key, value in describe_machine().items())
    lines = [
        "# LiteMedSAM from one 3D box per target",
        "",
        f"`{command}`; {machine}; {device}.",
        "",
        EXPLANATION,
        "",
        "| group | cases | mean Dice | mean surface Dice |",
        "|---|---|---|---|",
    ]
    for group in dict.fromkeys(score.case.group for score in scores):
        part = [score for score in scores if score.case.group == group]
        lines.append(
            f"| {group} | {len(part)} | {_mean(part, 'dice')} | {_mean(part, 'surface_dice')} |"
        )
    lines += [
        f"| all | {len(scores)} | {_mean(scores, 'dice')} | {_mean(scores, 'surface_dice')} |"
    ]
    lines += [
        "",
        "| group | case | Dice | surface Dice | plain chain | slice boxes | slices |",
        "|---|---|---|---|---|---|---|",
        *(_line(score) for score in scores),
        "",
    ]
    return "\n".join(lines)


def _mean(scores: Sequence[Score], field: str) -> str:
    return f"{statistics.mean(getattr(score, field) for score in scores):.3f}"


def _line(score: Score) -> str:
    case = score.case
    known = ["" if f is None else f"{f:.2f}" for f in (case.plain_chain, case.slice_boxes)]
    figures = [f"{score.dice:.3f}", f"{score.surface_dice:.3f}", *known, str(score.slices)]
    return f"| {' | '.join([case.group, case.name, *figures])} |"


def main() -> None:
    """Scores all cases and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the open volumes")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--only", default="", help="groups whose names hold this text")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    options = parser.parse_args()
    backend = LocalBackend(load_model("litemedsam"), "cpu", options.precision)
    scores = []
    for case in all_cases(options.data):
        if options.only in case.group:
            scores.append(score_case(backend, case))
            print(_line(scores[-1]), flush=True)
    device = f"{backend.model.device}, {str(backend.compute.dtype).removeprefix('torch.')}"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(report(scores, "make quality", device), encoding="utf-8")
    print(f"Wrote {options.output}")


if __name__ == "__main__":
    main()
