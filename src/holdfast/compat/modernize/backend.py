"""Functions of `keras.backend` that today's lacks, as functions of `keras.ops`.

Owns those that can be written in one expression with the same value. Leaves the others as they
are, and `names` says so.
"""

from __future__ import annotations

import inspect

import libcst as cst

from holdfast.compat.modernize.source import Source, argument, requoted, string
from holdfast.compat.modernize.today import today, value, within_keras
from holdfast.compat.old_backend import SAME
from holdfast.formats.legacy.keras1_names import ORDERINGS

_ALSO_SAME = (
    *("argmax", "argmin", "binary_crossentropy", "cumprod", "cumsum", "expand_dims", "ndim"),
    *("ones", "ones_like", "relu", "stack", "zeros", "zeros_like"),
)
# New name, and new names of arguments.
_RENAMED: dict[str, tuple[str, dict[str, str]]] = {
    **{old: (new, {}) for old, new in SAME.items()},
    **{name: (name, {}) for name in _ALSO_SAME},
    "clip": ("clip", {"min_value": "x_min", "max_value": "x_max"}),
    "concatenate": ("concatenate", {"tensors": "xs"}),
    "get_value": ("convert_to_numpy", {}),
    "eval": ("convert_to_numpy", {}),
    "permute_dimensions": ("transpose", {"pattern": "axes"}),
    "repeat_elements": ("repeat", {"rep": "repeats"}),
    "reshape": ("reshape", {"shape": "newshape"}),
    "tile": ("tile", {"n": "repeats"}),
    "reverse": ("flip", {"axes": "axis"}),
    "gather": ("take", {"reference": "x"}),
    "flatten": ("reshape", {}),
    "cast_to_floatx": ("cast", {}),
    "l2_normalize": ("normalize", {}),
}
# Old ones had a default that today's have not, or another: the argument, its place and value.
_DEFAULTS = {
    "argmax": ("axis", 1, "-1"),
    "argmin": ("axis", 1, "-1"),
    "concatenate": ("axis", 1, "-1"),
    "cumprod": ("axis", 1, "0"),
    "cumsum": ("axis", 1, "0"),
    "expand_dims": ("axis", 1, "-1"),
    "gather": ("axis", 2, "0"),
}
_LAST = {"flatten": "(-1,)", "l2_normalize": "epsilon=1e-6"}
_ASSIGNING = {
    "set_value": "assign",
    "update": "assign",
    "update_add": "assign_add",
    "update_sub": "assign_sub",
}
_ORDER = {"set_image_dim_ordering": "set_image_data_format"}


def rewrite(source: Source) -> None:
    """Write what the program calls in the backend as today's Keras has it."""
    for call in source.calls:
        function = _function(source, call.func)
        if function is None:
            continue
        if function in _ASSIGNING and len(call.args) == 2 and not any(a.keyword for a in call.args):
            _assign(source, call, _ASSIGNING[function])
        elif function == "int_shape" and len(call.args) == 1:
            _shape(source, call)
        elif function == "sqrt" and len(call.args) == 1:
            _square_root(source, call)
        elif function == "variable" and len(call.args) == 1:
            _write(source, call.func, f"{source.keras}.Variable")
            if not isinstance(call.args[0].value, cst.Float):
                source.add(call, f"dtype={source.keras}.config.floatx()")
        elif function in _ORDER:
            _ordering(source, call, function)
        elif function in _RENAMED and _carries_over(source, call, function):
            _rename(source, call, function)
    for node in source.nodes:
        if isinstance(node, cst.Arg):
            _passed(source, node.value)
        elif isinstance(node, cst.Comparison):
            _compared_ordering(source, node)


def _passed(source: Source, node: cst.CSTNode) -> None:
    """`Lambda(K.abs)`: a function that is handed on."""
    function = _function(source, node)
    if function in SAME and node not in source.rewritten:
        _write(source, node, f"{source.keras}.ops.{SAME[function]}")


