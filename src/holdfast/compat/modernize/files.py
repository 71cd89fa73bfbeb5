"""File names: today's Keras wants `.weights.h5` for weights and `.keras` for models.

Owns the names of what the program saves, the same names where it loads, and the arguments that
said a format. Leaves placeholders in them to `logs`, which runs before.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

import libcst as cst

from holdfast.compat.modernize.methods import models_of
from holdfast.compat.modernize.source import Source, argument, keyword, string
from holdfast.compat.modernize.strings import key, meaning, tails

_OLD_ENDINGS = (".weights.h5", ".keras", ".hdf5", ".h5", ".ckpt", ".weights", ".tf")
_TAKEN = {
    "weights": (".weights.h5",),
    "checkpoint": (".keras", ".h5"),
    "model": (".keras", ".h5", ".hdf5"),
}
_ENDING = {"weights": ".weights.h5", "checkpoint": ".keras", "model": ".keras"}
# Where a file is wanted as two kinds, the first of them that is.
_ORDER = ("weights", "checkpoint", "model")
_SAVING = ("save_format", "options", "signatures", "save_traces")
_STATUS = ("expect_partial", "assert_consumed", "assert_existing_objects_matched")
_PERIODIC_NAME = "PeriodicCheckpoint"
_PERIODIC = '''class PeriodicCheckpoint({base}):
    """Saves after every `period`-th epoch."""

    def __init__(self, *args, period, **kwargs):
        super().__init__(*args, **kwargs)
        self.period = period
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        if self.epochs >= self.period:
            self.epochs = 0
            super().on_epoch_end(epoch, logs)


'''


_LITERAL = re.compile(r"[\"']([^\"']*)[\"']")


@dataclass
class _Written:
    """A file that the program writes."""

    path: cst.CSTNode
    kind: str
    ending: str


def rewrite(source: Source) -> None:
    """Give files the endings that today's Keras takes, where they are saved and loaded."""
    written = _written(source)
    wanted: dict[str, _Written] = {}
    for kind in reversed(_ORDER):
        wanted |= {key(source, each.path): each for each in written if each.kind == kind}
    old: dict[str, str] = {}
    for each in written:
        name = key(source, each.path)
        _write(source, each.path, wanted[name], old)
    for call in source.calls:
        _loads(source, call, old)
    _same_elsewhere(source, old)


# What is saved.


def _written(source: Source) -> list[_Written]:
    models = models_of(source)
    found = []
    for call in source.calls:
        name = source.name(call.func)
        method = call.func.attr.value if isinstance(call.func, cst.Attribute) else ""
        of_model = isinstance(call.func, cst.Attribute) and source.text(call.func.value) in models
        path, kind = None, ""
        if name.endswith("callbacks.ModelCheckpoint"):
            path, kind = argument(call, "filepath", 0), _kind(source, call)
            _period(source, call)
        elif name in ("keras.models.save_model", "keras.saving.save_model"):
            path, kind = argument(call, "filepath", 1), "model"
        elif method == "save_weights":
            path, kind = argument(call, "filepath", 0), "weights"
        elif method == "save" and of_model:
            path, kind = argument(call, "filepath", 0), "model"
        if path is None or not kind:
            continue
        said = keyword(call, "save_format")
        ending = _ENDING[kind]
        if kind == "model" and said is not None and string(said.value) in ("h5", "hdf5"):
            ending = ".h5"
        found.append(_Written(path.value, kind, ending))
        for word in _SAVING if not name.endswith("ModelCheckpoint") else ():
            arg = keyword(call, word)
            if arg is not None:
                source.drop(call, arg)
    return found


def _kind(source: Source, call: cst.Call) -> str:
    only = argument(call, "save_weights_only", 4)
    said = "False" if only is None else source.text(meaning(source, only.value))
    if said in ("True", "False"):
        return "weights" if said == "True" else "checkpoint"
    source.note(call, "files of weights end in .weights.h5 today, models in .keras: not seen which")
    return ""


def _period(source: Source, call: cst.Call) -> None:
    period = keyword(call, "period")
    if period is None:
        return
    if source.text(period.value) == "1":
        source.drop(call, period)
        return
    if not source.defines_periodic:
        source.defines_periodic = True
        _define_periodic(source, call)
    source.replace(call.func, _PERIODIC_NAME)
    source.rewritten.add(call.func)


