"""Imports, and the names used: each is written where today's Keras has it.

Owns import statements and every name that is no call's own affair. Leaves functions of
`keras.backend` to `backend` and arguments to `calls`, which run before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType

import libcst as cst

from holdfast.compat import old_backend, old_members
from holdfast.compat.modernize.source import Source, dotted, imports, is_chain
from holdfast.compat.modernize.today import meant, today, value, within_keras

_LINE = 100
_BACKEND = {row.spelling.removeprefix("K."): row for row in old_backend.ROWS}


@dataclass
class _Uses:
    """How the program uses a name that it imports."""

    kept: bool = False
    """Somewhere as it is."""
    rewritten: bool = False
    """Somewhere it was replaced by today's."""
    left: bool = False
    """Somewhere nothing of today's stands for it."""


@dataclass
class _Statement:
    """What an import statement becomes."""

    modules: list[str] = field(default_factory=list)
    """Those imported whole: `keras`, `numpy as np`."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """Those imported from a module."""

    def lines(self) -> list[str]:
        found = [f"import {', '.join(self.modules)}"] if self.modules else []
        for module, names in self.names.items():
            line = f"from {module} import {', '.join(names)}"
            if len(line) > _LINE:
                line = f"from {module} import (\n    " + ",\n    ".join(names) + ",\n)"
            found.append(line)
        return found


def rewrite(source: Source) -> None:
    """Write imports and names as today's Keras has them."""
    uses: dict[str, _Uses] = {}
    for node in source.nodes:
        if isinstance(node, cst.Name | cst.Attribute) and _is_reference(source, node):
            _reference(source, node, uses)
    statements = [
        node
        for node in source.nodes
        if isinstance(node, cst.Import | cst.ImportFrom)
        and any(_of_keras(full) for full, _, _ in imports(node))
    ]
    wanted = {node: _statement(source, node, uses) for node in statements}
    first = next((node for node in statements if _on_top(source, node)), None)
    bound = any("keras" in each.modules for node, each in wanted.items() if _on_top(source, node))
    seen = False
    if source.needs_keras and not bound:
        if first is None:
            _import_on_top(source)
        elif isinstance(first, cst.ImportFrom) and wanted[first].names:
            source.before(first, "import keras\n")
            seen = True
        else:
            wanted[first].modules.insert(0, "keras")
    for node, statement in wanted.items():
        if _on_top(source, node) and statement.modules == ["keras"]:
            if seen and source.text(node) != "import keras":
                statement.modules = []
            seen = True
        _write(source, node, statement)


def _is_reference(source: Source, node: cst.CSTNode) -> bool:
    parent = source.parent(node)
    while parent is not None and not isinstance(parent, cst.BaseStatement):
        if isinstance(parent, cst.Import | cst.ImportFrom):
            return False
        parent = source.parent(parent)
    parent = source.parent(node)
    if isinstance(parent, cst.Attribute) or not is_chain(node):
        # The chain that it is a part of is asked; a chain behind a call has no name.
        return False
    return not (isinstance(parent, cst.Arg) and node is parent.keyword)


def _reference(source: Source, node: cst.CSTNode, uses: dict[str, _Uses]) -> None:
    chain = [node]
    while isinstance(chain[-1], cst.Attribute):
        chain.append(chain[-1].value)
    root = chain[-1]
    assert isinstance(root, cst.Name)
    base = source.imported(root)
    if not _of_keras(base):
        return
    use = uses.setdefault(root.value, _Uses())
    if any(part in source.rewritten for part in chain):
        use.rewritten = True
        return
    for part in chain:
        full = base + dotted(part).removeprefix(root.value)
        new = today(full) or (meant(full) if part is node else None)
        if full == "tensorflow.__version__" and not _is_printed(source, node):
            new = None
        if new is None:
            continue
        within = today(base)
        if part is root or (within and new == within + full.removeprefix(base)):
            use.kept = True
            _renamed(source, root, base)
        else:
            _slip(source, part, full)
            source.replace(part, source.keras + new.removeprefix("keras"))
            use.rewritten = True
        if part is not node and isinstance(value(new), ModuleType):
            _gone(source, node, base + dotted(node).removeprefix(root.value))
        return
    use.left = True
    _gone(source, node, base + dotted(node).removeprefix(root.value))


def _is_printed(source: Source, node: cst.CSTNode) -> bool:
    """Return whether a version is shown, not compared with another."""
    at = source.parent(node)
    while at is not None and not isinstance(at, cst.Comparison | cst.BaseSmallStatement):
        if isinstance(at, cst.Call) and source.text(at.func) == "print":
            return True
        at = source.parent(at)
    return False


def _renamed(source: Source, root: cst.Name, base: str) -> None:
    """Follow an import of a name by another: `from keras.optimizers import adam`."""
    new = today(base) or meant(base) or base
    old_last, new_last = base.rsplit(".", maxsplit=1)[-1], new.rsplit(".", maxsplit=1)[-1]
    if root.value == old_last and old_last != new_last:
        source.replace(root, new_last)


def _slip(source: Source, node: cst.CSTNode, full: str) -> None:
    if today(full) is None:
        was = within_keras(full)
        source.note(node, f"{was} is taken for a slip of the pen: {meant(full)}")


def _gone(source: Source, node: cst.CSTNode, full: str) -> None:
    old = within_keras(full)
    module, _, name = old.rpartition(".")
    if not old.startswith("keras"):
        text = f"{full} is TensorFlow's own: this line needs TensorFlow"
    elif old_members.refused(module, name):
        text = old_members.refused(module, name)
    elif module == "keras.backend" and name in _BACKEND:
        text = f"{old} is gone since {_BACKEND[name].gone}; today: {_BACKEND[name].today}"
    elif module == "keras.wrappers.scikit_learn":
        text = f"today's Keras has no {old}, scikeras.wrappers has it: left as it is"
    else:
        text = f"today's Keras has no {old}: left as it is"
    source.note(node, text)


