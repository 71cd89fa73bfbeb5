"""Promise 4: Keras's meaning. The other oracle is `Model.fit` itself, on unshuffled data."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import holdfast

SAMPLES = 44
RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(SAMPLES, 6)).astype("float32")
X2 = RANDOM.normal(size=(SAMPLES, 4))  # float64: becomes float32 in both
Y = RANDOM.integers(0, 3, SAMPLES).astype("int32")
Y2 = RANDOM.normal(size=(SAMPLES, 1)).astype("float32")
WEIGHT = RANDOM.uniform(0.5, 2, SAMPLES).astype("float32")


def sequential():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
    )
    return model


def two_in_two_out():
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    joined = layers.Concatenate()([layers.Dense(5)(a), layers.Dense(5)(b)])
    outputs = {
        "kind": layers.Dense(3, activation="softmax", name="kind")(joined),
        "size": layers.Dense(1, name="size")(joined),
    }
    model = keras.Model({"a": a, "b": b}, outputs)
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        {"kind": "sparse_categorical_crossentropy", "size": "mse"},
        metrics={"kind": ["accuracy"], "size": ["mae"]},
        loss_weights={"kind": 1.0, "size": 0.3},
    )
    return model


class Subclassed(keras.Model):
    """Built by its first batch; its loss has a part of its own."""

    def __init__(self):
        super().__init__()
        self.first = layers.Dense(8, activation="tanh", activity_regularizer="l2")
        self.drop = layers.Dropout(0.2)
        self.last = layers.Dense(3)

    def call(self, x, training=False):
        return self.last(self.drop(self.first(x), training=training))


def subclassed():
    model = Subclassed()
    model.compile(
        "rmsprop", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["acc"]
    )
    return model


class OwnStep(Subclassed):
    """A `train_step` that is pure, as Keras's JAX guide writes it, with logs of its own."""

    def compute_loss_and_updates(self, trainable, fixed, x, y, training=False):
        y_pred, fixed = self.stateless_call(trainable, fixed, x, training=training)
        return self.compute_loss(x, y, y_pred), (y_pred, fixed)

    def train_step(self, state, data):
        import jax

        trainable, fixed, optimizer, metrics = state
        x, y = data
        gradient = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (loss, (_, fixed)), gradients = gradient(trainable, fixed, x, y, training=True)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        norm = ops.sqrt(sum(ops.sum(part**2) for part in gradients))
        return {"loss": loss, "norm": norm}, (trainable, fixed, optimizer, metrics)


def own_step():
    model = OwnStep()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def compiled_autoencoder():
    class Autoencoder(Subclassed):
        def __init__(self):
            super().__init__()
            self.last = layers.Dense(6)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            x = x[0] if isinstance(x, (tuple, list)) else x
            return ops.mean((y_pred - x) ** 2)

        def call(self, x, training=False):
            return super().call(x[0] if isinstance(x, (tuple, list)) else x, training)

    model = Autoencoder()
    model.compile("adam")
    return model


def mixed():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return sequential()
    finally:
        keras.config.set_dtype_policy("float32")


