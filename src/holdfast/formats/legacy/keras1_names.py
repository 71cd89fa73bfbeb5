"""What Keras 1 called its classes and arguments, and what Keras 2 calls them.

Owns the tables. Leaves what is done with them to `keras1`.

Source: keras/layers of Keras 1.2.2, and `keras/legacy` of Keras 2.
"""

from __future__ import annotations

from holdfast.types import Json

# Old class -> new class, and old argument -> new argument where it only has another name.
CLASSES = {
    "Convolution1D": "Conv1D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConv1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "AtrousConvolution2D": "Conv2D",
    "AtrousConv2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconv2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}
CONVOLUTION = {
    "nb_filter": "filters",
    "init": "kernel_initializer",
    "border_mode": "padding",
    "subsample": "strides",
    "subsample_length": "strides",
    "atrous_rate": "dilation_rate",
    "W_regularizer": "kernel_regularizer",
    "W_constraint": "kernel_constraint",
}
RECURRENT = {
    "output_dim": "units",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
DENSE = {
    "output_dim": "units",
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "W_constraint": "kernel_constraint",
}
POOLING = {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"}
ARGUMENTS: dict[str, dict[str, str]] = {
    "Dense": DENSE,
    "Highway": DENSE,
    "MaxoutDense": DENSE,
    "Conv1D": CONVOLUTION | {"filter_length": "kernel_size"},
    "Conv2D": CONVOLUTION,
    "Conv3D": CONVOLUTION,
    "Conv2DTranspose": CONVOLUTION,
    "SeparableConv2D": CONVOLUTION | {"init": "depthwise_initializer"},
    "LocallyConnected1D": CONVOLUTION | {"filter_length": "kernel_size"},
    "LocallyConnected2D": CONVOLUTION,
    "ConvLSTM2D": RECURRENT | CONVOLUTION,
    "SimpleRNN": RECURRENT,
    "LSTM": RECURRENT,
    "GRU": RECURRENT,
    "Embedding": {
        "init": "embeddings_initializer",
        "W_regularizer": "embeddings_regularizer",
        "W_constraint": "embeddings_constraint",
    },
    "PReLU": {"init": "alpha_initializer"},
    "Dropout": {"p": "rate"},
    "SpatialDropout1D": {"p": "rate"},
    "SpatialDropout2D": {"p": "rate"},
    "SpatialDropout3D": {"p": "rate"},
    "GaussianDropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
    "UpSampling1D": {"length": "size"},
    **{f"{kind}Pooling{number}D": POOLING for kind in ("Max", "Average") for number in (1, 2, 3)},
}
EVERYWHERE = {
    "bias": "use_bias",
    "b_regularizer": "bias_regularizer",
    "b_constraint": "bias_constraint",
    "dim_ordering": "data_format",
    "input_dtype": "dtype",
}
SIZES = ("nb_row", "nb_col", "kernel_dim1", "kernel_dim2", "kernel_dim3")
DROPPED = ("consume_less", "input_length", "weights", "forget_bias_init", *SIZES)
ORDERINGS = {"tf": "channels_last", "th": "channels_first"}
# Layers whose configuration did not say the order of an image's dimensions.
ORDERED = frozenset(
    f"{kind}{number}D"
    for kind in ("UpSampling", "ZeroPadding", "Cropping", "SpatialDropout")
    for number in (2, 3)
)
INITIALIZERS: dict[str, tuple[str, dict[str, Json]]] = {
    "uniform": ("RandomUniform", {"minval": -0.05, "maxval": 0.05}),
    "normal": ("RandomNormal", {"mean": 0.0, "stddev": 0.05}),
    "zero": ("Zeros", {}),
    "one": ("Ones", {}),
    "identity": ("Identity", {}),
    "orthogonal": ("Orthogonal", {}),
    "glorot_uniform": ("GlorotUniform", {}),
    "glorot_normal": ("GlorotNormal", {}),
    "he_uniform": ("HeUniform", {}),
    "he_normal": ("HeNormal", {}),
    "lecun_uniform": ("LecunUniform", {}),
}
CONSTRAINTS = {
    "MaxNorm": ("MaxNorm", {"m": "max_value", "axis": "axis"}),
    "NonNeg": ("NonNeg", {}),
    "UnitNorm": ("UnitNorm", {"axis": "axis"}),
}
MERGES = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
    "dot": "Dot",
    "cos": "Dot",
}
BATCH_NORMALIZATION_STD = (1, 0, 5)
PADDINGS = {"Conv1D": "ZeroPadding1D", "Conv2D": "ZeroPadding2D", "Conv3D": "ZeroPadding3D"}
# Under this key, while it is translated, a layer has the one that comes before it.
PADDING = "padding layer"
