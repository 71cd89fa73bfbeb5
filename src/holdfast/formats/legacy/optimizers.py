"""Optimizers of Keras 1 and 2 as Keras 3 has them: their classes, arguments and schedules.

Owns what an optimizer's configuration means and which of two optimizers of one name it is. Leaves
its arrays to `live/optimizer`, and the loss and the metrics to `training`.

Until Keras 2.10, and as `keras.optimizers.legacy` later, most computed what those of Keras 3 do.
Three did not:

* RMSprop without momentum and Adagrad added epsilon to the root; Keras 3 adds it below the root.
  There its square does the same for gradients much larger or much smaller than epsilon.
* Nadam's momentum followed a schedule a hundred times slower: `holdfast.optimizers.SlowNadam`.
* Keras that was not part of TensorFlow clipped by the norm of all gradients together, and called
  that `clipnorm`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from holdfast.formats.model_file import Problem
from holdfast.types import Json

# By its name in lower case: the class, and its arguments besides those that all have.
_CLASSES: dict[str, tuple[str, str]] = {
    "sgd": ("SGD", "momentum nesterov"),
    "adam": ("Adam", "beta_1 beta_2 epsilon amsgrad"),
    "adamw": ("AdamW", "beta_1 beta_2 epsilon amsgrad"),
    "adamax": ("Adamax", "beta_1 beta_2 epsilon"),
    "nadam": ("Nadam", "beta_1 beta_2 epsilon"),
    "rmsprop": ("RMSprop", "rho momentum epsilon centered"),
    "adagrad": ("Adagrad", "initial_accumulator_value epsilon"),
    "adadelta": ("Adadelta", "rho epsilon"),
    "ftrl": (
        "Ftrl",
        "learning_rate_power initial_accumulator_value l1_regularization_strength "
        "l2_regularization_strength l2_shrinkage_regularization_strength beta",
    ),
    "lion": ("Lion", "beta_1 beta_2"),
    "adafactor": ("Adafactor", "beta_2_decay epsilon_1 epsilon_2 clip_threshold relative_step"),
}
_LOSS_SCALE = frozenset(["lossscaleoptimizer", "lossscaleoptimizerv1", "lossscaleoptimizerv3"])
_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")
_SCHEDULES = {
    "ExponentialDecay": "initial_learning_rate decay_steps decay_rate staircase",
    "InverseTimeDecay": "initial_learning_rate decay_steps decay_rate staircase",
    "PiecewiseConstantDecay": "boundaries values",
    "PolynomialDecay": "initial_learning_rate decay_steps end_learning_rate power cycle",
    "CosineDecay": "initial_learning_rate decay_steps alpha warmup_target warmup_steps",
    "CosineDecayRestarts": "initial_learning_rate first_decay_steps t_mul m_mul alpha",
}
_BACKEND_EPSILON = 1e-7
# Where a file names an optimizer and no rate: what the same name gave in Keras 1 and 2.0 to 2.10.
_OLD_RATES = {"adadelta": 1.0, "adagrad": 0.01, "adamax": 0.002, "nadam": 0.002}


class Untranslatable(Exception):  # noqa: N818
    """Something has no counterpart in Keras 3. Holds the problem."""

    def __init__(self, where: str, what: str, *, unsafe: bool = False) -> None:
        super().__init__(what)
        self.problem = Problem("unsafe" if unsafe else "unsupported", where, what)


def made(module: str | None, name: str, config: Json, registered: str | None = None) -> Json:
    """Return an object as Keras 3 serializes it."""
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered,
    }


def plain_name(name: str) -> str:
    """Return a class's name without the package that Keras 2 put before it, as in `Custom>Adam`."""
    return name.rpartition(">")[2]


def translate_optimizer(optimizer: Json, version: str | None, custom: Collection[str]) -> Json:
    """Return an optimizer as Keras 3 takes it.

    Args:
        optimizer: its name, or its class and configuration.
        version: of the Keras that wrote it.
        custom: names of the classes that the caller has.

    Raises:
        Untranslatable: Keras 3 has none that does the same.
    """
    if isinstance(optimizer, str):
        optimizer = {"class_name": optimizer, "config": {}}
    if not isinstance(optimizer, dict) or not isinstance(optimizer.get("class_name"), str):
        raise Untranslatable(
            "optimizer", f"expected a class and its arguments, found {optimizer!r:.80}"
        )
    config = optimizer.get("config") or {}
    if not isinstance(config, dict):
        raise Untranslatable("optimizer", f"its arguments are {config!r:.80}")
    registered = str(optimizer.get("registered_name") or optimizer["class_name"])
    name = plain_name(optimizer["class_name"])
    if name in custom or registered in custom:
        return made(None, name, config, registered if registered in custom else name)
    kind = name.lower().removeprefix("experimental")
    if kind in _LOSS_SCALE:
        return _loss_scaled(config, version, custom)
    if kind not in _CLASSES:
        raise Untranslatable(
            "optimizer",
            f"Keras 3 has no optimizer {name!r}. Pass it: custom_objects={{{name!r}: {name}}}",
        )
    return _known(kind, config, _is_old(optimizer, config, version), version, custom)