def _of_keras(full: str) -> bool:
    return full.split(".", maxsplit=1)[0] in ("keras", "tensorflow")


def _statement(
    source: Source, node: cst.Import | cst.ImportFrom, uses: dict[str, _Uses]
) -> _Statement:
    found = _Statement()
    for full, local, alias in imports(node):
        if alias is None:
            _star(source, node, full, found)
        elif not _of_keras(full):
            _keep(node, alias, found)
        elif isinstance(node, cst.Import) and alias.asname is None:
            _whole(source, node, alias, full, uses.get(local, _Uses()), found)
        else:
            _named(source, node, alias, full, uses.get(local, _Uses()), found)
    return found


def _keep(node: cst.Import | cst.ImportFrom, alias: cst.ImportAlias, found: _Statement) -> None:
    text = dotted(alias.name) + (f" as {dotted(alias.asname.name)}" if alias.asname else "")
    if isinstance(node, cst.Import):
        found.modules.append(text)
    else:
        found.names.setdefault(dotted(node.module), []).append(text)


def _star(source: Source, node: cst.CSTNode, full: str, found: _Statement) -> None:
    package = full
    while (new := today(package)) is None and "." in package:
        package = package.rsplit(".", maxsplit=1)[0]
    if new is None or new == "keras":
        source.note(node, f"today's Keras has no {within_keras(full)}: left as it is")
    found.names[full if new in (None, "keras") else str(new)] = ["*"]


def _whole(
    source: Source,
    node: cst.Import,
    alias: cst.ImportAlias,
    full: str,
    use: _Uses,
    found: _Statement,
) -> None:
    """`import keras.layers`, `import tensorflow`: the name is that of the package."""
    new = today(full)
    if full.startswith("keras"):
        found.modules.append(new or "keras")
    elif use.left:
        _keep(node, alias, found)
    elif new:
        source.needs_keras = source.keras == "keras"


def _named(
    source: Source,
    node: cst.Import | cst.ImportFrom,
    alias: cst.ImportAlias,
    full: str,
    use: _Uses,
    found: _Statement,
) -> None:
    new = today(full) or (None if full == "tensorflow" else meant(full))
    if new is None:
        if use.left:
            _keep(node, alias, found)
        return
    if use.rewritten and not (use.kept or use.left) and new != "keras":
        return
    _slip(source, node, full)
    module, _, name = new.rpartition(".")
    local = dotted(alias.asname.name) if alias.asname else None
    if not module or isinstance(node, cst.Import):
        text = new if local in (None, new) else f"{new} as {local}"
        found.modules.append(text)
    else:
        names = found.names.setdefault(module, [])
        text = f"{name} as {local}" if local else name
        if text not in names:
            names.append(text)


def _on_top(source: Source, node: cst.CSTNode) -> bool:
    line = source.parent(node)
    return line is not None and source.parent(line) is source.tree


def _import_on_top(source: Source) -> None:
    for statement in source.tree.body:
        small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
        if isinstance(small, cst.Expr) and isinstance(small.value, cst.SimpleString):
            continue
        if isinstance(small, cst.ImportFrom) and dotted(small.module) == "__future__":
            continue
        source.before(statement, "import keras\n")
        return


def _write(source: Source, node: cst.Import | cst.ImportFrom, statement: _Statement) -> None:
    same = _Statement()
    for _, _, alias in imports(node):
        if alias is None:
            same.names[dotted(node.module)] = ["*"]  # type: ignore[union-attr]
        else:
            _keep(node, alias, same)
    if statement == same:
        return
    if isinstance(node, cst.ImportFrom) and _write_within(source, node, statement, same):
        return
    lines = statement.lines()
    line = source.parent(node)
    assert isinstance(line, cst.SimpleStatementLine | cst.SimpleStatementSuite)
    alone = len(line.body) == 1
    if lines:
        indent = _indent(source, node)
        text = "\n".join(lines).replace("\n", f"\n{indent}") if alone else "; ".join(lines)
        source.replace(node, text)
    elif not alone or not _on_top(source, node):
        source.replace(node, "pass")
    else:
        _remove_line(source, node)


def _write_within(
    source: Source, node: cst.ImportFrom, statement: _Statement, same: _Statement
) -> bool:
    """Change words of a statement only, where that is enough; return whether it is."""
    if node.module is None or statement.modules or len(statement.names) != 1:
        return False
    ((module, names),) = statement.names.items()
    before = next(iter(same.names.values()))
    if len(names) != len(before):
        return False
    if module != dotted(node.module):
        source.replace(node.module, module)
    if not isinstance(node.names, cst.ImportStar):
        for alias, old, new in zip(node.names, before, names, strict=True):
            if old != new:
                source.replace(alias, new)
    return True


def _indent(source: Source, node: cst.CSTNode) -> str:
    start, _ = source.span(node)
    before = source.code.encode("utf-8")[:start].decode("utf-8")
    return before[len(before.rstrip(" \t")) :]


def _remove_line(source: Source, node: cst.CSTNode) -> None:
    start, end = source.span(node)
    code = source.code.encode("utf-8")
    stop = code.find(b"\n", end)
    rest = code[end : stop if stop >= 0 else len(code)]
    if b"#" in rest:
        source.between(start, end, "")
        source.between(end, end + len(rest) - len(rest.lstrip()), "")
        return
    source.between(start, stop + 1 if stop >= 0 else len(code), "")
