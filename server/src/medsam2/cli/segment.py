"""``medsam2 segment``: a volume and prompts in, a segmentation out."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from medsam2.core.backend import Direction, SessionOptions
from medsam2.core.errors import InputError, PromptError
from medsam2.core.geometry import SliceAxis, default_axis
from medsam2.core.intensity import AUTO, resolve_window
from medsam2.core.prompts import ObjectPrompts
from medsam2.core.volume import Volume

from . import gather, prompt_files
from .failures import debug_option, examples
from .job import DEFAULT_MODEL, Cleanup, Engine, Job, Outcome, run
from .objects import check_supported, make_objects
from .output import check_fits, check_place, output_path
from .remote import Remote
from .segment_options import prompt_options, result_options, run_options, server_options
from .summary import summary, summary_lines, warnings_of
from .values import BoxValue, FileValue, LineValue, PointValue, RangeValue, SliceValue


@dataclasses.dataclass(frozen=True)
class Request:
    """The options of one call; see ``medsam2 segment --help``."""

    volume: Path
    output: Path
    box_ijk: Sequence[BoxValue]
    box_mm: Sequence[BoxValue]
    slice_: Sequence[SliceValue]
    point: Sequence[PointValue]
    point_mm: Sequence[PointValue]
    line_ijk: Sequence[LineValue]
    line_mm: Sequence[LineValue]
    range_: Sequence[RangeValue]
    prompts: Sequence[FileValue]
    mask: FileValue | None
    mask_slices: tuple[tuple[int, ...] | None] | None
    axis: str
    model: str | None
    checkpoint: Path | None
    device: str
    precision: str
    image_size: int | None
    window: str
    direction: str
    keep_largest: bool
    fill_holes: bool
    server: str | None
    token_file: Path | None
    ca_file: Path | None
    insecure_http: bool
    series: str | None
    format_: str | None
    overwrite: bool
    as_json: bool
    quiet: bool


@click.command(
    short_help="Segment structures of a volume from prompts.",
    epilog=examples(
        "One structure from a box around it (both corners belong to the box):",
        "  medsam2 segment ct.nii.gz --box-ijk 40,52,10,90,99,31 -o liver.seg.nrrd",
        "Two structures by name, one with a range of its own:",
        "  medsam2 segment ct.nii.gz --box-ijk liver=40,52,10,90,99,31 \\",
        "    --box-ijk spleen=120,60,12,150,95,28 --range spleen=14:26 -o organs.seg.nrrd",
        "A ROI that Slicer saved, a DICOM folder, a NIfTI label map out:",
        "  medsam2 segment dicom/ --prompts R.mrk.json -o tumour.nii.gz",
        "Two painted slices, followed over the slices between and beyond:",
        "  medsam2 segment mr.nrrd --mask drawn.seg.nrrd --mask-slices 10,20 -o out.seg.nrrd",
    ),
)
@click.argument("volume", type=click.Path(path_type=Path))
@prompt_options
@run_options
@server_options
@result_options
@debug_option
def segment(**options: Any) -> None:
    """Segment structures of VOLUME from prompts, slice by slice.

    VOLUME is NIfTI, NRRD, MetaImage, a DICOM folder or file, .npz, a multi-page TIFF or a video.
    Voxel indices i,j,k count from 0 as in Slicer's Data Probe; mm are RAS as Slicer shows them.
    """
    request = Request(**options)
    path = output_path(request.output, request.format_)
    check_place(path, request.volume, overwrite=request.overwrite)
    volume, job = _prepare(request)
    check_fits(path, volume)
    outcome = run(job, quiet=request.quiet)
    _write(path, outcome, volume, request)


def _prepare(request: Request) -> tuple[Volume, Job]:
    """Reads everything and checks it; nothing is computed yet."""
    from medsam2.io.volumes import read_volume
    from medsam2.models.registry import card_of

    engine = _engine(request)
    card = card_of(engine.model)
    files = [prompt_files.read_file(value) for value in request.prompts]
    chosen = None if request.axis == AUTO else SliceAxis.parse(request.axis)
    chosen = prompt_files.axis_of(files, chosen)
    _check_mask_options(request)
    volume = read_volume(request.volume, series=request.series)
    grid = gather.Grid(volume, chosen or default_axis(volume.affine_ijk_to_ras))
    objects = _objects(request, grid, files)
    if engine.remote is None:  # else the server says which model it has
        check_supported(objects, card.name, card.prompts)
    for prompts in objects:
        prompts.checked(volume, grid.axis)
    options = SessionOptions(grid.axis, resolve_window(volume, request.window))
    cleanup = Cleanup(request.keep_largest, request.fill_holes)
    return volume, Job(volume, objects, options, engine, Direction(request.direction), cleanup)


def _engine(request: Request) -> Engine:
    """Which model is wanted, and where."""
    own = (request.checkpoint, request.device, request.precision, request.image_size)
    if request.server is None:
        return Engine(request.model or DEFAULT_MODEL, *own)
    if own != (None, AUTO, AUTO, None):
        msg = (
            "With --server, the checkpoint, device, precision and image size are the server's: "
            "leave them out, or give them to medsam2 serve."
        )
        raise InputError(msg)
    remote = Remote(
        request.server, request.token_file, request.ca_file, request.insecure_http, request.model
    )
    return Engine(request.model or DEFAULT_MODEL, remote=remote)


def _check_mask_options(request: Request) -> None:
    if request.mask is not None and request.mask_slices is None:
        msg = "--mask needs --mask-slices: which slices are right, like 10,20-22, or all."
        raise PromptError(msg)
    if request.mask is None and request.mask_slices is not None:
        msg = "--mask-slices needs --mask FILE, the segmentation whose slices they are."
        raise PromptError(msg)


def _objects(
    request: Request, grid: gather.Grid, files: Sequence[prompt_files.Read]
) -> list[ObjectPrompts]:
    ranges = [*request.range_, *itertools.chain(*map(prompt_files.ranges, files))]
    return make_objects(_given(request, grid, files), ranges)


def _given(
    request: Request, grid: gather.Grid, files: Sequence[prompt_files.Read]
) -> Iterator[gather.Given]:
    yield from gather.boxes(grid, request.box_ijk, request.box_mm, request.slice_)
    for value, content in zip(request.prompts, files, strict=True):
        yield from prompt_files.prompts(grid, value, content)
    if request.mask is not None and request.mask_slices is not None:
        yield from prompt_files.masks(grid, request.mask, request.mask_slices[0])
    yield from gather.points(grid, request.point, in_mm=False)
    yield from gather.points(grid, request.point_mm, in_mm=True)
    yield from gather.lines(grid, request.line_ijk, in_mm=False)
    yield from gather.lines(grid, request.line_mm, in_mm=True)


def _write(path: Path, outcome: Outcome, volume: Volume, request: Request) -> None:
    from medsam2.io.segmentations import write_segmentation

    lost = write_segmentation(path, outcome.segments, volume)
    found = summary(outcome, volume, path)
    warnings = [*lost, *warnings_of(found)]
    if request.as_json:
        click.echo(json.dumps({**found, "warnings": warnings}, indent=2))
    elif not request.quiet:
        for line in summary_lines(found):
            click.echo(line)
    for warning in [] if request.as_json or request.quiet else warnings:
        click.echo(f"Warning: {warning}", err=True)
