"""Arrays in `.keras` of Keras 2: in groups that count the layers by their classes of then.

Owns which group a layer of the configuration has. Leaves what is within a group to `by_path`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast import keras_private
from holdfast.formats.legacy.translation import Translation
from holdfast.formats.live import by_path
from holdfast.formats.live.by_path import counted, match_object, own
from holdfast.formats.live.forms import forms_of
from holdfast.formats.live.matching import Form, Match, adapted, in_order, likeliest, within
from holdfast.formats.model_file import ByPath, Entry
from holdfast.types import Json

_MODELS = frozenset(["Sequential", "Functional", "Model"])


def match(model: Any, weights: ByPath, config: Json, translation: Translation) -> Match:
    """Match a model that was built of a file's configuration with its arrays.

    A layer that several models share was written once, with the first of them, and not counted in
    the others. Two layers of one name need not be one: both ways are tried.

    Args:
        model: built of the translated configuration.
        weights: of the file.
        config: the file's own.
        translation: of the configuration.
    """
    if not _layers(config):
        return by_path.match(model, weights)  # of the caller's own class
    entries, forms = own(weights), forms_of(model, translation)
    tried = []
    for shared in (True, False):
        walk = _Walk(translation.renamed, weights.counted, {} if shared else None)
        groups = list(walk.groups(model, config, "", ()))
        tried.append(_match_groups(model, entries, groups, forms))
    return likeliest(tried)


@dataclass(frozen=True)
class _Group:
    """A layer and the path of its group."""

    layer: Any
    path: str


def _match_groups(
    model: Any, entries: Mapping[str, Entry], groups: list[_Group], forms: Mapping[int, Form]
) -> Match:
    found = Match()
    taken: set[str] = set()
    for group in groups:
        prefix = f"{group.path}/"
        held = {path: entry for path, entry in entries.items() if path.startswith(prefix)}
        taken |= set(held)
        part = match_object(group.layer, {p.removeprefix(prefix): e for p, e in held.items()})
        hooked = sum(len(entries) for _, entries in part.hooks)
        if part.left or len(part.pairs) + hooked < len(held):
            part = in_order(group.layer, list(held.values()), {})
        changed = [inner for inner in within(group.layer) if id(inner) in forms]
        part.pairs = list(adapted(part.pairs, changed, forms))
        found.add(part)
    rest = {path: entry for path, entry in entries.items() if path not in taken}
    found.add(match_object(model, rest))
    return found


@dataclass
class _Walk:
    """A walk through a configuration.

    Args:
        renamed: of the translation.
        counted: whether groups are named after the classes; else after the layers.
        seen: the groups of the layers so far, by class and name; None where each has its own.
    """

    renamed: Mapping[tuple[str, ...], str]
    counted: bool
    seen: dict[tuple[str, str], str] | None

    def groups(
        self, model: Any, config: Json, prefix: str, path: tuple[str, ...]
    ) -> Iterator[_Group]:
        """Yield each layer of a model with its group.

        Args:
            model: of this configuration.
            config: of the file.
            prefix: of its groups.
            path: the names of the models that it is in.
        """
        named = {layer.name: layer for layer in model.layers}
        counts: dict[str, int] = {}
        for part in _layers(config):
            kind, name = part["class_name"], str(part["config"].get("name", part.get("name")))
            same = (kind, name)
            group = self.seen.get(same) if self.seen is not None else None
            if group is None:
                base = counted(counts, keras_private.to_snake_case(kind)) if self.counted else name
                group = f"{prefix}layers/{base}"
                if self.seen is not None:
                    self.seen[same] = group
            here = (*path, name)
            layer = named.get(self.renamed.get(here, name))
            if layer is None:
                continue
            if kind in _MODELS and hasattr(layer, "layers"):
                yield from self.groups(layer, part, f"{group}/", here)
            else:
                yield _Group(layer, group)


def _layers(config: Json) -> list[Any]:
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    return [
        part
        for part in (layers if isinstance(layers, list) else [])
        if isinstance(part, dict)
        and isinstance(part.get("class_name"), str)
        and isinstance(part.get("config"), dict)
    ]
