"""The arguments of `compile` as files have them, made into those of Keras 3: JSON in, JSON out.

Owns losses, metrics and how they are nested. Leaves the optimizer to `optimizers`, and making
objects of it to `live/compiling`.

A whole model in HDF5 and a SavedModel have `training_config`, with the optimizer under
`optimizer_config` and the metrics as `compile` had resolved them, by output. A `.keras` has
`compile_config`, with what the caller had passed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from holdfast.formats.legacy.losses import (
    BY_SHAPE,
    FUNCTIONS,
    LOSS_FUNCTIONS,
    LOSSES,
    METRICS,
    REDUCTIONS,
)
from holdfast.formats.legacy.optimizers import (
    Untranslatable,
    finite,
    made,
    numbers,
    plain_name,
    translate_optimizer,
)
from holdfast.formats.model_file import Problem
from holdfast.types import Json

_NESTED = ("loss", "metrics", "weighted_metrics", "loss_weights")

Translate = Callable[[Json], Json]


def translate_training(
    training: Json | None, version: str | None, custom: Collection[str]
) -> tuple[dict[str, Json] | None, tuple[Problem, ...]]:
    """Return the arguments of `compile` as Keras 3 serializes them, and what is in the way.

    Args:
        training: as the file has them, or None.
        version: of the Keras that wrote it.
        custom: names of the classes and functions that the caller has.

    Returns:
        No arguments where the file has none or where there are problems.
    """
    if not isinstance(training, dict) or not training:
        return None, ()
    old = "optimizer_config" in training
    if numbers(version)[0] >= 3 and not old:
        return _of_keras3(training)
    new: dict[str, Json] = {}
    problems: list[Problem] = []

    def attempt(key: str, translate: Translate, value: Json) -> None:
        try:
            new[key] = translate(value)
        except Untranslatable as error:
            problems.append(error.problem)

    optimizer = training.get("optimizer_config" if old else "optimizer")
    attempt("optimizer", lambda value: _optimizer(value, version, custom), optimizer)
    one: dict[str, Translate] = {
        "loss": lambda value: _loss(value, version, custom),
        "metrics": lambda value: _metric(value, version, custom),
        "weighted_metrics": lambda value: _metric(value, version, custom),
        "loss_weights": _weight,
    }
    for key in _NESTED:
        attempt(key, lambda value, key=key: _each(value, one[key]), training.get(key))  # type: ignore[misc]
    for key in ("metrics", "weighted_metrics"):
        if isinstance(new.get(key), str):
            new[key] = [new[key]]
    # `sample_weight_mode` has no counterpart and needs none: weights by step are known by shape.
    for key in ("run_eagerly", "steps_per_execution"):
        if training.get(key):
            new[key] = training[key]
    return (None, tuple(problems)) if problems else (new, ())


def _of_keras3(
    training: Mapping[str, Json],
) -> tuple[dict[str, Json] | None, tuple[Problem, ...]]:
    """Return what is Keras 3's own, but for what is the machine's that wrote it."""
    if training.get("optimizer") is None:
        # Keras loses it where a model is saved as HDF5 first.
        return None, (Problem("unsupported", "optimizer", "the file does not say which it was"),)
    return {key: value for key, value in training.items() if key != "jit_compile"}, ()


def _optimizer(optimizer: Json, version: str | None, custom: Collection[str]) -> Json:
    if optimizer is None:
        raise Untranslatable("optimizer", "the file does not say which it was")
    if numbers(version)[0] < 3 or not isinstance(optimizer, dict):
        return translate_optimizer(optimizer, version, custom)
    name, registered = optimizer.get("class_name"), optimizer.get("registered_name")
    if not isinstance(name, str):
        raise Untranslatable("optimizer", f"its class is {name!r:.80}")
    own = ">" in name or name in custom
    module = None if own else optimizer.get("module", "keras.optimizers")
    known = registered or (name if own else None)
    return made(module, plain_name(name), optimizer.get("config"), known)


def _each(value: Json, translate: Translate) -> Json:
    """Translate each part of lists and dicts by output, as deep as they are."""
    if value is None:
        return None
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        value = value.get("items")
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _each(part, translate) for name, part in value.items()}
    if isinstance(value, list):
        return [_each(part, translate) for part in value]
    return translate(value)


def _weight(weight: Json) -> Json:
    number = finite(weight)
    if number is not None:
        return number
    raise Untranslatable("loss_weights", f"expected a number, found {weight!r:.80}")


def _loss(loss: Json, version: str | None, custom: Collection[str]) -> Json:
    name = _name(loss, "loss")
    config = _config(loss, "loss")
    if name in custom:
        return _given(loss, name, config, "loss")
    if name == "LossFunctionWrapper":
        return _loss(_function_name(config.get("fn"), "loss"), version, custom)
    function = name.lower()
    if not isinstance(loss, dict) or loss.get("class_name") == "function":
        if function in ("crossentropy", "ce"):
            return name
        kind = LOSS_FUNCTIONS.get(function) or FUNCTIONS.get(function, "")
        kind = {"LogCoshError": "LogCosh"}.get(kind, kind)
        _refuse_old_cosine(function, version, "loss")
        config = {"name": name}
    else:
        kind = {"LogcoshError": "LogCosh"}.get(name, name)
    if kind not in LOSSES:
        raise _unknown(name, "loss")
    reduction = config.get("reduction")
    new = _arguments(kind, config, LOSSES[kind], "loss")
    if reduction is not None:
        if str(reduction).lower() not in REDUCTIONS:
            raise Untranslatable("loss", f"Keras 3 has no reduction {reduction!r:.80}")
        new["reduction"] = REDUCTIONS[str(reduction).lower()]
    return made("keras.losses", kind, new)


def _metric(metric: Json, version: str | None, custom: Collection[str]) -> Json:
    name = _name(metric, "metrics")
    config = _config(metric, "metrics")
    if name in custom:
        return _given(metric, name, config, "metrics")
    if name == "MeanMetricWrapper":
        return _mean_of(config, version, custom)
    if isinstance(metric, dict) and metric.get("class_name") != "function":
        kind = name
    elif name in BY_SHAPE:
        return name
    else:
        kind = FUNCTIONS.get(name.lower(), "")
        _refuse_old_cosine(name.lower(), version, "metrics")
        config = {"name": name}
    if kind not in METRICS:
        raise _unknown(name, "metrics")
    return made("keras.metrics", kind, _arguments(kind, config, METRICS[kind], "metrics"))


def _mean_of(config: Mapping[str, Any], version: str | None, custom: Collection[str]) -> Json:
    """Return the metric that averages a function."""
    function = _function_name(config.get("fn"), "metrics")
    if function not in custom:
        kind = FUNCTIONS.get(function.lower(), "")
        if kind not in METRICS:
            raise _unknown(function, "metrics")
        _refuse_old_cosine(function.lower(), version, "metrics")
        return made("keras.metrics", kind, _arguments(kind, config, METRICS[kind], "metrics"))
    new = {key: config[key] for key in ("name", "dtype") if isinstance(config.get(key), str)}
    new["fn"] = made(None, "function", function, function)
    return made("keras.metrics", "MeanMetricWrapper", new)


def _refuse_old_cosine(function: str, version: str | None, where: str) -> None:
    """Refuse a function that was a mean until Keras 2.2 and has been a sum since."""
    old = numbers(version) < (2, 3) and not (version or "").endswith("-tf")
    if function in ("cosine", "cosine_proximity") and old:
        raise Untranslatable(
            where, f"{function!r} was divided by the number of elements then, and is not now"
        )


def _name(part: Json, where: str) -> str:
    """Return the name of a class or a function."""
    if isinstance(part, str):
        return part
    name = part.get("class_name") if isinstance(part, dict) else None
    if name == "__lambda__":
        raise Untranslatable(where, "it is a lambda, whose code Holdfast never runs", unsafe=True)
    if name == "function":
        return _function_name(part, where)
    if isinstance(name, str):
        return plain_name(name)
    raise Untranslatable(where, f"expected a name or a class and its arguments, found {part!r:.80}")


def _function_name(function: Json, where: str) -> str:
    """Return the name of a function, which newer files have in an object."""
    if isinstance(function, dict):
        if function.get("class_name") == "__lambda__":
            raise Untranslatable(
                where, "it is a lambda, whose code Holdfast never runs", unsafe=True
            )
        function = function.get("config")
    if isinstance(function, str):
        return plain_name(function)
    raise Untranslatable(where, f"expected the name of a function, found {function!r:.80}")


def _config(part: Json, where: str) -> dict[str, Any]:
    config = part.get("config") if isinstance(part, dict) else None
    if isinstance(config, str) or config is None:
        return {}
    if not isinstance(config, dict):
        raise Untranslatable(where, f"its arguments are {config!r:.80}")
    return config


def _arguments(kind: str, config: Mapping[str, Any], known: str, where: str) -> dict[str, Json]:
    """Return those arguments that are given; none may get lost."""
    new: dict[str, Json] = {}
    for key, value in config.items():
        if value is None or key in ("fn", "reduction"):
            continue
        if key in known.split():
            new[key] = value
        elif key in ("name", "dtype"):
            if isinstance(value, str):
                new[key] = value
        elif key != "init_from_fn":
            raise Untranslatable(where, f"{kind} of Keras 3 has no argument {key!r}")
    return new


def _given(part: Json, name: str, config: dict[str, Any], where: str) -> Json:
    """Return an object of the caller's."""
    if isinstance(part, dict) and part.get("class_name") != "function":
        return made(None, name, config, name)
    return made(None, "function", name, name)


def _unknown(name: str, where: str) -> Untranslatable:
    return Untranslatable(
        where,
        f"Keras 3 has no {name!r}. If it is yours, pass it: custom_objects={{{name!r}: {name}}}",
    )
