"""Arguments of optimizers, layers, callbacks and losses: each as today's Keras takes it.

Owns calls by the name of what is called. Leaves methods of models to `methods` and file names to
`files`. The names of Keras 1's arguments are those that `formats` knows from old files.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import libcst as cst

from holdfast.compat.modernize.source import Source, argument, keyword, requoted, string
from holdfast.compat.modernize.today import nearest, value
from holdfast.formats.legacy.keras1_names import ARGUMENTS, EVERYWHERE, MERGES, ORDERINGS

RENAMED: dict[str, dict[str, str]] = {
    "keras.layers.LeakyReLU": {"alpha": "negative_slope"},
    "keras.callbacks.ReduceLROnPlateau": {"epsilon": "min_delta"},
    "keras.utils.to_categorical": {"nb_classes": "num_classes"},
    "keras.Model": {"input": "inputs", "output": "outputs"},
    "keras.models.Model": {"input": "inputs", "output": "outputs"},
    "keras.datasets.imdb.load_data": {"nb_words": "num_words"},
    "keras.datasets.reuters.load_data": {"nb_words": "num_words"},
    "keras.initializers.RandomNormal": {"scale": "stddev"},
    "keras.random.normal": {"std": "stddev"},
    "keras.random.uniform": {"low": "minval", "high": "maxval"},
    "keras.constraints.MaxNorm": {"m": "max_value"},
    "keras.constraints.max_norm": {"m": "max_value"},
    "keras.layers.BatchNormalization": {
        "beta_init": "beta_initializer",
        "gamma_init": "gamma_initializer",
    },
    "keras.layers.Reshape": {"dims": "target_shape"},
    "keras.utils.plot_model": {"show_layer_name": "show_layer_names"},
}
# They never changed what is computed, or are today's only way.
DROPPED: dict[str, frozenset[str]] = {
    "keras.layers.": frozenset(("consume_less", "implementation", "fused", "forget_bias_init")),
    "keras.callbacks.TensorBoard": frozenset(
        ("write_grads", "batch_size", "embeddings_layer_names", "embeddings_data")
    ),
    "keras.callbacks.ModelCheckpoint": frozenset(("options", "save_format")),
}
# Dropped only with this value, which says what is so anyway.
NEEDLESS = {"time_major": "False", "mode": "0", "renorm": "False", "axis_name": "None"}
_CONSTRAINTS = {"maxnorm": "max_norm", "nonneg": "non_neg", "unitnorm": "unit_norm"}
# How the names of layers began in Keras 1, whose kernels had two arguments.
_KERAS_1 = ("Convolution", "Atrous", "SeparableConvolution", "Deconvolution")
_SEQUENCES = ("Conv1D", "Convolution1D", "LSTM", "GRU", "SimpleRNN", "Bidirectional")


def rewrite(source: Source) -> None:
    """Write the arguments of what is called by name as today's Keras takes them."""
    for call in source.calls:
        imported = source.imported(call.func)
        name = source.name(call.func)
        if not imported or not name or not callable(value(name)):
            if imported.endswith("keras.layers.merge"):
                _merge(source, call)
            continue
        if name.startswith("keras.backend."):
            continue
        settled = {arg for arg in call.args if _is_elsewhere(name, arg)}
        if name.startswith("keras.optimizers.") and inspect.isclass(value(name)):
            settled |= _optimizer(source, call, name)
        if name == "keras.callbacks.TensorBoard":
            source.note(call, "TensorBoard writes by TensorFlow, also in today's Keras")
        if name.startswith("keras.layers."):
            settled |= _layer(source, call, name, imported)
        _by_table(source, call, name, settled)


def _is_elsewhere(name: str, arg: cst.Arg) -> bool:
    # `files` does it.
    return (
        name.endswith(".ModelCheckpoint")
        and arg.keyword is not None
        and (arg.keyword.value == "period")
    )