def _is_old(optimizer: Mapping[str, Any], config: Mapping[str, Any], version: str | None) -> bool:
    """Return whether it computes as until Keras 2.10, and as `keras.optimizers.legacy` later."""
    if "is_legacy_optimizer" in config:
        return bool(config["is_legacy_optimizer"])
    if "legacy" in str(optimizer.get("module")):
        return True
    if optimizer.get("module") == "keras.optimizers":
        return False  # of Keras 3, as `live/write_training` writes it
    major, minor = numbers(version)
    return (major, minor) < (2, 11) or (major == 2 and bool(config))


def numbers(version: str | None) -> tuple[int, int]:
    """Return the first two numbers of a version of Keras, where it says them; else (2, 0)."""
    found = re.match(r"(\d{1,9})(?:\.(\d{1,9}))?", version or "")
    return (int(found[1]), int(found[2] or 0)) if found else (2, 0)


def _known(
    kind: str,
    config: Mapping[str, Any],
    old: bool,
    version: str | None,
    custom: Collection[str],
) -> Json:
    name, arguments = _CLASSES[kind]
    new: dict[str, Json] = {}
    for argument in arguments.split():
        if config.get(argument) is not None:
            new[argument] = _value(argument, config[argument])
    if isinstance(config.get("name"), str) and "/" not in config["name"]:
        new["name"] = config["name"]
    rate = config.get("learning_rate", config.get("lr"))
    if rate is None and old and numbers(version) < (2, 11):
        rate = _OLD_RATES.get(kind)
    decay = config.get("schedule_decay", config.get("decay"))
    if rate is not None:
        new["learning_rate"] = _rate(rate, decay if kind != "nadam" else None, custom)
    new |= _clipping(config, old and _outside_tensorflow(version))
    _all_have(config, new)
    if not old:
        return made("keras.optimizers", name, new)
    _as_it_computed(kind, new, _outside_tensorflow(version))
    if kind == "nadam":
        new["schedule_decay"] = 0.004 if decay is None else _value("schedule_decay", decay)
        return made("holdfast.optimizers", "SlowNadam", new, "holdfast>SlowNadam")
    return made("keras.optimizers", name, new)


def _as_it_computed(kind: str, new: dict[str, Json], outside_tensorflow: bool) -> None:
    """Change the arguments of an old optimizer so that the new one computes the same."""
    if kind == "adagrad" and outside_tensorflow:
        new.setdefault("initial_accumulator_value", 0.0)
    if kind == "adagrad" or (kind == "rmsprop" and not new.get("momentum")):
        epsilon = new.get("epsilon", _BACKEND_EPSILON)
        if isinstance(epsilon, float):
            new["epsilon"] = epsilon**2


def _outside_tensorflow(version: str | None) -> bool:
    """Return whether the Keras of a version was a package of its own, with several backends."""
    return version is not None and not version.endswith("-tf") and numbers(version) < (2, 4)


def _all_have(config: Mapping[str, Any], new: dict[str, Json]) -> None:
    """Take over what all optimizers since 2.11 have."""
    if config.get("weight_decay") is not None:
        new["weight_decay"] = _value("weight_decay", config["weight_decay"])
    if config.get("use_ema"):
        new["use_ema"] = True
        new["ema_momentum"] = _value("ema_momentum", config.get("ema_momentum", 0.99))
        every = config.get("ema_overwrite_frequency")
        new["ema_overwrite_frequency"] = every if isinstance(every, int) else None
    for argument in ("loss_scale_factor", "gradient_accumulation_steps"):
        if config.get(argument) is not None:
            new[argument] = config[argument]


def _clipping(config: Mapping[str, Any], together: bool) -> dict[str, Json]:
    """Return by what gradients are clipped; `together` if `clipnorm` means the norm of all."""
    found: dict[str, Json] = {
        argument: _value(argument, config[argument])
        for argument in _CLIPPING
        if config.get(argument)
    }
    if together and "clipnorm" in found:
        found["global_clipnorm"] = found.pop("clipnorm")
    if len(found) > 1:
        raise Untranslatable(
            "optimizer", f"it clips by {' and '.join(found)}; Keras 3 clips by one of them"
        )
    return found


