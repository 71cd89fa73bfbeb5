"""What older programs call on a model: `fit_generator`, `predict_classes`, `nb_epoch=`, `.lr`.

Owns methods by their name, and what is seen of a model in the program. Leaves where it saves and
loads to `files`.
"""

from __future__ import annotations

import libcst as cst

from holdfast.compat.modernize.arguments import slip, taken
from holdfast.compat.modernize.source import (
    Source,
    argument,
    dotted,
    is_chain,
    keyword,
    requoted,
    string,
)
from holdfast.compat.modernize.today import value

_GENERATORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fit_generator": (
        "fit",
        ("x", "steps_per_epoch", "epochs", "verbose", "callbacks", "validation_data"),
    ),
    "evaluate_generator": ("evaluate", ("x", "steps")),
    "predict_generator": ("predict", ("x", "steps")),
}
_PREDICTIONS = ("predict_classes", "predict_proba")
_RENAMED = {"nb_epoch": "epochs", "generator": "x"}
_DROPPED = [
    "workers",
    "use_multiprocessing",
    "max_queue_size",
    "max_q_size",
    "pickle_safe",
    "nb_worker",
    "show_accuracy",
]
# They count samples, where today's count batches.
_SAMPLES = ("samples_per_epoch", "nb_val_samples", "val_samples")
_NEEDLESS = ("sample_weight_mode", "class_mode", "theano_mode")
_LOSSES = {
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "cosine_proximity": "cosine_similarity",
    "cosine": "cosine_similarity",
}
_MODELS = ("Sequential", "Model", "load_model", "clone_model", "model_from_json")
_ONLY_MODELS = ("fit_generator", "load_weights", "save_weights", "predict_classes")


def rewrite(source: Source) -> None:
    """Write what is called on models as today's Keras has it."""
    models = models_of(source)
    for call in source.calls:
        if not isinstance(call.func, cst.Attribute):
            continue
        method = call.func.attr.value
        if method in _GENERATORS:
            _generator(source, call, call.func, method)
        elif method in _PREDICTIONS and source.text(call.func.value) in models:
            _prediction(source, call, call.func, method)
        elif method in ("fit", "evaluate", "predict", "compile"):
            _known(source, call, method, source.text(call.func.value) in models)
        elif method == "add_weight":
            _weight(source, call)
        elif method == "reset_states" and source.text(call.func.value) in models:
            _reset(source, call)
    for node in source.nodes:
        if isinstance(node, cst.Attribute):
            _attribute(source, node, models)


def _weight(source: Source, call: cst.Call) -> None:
    """`self.add_weight("kernel", (3, 2))`: today the shape comes first."""
    by_place = [arg for arg in call.args if arg.keyword is None]
    if by_place and string(by_place[0].value) is not None:
        for arg, name in zip(by_place, ("name", "shape", "dtype", "initializer"), strict=False):
            source.before(arg, f"{name}=")


def _reset(source: Source, call: cst.Call) -> None:
    if isinstance(source.parent(call), cst.Expr) and isinstance(call.func, cst.Attribute):
        layers = f"{source.text(call.func.value)}.layers"
        has = 'hasattr(layer, "reset_state")'
        source.replace(call, f"[layer.reset_state() for layer in {layers} if {has}]")


def _attribute(source: Source, node: cst.Attribute, models: set[str]) -> None:
    word, owner = node.attr.value, source.text(node.value)
    if word == "lr" and _optimizes(source, node):
        source.replace(node.attr, "learning_rate")
    elif word in ("input_shape", "output_shape") and (
        owner == "layer" or ".get_layer(" in owner or owner.split("[")[0].endswith(".layers")
    ):
        source.replace(node.attr, word.replace("_", "."))
    elif word == "metrics_names" and owner in models:
        source.note(
            node, "metrics_names has one name for all metrics today: see evaluate(return_dict=True)"
        )


def models_of(source: Source) -> set[str]:
    """Return the texts of those expressions that are models, as far as the program shows."""
    makers = {
        node.name.value
        for node in source.nodes
        if isinstance(node, cst.FunctionDef) and _makes_model(source, node)
    }
    found, others = set(), set()
    for node in source.assigned:
        if not isinstance(node, cst.Assign) or not isinstance(node.value, cst.Call):
            continue
        targets = {source.text(each.target) for each in node.targets}
        called = source.name(node.value.func)
        made = called.rsplit(".", maxsplit=1)[-1] in _MODELS or "keras.applications." in called
        if made or dotted(node.value.func) in makers:
            found |= targets
        elif source.imported(node.value.func) and not called:
            others |= targets
    likely = {
        node.value
        for node in source.nodes
        if isinstance(node, cst.Name) and (node.value == "model" or node.value.endswith("_model"))
    }
    for call in source.calls:
        if not isinstance(call.func, cst.Attribute):
            continue
        method, owner = call.func.attr.value, source.text(call.func.value)
        if method in _ONLY_MODELS or (method == "compile" and _is_keras_like(call)):
            found.add(owner)
        elif method == "fit" and _is_keras_like(call):
            likely.add(owner)
    return found | (likely - others)


def _is_keras_like(call: cst.Call) -> bool:
    words = {arg.keyword.value for arg in call.args if arg.keyword}
    return bool(words & {"loss", "optimizer", "metrics", "epochs", "nb_epoch", "validation_data"})


