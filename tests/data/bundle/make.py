"""Writes the TensorFlow checkpoints of this directory. Needs tensorflow-cpu==2.15.1, numpy < 2.

    python make.py            (in the environment of that TensorFlow)

Each checkpoint lies beside NAME.npz, which holds what TensorFlow itself reads from it: the arrays
as `a:KEY`, bfloat16 as its uint16 bits in `b:KEY`; strings as lengths in `l:KEY`, all bytes in
`s:KEY` and the shape in `h:KEY`. Run where the files are to go.
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import dtypes

raw = tf.raw_ops


def expected(name, prefix=None):
    """Write what TensorFlow reads from a checkpoint into NAME.npz."""
    reader = tf.train.load_checkpoint(prefix or name)
    keys = sorted(reader.get_variable_to_shape_map())
    keep(name, {key: reader.get_tensor(key) for key in keys})


def keep(name, values):
    kept = {}
    for key, value in values.items():
        if isinstance(value, bytes) or (isinstance(value, np.ndarray) and value.dtype == object):
            strings = [value] if isinstance(value, bytes) else list(value.reshape(-1))
            kept["l:" + key] = np.array([len(s) for s in strings], np.int64)
            kept["s:" + key] = np.frombuffer(b"".join(strings), np.uint8)
            kept["h:" + key] = np.array(np.shape(value), np.int64)
        elif value.dtype == dtypes.bfloat16.as_numpy_dtype:
            kept["b:" + key] = np.asarray(value).view(np.uint16)
        else:
            kept["a:" + key] = np.asarray(value)
    kept = {key.replace("/", "|"): value for key, value in kept.items()}
    np.savez_compressed(name + ".npz", **kept)


def save(prefix, tensors):
    names = list(tensors)
    raw.SaveV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tensors[n] for n in names],
    )


def all_dtypes():
    rng = np.random.default_rng(5)
    tensors = {}
    for kind in (
        *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    ):
        values = rng.integers(-100, 100, (3, 2))
        if kind.startswith("uint"):
            values = abs(values)
        tensor = tf.cast(tf.constant(values, tf.float64), kind)
        if kind.startswith("complex"):
            tensor = tf.complex(tf.math.real(tensor), tf.math.real(tensor) * 0.5 - 1)
            tensor = tf.cast(tensor, kind)
        tensors[f"{kind}/matrix"] = tensor
    tensors["scalar"] = tf.constant(-0.0)
    tensors["empty"] = tf.zeros((0, 4))
    tensors["odd"] = tf.constant([np.nan, np.inf, -np.inf, 1e-45], tf.float32)
    save("dtypes", tensors)
    expected("dtypes")


def strings():
    tensors = {
        "one": tf.constant("scalar \0 string"),
        "none": tf.constant([], tf.string),
        "blanks": tf.constant(["", "", ""]),
        "matrix": tf.constant([["a", "bb"], ["ccc", b"\xff\xfe"]]),
        "long": tf.constant(["x" * 70000, "y" * 300, "z"]),
        "many": tf.constant([str(i) for i in range(500)]),
        "after": tf.constant([1, 2, 3]),
    }
    save("strings", tensors)
    expected("strings")


def shards():
    rng = np.random.default_rng(6)
    for part in range(3):
        save(
            f"part{part}",
            {
                f"v{part}/{k}": tf.constant(rng.normal(size=(4, k + 1)), tf.float32)
                for k in range(4)
            },
        )
    raw.MergeV2Checkpoints(
        checkpoint_prefixes=[f"part{p}" for p in range(3)],
        destination_prefix="shards",
        delete_old_dirs=False,
    )
    expected("shards")


def many_keys():
    """An index of more than one block."""
    save(
        "many",
        {
            f"layer_with_weights-{i}/kernel/.ATTRIBUTES/VARIABLE_VALUE": tf.fill((2,), float(i))
            for i in range(300)
        },
    )


def by_name(version, name, partitions=None):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(4)
        normal = v1.random_normal_initializer(seed=3)
        v1.get_variable("dense/kernel", (40, 30), initializer=normal)
        v1.get_variable("dense/bias", (30,), initializer=v1.zeros_initializer())
        v1.get_variable("beta1_power", (), initializer=v1.constant_initializer(0.9))
        v1.get_variable("global_step", (), tf.int64, initializer=v1.constant_initializer(7))
        v1.get_variable("flag", (2,), tf.bool, initializer=v1.constant_initializer(True))
        v1.get_variable("half", (3,), tf.float16, initializer=v1.constant_initializer(0.5))
        v1.get_variable("word", (2,), tf.string, initializer=v1.constant_initializer("word"))
        v1.get_variable("small", (2,), tf.int8, initializer=v1.constant_initializer(-3))
        v1.get_variable("twice", (3,), tf.complex64, initializer=v1.constant_initializer(2))
        if partitions:
            with v1.variable_scope("", partitioner=partitions):
                v1.get_variable("table", (10, 3), initializer=normal)
                v1.get_variable("tail", (7, 2), initializer=normal)
        session.run(v1.global_variables_initializer())
        v1.train.Saver(write_version=version).save(
            session, name, write_meta_graph=False, write_state=False
        )
        keep(
            name,
            {v.op.name: session.run(v) for v in v1.global_variables() if "part_" not in v.op.name}
            | whole(session),
        )


def whole(session):
    """The partitioned variables, put together."""
    parts = {}
    for v in tf.compat.v1.global_variables():
        if "part_" in v.op.name:
            parts.setdefault(v.op.name.split("/")[0], []).append(session.run(v))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def both_axes():
    """Slices along two axes, of which SaveV2 writes what it is told."""
    whole = np.arange(60, dtype=np.float32).reshape(6, 10)
    parts = [(slice(0, 2), slice(0, 10)), (slice(2, 6), slice(0, 4)), (slice(2, 6), slice(4, 10))]
    said = ["6 10 0,2:-", "6 10 2,4:0,4", "6 10 2,4:4,6"]
    raw.SaveV2(
        prefix="axes",
        tensor_names=["w"] * 3,
        shape_and_slices=said,
        tensors=[tf.constant(np.ascontiguousarray(whole[p])) for p in parts],
    )
    big = np.arange(600, dtype=np.int32).reshape(300, 2)
    raw.SaveV2(
        prefix="axes2",
        tensor_names=["w", "w", "x"],
        shape_and_slices=["300 2 0,100:-", "300 2 100,200:-", ""],
        tensors=[tf.constant(big[:100]), tf.constant(big[100:]), tf.constant([1.0])],
    )
    expected("axes")
    expected("axes2")


def model():
    tf.keras.utils.set_random_seed(1)
    net = tf.keras.Sequential(
        [
            tf.keras.Input((5, 3)),
            tf.keras.layers.LSTM(4, name="lstm"),
            tf.keras.layers.Dense(2),
        ]
    )
    net.compile("adam", "mse")
    net.fit(np.ones((4, 5, 3), np.float32), np.ones((4, 2), np.float32), verbose=0)
    net.save_weights("model/ck")
    expected("model", "model/ck")
    words = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    words.insert(tf.constant(["one", "two"]), tf.constant([1, 2], tf.int64))
    tf.train.Checkpoint(words=words).write("table")
    net2 = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2)])
    opt = tf.keras.optimizers.legacy.Adam()
    net2.compile(opt, "mse")
    net2.fit(np.ones((4, 3), np.float32), np.ones((4, 2), np.float32), verbose=0)
    saver = tf.train.CheckpointManager(
        tf.train.Checkpoint(model=net2, optimizer=opt), os.path.abspath("manager"), 2
    )
    for _ in range(3):
        saver.save()
    expected("manager", saver.latest_checkpoint)


os.chdir(sys.argv[1] if len(sys.argv) > 1 else ".")
all_dtypes()
strings()
shards()
many_keys()
v1 = tf.compat.v1
by_name(v1.train.SaverDef.V2, "named")
by_name(v1.train.SaverDef.V1, "old.ckpt")
by_name(v1.train.SaverDef.V2, "partitioned", v1.fixed_size_partitioner(3))
by_name(v1.train.SaverDef.V1, "oldparts.ckpt", v1.fixed_size_partitioner(3))
both_axes()
model()
