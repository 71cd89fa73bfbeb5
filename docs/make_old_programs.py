"""Writes the tables of docs/old-programs.md: `python docs/make_old_programs.py`.

Owns their order and form. Leaves the rows to the modules of `holdfast.compat`, beside what stands
in for the old, and all other words to the page. Rows that say the same of several spellings are
one.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import holdfast.compat
from holdfast.compat.old import Old

PAGE = Path(__file__).with_name("old-programs.md")

_SECTIONS = {
    "Modules and names": ("gone", "old_modules", "old_members"),
    "TensorFlow, where it is not installed": ("tensorflow", "tensorflow_names"),
    "Methods of models": ("old_methods", "old_data"),
    "compile": ("old_compile", "old_targets"),
    "Layers": ("old_layers", "old_inputs"),
    "Optimizers, initializers and regularizers": ("old_arguments",),
    "Callbacks": ("old_callbacks",),
    "Names in logs and in History": ("old_logs",),
    "keras.backend": ("old_backend",),
    "Saving": ("saving",),
    "Loading": ("reading",),
}
_WORDS = re.compile(r"\b(and|of|the|for|with|as|whose)\b|s' ")
_BY_SAME_NAME = re.compile(r"K\.(\w+)=keras\.ops\.\1")
_BEGIN, _END = "<!-- tables -->\n", "<!-- end tables -->"


def page(text: str) -> str:
    """Return the page with its tables as they should be."""
    found = tables()
    parts = []
    for title, names in _SECTIONS.items():
        rows = [row for name in names for row in found.pop(name, ())]
        if rows:
            parts.append(f"### {title}\n\n{_table(rows)}\n\n")
    assert not found, f"no section of the page has the rows of {', '.join(found)}"
    between = f"{_BEGIN}\n{''.join(parts)}{_END}"
    return re.sub(f"{_BEGIN}.*?{_END}", lambda _: between, text, flags=re.DOTALL)


def tables() -> dict[str, tuple[Old, ...]]:
    """Return the rows of each module that has some, by the module's name."""
    package = Path(holdfast.compat.__path__[0])
    names = [module.name for module in pkgutil.iter_modules([str(package)])]
    return {
        name: importlib.import_module(f"holdfast.compat.{name}").ROWS
        for name in names
        if re.search(r"^ROWS\b", _source(package / name), re.MULTILINE)
    }


def _source(path: Path) -> str:
    module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return module.read_text(encoding="utf-8")


def _table(rows: list[Old]) -> str:
    lines = ["| old | gone since | today | what Holdfast does |", "| --- | --- | --- | --- |"]
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        same = _BY_SAME_NAME.fullmatch(f"{row.spelling}={row.today}")
        today = "keras.ops, by the same name" if same else row.today
        alike.setdefault((row.gone, today, row.does), []).append(row.spelling)
    for (gone, today, does), spellings in alike.items():
        cells = (", ".join(map(_spelt, spellings)), gone, today, does)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _spelt(spelling: str) -> str:
    return spelling if _WORDS.search(spelling) else f"`{spelling}`"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
