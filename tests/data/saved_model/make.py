"""Write the SavedModels of this directory, with TensorFlow 2.15.1: `python make.py`.

Each is a zip of a SavedModel and of `io.npz`, which has its inputs and what TensorFlow computed.
"""

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
R = tf.raw_ops
F32 = tf.float32
rng = np.random.default_rng(7)


def normal(*shape):
    return rng.normal(size=shape).astype("float32")


def write(name, module, inputs, signature=None):
    """Save a module and what it computes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, name)
        function = signature or module.serve
        tf.saved_model.save(module, str(root), signatures=function)
        found = tf.saved_model.load(str(root)).signatures["serving_default"](
            **{key: tf.constant(value) for key, value in inputs.items()}
        )
        arrays = {f"inputs/{key}": value for key, value in inputs.items()}
        arrays |= {f"outputs/{key}": value.numpy() for key, value in found.items()}
        np.savez_compressed(root / "io.npz", **arrays)
        shutil.rmtree(root / "assets", ignore_errors=True)
        with zipfile.ZipFile(HERE / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as out:
            for path in sorted(root.rglob("*")):
                if path.is_file():
                    info = zipfile.ZipInfo(str(path.relative_to(root)))
                    info.compress_type = zipfile.ZIP_DEFLATED
                    out.writestr(info, path.read_bytes())


KERNEL = normal(3, 3, 3, 4)
KERNEL3 = normal(2, 2, 2, 3, 2)
UPWARDS = normal(3, 3, 5, 3)
STATISTICS = [np.abs(normal(3)) for _ in range(4)]


def arithmetic(x, i):
    """Operations element by element, along axes, and products; x is (2, 4, 6, 3), i is (4,)."""
    a = tf.abs(x) + 0.1
    b = tf.tanh(x) * 0.9
    flat = tf.reshape(x, (2, 4, 18))
    unary = {
        "Abs": x, "Acos": b, "Acosh": a + 1, "Asin": b, "Asinh": x, "Atan": x, "Atanh": b,
        "Ceil": x, "Cos": x, "Cosh": x, "Erf": x, "Erfc": x, "Exp": x, "Expm1": x, "Floor": x,
        "Inv": a, "IsFinite": x, "IsInf": x, "IsNan": x, "Log": a, "Log1p": a, "Neg": x,
        "Reciprocal": a, "Rint": x * 3, "Round": x * 3, "Rsqrt": a, "Sigmoid": x, "Sign": x,
        "Sin": x, "Sinh": x, "Sqrt": a, "Square": x, "Tan": b, "Tanh": x,
    }  # fmt: skip
    features = ("Elu", "Relu", "Relu6", "Selu", "Softplus", "Softsign")
    binary = (
        *("Add", "AddV2", "Sub", "Mul", "Div", "RealDiv", "FloorDiv", "FloorMod", "Mod"),
        *("Maximum", "Minimum", "SquaredDifference", "Atan2", "Less", "LessEqual", "Greater"),
        *("GreaterEqual", "DivNoNan", "MulNoNan", "Xdivy"),
    )
    y = tf.reverse(x, [0]) + 0.25
    zero = tf.where(y > 0, y, tf.zeros_like(y))
    found = {op: getattr(R, op)(x=value) for op, value in unary.items()}
    found |= {op: getattr(R, op)(features=x * 3) for op in features}
    for op in binary:
        other = zero if op in ("DivNoNan", "MulNoNan") else y
        found[op] = getattr(R, op)(x=zero if op == "Xdivy" else x, y=other)
    found |= {
        "AddN": tf.add_n([x, y, x]),
        "All": R.All(input=x > -9.0, axis=[0, 3]),
        "Any": R.Any(input=x > 1.0, axis=[1], keep_dims=True),
        "ArgMax": tf.argmax(x, 2, output_type=tf.int32),
        "ArgMin": tf.argmin(x, -1),
        "BatchMatMulV2": R.BatchMatMulV2(x=flat, y=flat, adj_y=True),
        "Bucketize": R.Bucketize(input=x, boundaries=[-0.5, 0.0, 0.7]),
        "Cast": tf.cast(x * 3, tf.int32),
        "ClipByValue": R.ClipByValue(t=x, clip_value_min=-0.3, clip_value_max=0.4),
        "Cumprod": tf.math.cumprod(x, 1, reverse=True),
        "Cumsum": tf.cumsum(x, 2, exclusive=True),
        "CumsumBack": tf.cumsum(x, -1, reverse=True, exclusive=True),
        "Einsum": tf.einsum("bij,bkj->bik", flat, flat),
        "Equal": R.Equal(x=x, y=x),
        "IntegerDiv": R.Div(x=i * 7 - 9, y=i + 1),
        "L2Loss": R.L2Loss(t=x),
        "LeakyRelu": R.LeakyRelu(features=x, alpha=0.1),
        "LogSoftmax": R.LogSoftmax(logits=tf.reshape(x, (8, 18))),
        "LogicalAnd": R.LogicalAnd(x=x > 0, y=y > 0),
        "LogicalNot": R.LogicalNot(x=x > 0),
        "LogicalOr": R.LogicalOr(x=x > 0, y=y > 0),
        "MatMul": tf.matmul(flat[0], flat[1], transpose_a=True),
        "Max": tf.reduce_max(x, [1, 2]),
        "Mean": tf.reduce_mean(x, -1, keepdims=True),
        "MeanOfAll": tf.reduce_mean(x),
        "Min": tf.reduce_min(x, 0),
        "NotEqual": R.NotEqual(x=i, y=2),
        "Pow": R.Pow(x=a, y=y),
        "Prod": tf.reduce_prod(x, 3),
        "Softmax": tf.nn.softmax(flat),
        "Sum": tf.reduce_sum(x, [0, 2]),
        "Xlogy": R.Xlogy(x=zero, y=a),
    }
    return {
        key: tf.cast(value, F32) if value.dtype == tf.bool else value
        for key, value in found.items()
    }


def arrays(x, i):
    """Operations that make, cut, join and move arrays."""
    values, places = tf.math.top_k(x, 2)
    one, two = tf.split(x, [1, 2], 3)
    return {
        "BatchToSpaceND": R.BatchToSpaceND(
            input=tf.tile(x, [4, 1, 1, 1]), block_shape=[2, 2], crops=[[0, 1], [1, 0]]
        ),
        "BroadcastArgs": tf.broadcast_to(
            x[:, :1], R.BroadcastArgs(s0=tf.shape(x), s1=[1, 1, 1, 3])
        ),
        "BroadcastTo": R.BroadcastTo(input=x[:, :, :, :1], shape=[2, 4, 6, 5]),
        "Concat": R.Concat(concat_dim=1, values=[x, x]),
        "ConcatV2": tf.concat([x, x], -1),
        "DepthToSpace": tf.nn.depth_to_space(tf.tile(x, [1, 1, 1, 4]), 2),
        "EnsureShape": tf.ensure_shape(x, [2, 4, 6, 3]),
        "ExpandDims": tf.expand_dims(x, 1),
        "Fill": x + tf.fill([3], 2.0),
        "Gather": R.Gather(params=x, indices=[1, 0, 1]),
        "GatherNd": tf.gather_nd(x, [[1, 2], [0, 3]]),
        "GatherV2": tf.gather(x, i, axis=1),
        "GatherInBatches": tf.gather(x, tf.stack([i, 3 - i]), axis=1, batch_dims=1),
        "IdentityN": tf.identity_n([x, x])[1],
        "InvertPermutation": tf.transpose(x, tf.math.invert_permutation([2, 0, 1, 3])),
        "LinSpace": x[0, 0, :, 0] + R.LinSpace(start=0.0, stop=1.0, num=6),
        "MatrixBandPart": tf.linalg.band_part(x[0], 1, 0) + tf.linalg.band_part(x[0], -1, 2),
        "MirrorPad": tf.pad(x, [[0, 0], [1, 2], [0, 0], [0, 0]], "REFLECT"),
        "MirrorPadEdge": tf.pad(x, [[0, 0], [1, 2], [0, 0], [0, 0]], "SYMMETRIC"),
        "OneHot": tf.one_hot(i, 5, on_value=2.0, off_value=-1.0, axis=0),
        "OnesLike": tf.ones_like(x) * x,
        "Pack": tf.stack([x, x], 2),
        "Pad": tf.pad(x, [[0, 0], [1, 0], [0, 2], [0, 0]]),
        "PadV2": tf.pad(x, [[0, 0], [1, 0], [0, 2], [0, 0]], constant_values=7.0),
        "Range": x[0, 0, :, 0] * tf.range(0.0, 3.0, 0.5),
        "Rank": x * tf.cast(R.Rank(input=x), F32),
        "Reshape": tf.reshape(x, [tf.shape(x)[0], -1, 9]),
        "ReverseV2": tf.reverse(x, [1, 3]),
        "Select": R.Select(condition=[True, False], x=x, y=-x),
        "SelectV2": tf.where(x > 0, x, 0.0),
        "Size": x / tf.cast(tf.size(x), F32),
        "Slice": tf.slice(x, [0, 1, 2, 0], [-1, 2, 3, 1]),
        "SpaceToBatchND": R.SpaceToBatchND(input=x, block_shape=[2, 3], paddings=[[1, 1], [0, 0]]),
        "SpaceToDepth": tf.nn.space_to_depth(x, 2),
        "Split": tf.split(x, 3, 2)[1],
        "SplitV": two - one,
        "Squeeze": tf.squeeze(x[:, :1], [1]),
        "SqueezeAll": tf.squeeze(x[:1, :, :1]),
        "StridedSlice": x[..., ::-1, 0],
        "StridedSliceNew": x[:, tf.newaxis, 1:-1, 0::2],
        "Tile": tf.tile(x, [1, 2, 1, 1]),
        "TopKV2": values,
        "TopKV2Places": places,
        "Transpose": tf.transpose(x, [0, 3, 1, 2]),
        "Unpack": tf.unstack(x, axis=2)[4],
        "ZerosLike": tf.zeros_like(x) + x,
    }


def layers(x, i):
    """Operations that layers are made of."""
    up = tf.nn.conv2d_transpose
    small = x[:, :3, :4]
    gamma, beta, mean, variance = STATISTICS
    trained, *_ = R.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=0.01, is_training=True
    )
    image, *_ = R.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=0.01,
        is_training=False,
    )  # fmt: skip
    deep = tf.stack([x, x * 2, x - 1, -x], 1)
    pool, pool3 = [1, 2, 2, 1], [1, 2, 2, 2, 1]
    return {
        "AvgPool": tf.nn.avg_pool2d(x, 3, 2, "SAME"),
        "AvgPool3D": R.AvgPool3D(input=deep, ksize=pool3, strides=pool3, padding="VALID"),
        "BiasAdd": tf.nn.bias_add(x, beta),
        "Conv2D": tf.nn.conv2d(x, KERNEL, 2, "SAME"),
        "Conv2DDilated": tf.nn.conv2d(x, KERNEL[:2, :2], 1, "VALID", dilations=[2, 3]),
        "Conv2DExplicit": tf.nn.conv2d(x, KERNEL, 1, [[0, 0], [2, 1], [0, 1], [0, 0]]),
        "Conv2DGroups": tf.nn.conv2d(tf.concat([x, x], 3), normal(3, 3, 3, 4), 1, "SAME"),
        "Conv2DBackpropInput": up(small, UPWARDS, [2, 6, 8, 5], 2, "SAME"),
        "Conv2DBackpropInputOdd": up(small, UPWARDS, [2, 5, 7, 5], 2, "SAME"),
        "Conv2DBackpropInputValid": up(small, UPWARDS, [2, 7, 9, 5], 2, "VALID"),
        "Conv2DBackpropInputWide": up(small, UPWARDS, [2, 8, 10, 5], 2, "VALID"),
        "Conv2DBackpropInputFar": up(small, UPWARDS[:2, :2], [2, 11, 14, 5], 4, "VALID"),
        "Conv3D": tf.nn.conv3d(deep, KERNEL3, [1, 1, 2, 1, 1], "SAME"),
        "Conv3DBackpropInputV2": tf.nn.conv3d_transpose(
            deep, tf.transpose(KERNEL3, [0, 1, 2, 4, 3]), [2, 8, 8, 12, 2], 2, "SAME"
        ),
        "DepthwiseConv2dNative": tf.nn.depthwise_conv2d(x, KERNEL, [1, 1, 1, 1], "SAME"),
        "FusedBatchNormV3": image,
        "FusedBatchNormV3Training": trained,
        "MaxPool": tf.nn.max_pool2d(x, 3, 2, "SAME"),
        "MaxPool3D": R.MaxPool3D(input=deep, ksize=pool3, strides=pool3, padding="SAME"),
        "MaxPoolValid": R.MaxPool(input=x, ksize=pool, strides=pool, padding="VALID"),
        "ResizeBilinear": R.ResizeBilinear(images=x, size=[7, 5], half_pixel_centers=True),
        "ResizeBilinearCorners": R.ResizeBilinear(images=x, size=[7, 5], align_corners=True),
        "ResizeBilinearOld": R.ResizeBilinear(images=x, size=[7, 5]),
        "ResizeNearest": R.ResizeNearestNeighbor(images=x, size=[7, 9], half_pixel_centers=True),
        "ResizeNearestCorners": R.ResizeNearestNeighbor(images=x, size=[7, 9], align_corners=True),
        "ResizeNearestOld": R.ResizeNearestNeighbor(images=x, size=[3, 9]),
    }


class Operations(tf.Module):
    """All operations of a kind at once."""

    def __init__(self, kind):
        super().__init__()
        self.serve = tf.function(
            kind,
            input_signature=[
                tf.TensorSpec((None, 4, 6, 3), F32, "x"), tf.TensorSpec((4,), tf.int32, "i")
            ],
        )  # fmt: skip


class Flow(tf.Module):
    """Loops and branches; one loop and one branch depend on the data."""

    def __init__(self, on_data):
        super().__init__()
        self.weight = tf.Variable(normal(3, 3), name="weight")
        self.table = tf.Variable(normal(5, 3), name="table")
        self.on_data = on_data
        self.serve = tf.function(self.run, input_signature=[tf.TensorSpec((None, 3), F32, "x")])

    def run(self, x):
        count, items = tf.constant(0), tf.TensorArray(F32, size=0, dynamic_size=True)
        while count < 2 * tf.shape(x)[0]:
            x = tf.tanh(x @ self.weight)
            items = items.write(count, tf.reduce_sum(x, 0))
            count += 1
        found = {"stacked": items.stack(), "rows": tf.gather(self.table, tf.range(1, 4))}
        if tf.shape(x)[0] > 100:
            x = -x
        if self.on_data:
            while tf.reduce_sum(tf.abs(x)) < 50.0:
                x = 1.5 * x
            if tf.reduce_max(x) > 1.0:
                x = x + 1.0
        return found | {"x": x}


class Counter(tf.Module):
    """Changes a variable, which serving here must refuse."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0.0, name="count")

    @tf.function(input_signature=[tf.TensorSpec((None,), F32, "x")])
    def serve(self, x):
        self.count.assign_add(1.0)
        return {"y": x * self.count}


