"""The options of ``medsam2 segment``, with the words that ``--help`` shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from . import values
from .output import FORMAT_NAMES

F = TypeVar("F", bound=Callable[..., Any])

_BOX_IJK = values.Value("[NAME=]I0,J0,K0,I1,J1,K1", values.box_ijk)
_BOX_MM = values.Value("[NAME=]R0,A0,S0,R1,A1,S1", values.box_mm)
_POINT = values.Value("[NAME=]I,J,K[,+|-]", values.point)
_POINT_MM = values.Value("[NAME=]R,A,S[,+|-]", values.point)
_LINE = values.Value("[NAME=]I0,J0,K0,I1,J1,K1", values.line)
_LINE_MM = values.Value("[NAME=]R0,A0,S0,R1,A1,S1", values.line)
_RANGE = values.Value("[NAME=]FIRST:LAST", values.slice_range)
_SLICE = values.Value("[NAME=]N", values.slice_number)
_FILE = values.Value("[NAME=]FILE", values.prompt_file)
_SLICES = values.Value("LIST", lambda text: (values.slice_list(text),))


def _stacked(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Makes one decorator of several, in the order in which help shows them."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _many(name: str, kind: values.Value[Any], text: str, *extra: str) -> Callable[[F], F]:
    return click.option(name, *extra, type=kind, multiple=True, metavar=kind.name, help=text)


prompt_options = _stacked(
    _many("--box-ijk", _BOX_IJK,
          "A box around the whole object, inclusive voxel indices. Repeat it for several objects; "
          "the same NAME joins prompts to one object."),
    _many("--box-mm", _BOX_MM, "The same by two opposite corners in RAS millimetres."),
    _many("--slice", _SLICE,
          "The slice that a box with four numbers lies on (I0,J0,I1,J1 for axis k); for a box "
          "with six, the slice to start from.", "slice_"),
    _many("--point", _POINT, "A click inside (+, the default) or outside (-), voxel indices."),
    _many("--point-mm", _POINT_MM, "The same in RAS millimetres."),
    _many("--line-ijk", _LINE, "The longest diameter on a slice, voxel indices."),
    _many("--line-mm", _LINE_MM, "The same in RAS millimetres."),
    _many("--prompts", _FILE,
          "A ROI, point list or line saved by Slicer (.mrk.json), or our own .json. Repeatable."),
    click.option("--mask", type=_FILE, metavar=_FILE.name,
                 help="A segmentation (.seg.nrrd) or label map with slices that are right already; "
                      "each segment is an object."),
    click.option("--mask-slices", type=_SLICES, metavar="LIST",
                 help="Which slices of --mask are right: 10,20-22 or all. They are kept as drawn."),
    _many("--range", _RANGE, "Slices to segment, both included; NAME= for one object.", "range_"),
    click.option("--axis", type=click.Choice(["auto", "i", "j", "k"]), default="auto",
                 show_default=True,
                 help="The index axis that slices are taken across; auto takes the coarsest."),
)  # fmt: skip

run_options = _stacked(
    click.option("--model", help="See: medsam2 models list.  [default: litemedsam, or the server's]"),
    click.option("--checkpoint", type=click.Path(path_type=Path), metavar="FILE",
                 help="Your own weights for the model's architecture."),
    click.option("--device", default="auto", show_default=True,
                 help="auto, cpu, cuda, cuda:N or mps."),
    click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto",
                 show_default=True, help="Number format of the heavy parts."),
    click.option("--image-size", type=click.IntRange(min=32), metavar="PX",
                 help="Side of the model's input, for SAM2 models: 512 is 8 times faster than 1024."),
    click.option("--window", default="auto", show_default=True,
                 help="How intensities are shown to the model: auto, abdomen, lung, brain, "
                      "mediastinum, bone, liver, percentile, pet, full or LOW:HIGH."),
    click.option("--direction", type=click.Choice(["both", "forward", "backward"]),
                 default="both", show_default=True, help="Which way to follow the object."),
    click.option("--keep-largest", is_flag=True, help="Keep each object's largest piece only."),
    click.option("--fill-holes", is_flag=True, help="Fill holes that are enclosed in 3D."),
)  # fmt: skip

server_options = _stacked(
    click.option("--server", metavar="URL",
                 help="Let a server do it: see medsam2 serve. The model and its device are the "
                      "server's; no name and no header of the image is sent."),
    click.option("--token-file", type=click.Path(path_type=Path), metavar="FILE",
                 help="Holds the server's token; else MEDSAM2_TOKEN, or the file of a server that "
                      "this user started on this machine."),
    click.option("--ca-file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
                 metavar="FILE", help="The authority that signed the server's certificate, PEM."),
    click.option("--insecure-http", is_flag=True,
                 help="Allow http to another machine: the image can be read on the way."),
)  # fmt: skip

result_options = _stacked(
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT",
                 help="The file to write: .seg.nrrd (names and colours), .nii.gz, .nii, .nrrd, "
                      ".mha (labels), .dcm (DICOM SEG, for DICOM input)."),
    click.option("--format", "format_", type=click.Choice(FORMAT_NAMES),
                 help="The format, where OUT has no ending."),
    click.option("--overwrite", is_flag=True, help="Replace OUT if it exists."),
    click.option("--series", metavar="UID",
                 help="Which series of a DICOM folder: its uid, or the end of it."),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
)  # fmt: skip