def _function(source: Source, node: cst.CSTNode) -> str | None:
    """Return the name of a function that only older backends have."""
    full = within_keras(source.imported(node))
    full = full.replace("keras.backend.tensorflow_backend.", "keras.backend.")
    if not full.startswith("keras.backend.") or today(full) is not None:
        return None
    return full.removeprefix("keras.backend.")


def _write(source: Source, node: cst.CSTNode, text: str) -> None:
    if node not in source.rewritten:
        source.replace(node, text)
        _mark(source, node)


def _mark(source: Source, node: cst.CSTNode) -> None:
    source.rewritten.add(node)


def _carries_over(source: Source, call: cst.Call, function: str) -> bool:
    new, words = _RENAMED[function]
    known = inspect.signature(value(f"keras.ops.{new}")).parameters
    given = [arg.keyword.value for arg in call.args if arg.keyword]
    if any(arg.star for arg in call.args) or not call.args:
        return False
    if any(words.get(word, word) not in known for word in given):
        return False
    if function in ("relu", "flatten", "cast_to_floatx"):
        return len(call.args) == 1 and not given
    return function != "l2_normalize" or len(call.args) == 2


def _rename(source: Source, call: cst.Call, function: str) -> None:
    new, words = _RENAMED[function]
    _write(source, call.func, f"{source.keras}.ops.{new}")
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value in words:
            source.rename(arg, words[arg.keyword.value])
    if function in _DEFAULTS:
        name, place, default = _DEFAULTS[function]
        if argument(call, name, place) is None:
            source.add(call, f"{name}={default}")
    if function in _LAST:
        source.add(call, _LAST[function])
    elif function == "cast_to_floatx":
        source.add(call, f"{source.keras}.config.floatx()")


def _assign(source: Source, call: cst.Call, method: str) -> None:
    variable, new = call.args
    source.between(source.span(call)[0], source.span(variable)[0], "")
    source.between(source.span(variable)[1], source.span(new)[0], f".{method}(")
    _mark(source, call.func)


def _shape(source: Source, call: cst.Call) -> None:
    start, end = source.span(call.args[0])
    simple = isinstance(call.args[0].value, cst.Name | cst.Attribute | cst.Call | cst.Subscript)
    source.between(source.span(call)[0], start, "" if simple else "(")
    source.between(end, source.span(call)[1], ".shape" if simple else ").shape")
    _mark(source, call.func)


def _square_root(source: Source, call: cst.Call) -> None:
    """The old one took the root of what is negative for 0."""
    ops = f"{source.keras}.ops"
    if _is_positive(source, call.args[0].value):
        _write(source, call.func, f"{ops}.sqrt")
        return
    _write(source, call.func, f"{ops}.sqrt({ops}.maximum")
    source.add(call, "0.0")
    source.after(call, ")")


def _is_positive(source: Source, node: cst.CSTNode) -> bool:
    """Return whether an expression is seen to be never negative."""
    if not isinstance(node, cst.Call) or not node.args:
        return False
    function = _function(source, node.func)
    if function == "maximum":
        least = source.text(node.args[-1].value)
        return least.endswith(".epsilon()") or least.replace(".", "").isdigit()
    if function in ("sum", "mean", "max"):
        return _is_positive(source, node.args[0].value)
    return function in ("square", "abs", "exp")


def _ordering(source: Source, call: cst.Call, function: str) -> None:
    said = string(call.args[0].value) if call.args else None
    if said in ORDERINGS:
        node = call.args[0].value
        assert isinstance(node, cst.SimpleString)
        _write(source, call.func, f"{source.keras}.config.{_ORDER[function]}")
        source.replace(node, requoted(node, ORDERINGS[said]))


def _compared_ordering(source: Source, node: cst.Comparison) -> None:
    """`K.image_dim_ordering() == "th"`."""
    call, other = node.left, node.comparisons[0].comparator
    if not isinstance(call, cst.Call):
        return
    said = string(other)
    if _function(source, call.func) == "image_dim_ordering" and said in ORDERINGS:
        assert isinstance(other, cst.SimpleString)
        _write(source, call.func, f"{source.keras}.config.image_data_format")
        source.replace(other, requoted(other, ORDERINGS[said]))
