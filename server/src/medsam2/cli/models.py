"""``medsam2 models``: the models, and their weights on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .failures import debug_option, examples
from .interrupt import cancel_on_interrupt

if TYPE_CHECKING:
    from medsam2.models.library import ModelStatus
    from medsam2.models.registry import ModelCard

RESEARCH = "research only"


@click.group(
    short_help="List, download, verify or remove models.",
    epilog=examples("Examples:", "  medsam2 models list", "  medsam2 models download sam2.1-tiny"),
)
def models() -> None:
    """See which models there are, and fetch, check or remove their weights.

    Nothing is ever downloaded unless you ask for it.
    """


@models.command("list", epilog=examples("Example:", "  medsam2 models list"))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with the sha256.")
@debug_option
def list_(*, as_json: bool) -> None:
    """List all models: whether they are here, their size, prompts and licence."""
    from medsam2.models.library import list_models

    found = list_models()
    if as_json:
        click.echo(json.dumps([_entry(status) for status in found], indent=2))
        return
    for line in _table([_row(status) for status in found]):
        click.echo(line)


@models.command(epilog=examples("Example:", "  medsam2 models download medsam2-latest"))
@click.argument("model")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress bar.")
@debug_option
def download(model: str, *, quiet: bool) -> None:
    """Download the weights of MODEL; an interrupted download continues where it stopped.

    The file is compared with its known sha256 before it is used.
    """
    from tqdm import tqdm

    from medsam2.models.library import TRUST_ON_FIRST_USE, download_model
    from medsam2.models.registry import card_of

    card = card_of(model)
    click.echo(f"{card.name}: {_license(card)}", err=True)
    if card.trusts_first_download and not quiet:
        click.echo(TRUST_ON_FIRST_USE, err=True)
    bar = tqdm(
        unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=True if quiet else None
    )

    def progress(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar, cancel_on_interrupt() as token:
        path = download_model(card, progress=progress, cancel=lambda: token.cancelled)
    click.echo(str(path))


@models.command(epilog=examples("Example:", "  medsam2 models verify litemedsam"))
@click.argument("model")
@debug_option
def verify(model: str) -> None:
    """Compare the weights of MODEL with the sha256 they should have."""
    from medsam2.models.library import verify_model

    click.echo(f"{model} is sound, sha256 {verify_model(model)}")


@models.command(epilog=examples("Example:", "  medsam2 models remove sam2.1-large"))
@click.argument("model")
@debug_option
def remove(model: str) -> None:
    """Remove the downloaded weights of MODEL, finished or not."""
    from medsam2.models.library import remove_model

    freed = remove_model(model)
    click.echo(f"Removed {model}, {freed / 1e6:.0f} MB." if freed else f"{model} was not here.")


@models.command(epilog=examples("Example:", "  MEDSAM2_MODELS=/data/models medsam2 models where"))
@debug_option
def where() -> None:
    """Print the folder of downloaded weights; MEDSAM2_MODELS moves it."""
    from medsam2.models.library import where as folder

    click.echo(str(folder()))


def _license(card: ModelCard) -> str:
    mark = f" [{RESEARCH}]" if card.research_only else ""
    return f"licence {card.license}{mark}"


def _entry(status: ModelStatus) -> dict[str, Any]:
    card = status.card
    return {
        "name": card.name,
        "title": card.title,
        "installed": status.installed,
        "path": None if status.path is None else str(status.path),
        "megabytes": card.megabytes,
        "size_bytes": status.size_bytes,
        "license": card.license,
        "research_only": card.research_only,
        "prompts": sorted(card.prompts),
        "sha256": card.sha256,
        "url": card.url,
        "how_to_get": card.how_to_get,
    }


def _row(status: ModelStatus) -> tuple[str, ...]:
    card = status.card
    here = "yes" if status.installed else "no"
    license_ = card.license.split(";")[0] + (f" [{RESEARCH}]" if card.research_only else "")
    size = f"{card.megabytes} MB" if card.megabytes else "-"
    sha256 = card.sha256[:12] if card.sha256 else "-"
    prompts = " ".join(sorted(card.prompts))
    return card.name, here, size, prompts, license_, sha256, card.title


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    head = ("model", "here", "size", "prompts", "licence", "sha256", "what")
    rows = [head, *rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(head))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
