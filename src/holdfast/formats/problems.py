"""What is unsafe or unsupported in a configuration, found by reading it and nothing else.

Owns what a configuration of Keras 1, 2 or 3 may say that would run code, reach outside the file,
or need what the file does not have. Leaves refusing it to those who build models: they go by what
they know, and this list is for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from holdfast.formats.model_file import Problem
from holdfast.types import Json

_OURS = ("builtins", "keras", "tf_keras", "holdfast")
_MOST = 200
_LONGEST = 80
_BYTECODE = ("lambda", "python_lambda")
_OUTSIDE = {
    "TFSMLayer": "runs a TensorFlow graph from another directory",
    "TorchModuleWrapper": "holds a pickled PyTorch module",
    "JaxLayer": "calls a JAX function that the file names",
    "FlaxLayer": "calls a Flax module that the file names",
    "__typespec__": "names a TensorFlow class to be imported",
}
_REPLACE = "pass what it stands for in custom_objects"


def find_problems(config: Json | None) -> tuple[Problem, ...]:
    """Return what Holdfast will not or cannot do of a configuration.

    Args:
        config: as a file has it, of any version of Keras; None where it has none.
    """
    found: dict[Problem, None] = {}
    todo: list[tuple[Json, str]] = [(config, "model")]
    while todo and len(found) < _MOST:
        value, where = todo.pop()
        if isinstance(value, list):
            todo += [(item, where) for item in reversed(value)]
        elif isinstance(value, Mapping):
            where = _name(value) or where
            found.update(dict.fromkeys(_problems(value, where)))
            for key, item in reversed(list(value.items())):
                todo.append((item, "compile arguments" if key == "compile_config" else where))
    return tuple(found)


def _name(value: Mapping[str, Json]) -> str:
    """Return the name of the layer or model that is described, or an empty text."""
    config = value.get("config")
    if "class_name" not in value or not isinstance(config, Mapping):
        return ""
    name = config.get("name", value.get("name"))
    return _short(name) if isinstance(name, str) else ""


def _problems(value: Mapping[str, Json], where: str) -> Iterator[Problem]:
    kind = value.get("class_name")
    if kind == "__lambda__":
        yield _bytecode(where)
    elif isinstance(kind, str) and kind in _OUTSIDE:
        yield Problem("unsafe", where, f"{kind} {_OUTSIDE[kind]}; {_REPLACE}")
    elif kind == "function":
        name = value.get("config")
        name = name if isinstance(name, str) else value.get("registered_name")
        yield Problem("unsupported", where, f"needs the function {_short(name)}; {_REPLACE}")
    elif kind is not None and (package := _foreign(value)):
        what = f"needs the class {_short(kind)} of {_short(package)}; {_REPLACE}"
        yield Problem("unsupported", where, what)
    config = value.get("config")
    if kind == "Lambda" and isinstance(config, Mapping):
        yield from _lambda(config, where)
    for key in value:
        # Beside bytecode stands what it is: function_type, output_shape_type, mode_type.
        if key.endswith("_type") and value[key] in _BYTECODE:
            yield _bytecode(where)
    vocabulary = value.get("vocabulary")
    if isinstance(vocabulary, str) and "class_name" not in value:
        what = f"reads its vocabulary from {_short(vocabulary)!r}, outside the file"
        yield Problem("unsafe", where, f"{what}; set it with set_vocabulary")


def _lambda(config: Mapping[str, Json], where: str) -> Iterator[Problem]:
    function = config.get("function")
    if isinstance(function, list):
        yield _bytecode(where)
    elif isinstance(function, str) and config.get("function_type") not in _BYTECODE:
        what = f"needs the function {_short(function)}; {_REPLACE}"
        yield Problem("unsupported", where, what)


def _bytecode(where: str) -> Problem:
    what = "a Lambda of Python bytecode, which is never run; pass a layer or function of that name"
    return Problem("unsafe", where, f"{what} in custom_objects")


def _foreign(value: Mapping[str, Json]) -> str:
    """Return the package outside Keras that a class is of, or an empty text."""
    module, registered = value.get("module"), value.get("registered_name")
    if isinstance(module, str) and module.split(".")[0] not in _OURS:
        return module
    if isinstance(registered, str) and ">" in registered:
        package = registered.split(">")[0]
        return "" if package.lower() in _OURS else package
    return ""


def _short(text: Json) -> str:
    text = str(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
