"""A program's text, what its names mean, and the changes to be made to it.

Owns parsing, looking names up, and changing spans of the text: all that no change touches stays
byte for byte. Leaves what is to be changed to the modules beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import libcst as cst
from libcst.metadata import (
    ByteSpanPositionProvider,
    CodeSpan,
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    QualifiedNameProvider,
    QualifiedNameSource,
)

from holdfast.compat.modernize.today import alive, meant, today, within_keras
from holdfast.errors import HoldfastError


class Source:
    """A program, and the list of changes to it.

    Args:
        path: the program's file.

    Raises:
        HoldfastError: it is not a program of today's Python; says the line and the reason.
    """

    def __init__(self, path: Path) -> None:
        self.file = path.name
        try:
            tree = cst.parse_module(path.read_bytes())
        except cst.ParserSyntaxError as err:
            where, why = _failure(err, path)
            raise HoldfastError(
                f"{path.name}:{where}: this is not a program of today's Python: {why}"
            ) from None
        except (SyntaxError, UnicodeDecodeError, LookupError) as err:
            raise HoldfastError(f"{path.name} cannot be read as a program: {err}") from None
        self.encoding = tree.encoding
        self.code = tree.code
        self._newline = tree.default_newline
        self._bytes = tree.code.encode("utf-8")
        wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)
        self.tree = wrapper.module
        self._spans = wrapper.resolve(ByteSpanPositionProvider)
        self._lines = wrapper.resolve(PositionProvider)
        self._parents = wrapper.resolve(ParentNodeProvider)
        self._names = wrapper.resolve(QualifiedNameProvider)
        self.nodes = list(_walk(self.tree))
        self.calls = [node for node in self.nodes if isinstance(node, cst.Call)]
        self.assigned = [
            node for node in self.nodes if isinstance(node, cst.Assign | cst.AnnAssign)
        ]
        self._stars = self._star_imports()
        self._edits: list[tuple[int, int, str]] = []
        self._dropped: dict[cst.Call, list[cst.Arg]] = {}
        self._notes: set[tuple[int, str]] = set()
        self._strings: dict[cst.CSTNode, str] = {}
        self.rewritten: set[cst.CSTNode] = set()
        """Names, and chains of them, that were given a new text already."""
        self.needs_keras = False
        self.defines_periodic = False
        self._keras: str | None = None

    # What stands where.

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """Return the node that `node` is a part of."""
        return self._parents.get(node)

    def line(self, node: cst.CSTNode) -> int:
        """Return the line on which `node` begins."""
        return int(self._lines[node].start.line)

    def text(self, node: cst.CSTNode) -> str:
        """Return the text of `node` as the program has it, with its parentheses."""
        return self.tree.code_for_node(node)

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """Return where `node` begins and ends, in bytes."""
        span: CodeSpan = self._spans[node]
        return span.start, span.start + span.length

    # What names mean.

    def imported(self, node: cst.CSTNode) -> str:
        """Return the full name, as imported, of a name or a chain of names, or nothing."""
        if not is_chain(node):
            return ""
        found = self._names.get(node, ())
        if callable(found):
            found = found()
        names = {each.name for each in found if each.source is QualifiedNameSource.IMPORT}
        if len(names) > 1:
            names = {today(name) or within_keras(name) for name in names}
        if len(names) == 1 and all(each.source is QualifiedNameSource.IMPORT for each in found):
            return str(names.pop())
        if isinstance(node, cst.Name) and not any(
            each.source is QualifiedNameSource.LOCAL for each in found
        ):
            return next((f"{m}.{node.value}" for m in self._stars if _has(m, node.value)), "")
        return ""

    def name(self, node: cst.CSTNode) -> str:
        """Return what a name or a chain of names is called in today's Keras, or nothing."""
        imported = self.imported(node)
        return today(imported) or meant(imported) or ""

    def _star_imports(self) -> list[str]:
        found = []
        for node in self.nodes:
            if isinstance(node, cst.ImportFrom) and isinstance(node.names, cst.ImportStar):
                module = today(dotted(node.module)) if node.module and not node.relative else None
                if module:
                    found.append(module)
        return found

    @property
    def keras(self) -> str:
        """What the program calls the module `keras`; asking for it sees to it that it is there."""
        if self._keras is None:
            self._keras = self._called_keras()
            self.needs_keras = self._keras is None
        return self._keras or "keras"

    def _called_keras(self) -> str | None:
        for line in self.tree.body:
            for node in line.body if isinstance(line, cst.SimpleStatementLine) else ():
                if isinstance(node, cst.Import | cst.ImportFrom):
                    for full, local, alias in imports(node):
                        # `import keras.layers` and `import tensorflow.keras` give the package.
                        given = full if alias is None or _is_named(node, alias) else local
                        if alias is not None and today(given) == "keras":
                            return local
        return None

    # What is to be changed.

    def replace(self, node: cst.CSTNode, text: str) -> None:
        """Write `text` in place of `node`."""
        self._edits.append((*self.span(node), text))

    def between(self, start: int, end: int, text: str) -> None:
        """Write `text` in place of the bytes from `start` to `end`."""
        self._edits.append((start, end, text))

    def before(self, node: cst.CSTNode, text: str) -> None:
        """Write `text` before `node`."""
        start, _ = self.span(node)
        self._edits.append((start, start, text))

    def after(self, node: cst.CSTNode, text: str) -> None:
        """Write `text` after `node`."""
        _, end = self.span(node)
        self._edits.append((end, end, text))

    def rename(self, arg: cst.Arg, name: str) -> None:
        """Give a keyword argument another name."""
        assert arg.keyword is not None
        self.replace(arg.keyword, name)

    def drop(self, call: cst.Call, arg: cst.Arg) -> None:
        """Take an argument out of a call."""
        self._dropped.setdefault(call, []).append(arg)

    def add(self, call: cst.Call, text: str) -> None:
        """Write an argument behind the others of a call."""
        if call.args:
            self.after(call.args[-1], f", {text}")
        else:
            _, end = self.span(call)
            self._edits.append((end - 1, end - 1, text))

    def written(self, node: cst.SimpleString | cst.FormattedStringText) -> str:
        """Return what stands between the quotes of a string, as it is to be written."""
        own = node.raw_value if isinstance(node, cst.SimpleString) else node.value
        return self._strings.get(node, own)

    def write(self, node: cst.SimpleString | cst.FormattedStringText, text: str) -> None:
        """Write `text` between the quotes of a string."""
        if text != self.written(node):
            self._strings[node] = text

    def note(self, node: cst.CSTNode, text: str) -> None:
        """Say something about the line of `node`."""
        self._notes.add((self.line(node), text))

    # The outcome.

    def notes(self) -> list[str]:
        """Return what is to be said, in the order of the lines."""
        return [f"{self.file}:{line}: {text}" for line, text in sorted(self._notes)]

    def changed(self) -> str:
        """Return the program with all changes made."""
        edits = [
            (start, end, text.replace("\n", self._newline))
            for start, end, text in self._edits + self._removals() + self._string_edits()
        ]
        edits.sort(key=lambda each: each[:2])
        parts, at = [], 0
        for start, end, text in edits:
            if start < at:
                continue
            parts += [self._bytes[at:start], text.encode("utf-8")]
            at = end
        return b"".join([*parts, self._bytes[at:]]).decode("utf-8")

    def _string_edits(self) -> list[tuple[int, int, str]]:
        return [
            (*self.span(node), requoted(node, text) if isinstance(node, cst.SimpleString) else text)
            for node, text in self._strings.items()
        ]

    def _removals(self) -> list[tuple[int, int, str]]:
        removals = []
        for call, dropped in self._dropped.items():
            args = list(call.args)
            index = 0
            while index < len(args):
                if args[index] not in dropped:
                    index += 1
                    continue
                first = index
                while index < len(args) and args[index] in dropped:
                    index += 1
                start, end = self.span(args[first])[0], self.span(args[index - 1])[1]
                if index < len(args):
                    end = self.span(args[index])[0]
                elif first:
                    start = self.span(args[first - 1])[1]
                else:
                    end = self.span(call)[1] - 1
                removals.append((start, end, ""))
        return removals


