"""Strings that a program builds: where their last part is written.

Owns following a name to its assignment, and the forms in which programs put paths together.
Leaves what a string means to `logs` and `files`.
"""

from __future__ import annotations

import libcst as cst

from holdfast.compat.modernize.source import Source, dotted, is_chain, string

Tail = cst.SimpleString | cst.FormattedStringText
# How far names are followed: a program may well say `path = join(path, name)`.
_DEPTH = 8
_WRAPPERS = ("Path", "pathlib.Path", "str", "os.fspath", "os.path.abspath", "os.path.expanduser")


def tails(source: Source, node: cst.CSTNode, depth: int = _DEPTH) -> list[Tail]:
    """Return the literals that end the string `node` may be; none where it is not seen."""
    node = meaning(source, node)
    if not depth:
        return []
    depth -= 1
    if isinstance(node, cst.SimpleString):
        return [node] if string(node) is not None else []
    if isinstance(node, cst.FormattedString):
        last = node.parts[-1] if node.parts else None
        if isinstance(last, cst.FormattedStringText):
            return [last]
        if isinstance(last, cst.FormattedStringExpression):
            return tails(source, last.expression, depth)
        return []
    if isinstance(node, cst.ConcatenatedString):
        return tails(source, node.right, depth)
    if isinstance(node, cst.BinaryOperation):
        formatted = isinstance(node.operator, cst.Modulo)
        return tails(source, node.left if formatted else node.right, depth)
    if isinstance(node, cst.IfExp):
        either = tails(source, node.body, depth)
        other = tails(source, node.orelse, depth)
        return either + other if either and other else []
    if isinstance(node, cst.Call):
        return _of_call(source, node, depth)
    return []


def meaning(source: Source, node: cst.CSTNode) -> cst.CSTNode:
    """Return the expression that a name stands for, or the node itself."""
    for _ in range(_DEPTH):
        if not is_chain(node):
            return node
        assigned = _assigned(source, node)
        if assigned is None:
            return node
        node = assigned
    return node


def key(source: Source, node: cst.CSTNode, depth: int = _DEPTH) -> str:
    """Return the same text for two expressions that are the same string."""
    node = meaning(source, node)
    said = string(node)
    if said is not None:
        return said
    if isinstance(node, cst.Call) and source.text(node.func) in _WRAPPERS and node.args and depth:
        return key(source, node.args[0].value, depth - 1)
    return f"={source.text(node)}"


def _of_call(source: Source, node: cst.Call, depth: int) -> list[Tail]:
    called = source.text(node.func)
    if called in _WRAPPERS and len(node.args) == 1:
        return tails(source, node.args[0].value, depth)
    if called.endswith(("path.join", ".joinpath")) and node.args:
        return tails(source, node.args[-1].value, depth)
    if isinstance(node.func, cst.Attribute) and node.func.attr.value == "format":
        return tails(source, node.func.value, depth)
    return []


def _assigned(source: Source, use: cst.CSTNode) -> cst.CSTNode | None:
    name = dotted(use)
    here = enclosing(source, use)
    found: list[tuple[int, cst.CSTNode]] = []
    elsewhere: list[cst.CSTNode] = []
    for node in source.assigned:
        value = _value_for(node, name)
        if value is None:
            continue
        scope = enclosing(source, node)
        if scope is here:
            found.append((source.span(node)[1], value))
        elif scope is None or "." in name:
            elsewhere.append(value)
    if isinstance(here, cst.FunctionDef) and not found and _is_parameter(here, name):
        return None
    before = [value for end, value in found if end <= source.span(use)[0]]
    if before:
        return before[-1]
    return elsewhere[0] if len(elsewhere) == 1 and not found else None


def _value_for(node: cst.Assign | cst.AnnAssign, name: str) -> cst.CSTNode | None:
    if isinstance(node, cst.Assign) and len(node.targets) == 1:
        target = node.targets[0].target
    elif isinstance(node, cst.AnnAssign):
        target = node.target
    else:
        return None
    return node.value if is_chain(target) and dotted(target) == name else None


def enclosing(source: Source, node: cst.CSTNode) -> cst.FunctionDef | None:
    """Return the function that `node` stands in."""
    at = source.parent(node)
    while at is not None and not isinstance(at, cst.FunctionDef):
        at = source.parent(at)
    return at


def _is_parameter(function: cst.FunctionDef, name: str) -> bool:
    every = function.params
    return any(
        each.name.value == name
        for each in (*every.posonly_params, *every.params, *every.kwonly_params)
    )
