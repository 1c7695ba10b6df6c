"""``medsam2 demo``: the shipped real volume, segmented from one box and compared."""

from __future__ import annotations

from pathlib import Path

import click

from medsam2.bench.metrics import dice
from medsam2.core.backend import SessionOptions
from medsam2.core.errors import NotAnImageError, UnwritableOutputError
from medsam2.core.geometry import default_axis
from medsam2.core.intensity import resolve_window
from medsam2.core.masks import BoolArray
from medsam2.core.prompts import ObjectPrompts, RoiBox
from medsam2.core.volume import Volume

from . import gather, prompt_files
from .failures import debug_option, examples
from .job import Engine, Job, run
from .output import check_place
from .picture import Picture, write_picture
from .summary import summary, summary_lines
from .values import FileValue

VOLUME, REFERENCE, ROI = "mr_t1.nii.gz", "reference.nii.gz", "roi.mrk.json"
_SHIPPED = Path("Testing", "data", "demo")


@click.command(
    short_help="Segment the shipped MR volume and compare.",
    epilog=examples("Example:", "  medsam2 demo -o demo-output"),
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    metavar="FOLDER",
    help="Where to write; it is made.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The demo's data, Testing/data/demo of a checkout, which is found by itself.",
)
@click.option("--model", default="litemedsam", show_default=True, help="See: medsam2 models list.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@debug_option
def demo(output: Path, data: Path | None, model: str, device: str) -> None:
    """Segment a sarcoma in a shipped MR volume from one ROI box, and compare it.

    It writes demo.seg.nrrd for 3D Slicer and demo.png, and replaces what an earlier run wrote.
    """
    from medsam2.io.segmentations import write_segmentation
    from medsam2.io.volumes import read_volume

    folder = find_data(data)
    _make_folder(output)
    result, image = output / "demo.seg.nrrd", output / "demo.png"
    for path in (result, image):
        check_place(path, folder / VOLUME, overwrite=True)
    volume = read_volume(folder / VOLUME)
    reference_kji = _reference(folder / REFERENCE, volume)
    job = demo_job(folder / ROI, volume, Engine(model, device=device))
    outcome = run(job)
    write_segmentation(result, outcome.segments, volume)
    mask_kji = outcome.segments[0].mask_kji
    overlap = dice(mask_kji, reference_kji)
    title = f"Sarcoma in MR T1, {model} from one ROI box: Dice {overlap:.3f}"
    roi = job.objects[0].roi or RoiBox(0, 0, (0, 0, 0, 0))
    write_picture(
        image,
        Picture(volume, outcome.axis, outcome.window, roi, mask_kji, reference_kji, title),
    )
    for line in summary_lines(summary(outcome, volume, result)):
        click.echo(line)
    click.echo(f"Wrote {image}")
    click.echo(f"Dice {overlap:.3f} against the reference, {outcome.seconds:.1f} s")


def find_data(chosen: Path | None) -> Path:
    """Returns the folder with the demo's data.

    Without a choice it is looked for in the checkout that this code is part of, then in the
    working folder and those above it.

    Raises:
        NotAnImageError: it isn't there.
    """
    here = Path.cwd()
    roots = [Path(__file__).resolve().parents[4], here, *here.parents]
    folders = [chosen] if chosen is not None else [root / _SHIPPED for root in roots]
    for folder in folders:
        if all((folder / name).is_file() for name in (VOLUME, REFERENCE, ROI)):
            return folder
    where = f"{chosen} lacks {VOLUME}, {REFERENCE} or {ROI}" if chosen else "They are not here"
    msg = f"The demo's data were not found. {where}; run it in a checkout, or give --data FOLDER."
    raise NotAnImageError(msg)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"The folder {folder} can't be made ({error.strerror}); choose another with -o."
        raise UnwritableOutputError(msg) from error


def _reference(path: Path, volume: Volume) -> BoolArray:
    from medsam2.io.segmentations import read_segments

    return read_segments(path, onto=volume).segments[0].mask_kji


def demo_job(roi_file: Path, volume: Volume, engine: Engine) -> Job:
    """Returns what the demo runs: one object from the box of a ROI file."""
    grid = gather.Grid(volume, default_axis(volume.affine_ijk_to_ras))
    value = FileValue("Sarcoma", roi_file)
    given = next(prompt_files.prompts(grid, value, prompt_files.read_file(value)))
    roi = next(found for found in given.values if isinstance(found, RoiBox))
    options = SessionOptions(grid.axis, resolve_window(volume))
    return Job(volume, [ObjectPrompts(roi=roi, name="Sarcoma")], options, engine)
