"""run.json: who a run is. Written once, when the run begins.

Owns its bytes: the format, the plan in words, by which a later `fit` is compared, and the
model's configuration, from which a model can be built again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from holdfast.errors import DamagedError, HoldfastError, NotARunError
from holdfast.events import build
from holdfast.store import files
from holdfast.store.layout import FORMAT, Layout
from holdfast.store.manifest import sealed, unsealed
from holdfast.types import Json


@dataclass(frozen=True)
class Identity:
    """Who a run is.

    Args:
        id: random, 16 hex digits.
        created: when, in seconds since 1970.
        versions: of what made it.
        plan: what training was asked for, by which a later plan is compared.
        model: the model's configuration as Keras serializes it, or None where it has none.
        format: of the run.
    """

    id: str
    created: float
    versions: Mapping[str, str]
    plan: Mapping[str, Json]
    model: Json
    format: int = FORMAT


def begin(
    layout: Layout, versions: Mapping[str, str], plan: Mapping[str, Json], model: Json
) -> None:
    """Begin a run, or one that has no checkpoint yet anew. Arguments as in `Identity`.

    Begun anew it stays who it is: its journal names it.
    """
    name = run_id(layout) or secrets.token_hex(8)
    write_identity(layout, Identity(name, time.time(), versions, plan, model))


def write_identity(layout: Layout, identity: Identity) -> None:
    """Make the directory a run, durably: it is one from here on."""
    for folder in (layout.packs, layout.checkpoints):
        files.make_folder(folder)
    files.make_file(layout.journal)
    # This makes the names of the others durable too.
    files.replace(layout.identity, sealed(asdict(identity)))


def load_identity(layout: Layout) -> Identity:
    """Read run.json; its sum is checked.

    Raises:
        NotARunError: there is none.
        DamagedError: it is not what was written, or nothing that Holdfast writes.
        NewerFormatError: a newer Holdfast wrote it.
    """
    path = layout.identity
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotARunError(f"{layout.root} is no run: it has no {path.name}") from error
    value = unsealed(data, path)
    try:
        return build(Identity, value)
    except ValueError as error:
        raise DamagedError(f"{path}: not readable ({error})") from error


def run_id(layout: Layout) -> str | None:
    """Return the id that the run's checkpoints name, or None where run.json cannot tell."""
    try:
        return load_identity(layout).id
    except (HoldfastError, OSError):
        return None
