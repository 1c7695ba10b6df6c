"""``medsam2 serve``: the inference server."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import click

from medsam2.core.errors import InputError

from .failures import debug_option, examples
from .remote import TOKEN_VARIABLE

MANY: dict[str, Any] = {"multiple": True, "metavar": "NAME"}


@click.command(
    short_help="Serve the model to other programs and machines.",
    epilog=examples(
        "For programs on this machine; the token is made and its file is printed:",
        "  medsam2 serve",
        "  medsam2 segment --server http://127.0.0.1:1527 ct.nii.gz --box-ijk ... -o out.nii.gz",
        "For other machines, with TLS:",
        "  medsam2 serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --allow-host seg.local",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=1527,
    show_default=True,
    help="0 takes a free one.",
)
@click.option("--model", default="litemedsam", show_default=True, help="See: medsam2 models list.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your own weights for the model's architecture.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Number format of the heavy parts.",
)
@click.option(
    "--image-size",
    type=click.IntRange(min=32),
    metavar="PX",
    help="Side of the model's input, for SAM2 models.",
)
@click.option(
    "--feature-cache",
    "feature_megabytes",
    type=click.IntRange(min=64),
    metavar="MB",
    help="How much to keep of encoded slices; by default what suits the device.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Who may use the server: one line each, a name and a token. Without it, one "
    f"token is taken from {TOKEN_VARIABLE}, or made and kept for the next start.",
)
@click.option(
    "--tls-cert",
    "certificate",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The certificate and its chain, PEM.",
)
@click.option(
    "--tls-key",
    "key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The certificate's private key, PEM.",
)
@click.option(
    "--insecure-http",
    is_flag=True,
    help="Listen to other machines without TLS: images and the token can then be read "
    "on the way, unless a proxy in front encrypts.",
)
@click.option("--allow-host", "allowed_hosts", help="A name under which clients reach it.", **MANY)
@click.option(
    "--allow-origin", "allowed_origins", help="A web page's origin that may use it.", **MANY
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a limit; --show-limits lists them.",
)
@click.option("--show-limits", is_flag=True, help="List the limits and stop.")
@click.option("--openapi", is_flag=True, help="Print the OpenAPI document and stop.")
@click.option("--dev", is_flag=True, help="Show the OpenAPI document at /openapi.json.")
@click.option(
    "--exit-with-parent",
    is_flag=True,
    help="End when standard input closes: with the program that started the server.",
)
@debug_option
def serve(**options: Any) -> int:  # fmt: skip
    """Serve the model over HTTP, to this machine alone unless --host says otherwise.

    Research use, not for diagnosis. Volumes, prompts and masks are held in memory only.
    """
    from medsam2.server.settings import Limits

    if options["show_limits"]:
        for field in dataclasses.fields(Limits):
            click.echo(f"{field.name}={field.default}")
        return 0
    settings, token_file = _settings(options)
    if options["openapi"]:
        from medsam2.server.app import build_app

        click.echo(json.dumps(build_app(settings).openapi(), indent=1))
        return 0
    from medsam2.server.serve import serve as run

    def announce(address: str) -> None:
        place = f"token in {token_file}" if token_file else f"token from {TOKEN_VARIABLE}"
        click.echo(f"MedSAM2 server ready at {address} ({place})")

    return run(settings, announce)


def _settings(options: dict[str, Any]) -> tuple[Any, Path | None]:
    from medsam2.models.registry import card_of
    from medsam2.server.settings import ModelChoice, Settings

    card_of(options["model"])
    choice = {field.name: options[field.name] for field in dataclasses.fields(ModelChoice)}
    same = ("host", "port", "certificate", "key", "insecure_http", "allowed_hosts",
            "allowed_origins", "dev")  # fmt: skip
    limits = _limits(options["limits"])
    tenants, token_file = _tenants(options["token_file"])
    settings = Settings(
        tenants,
        **{name: options[name] for name in same},
        limits=limits,
        model=ModelChoice(**choice),
        follow_stdin=options["exit_with_parent"],
    )
    return settings, token_file


def _tenants(path: Path | None) -> tuple[Any, Path | None]:
    """Returns who may use the server, and the file where a client finds the token."""
    from medsam2.server import tokens

    if path is not None:
        return tokens.read_tenants(path), path
    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if given:
        return (tokens.tenant_of(given),), None
    path = tokens.default_token_file()
    if not path.is_file():
        tokens.write_token_file(path, tokens.new_token())
    return tokens.read_tenants(path), path


def _limits(given: tuple[str, ...]) -> Any:
    from medsam2.server.settings import Limits

    kinds: dict[str, Any] = {f.name: type(f.default) for f in dataclasses.fields(Limits)}
    values: dict[str, Any] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            number = kinds[name](value)
        except (KeyError, ValueError):
            number = 0
        if number <= 0:
            msg = (
                f"The limit {text!r} is not NAME=VALUE above zero; see: medsam2 serve --show-limits"
            )
            raise InputError(msg)
        values[name] = number
    return Limits(**values)
