"""The entry point: the group of all commands."""

from __future__ import annotations

import sys

import click

from medsam2 import __version__

from .demo import demo
from .failures import OneLineErrors, debug_option, examples
from .info import info
from .models import models
from .segment import segment
from .serve import serve


@click.group(
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "See what is in a file, segment a structure from a box around it, try the shipped example:",
        "  medsam2 info ct.nii.gz",
        "  medsam2 segment ct.nii.gz --box-ijk liver=40,52,10,90,99,31 -o liver.seg.nrrd",
        "  medsam2 demo",
        "",
        "Each command explains itself: medsam2 segment --help",
    ),
)
@click.version_option(__version__, prog_name="medsam2")
@debug_option
def cli() -> None:
    """Segment medical volumes from a box, a click, a diameter or a painted slice."""


for command in (segment, demo, info, models, serve):
    cli.add_command(command)


def main() -> None:
    """Runs the command line with the process's own arguments."""
    cli.main(args=sys.argv[1:], prog_name="medsam2")