def is_chain(node: cst.CSTNode) -> bool:
    """Return whether `node` is a name or names joined by points."""
    while isinstance(node, cst.Attribute):
        node = node.value
    return isinstance(node, cst.Name)


def dotted(node: cst.CSTNode | None) -> str:
    """Return a chain of names as text."""
    if isinstance(node, cst.Attribute):
        return f"{dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def imports(node: cst.Import | cst.ImportFrom) -> list[tuple[str, str, cst.ImportAlias | None]]:
    """Return what a statement imports: full name, name in the program (`*` for all), alias."""
    if isinstance(node, cst.ImportFrom):
        if node.relative or node.module is None:
            return []
        module = dotted(node.module)
        if isinstance(node.names, cst.ImportStar):
            return [(module, "*", None)]
        return [
            (f"{module}.{dotted(alias.name)}", local_name(alias), alias) for alias in node.names
        ]
    return [(dotted(alias.name), local_name(alias), alias) for alias in node.names]


def local_name(alias: cst.ImportAlias) -> str:
    """Return the name that an import gives to what it imports."""
    if alias.asname is not None:
        return dotted(alias.asname.name)
    return dotted(alias.name).split(".", maxsplit=1)[0]


def keyword(call: cst.Call, name: str) -> cst.Arg | None:
    """Return the argument that a call gives by the name `name`."""
    return next((arg for arg in call.args if arg.keyword and arg.keyword.value == name), None)


def argument(call: cst.Call, name: str, index: int) -> cst.Arg | None:
    """Return the argument that a call gives by name or as the `index`-th by position."""
    before = call.args[: index + 1]
    if len(before) == index + 1 and not any(arg.keyword or arg.star for arg in before):
        return before[index]
    return keyword(call, name)


def string(node: cst.CSTNode | None) -> str | None:
    """Return the value of a plain string, or None."""
    if isinstance(node, cst.SimpleString) and isinstance(node.evaluated_value, str):
        return node.evaluated_value
    return None


def requoted(node: cst.SimpleString, value: str) -> str:
    """Return the text of a string with the quotes of `node` and another value."""
    return f"{node.prefix}{node.quote}{value}{node.quote}"


def _is_named(node: cst.Import | cst.ImportFrom, alias: cst.ImportAlias) -> bool:
    return isinstance(node, cst.ImportFrom) or alias.asname is not None


def _walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _has(module: str, name: str) -> bool:
    return not name.startswith("_") and alive(f"{module}.{name}")


def _failure(err: cst.ParserSyntaxError, path: Path) -> tuple[int, str]:
    # Python's own parser has the better words, where it too refuses the program.
    try:
        compile(path.read_bytes(), path.name, "exec", dont_inherit=True)
    except SyntaxError as own:
        return own.lineno or err.raw_line, own.msg
    except ValueError as own:
        return err.raw_line, str(own)
    return err.raw_line, err.message.splitlines()[0]