def _by_table(source: Source, call: cst.Call, name: str, settled: set[cst.Arg]) -> None:
    known = taken(value(name))
    if known is None:
        return
    renamed = dict(RENAMED.get(name, {}))
    known = known | set(renamed.values())
    if name.startswith("keras.layers."):
        renamed |= EVERYWHERE | ARGUMENTS.get(_canonical(name), {})
    dropped = frozenset[str]().union(*(w for n, w in DROPPED.items() if name.startswith(n)))
    for arg in call.args:
        if arg.keyword is None or arg in settled:
            continue
        word = arg.keyword.value
        _value(source, arg, word)
        if word in known and not (word in renamed and name in RENAMED):
            continue
        if word in renamed and renamed[word] in known:
            source.rename(arg, renamed[word])
        elif word in dropped or NEEDLESS.get(word) == source.text(arg.value):
            source.drop(call, arg)
        else:
            slip(source, arg, name, known)


def taken(thing: Any) -> set[str] | None:
    """Return the names of the arguments that something of Keras takes, None where it takes any."""
    try:
        if not inspect.isclass(thing):
            parameters = inspect.signature(thing).parameters.values()
            if any(each.kind is each.VAR_KEYWORD for each in parameters):
                return None
            return {each.name for each in parameters}
        found = {"input_shape", "input_dim"} if "Layer" in _bases(thing) else set()
        for base in thing.__mro__[:-1]:
            if "__init__" not in vars(base):
                continue
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            found |= {each.name for each in parameters}
            if base is thing and not any(each.kind is each.VAR_KEYWORD for each in parameters):
                break
        return found
    except (TypeError, ValueError):
        return None


def _bases(thing: type) -> set[str]:
    return {base.__name__ for base in thing.__mro__}


def _canonical(name: str) -> str:
    return str(value(name).__name__)


def slip(source: Source, arg: cst.Arg, where: str, known: set[str]) -> None:
    """Mend the name of an argument that is nearly one that there is, or say that it is none."""
    assert arg.keyword is not None
    word = arg.keyword.value
    near = nearest(word, sorted(known))
    if near is not None:
        source.rename(arg, near)
        source.note(arg, f"{where}({word}=) is taken for a slip of the pen: {near}=")
    else:
        source.note(arg, f"{where} takes no {word}= today: left as it is")


def _value(source: Source, arg: cst.Arg, word: str) -> None:
    said = string(arg.value)
    new = None
    if word == "dim_ordering":
        new = ORDERINGS.get(said or "")
    elif word.endswith("_constraint"):
        new = _CONSTRAINTS.get(said or "")
    if new is not None and isinstance(arg.value, cst.SimpleString):
        source.replace(arg.value, requoted(arg.value, new))
    if said == "hard_sigmoid":
        source.note(arg, "today's hard_sigmoid is max(0, min(1, x/6 + 0.5)), and was 0.2 x + 0.5")


# Optimizers: Keras 2's rate, which falls with every step.


def _optimizer(source: Source, call: cst.Call, name: str) -> set[cst.Arg]:
    settled = set()
    rate, decay = argument(call, "lr", 0), keyword(call, "decay")
    if rate is None:
        rate = keyword(call, "learning_rate")
    if rate is not None and rate.keyword is not None and rate.keyword.value == "lr":
        source.rename(rate, "learning_rate")
        settled.add(rate)
    epsilon = keyword(call, "epsilon")
    if epsilon is not None and source.text(epsilon.value) == "None":
        source.drop(call, epsilon)
    if decay is None:
        return settled
    settled.add(decay)
    if _number(source, decay.value) == 0:
        source.drop(call, decay)
        return settled
    head = f"{source.keras}.optimizers.schedules.InverseTimeDecay("
    tail = f", decay_steps=1, decay_rate={source.text(decay.value)})"
    if rate is not None:
        source.before(rate.value, head)
        source.after(rate.value, tail)
        source.drop(call, decay)
    else:
        default = inspect.signature(value(name)).parameters["learning_rate"].default
        source.replace(decay, f"learning_rate={head}{default}{tail}")
    if any("ReduceLROnPlateau" in source.imported(each.func) for each in source.calls):
        source.note(
            call, "ReduceLROnPlateau cannot set a rate that falls by a schedule: choose one of both"
        )
    return settled


def _number(source: Source, node: cst.CSTNode) -> float | None:
    try:
        return float(source.text(node))
    except ValueError:
        return None


# Layers.


