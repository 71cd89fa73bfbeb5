"""What Keras wrote of its objects into a SavedModel: their classes and configurations, as JSON.

Owns the three places where versions of TensorFlow kept it. Leaves the objects' edges to
`saved_objects` and their arrays to `saved_model`.

    since TF 2.5      keras_metadata.pb   1 nodes{2 node_id, 4 identifier, 5 metadata}
    TF 2.0 to 2.4     saved_model.pb      user_object{1 identifier, 3 metadata} of each object
    TF 1.x            assets/saved_model.json, of the model alone
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import FormatError
from holdfast.formats.bundle import map_file
from holdfast.formats.guard import parse_json
from holdfast.formats.saved_objects import SavedObject
from holdfast.formats.wire import Message

FILE = "keras_metadata.pb"
OLD_CONFIG = Path("assets", "saved_model.json")
_LARGEST_JSON = 256 << 20

_KINDS = frozenset(
    ("sequential", "network", "model", "layer", "rnn_layer", "input_layer", "metric")
)
_PREFIX = "_tf_keras_"


class KerasObject:
    """An object of Keras in a SavedModel, its JSON read when asked for.

    Args:
        kind: `layer`, `sequential`, `network` and so on.
        text: its JSON.
        name: what it is, for errors.
    """

    __slots__ = ("_called", "_name", "_text", "kind")

    def __init__(self, kind: str, text: bytes, name: str) -> None:
        self.kind = kind
        self._text = text
        self._name = name
        self._called: str | None = None

    def read(self) -> dict[str, Any]:
        """Return what Keras wrote of it, which is not kept: as objects it may be large.

        Raises:
            FormatError: it is no JSON of an object.
        """
        data = parse_json(self._text, self._name)
        if not isinstance(data, dict):
            raise FormatError(f"{self._name}: expected an object, found {type(data).__name__}.")
        return data

    @property
    def name(self) -> str:
        """Its name, or nothing."""
        if self._called is None:
            data = self.read()
            config = data.get("config")
            name = data.get("name", config.get("name") if isinstance(config, dict) else None)
            self._called = name if isinstance(name, str) else ""
        return self._called


def read_metadata(folder: Path, objects: tuple[SavedObject, ...]) -> Mapping[int, KerasObject]:
    """Return the objects of Keras by their number; empty where Keras did not write the file.

    Args:
        folder: of the SavedModel.
        objects: of its `saved_model.pb`.

    Raises:
        FormatError: what is there is not sound.
    """
    path = folder / FILE
    if not path.is_file():
        return {
            number: KerasObject(kind, item.metadata, f"{folder}: object {number}")
            for number, item in enumerate(objects)
            if item.metadata and (kind := _kind(item.identifier))
        }
    found: dict[int, KerasObject] = {}
    for node in Message(map_file(path), str(path)).messages(1):
        number = node.integer(2)
        if not 0 <= number < len(objects):
            raise FormatError(
                f"{path} is not sound: it says object {number}, and there are {len(objects):,}."
            )
        kind = _kind(node.text(4))
        if kind:
            text = bytes(node.blob(5) or b"")
            found[number] = KerasObject(kind, text, f"{path}: object {number}")
    return found


def _kind(identifier: str) -> str:
    kind = identifier.removeprefix(_PREFIX)
    return kind if kind != identifier and kind in _KINDS else ""


def read_old_config(folder: Path) -> dict[str, Any] | None:
    """Return the configuration that TensorFlow 1.x put among the assets, or None.

    Raises:
        FormatError: it is no JSON of an object.
    """
    path = folder / OLD_CONFIG
    if not path.is_file():
        return None
    if path.stat().st_size > _LARGEST_JSON:
        raise FormatError(f"{path} is refused: it has more than {_LARGEST_JSON:,} bytes.")
    config = parse_json(path.read_bytes(), str(path))
    if isinstance(config, str):  # written by json.dumps of what was JSON already
        config = parse_json(config, str(path))
    if not isinstance(config, dict):
        raise FormatError(f"{path}: expected an object, found {type(config).__name__}.")
    return config