def _define_periodic(source: Source, call: cst.Call) -> None:
    statement: cst.CSTNode | None = call
    while statement is not None and source.parent(statement) is not source.tree:
        statement = source.parent(statement)
    assert statement is not None
    start, _ = source.span(statement)
    before = source.code.encode("utf-8")[:start].decode("utf-8")
    blank = len(before) - len(before.rstrip("\r\n"))
    base = f"{source.keras}.callbacks.ModelCheckpoint"
    source.before(statement, "\n" * max(3 - blank, 0) + _PERIODIC.format(base=base))


def _write(source: Source, path: cst.CSTNode, wanted: _Written, old: dict[str, str]) -> None:
    found = tails(source, path)
    if not found:
        source.note(
            path, f"a file of this kind ends in {wanted.ending} today: its name is not seen"
        )
    for tail in found:
        before = source.written(tail)
        after = _renamed(before, wanted)
        if after == before:
            continue
        if after is None:
            source.note(path, f"a file of this kind ends in {wanted.ending} today")
            continue
        source.write(tail, after)
        source.note(tail, f"{before} becomes {after}, also for other programs that open it")
        old[key(source, path)] = wanted.ending


def _renamed(name: str, wanted: _Written) -> str | None:
    if name.endswith(_TAKEN[wanted.kind]):
        return name
    if not name or name.endswith("/"):
        return None
    return _stem(name) + wanted.ending


def _stem(name: str) -> str:
    for ending in _OLD_ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


# What is loaded.


def _loads(source: Source, call: cst.Call, old: dict[str, str]) -> None:
    if not isinstance(call.func, cst.Attribute | cst.Name):
        return
    name = source.name(call.func)
    method = call.func.attr.value if isinstance(call.func, cst.Attribute) else ""
    inner = call.func.value if isinstance(call.func, cst.Attribute) else None
    if method in _STATUS and isinstance(inner, cst.Call) and _loads_weights(source, inner):
        source.between(source.span(inner)[1], source.span(call)[1], "")
    loads_model = name.endswith(".load_model") and name.startswith("keras.")
    if method != "load_weights" and not loads_model:
        return
    options = keyword(call, "options")
    if options is not None:
        source.drop(call, options)
    path = argument(call, "filepath", 0)
    if path is None:
        return
    ending = _ending(source, path, old)
    found = tails(source, path.value)
    if ending is not None:
        for tail in found:
            if not source.written(tail).endswith(ending):
                source.write(tail, _stem(source.written(tail)) + ending)
        if keyword(call, "by_name") is not None and ending != ".h5":
            source.note(call, f"by_name= is not taken for a file that ends in {ending}")
    elif found and not all(source.written(t).endswith((".keras", ".h5", ".hdf5")) for t in found):
        source.note(
            path, f"plain Keras does not read {source.written(found[0])}: see holdfast convert"
        )


def _loads_weights(source: Source, call: cst.Call) -> bool:
    return source.text(call.func).endswith(".load_weights")


def _ending(source: Source, path: cst.Arg, old: dict[str, str]) -> str | None:
    name = key(source, path.value)
    if name in old:
        return old[name]
    if name.startswith("="):
        return None
    for saved, ending in old.items():
        if not saved.startswith("=") and "{" in saved and re.fullmatch(_pattern(saved), name):
            return ending
        if posixpath.basename(name) in (posixpath.basename(saved), *_LITERAL.findall(saved)):
            source.note(path, f"{name} is loaded, but {saved.removeprefix('=')} is what is saved")
            return ending
    return None


def _pattern(saved: str) -> str:
    return ".*".join(re.escape(part) for part in re.split(r"\{[^}]*\}", saved))


def _same_elsewhere(source: Source, old: dict[str, str]) -> None:
    """Rename a file where the program only speaks of it: `os.path.exists("best.hdf5")`."""
    for node in source.nodes:
        said = string(node)
        if said is None or said not in old or not isinstance(node, cst.SimpleString):
            continue
        if "." in said and isinstance(source.parent(node), cst.Arg):
            source.write(node, _stem(source.written(node)) + old[said])
