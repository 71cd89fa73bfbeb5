"""The names of logs: `val_acc` is `val_accuracy` today, `lr` is `learning_rate`.

Owns monitors, keys of histories and of logs, and placeholders in file names. Leaves the rest of a
file's name to `files`.
"""

from __future__ import annotations

import re

import libcst as cst

from holdfast.compat.modernize.source import Source, argument, dotted, is_chain, keyword, string
from holdfast.compat.modernize.strings import enclosing, meaning, tails

_ACCURACY = re.compile(r"((?:val_)?(?:\w+_)?)acc")
_PLACEHOLDER = re.compile(r"\{((?:val_)?(?:\w+_)?)acc([:}!])")
_MONITOR = {"ModelCheckpoint": 1, "EarlyStopping": 0, "ReduceLROnPlateau": 0}


def rewrite(source: Source) -> None:
    """Write the names of logs as today's Keras has them."""
    renames = _says_accuracy(source)
    for call in source.calls:
        name = source.name(call.func).rsplit(".", maxsplit=1)[-1]
        if name in _MONITOR:
            monitor = argument(call, "monitor", _MONITOR[name])
            if monitor is not None:
                _monitor(source, monitor, renames)
        if name == "ModelCheckpoint" and renames:
            path = argument(call, "filepath", 0)
            for tail in tails(source, path.value) if path is not None else ():
                source.write(tail, _PLACEHOLDER.sub(r"{\1accuracy\2", source.written(tail)))
        if call.args and _gets(source, call.func):
            _key(source, call.args[0].value, renames)
    for node in source.nodes:
        if isinstance(node, cst.Subscript) and _is_logs(source, node.value):
            index = node.slice[0].slice
            if isinstance(index, cst.Index):
                for key in _elements(index.value):
                    _key(source, key, renames)
        elif isinstance(node, cst.Comparison) and len(node.comparisons) == 1:
            if _is_within_logs(source, node.comparisons[0]):
                _key(source, node.left, renames)
        elif isinstance(node, cst.For) and isinstance(node.iter, cst.List | cst.Tuple):
            keys = _elements(node.iter) if _reads_logs_of(source, node.body, node.target) else []
            for key in keys:
                _key(source, key, renames)


def _says_accuracy(source: Source) -> bool:
    said: set[str] = set()
    for call in source.calls:
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == "compile":
            metrics = keyword(call, "metrics")
            if metrics is not None:
                said |= _strings(meaning(source, metrics.value))
    return bool(said & {"accuracy", "Accuracy"}) and "acc" not in said


def _strings(node: cst.CSTNode) -> set[str]:
    found = {string(node) or ""}
    for child in node.children:
        found |= _strings(child)
    return found - {""}


def _monitor(source: Source, monitor: cst.Arg, renames: bool) -> None:
    node = meaning(source, monitor.value)
    said = string(node)
    if said is None or not isinstance(node, cst.SimpleString):
        return
    if renames:
        _key(source, node, renames)
    elif _ACCURACY.fullmatch(said) and not _says_acc(source):
        source.note(
            monitor, f"{said!r} is logged today as the program names the metric, which is not seen"
        )


def _says_acc(source: Source) -> bool:
    return any(string(node) == "acc" for node in source.nodes)


def _key(source: Source, node: cst.CSTNode, renames: bool) -> None:
    node = meaning(source, node)
    said = string(node)
    if said is None or not isinstance(node, cst.SimpleString):
        return
    match = _ACCURACY.fullmatch(said)
    if match is not None and renames:
        source.write(node, f"{match[1]}accuracy")
    elif said == "lr":
        source.write(node, "learning_rate")


def _is_logs(source: Source, node: cst.CSTNode, depth: int = 8) -> bool:
    """Return whether an expression is the logs of an epoch or a history of them."""
    if isinstance(node, cst.Attribute):
        return node.attr.value == "history"
    if not depth:
        return False
    if isinstance(node, cst.Call):
        return any(_is_logs(source, arg.value, depth - 1) for arg in node.args)
    if not is_chain(node):
        return False
    if dotted(node) == "logs":
        return True
    meant = meaning(source, node)
    return meant is not node and _is_logs(source, meant, depth - 1)


def _elements(node: cst.CSTNode) -> list[cst.CSTNode]:
    if isinstance(node, cst.List | cst.Tuple):
        return [element.value for element in node.elements]
    return [node]


def _gets(source: Source, func: cst.CSTNode) -> bool:
    return (
        isinstance(func, cst.Attribute)
        and func.attr.value == "get"
        and _is_logs(source, func.value)
    )


def _is_within_logs(source: Source, target: cst.ComparisonTarget) -> bool:
    return isinstance(target.operator, cst.In | cst.NotIn) and _is_logs(
        source, _without_keys(target.comparator)
    )


def _without_keys(node: cst.CSTNode) -> cst.CSTNode:
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and not node.args:
        return node.func.value
    return node


def _reads_logs_of(source: Source, body: cst.CSTNode, target: cst.CSTNode) -> bool:
    """Return whether a loop looks its variable up in logs."""
    name = source.text(target)
    return any(
        isinstance(node, cst.Subscript)
        and _is_logs(source, node.value)
        and name in source.text(node.slice[0])
        and enclosing(source, node) is enclosing(source, target)
        and _within(source, node, body)
        for node in source.nodes
    )


def _within(source: Source, node: cst.CSTNode, outer: cst.CSTNode) -> bool:
    at: cst.CSTNode | None = node
    while at is not None and at is not outer:
        at = source.parent(at)
    return at is outer