def _makes_model(source: Source, function: cst.FunctionDef) -> bool:
    inside = source.text(function.body)
    return "return" in inside and any(
        source.name(call.func).rsplit(".", maxsplit=1)[-1] in ("Sequential", "Model")
        for call in source.calls
        if _within(source, call, function)
    )


def _within(source: Source, node: cst.CSTNode, outer: cst.CSTNode) -> bool:
    at: cst.CSTNode | None = node
    while at is not None and at is not outer:
        at = source.parent(at)
    return at is outer


def _generator(source: Source, call: cst.Call, func: cst.Attribute, method: str) -> None:
    new, order = _GENERATORS[method]
    samples = [arg for arg in call.args if arg.keyword and arg.keyword.value in _SAMPLES]
    by_place = [arg for arg in call.args if arg.keyword is None]
    if samples or any(arg.star for arg in by_place) or len(by_place) > len(order):
        what = samples[0].keyword.value if samples and samples[0].keyword else "its arguments"
        source.note(
            call, f"{method} is {new} today, which counts batches: {what} cannot be carried over"
        )
        return
    source.replace(func.attr, new)
    for arg, name in list(zip(by_place, order, strict=False))[1:]:
        source.before(arg, f"{name}=")
    _old_words(source, call)


def _old_words(source: Source, call: cst.Call) -> None:
    for arg in call.args:
        word = arg.keyword.value if arg.keyword else ""
        if word in _RENAMED:
            source.rename(arg, _RENAMED[word])
        elif word in _DROPPED:
            source.drop(call, arg)


def _known(source: Source, call: cst.Call, method: str, is_model: bool) -> None:
    if not is_model and not any(
        arg.keyword and arg.keyword.value in ("nb_epoch", *_DROPPED) for arg in call.args
    ):
        return
    if is_model or method != "compile":
        _old_words(source, call)
    if not is_model or _is_own(source, method):
        return
    known = taken(value(f"keras.Model.{method}")) or taken(value("keras.Model.fit"))
    assert known is not None
    for arg in call.args:
        word = arg.keyword.value if arg.keyword else ""
        nothing = word == "target_tensors" and source.text(arg.value) == "None"
        if method == "compile" and (word in _NEEDLESS or nothing):
            source.drop(call, arg)
        elif word == "loss" and string(arg.value) in _LOSSES:
            assert isinstance(arg.value, cst.SimpleString)
            new = _LOSSES[string(arg.value) or ""]
            source.replace(arg.value, requoted(arg.value, new))
        elif word and word not in known and word not in (*_RENAMED, *_DROPPED, "return_dict"):
            slip(source, arg, method, known)


def _is_own(source: Source, method: str) -> bool:
    """Return whether the program has a class whose method of that name may take anything."""
    return any(
        isinstance(node, cst.FunctionDef)
        and node.name.value == method
        and isinstance(source.parent(node), cst.IndentedBlock)
        for node in source.nodes
    )


def _prediction(source: Source, call: cst.Call, func: cst.Attribute, method: str) -> None:
    source.replace(func.attr, "predict")
    _old_words(source, call)
    if method == "predict_proba":
        return
    units = _classes(source, source.text(func.value))
    if units == 1:
        source.before(call, "(")
        source.after(call, ' > 0.5).astype("int32")')
    elif units is not None:
        source.after(call, ".argmax(axis=-1)")
    else:
        several, one = "p.argmax(axis=-1)", '(p > 0.5).astype("int32")'
        source.before(call, f"(lambda p: {several} if p.shape[-1] > 1 else {one})(")
        source.after(call, ")")


def _classes(source: Source, model: str) -> int | None:
    """Return the units of a model's last layer where the program shows them; 2 for any more."""
    if any(_losses(source, model)) or all(_losses(source, None) or [False]):
        return 2
    last: cst.CSTNode | None = None
    for call in source.calls:
        if source.text(call.func) == f"{model}.add" and call.args:
            last = call.args[0].value
        elif source.name(call.func).endswith(".Sequential") and call.args:
            layers, target = call.args[0].value, source.parent(call)
            if (
                isinstance(layers, cst.List)
                and layers.elements
                and isinstance(target, cst.Assign)
                and source.text(target.targets[0].target) == model
            ):
                last = layers.elements[-1].value
    if not isinstance(last, cst.Call):
        return None
    if source.name(last.func).endswith(".Dense"):
        units = argument(last, "units", 0) or keyword(last, "output_dim")
        said = source.text(units.value) if units is not None else ""
        return min(int(said), 2) if said.isdigit() else None
    return None


def _losses(source: Source, model: str | None) -> list[bool]:
    """Return of each loss compiled, of one model or of all, whether it is of several classes."""
    found = []
    for call in source.calls:
        if isinstance(call.func, cst.Attribute) and call.func.attr.value == "compile":
            loss = argument(call, "loss", 1)
            if loss is not None and model in (None, source.text(call.func.value)):
                found.append("categorical" in (string(loss.value) or ""))
    return found


def _optimizes(source: Source, node: cst.Attribute) -> bool:
    if not is_chain(node.value):
        return False
    owner = dotted(node.value)
    if owner.rsplit(".", maxsplit=1)[-1] == "optimizer":
        return True
    return any(
        isinstance(each, cst.Assign)
        and isinstance(each.value, cst.Call)
        and source.name(each.value.func).startswith("keras.optimizers.")
        and source.text(each.targets[0].target) == owner
        for each in source.assigned
    )