def _rate(rate: Json, decay: Json, custom: Collection[str]) -> Json:
    decays = decay is not None and _value("decay", decay) > 0
    if isinstance(rate, dict):
        if decays:
            raise Untranslatable(
                "optimizer",
                "its learning rate has both a schedule and a decay; Keras 3 has no both",
            )
        return _schedule(rate, custom)
    start = float(_value("learning_rate", rate))
    if not decays:
        return start
    config: dict[str, Json] = {
        "initial_learning_rate": start,
        "decay_steps": 1,
        "decay_rate": _value("decay", decay),
        # Tells it from a schedule that somebody chose: see `holdfast.optimizers.DECAY`.
        "name": "holdfast_decay",
    }
    return made("keras.optimizers.schedules", "InverseTimeDecay", config)


def _schedule(schedule: Mapping[str, Any], custom: Collection[str]) -> Json:
    name, config = schedule.get("class_name"), schedule.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        raise Untranslatable("optimizer", f"its learning rate is {schedule!r:.80}")
    name = plain_name(name)
    if name in custom:
        return made(None, name, config, name)
    if name not in _SCHEDULES:
        raise Untranslatable(
            "optimizer",
            f"Keras 3 has no schedule {name!r}. Pass it: custom_objects={{{name!r}: {name}}}",
        )
    arguments = {*_SCHEDULES[name].split(), "name"}
    new = {key: config[key] for key in arguments if config.get(key) is not None}
    return made("keras.optimizers.schedules", name, dict(sorted(new.items())))


def _loss_scaled(config: Mapping[str, Any], version: str | None, custom: Collection[str]) -> Json:
    """Return an optimizer that scales the loss; until TensorFlow 2.3 the scale was an object."""
    scale = config.get("loss_scale")
    dynamic, initial = config.get("dynamic", True), config.get("initial_scale")
    steps = config.get("dynamic_growth_steps")
    if isinstance(scale, dict) and isinstance(scale.get("config"), dict):
        inside = scale["config"]
        dynamic = scale.get("class_name") == "DynamicLossScale"
        initial = inside.get("initial_loss_scale", inside.get("loss_scale_value"))
        steps = inside.get("increment_period")
    inner = config.get("inner_optimizer", config.get("optimizer"))
    arguments = (inner.get("config") or {}) if isinstance(inner, dict) else None
    if not isinstance(arguments, dict) or "inner_optimizer" in arguments:
        raise Untranslatable("optimizer", f"what it scales the loss for is {inner!r:.80}")
    translated = translate_optimizer(inner, version, custom)
    if not dynamic:
        if isinstance(translated, dict) and isinstance(translated["config"], dict):
            translated["config"]["loss_scale_factor"] = _value("initial_scale", initial or 1)
        return translated
    new: dict[str, Json] = {"inner_optimizer": translated}
    if initial:
        new["initial_scale"] = _value("initial_scale", initial)
    if steps:
        new["dynamic_growth_steps"] = int(_value("dynamic_growth_steps", steps))
    return made("keras.optimizers", "LossScaleOptimizer", new)


def _value(argument: str, value: Json) -> Any:
    """Return a number as Keras 3 wants it, a float; what is true or false as it is."""
    if isinstance(value, bool):
        return value
    number = finite(value)
    if number is None:
        raise Untranslatable("optimizer", f"its {argument} should be a number, found {value!r:.80}")
    return number


def finite(value: Json) -> float | None:
    """Return a number as a float, or None for what is none or is not finite as a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has whole numbers of any size
        return None
    return number if math.isfinite(number) else None


def is_old(training: Json | None, version: str | None) -> bool:
    """Return whether an optimizer lists its arrays as until Keras 2.10; see `live/optimizer_state`.

    Args:
        training: the arguments of `compile` as the file has them.
        version: of the Keras that wrote it.
    """
    found: Json = training if isinstance(training, dict) else {}
    optimizer = found.get("optimizer_config", found.get("optimizer"))
    config = optimizer.get("config") if isinstance(optimizer, dict) else None
    inner = (
        config.get("inner_optimizer", config.get("optimizer")) if isinstance(config, dict) else None
    )
    if isinstance(inner, dict) and isinstance(inner.get("config"), dict):
        optimizer, config = inner, inner["config"]
    if not isinstance(optimizer, dict) or not isinstance(config, dict):
        return numbers(version) < (2, 11)
    return _is_old(optimizer, config, version)