CASES = {
    "sequential": (sequential, {"x": X, "y": Y}),
    "two in, two out": (two_in_two_out, {"x": {"a": X, "b": X2}, "y": {"kind": Y, "size": Y2}}),
    "subclassed": (subclassed, {"x": X, "y": Y}),
    "own train_step": (own_step, {"x": X, "y": Y}),
    "sample weights": (sequential, {"x": X, "y": Y, "sample_weight": WEIGHT}),
    "class weights": (sequential, {"x": X, "y": Y, "class_weight": {0: 2.0, 2: 0.3}}),
    "no y, x in a tuple": (
        compiled_autoencoder,
        {"x": (X,)},
    ),
    "split": (sequential, {"x": X, "y": Y, "validation_split": 0.25}),
    "weighted validation": (
        sequential,
        {
            "x": X,
            "y": Y,
            "validation_data": (X[:9], Y[:9], WEIGHT[:9]),
            "validation_batch_size": 4,
            "validation_steps": 2,
        },
    ),
    "part of a pass": (sequential, {"x": X, "y": Y, "steps_per_epoch": 4}),
    "steps without a batch size": (
        sequential,
        {"x": X, "y": Y, "batch_size": None, "steps_per_epoch": 5},
    ),
    "from a later epoch": (sequential, {"x": X, "y": Y, "initial_epoch": 1, "epochs": 3}),
    "mixed precision": (mixed, {"x": X, "y": Y}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_weights_and_logs_equal_keras(name, tmp_path):
    make, arguments = CASES[name]
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0, **arguments}

    keras.utils.set_random_seed(7)
    theirs = make()
    expected = theirs.fit(**options)

    keras.utils.set_random_seed(7)
    ours = make()
    found = holdfast.Run(tmp_path / "run").fit(ours, **options)

    assert found.epoch == expected.epoch
    assert list(found.history) == list(expected.history)
    for key, values in expected.history.items():
        np.testing.assert_allclose(found.history[key], values, rtol=1e-5, atol=1e-7, err_msg=key)
    for ours_variable, variable in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(
            ours_variable.numpy(), variable.numpy(), rtol=1e-5, atol=1e-7, err_msg=variable.path
        )
    assert int(ours.optimizer.iterations.numpy()) == int(theirs.optimizer.iterations.numpy())


class Listens(keras.callbacks.Callback):
    """Writes down every hook, in order, with the keys of its logs."""

    def __init__(self, hooks):
        super().__init__()
        self.heard = []
        for hook in hooks:
            setattr(self, hook, self._listener(hook))

    def _listener(self, hook):
        def listen(*arguments, logs=None):
            if arguments and isinstance(arguments[-1], dict):
                *arguments, logs = arguments
            places = [argument for argument in arguments if isinstance(argument, int)]
            self.heard.append((hook, *places, sorted(logs or {})))

        return listen


EPOCH_HOOKS = ["on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"]
EPOCH_HOOKS += ["on_test_begin", "on_test_end"]
BATCH_HOOKS = ["on_train_batch_begin", "on_train_batch_end"]
BATCH_HOOKS += ["on_test_batch_begin", "on_test_batch_end"]


@pytest.mark.parametrize("steps_per_execution", [1, 4])
@pytest.mark.parametrize("hooks", [EPOCH_HOOKS, EPOCH_HOOKS + BATCH_HOOKS])
def test_hooks_in_the_same_order_with_the_same_keys(hooks, steps_per_execution, tmp_path):
    def heard(fit):
        keras.utils.set_random_seed(7)
        model = sequential()
        model.compile(
            "adam",
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            steps_per_execution=steps_per_execution,
        )
        listener = Listens(hooks)
        options = {"batch_size": 8, "epochs": 2, "verbose": 0, "validation_split": 0.3}
        fit(model, x=X, y=Y, callbacks=[listener], **options)
        return listener.heard

    expected = heard(lambda model, **options: model.fit(**options))
    assert heard(holdfast.Run(tmp_path / "run").fit) == expected
    assert len(expected) > len(hooks)


def test_per_batch_hooks_see_the_weights_of_their_step(tmp_path):
    """The model a hook looks at is the model after its step, and may be changed there."""

    class Changes(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.sums = []

        def on_train_batch_end(self, batch, logs=None):
            kernel = self.model.layers[0].kernel
            self.sums.append(float(ops.sum(kernel)))
            kernel.assign(kernel * 0.5)

    def sums(fit):
        keras.utils.set_random_seed(7)
        callback = Changes()
        fit(sequential(), x=X, y=Y, batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
        return callback.sums

    expected = sums(lambda model, **options: model.fit(**options))
    np.testing.assert_allclose(sums(holdfast.Run(tmp_path / "run").fit), expected, rtol=1e-5)


def test_a_callback_stops_within_an_epoch_as_in_keras(tmp_path):
    class Stops(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.stop_training = True

    def steps(fit):
        model = sequential()
        history = fit(model, x=X, y=Y, batch_size=8, epochs=3, verbose=0, callbacks=[Stops()])
        return int(model.optimizer.iterations.numpy()), history.epoch

    expected = steps(lambda model, **options: model.fit(**options))
    assert steps(holdfast.Run(tmp_path / "run").fit) == expected == (3, [0])


def test_averaged_weights_are_final_as_in_keras(tmp_path):
    def weights(fit):
        keras.utils.set_random_seed(7)
        model = sequential()
        model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "mse")
        model.compile(
            keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
            "sparse_categorical_crossentropy",
        )
        fit(model, x=X, y=Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    expected = weights(lambda model, **options: model.fit(**options))
    for ours, theirs in zip(weights(holdfast.Run(tmp_path / "run").fit), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("setting", [{"run_eagerly": True}, {"jit_compile": False}])
def test_models_that_must_not_be_compiled(setting, tmp_path):
    def fit(fit):
        keras.utils.set_random_seed(7)
        model = sequential()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **setting)
        return fit(model, x=X, y=Y, batch_size=16, epochs=2, shuffle=False, verbose=0).history

    expected = fit(lambda model, **options: model.fit(**options))
    found = fit(holdfast.Run(tmp_path / "run").fit)
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-4, err_msg=key)


def test_convolutions_go_one_compiled_step_at_a_time_with_the_same_weights(digits, tmp_path):
    x, y = digits

    def fit(fit):
        keras.utils.set_random_seed(7)
        model = keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(10)]
        )
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        fit(model, x=x[:300], y=y[:300], epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    expected = fit(lambda model, **options: model.fit(**options))
    run = holdfast.Run(tmp_path / "run")
    for ours, theirs in zip(fit(run.fit), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_what_hooks_change_before_the_first_batch_is_seen_by_the_step(tmp_path):
    """Keras traces a step at the first batch, when `on_epoch_begin` has been."""

    class Weighted(Subclassed):
        beta = 0.0

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return self.beta * ops.mean(y_pred**2)

    class Sets(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.beta = 3.0

    def losses(fit):
        keras.utils.set_random_seed(7)
        model = Weighted()
        model.compile("sgd")
        options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
        return fit(model, x=X, y=Y, callbacks=[Sets()], **options).history["loss"]

    expected = losses(lambda model, **options: model.fit(**options))
    np.testing.assert_allclose(losses(holdfast.Run(tmp_path / "run").fit), expected, rtol=1e-5)
    assert expected[0] > 0


def test_callbacks_are_told_the_steps_as_by_keras(tmp_path):
    def steps(fit):
        callback = keras.callbacks.Callback()
        options = {"batch_size": 8, "verbose": 0, "steps_per_epoch": 9}
        fit(sequential(), x=X, y=Y, callbacks=[callback], **options)
        return callback.params["steps"]

    with pytest.warns(UserWarning, match="ran out of data"):
        assert steps(lambda model, **options: model.fit(**options)) == 9
    with pytest.warns(UserWarning, match="steps_per_epoch=9 is more than the 6 batches"):
        assert steps(holdfast.Run(tmp_path / "run").fit) == 9