def _layer(source: Source, call: cst.Call, name: str, imported: str) -> set[cst.Arg]:
    settled: set[cst.Arg] = set()
    rules: list[Callable[[Source, cst.Call, str, str], set[cst.Arg]]] = [
        _kernel,
        _sequence,
        _batch_shape,
        _embedding,
    ]
    for rule in rules:
        settled |= rule(source, call, name, imported)
    return settled


def _kernel(source: Source, call: cst.Call, name: str, imported: str) -> set[cst.Arg]:
    """`Convolution2D(32, 3, 3)`: the size of the kernel as two arguments, as in Keras 1."""
    if _canonical(name) not in ("Conv2D", "SeparableConv2D", "Conv2DTranspose"):
        return set()
    old = imported.rsplit(".", maxsplit=1)[-1].startswith(_KERAS_1)
    if (
        old
        and not imported.startswith("tensorflow")
        and len(call.args) >= 3
        and not any(arg.keyword or arg.star for arg in call.args[:3])
        and not isinstance(call.args[1].value, cst.Tuple | cst.List)
    ):
        source.before(call.args[1], "(")
        source.after(call.args[2], ")")
    rows, columns = keyword(call, "nb_row"), keyword(call, "nb_col")
    if rows is None or columns is None:
        return set()
    size = f"({source.text(rows.value)}, {source.text(columns.value)})"
    source.replace(rows, f"kernel_size={size}")
    source.drop(call, columns)
    return {rows, columns}


def _sequence(source: Source, call: cst.Call, name: str, imported: str) -> set[cst.Arg]:
    """`LSTM(8, input_dim=3, input_length=5)`: the input's shape as two arguments."""
    width, length = keyword(call, "input_dim"), keyword(call, "input_length")
    if _canonical(name) not in _SEQUENCES or width is None:
        return set()
    steps = source.text(length.value) if length is not None else "None"
    source.replace(width, f"input_shape=({steps}, {source.text(width.value)})")
    if length is not None:
        source.drop(call, length)
        return {width, length}
    return {width}


def _embedding(source: Source, call: cst.Call, name: str, imported: str) -> set[cst.Arg]:
    length = keyword(call, "input_length")
    if _canonical(name) != "Embedding" or length is None:
        return set()
    if source.text(length.value) == "None":
        source.drop(call, length)
    else:
        source.replace(length, f"input_shape=({source.text(length.value)},)")
    return {length}


def _batch_shape(source: Source, call: cst.Call, name: str, imported: str) -> set[cst.Arg]:
    """`batch_input_shape=(8, 5, 3)`: today the shape of an Input of its own."""
    shape = keyword(call, "batch_input_shape")
    if shape is None or _canonical(name) in ("InputLayer", "Input"):
        return set()
    if (
        isinstance(shape.value, cst.Tuple)
        and len(shape.value.elements) > 1
        and source.text(shape.value.elements[0].value) == "None"
    ):
        rest = [source.text(each.value) for each in shape.value.elements[1:]]
        inner = rest[0] + "," if len(rest) == 1 else ", ".join(rest)
        source.replace(shape, f"input_shape=({inner})")
        return {shape}
    parent = source.parent(call)
    entry = f"{source.keras}.Input(batch_shape={source.text(shape.value)})"
    if isinstance(parent, cst.Element):
        source.before(call, f"{entry}, ")
        source.drop(call, shape)
        return {shape}
    adding = source.parent(parent) if isinstance(parent, cst.Arg) else None
    if isinstance(adding, cst.Call) and source.text(adding.func).endswith(".add"):
        source.before(adding, f"{source.text(adding.func)}({entry}); ")
        source.drop(call, shape)
    else:
        source.note(shape, "today the shape with its batch is that of a keras.Input before it")
    return {shape}


def _merge(source: Source, call: cst.Call) -> None:
    """`merge([a, b], mode="concat")` of Keras 1."""
    mode = argument(call, "mode", 1)
    said = "sum" if mode is None else string(mode.value)
    layer = MERGES.get(said or "")
    if layer is None or layer == "Dot" or (mode is not None and mode.keyword is None):
        return
    function = layer.lower()
    source.replace(call.func, f"{source.keras}.layers.{function}")
    source.rewritten.add(call.func)
    if mode is not None:
        source.drop(call, mode)
    axis = keyword(call, "concat_axis")
    if axis is not None:
        source.rename(axis, "axis")
