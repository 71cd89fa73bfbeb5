"""The verb that serves a model over HTTP: serve.

Owns its options and who may reach it without a token. Leaves serving to `serving/server`, which is
imported when it runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from holdfast import config
from holdfast.cli import classes as class_names
from holdfast.cli import output
from holdfast.errors import NotARunError, NotThereError, PlanError

# What waits may take, where no single request may be larger.
_WAITING_BYTES = 256 << 20

_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|kB|MB|GB)?", re.IGNORECASE)
_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}


def serve(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run, or a model's file or directory.")
    ],
    *,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where to listen; 0.0.0.0 for everywhere.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=0, max=65535, help="The port; 0 for any that is free."),
    ] = 8000,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="MODEL is a run: serve its better checkpoints as they come. It must have a "
            "checkpoint.",
        ),
    ] = False,
    open_to_all: Annotated[
        bool,
        typer.Option("--open", help="Let everyone who reaches HOST ask where no token is set."),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the model is called."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Names of the classes, with commas, or a file with one a line. By default what "
            "the model's file says.",
        ),
    ] = None,
    most_batch: Annotated[
        int, typer.Option(metavar="N", min=1, help="Most rows that are judged together.")
    ] = 64,
    queue: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Most requests that wait; more are answered 503."),
    ] = 1024,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Seconds for a request to come, and again to be judged.",
        ),
    ] = 30.0,
    most_body: Annotated[
        str, typer.Option(metavar="SIZE", help="The largest request; larger are answered 413.")
    ] = "16MiB",
) -> None:
    """Serve a model over HTTP: the Open Inference Protocol v2, POST /predict, and a page at /.

    Where others reach HOST, requests must bring the token that HOLDFAST_TOKEN holds, as
    Authorization: Bearer TOKEN. SIGTERM and Ctrl-C end it once what was accepted is answered.
    """
    from holdfast.store.layout import is_run

    token = config.token()
    _check_place(host, token, open_to_all=open_to_all)
    largest = _bytes(most_body)
    if watch and not is_run(model):
        raise NotARunError(f"{model} is no run, and --watch waits for the checkpoints of one")
    if not model.exists():
        raise NotThereError(f"{model}: there is nothing")

    from holdfast.serving import server
    from holdfast.serving.batching import Limits
    from holdfast.serving.served import Served
    from holdfast.serving.watch import Watch

    names = class_names.parse(classes)

    def load() -> Served:
        return server.load(model, name, names, most_batch)

    served = load()
    server.serve(
        served,
        server.Place(host, port, token),
        Limits(most_batch, queue, max(_WAITING_BYTES, largest), timeout),
        largest,
        watch=Watch(model, load) if watch else None,
        ready=lambda address: output.say(
            f"{served.name}, version {served.version}, is served at {address}"
        ),
    )


def _check_place(host: str, token: str | None, *, open_to_all: bool) -> None:
    """Refuse to let others ask without anyone having said so."""
    from holdfast.serving.access import is_loopback

    if token is None and not open_to_all and not is_loopback(host):
        raise PlanError(
            f"others reach {host}, and no token is set: set HOLDFAST_TOKEN to what requests must "
            "bring, or say --open to let everyone ask"
        )


def _bytes(text: str) -> int:
    """Return the number of bytes of a size as people type it."""
    found = _SIZE.fullmatch(text.strip())
    size = int(found[1]) * _UNITS[(found[2] or "").lower()] if found else 0
    if not size:
        raise typer.BadParameter(
            f"expected a size such as 16MiB, found {text!r}", param_hint="--most-body"
        )
    return size