class Outside(tf.Module):
    """Reads a file, calls Python and writes a file: what no file may do."""

    def __init__(self, what):
        super().__init__()
        self.serve = tf.function(what, input_signature=[tf.TensorSpec((), tf.string, "x")])


class SameNames(tf.Module):
    """Two variables of one name, and a constant."""

    def __init__(self):
        super().__init__()
        self.one = tf.Variable(normal(2), name="w")
        self.two = tf.Variable(normal(2), name="w")
        self.shift = tf.constant(normal(2))

    @tf.function(input_signature=[tf.TensorSpec((None, 2), F32, "x")])
    def serve(self, x):
        return {"y": x * self.one - self.two + self.shift}


def main():
    x, i = normal(2, 4, 6, 3), np.array([3, 0, 2, 1], "int32")
    for kind in (arithmetic, arrays, layers):
        write(kind.__name__, Operations(kind), {"x": x, "i": i})
    write("flow", Flow(False), {"x": normal(3, 3)})
    write("flow_on_data", Flow(True), {"x": normal(3, 3)})
    write("same_names", SameNames(), {"x": normal(3, 2)})
    write("changes_a_variable", Counter(), {"x": normal(3)})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file")
        file.write_text("x")
        given = {"x": np.array(str(file))}
        write("reads_a_file", Outside(lambda x: {"y": tf.io.read_file(x)}), given)
        write(
            "calls_python",
            Outside(lambda x: {"y": tf.py_function(lambda text: 1, [x], tf.int32)}),
            given,
        )

        def writes(x):
            tf.io.write_file(x, "y")
            return {"y": tf.constant(1.0)}

        write("writes_a_file", Outside(writes), given)


if __name__ == "__main__":
    sys.exit(main())
