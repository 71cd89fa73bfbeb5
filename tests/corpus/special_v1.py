"""Checkpoints as TensorFlow 1 wrote them, by names: `special_v1.py NAME FOLDER`, for special.py."""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
v1.disable_v2_behavior()
v1.logging.set_verbosity(v1.logging.ERROR)
L = v1.keras.layers


def network(session):
    """A Keras model in a graph, some steps of Adam on it, and a global step."""
    model = v1.keras.Sequential(
        [
            L.Conv2D(2, 3, activation="relu", input_shape=(5, 5, 1), name="conv"),
            L.BatchNormalization(name="bn", fused=False),
            L.Flatten(),
            L.Dense(3, name="logits"),
        ]
    )
    x = v1.placeholder(tf.float32, (None, 5, 5, 1))
    loss = tf.reduce_mean(tf.square(model(x)))
    step = v1.train.get_or_create_global_step()
    update = v1.train.AdamOptimizer(0.01).minimize(loss, global_step=step)
    session.run(v1.global_variables_initializer())
    data = np.random.default_rng(0).normal(size=(4, 5, 5, 1)).astype("float32")
    for _ in range(3):
        session.run(update, {x: data})
    return [w.name for w in model.weights]


def move(folder):
    """As it looks after a move: `checkpoint` holds the path of the place where it was written."""
    path = folder / "checkpoint"
    path.write_text(path.read_text().replace(str(folder), "/home/anyone/training"))


def saver(version):
    def write(folder, session):
        v1.set_random_seed(5)
        weights = network(session)
        absolute = version == v1.train.SaverDef.V1
        path = v1.train.Saver(write_version=version, save_relative_paths=not absolute).save(
            session, str(folder / "model.ckpt"), global_step=3, write_meta_graph=False
        )
        if absolute:
            move(folder)
        return {"path": Path(path).name, "weights": weights, "directory": "."}

    return write


def partitioned(folder, session):
    v1.set_random_seed(6)
    with v1.variable_scope("net", partitioner=v1.fixed_size_partitioner(3)):
        v1.get_variable("table", (7, 2), use_resource=False)
        v1.get_variable("bias", (6,), initializer=v1.random_normal_initializer())
    v1.get_variable("whole", (2, 3))
    session.run(v1.global_variables_initializer())
    path = v1.train.Saver(sharded=True, save_relative_paths=True).save(
        session, str(folder / "model.ckpt"), write_meta_graph=False
    )
    return {"path": Path(path).name, "directory": "."}


WRITERS = {
    "tf1_saver_v1": saver(v1.train.SaverDef.V1),
    "tf1_saver_v2": saver(v1.train.SaverDef.V2),
    "tf1_partitioned": partitioned,
}

if __name__ == "__main__":
    target = Path(sys.argv[2])
    with v1.Session() as opened:
        v1.keras.backend.set_session(opened)
        found = WRITERS[sys.argv[1]](target, opened)
    (target / "found.json").write_text(json.dumps(found))
