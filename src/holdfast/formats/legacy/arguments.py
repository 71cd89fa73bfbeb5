"""What each class of Keras 2 may be told in Keras 3: the allowlist, as plain tables.

Owns the names of the classes that a configuration may name and of the arguments that each takes in
Keras 3 or `holdfast.layers`. A class that is not here is made only if the caller gives it. Leaves
what becomes of an argument to `layer_configs` and `objects`.
"""

from __future__ import annotations

# Every layer takes these.
COMMON = frozenset(["name", "trainable", "dtype", "activity_regularizer"])

_KERNEL = (
    "use_bias kernel_initializer bias_initializer kernel_regularizer bias_regularizer "
    "kernel_constraint bias_constraint "
)
_NO_START = _KERNEL.replace("bias_initializer ", "")
_RECURRENT = (
    _KERNEL + "activation recurrent_initializer recurrent_regularizer recurrent_constraint dropout "
    "recurrent_dropout seed "
)
_OVER_TIME = "return_sequences return_state go_backwards stateful unroll zero_output_for_mask "
_WINDOW = "kernel_size strides padding data_format dilation_rate activation "
_CONVOLUTION = "filters groups " + _WINDOW + _KERNEL
_TRANSPOSED = "filters output_padding " + _WINDOW + _KERNEL
_DEPTHWISE = (
    "depth_multiplier depthwise_initializer depthwise_regularizer depthwise_constraint use_bias "
    "bias_initializer bias_regularizer bias_constraint " + _WINDOW
)
_SEPARABLE = (
    "filters pointwise_initializer pointwise_regularizer pointwise_constraint " + _DEPTHWISE
)
_CONV_LSTM = "filters recurrent_activation unit_forget_bias " + _WINDOW + _RECURRENT + _OVER_TIME
_LSTM = "units recurrent_activation unit_forget_bias " + _RECURRENT
_GRU = "units recurrent_activation reset_after " + _RECURRENT
_NORM = (
    "axis epsilon center scale beta_initializer gamma_initializer beta_regularizer "
    "gamma_regularizer beta_constraint gamma_constraint "
)
_POOL = "pool_size strides padding data_format"
_GLOBAL_POOL = "data_format keepdims"
_MOVED = "fill_mode interpolation seed fill_value data_format"
_LOOKUP = (
    "max_tokens num_oov_indices mask_token oov_token vocabulary idf_weights invert output_mode "
    "sparse pad_to_max_tokens vocabulary_dtype"
)
_LOCAL = "filters kernel_size strides padding data_format activation implementation " + _KERNEL

_HEADS = "num_heads key_dim value_dim dropout output_shape attention_axes seed " + _KERNEL

_LAYERS = {
    "Activation": "activation",
    "ActivityRegularization": "l1 l2",
    "Add": "",
    "AdditiveAttention": "use_scale dropout seed",
    "AlphaDropout": "rate noise_shape seed",
    "Attention": "use_scale score_mode dropout seed",
    "Average": "",
    "AveragePooling1D": _POOL,
    "AveragePooling2D": _POOL,
    "AveragePooling3D": _POOL,
    "BatchNormalization": _NORM + "momentum moving_mean_initializer moving_variance_initializer "
    "renorm renorm_clipping renorm_momentum",
    "Bidirectional": "layer merge_mode backward_layer",
    "CategoryEncoding": "num_tokens output_mode sparse",
    "CenterCrop": "height width data_format",
    "Concatenate": "axis",
    "Conv1D": _CONVOLUTION,
    "Conv1DTranspose": _TRANSPOSED,
    "Conv2D": _CONVOLUTION,
    "Conv2DTranspose": _TRANSPOSED,
    "Conv3D": _CONVOLUTION,
    "Conv3DTranspose": _TRANSPOSED,
    "ConvLSTM1D": _CONV_LSTM,
    "ConvLSTM2D": _CONV_LSTM,
    "ConvLSTM3D": _CONV_LSTM,
    "Cropping1D": "cropping",
    "Cropping2D": "cropping data_format",
    "Cropping3D": "cropping data_format",
    "Dense": "units activation " + _KERNEL,
    "DepthwiseConv1D": _DEPTHWISE,
    "DepthwiseConv2D": _DEPTHWISE,
    "Discretization": "bin_boundaries num_bins epsilon output_mode sparse",
    "Dot": "axes normalize",
    "Dropout": "rate noise_shape seed",
    "ELU": "alpha",
    "EinsumDense": "equation output_shape activation bias_axes kernel_initializer bias_initializer "
    "kernel_regularizer bias_regularizer kernel_constraint bias_constraint",
    "Embedding": "input_dim output_dim embeddings_initializer embeddings_regularizer "
    "embeddings_constraint mask_zero",
    "Flatten": "data_format",
    "GRU": _GRU + _OVER_TIME,
    "GRUCell": _GRU,
    "GaussianDropout": "rate seed",
    "GaussianNoise": "stddev seed",
    "GlobalAveragePooling1D": _GLOBAL_POOL,
    "GlobalAveragePooling2D": _GLOBAL_POOL,
    "GlobalAveragePooling3D": _GLOBAL_POOL,
    "GlobalMaxPooling1D": _GLOBAL_POOL,
    "GlobalMaxPooling2D": _GLOBAL_POOL,
    "GlobalMaxPooling3D": _GLOBAL_POOL,
    "GroupNormalization": "groups " + _NORM,
    "HashedCrossing": "num_bins output_mode sparse",
    "Hashing": "num_bins mask_value salt output_mode sparse",
    "Identity": "",
    "IntegerLookup": _LOOKUP,
    "LSTM": _LSTM + _OVER_TIME,
    "LSTMCell": _LSTM,
    "LayerNormalization": _NORM,
    "LeakyReLU": "negative_slope",
    "Masking": "mask_value",
    "MaxPooling1D": _POOL,
    "MaxPooling2D": _POOL,
    "MaxPooling3D": _POOL,
    "Maximum": "",
    "Minimum": "",
    "MultiHeadAttention": _HEADS,
    "Multiply": "",
    "Normalization": "axis mean variance invert",
    "PReLU": "alpha_initializer alpha_regularizer alpha_constraint shared_axes",
    "Permute": "dims",
    "RNN": "cell " + _OVER_TIME,
    "RandomBrightness": "factor value_range seed",
    "RandomContrast": "factor seed",
    "RandomFlip": "mode seed",
    "RandomRotation": "factor " + _MOVED,
    "RandomTranslation": "height_factor width_factor " + _MOVED,
    "RandomZoom": "height_factor width_factor " + _MOVED,
    "ReLU": "max_value negative_slope threshold",
    "RepeatVector": "n",
    "Rescaling": "scale offset",
    "Reshape": "target_shape",
    "Resizing": "height width interpolation crop_to_aspect_ratio",
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "SimpleRNN": "units " + _RECURRENT + _OVER_TIME,
    "SimpleRNNCell": "units " + _RECURRENT,
    "Softmax": "axis",
    "SpatialDropout1D": "rate seed",
    "SpatialDropout2D": "rate data_format seed",
    "SpatialDropout3D": "rate data_format seed",
    "SpectralNormalization": "layer power_iterations",
    "StackedRNNCells": "cells",
    "StringLookup": _LOOKUP + " encoding",
    "Subtract": "",
    "TextVectorization": "max_tokens standardize split ngrams output_mode output_sequence_length "
    "pad_to_max_tokens vocabulary idf_weights sparse ragged encoding",
    "TimeDistributed": "layer",
    "UnitNormalization": "axis",
    "UpSampling1D": "size",
    "UpSampling2D": "size data_format interpolation",
    "UpSampling3D": "size data_format",
    "ZeroPadding1D": "padding data_format",
    "ZeroPadding2D": "padding data_format",
    "ZeroPadding3D": "padding data_format",
}

# Of `holdfast.layers`: Keras 3 has them no longer, or not with all that Keras 2 let them do.
_OWN_LAYERS = {
    "LocallyConnected1D": _LOCAL,
    "LocallyConnected2D": _LOCAL,
    "Bidirectional": "layer merge_mode backward_layer",
    "Highway": _NO_START + "activation",
    "MaxoutDense": "units nb_feature " + _NO_START,
    "MultiHeadAttention": _HEADS,
    "ParametricSoftplus": "alpha_init beta_init shared_axes",
    "RandomCrop": "height width seed",
    "RandomHeight": "factor interpolation seed",
    "RandomWidth": "factor interpolation seed",
    "SReLU": "t_left_initializer a_left_initializer t_right_initializer a_right_initializer "
    "shared_axes",
    "SeparableConv1D": _SEPARABLE,
    "ThresholdedReLU": "theta",
}

# Of these, Keras 3 takes only the name and the type besides their own.
_FEW = frozenset(["Discretization", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"])

LAYERS = {
    name: (COMMON if name not in _FEW else frozenset(["name", "dtype"])) | frozenset(words.split())
    for name, words in _LAYERS.items()
}
OWN_LAYERS = {name: COMMON | frozenset(words.split()) for name, words in _OWN_LAYERS.items()}

# The names that Keras 2 had for the same class.
OTHER_NAMES = {
    "AvgPool1D": "AveragePooling1D",
    "AvgPool2D": "AveragePooling2D",
    "AvgPool3D": "AveragePooling3D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3D": "Conv3D",
    "Convolution3DTranspose": "Conv3DTranspose",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconvolution3D": "Conv3DTranspose",
    "GRUCellV2": "GRUCell",
    "GRUV1": "GRU",
    "GRUV2": "GRU",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalAvgPool3D": "GlobalAveragePooling3D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D",
    "GlobalMaxPool3D": "GlobalMaxPooling3D",
    "LSTMCellV2": "LSTMCell",
    "LSTMV1": "LSTM",
    "LSTMV2": "LSTM",
    "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D",
    "MaxPool3D": "MaxPooling3D",
    "NormalizationV1": "Normalization",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "SyncBatchNormalization": "BatchNormalization",
}

MODELS = frozenset(["Model", "Functional", "Network", "Container", "ModelV1"])

INITIALIZERS = {
    "Constant": "value",
    "GlorotNormal": "seed",
    "GlorotUniform": "seed",
    "HeNormal": "seed",
    "HeUniform": "seed",
    "Identity": "gain",
    "LecunNormal": "seed",
    "LecunUniform": "seed",
    "Ones": "",
    "Orthogonal": "gain seed",
    "RandomNormal": "mean stddev seed",
    "RandomUniform": "minval maxval seed",
    "TruncatedNormal": "mean stddev seed",
    "VarianceScaling": "scale mode distribution seed",
    "Zeros": "",
}
REGULARIZERS = {"L1": "l1", "L1L2": "l1 l2", "L2": "l2", "OrthogonalRegularizer": "factor mode"}
CONSTRAINTS = {
    "MaxNorm": "max_value axis",
    "MinMaxNorm": "min_value max_value rate axis",
    "NonNeg": "",
    "UnitNorm": "axis",
}

OTHER_OBJECT_NAMES = {
    "constant": "Constant",
    "glorot_normal": "GlorotNormal",
    "glorot_uniform": "GlorotUniform",
    "he_normal": "HeNormal",
    "he_uniform": "HeUniform",
    "identity": "Identity",
    "lecun_normal": "LecunNormal",
    "lecun_uniform": "LecunUniform",
    "normal": "RandomNormal",
    "one": "Ones",
    "ones": "Ones",
    "orthogonal": "Orthogonal",
    "random_normal": "RandomNormal",
    "random_uniform": "RandomUniform",
    "truncated_normal": "TruncatedNormal",
    "uniform": "RandomUniform",
    "variance_scaling": "VarianceScaling",
    "zero": "Zeros",
    "zeros": "Zeros",
    "IdentityInitializer": "Identity",
    "OrthogonalInitializer": "Orthogonal",
    "l1": "L1",
    "l1_l2": "L1L2",
    "l2": "L2",
    "orthogonal_regularizer": "OrthogonalRegularizer",
    "max_norm": "MaxNorm",
    "maxnorm": "MaxNorm",
    "min_max_norm": "MinMaxNorm",
    "non_neg": "NonNeg",
    "nonneg": "NonNeg",
    "unit_norm": "UnitNorm",
    "unitnorm": "UnitNorm",
}

_SAME = (
    "elu exponential gelu leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax "
    "softplus softsign swish tanh"
)

# Functions that give in Keras 3 the numbers they gave in Keras 2, by their names then.
ACTIVATIONS = {name: name for name in _SAME.split()} | {
    "softmax_v2": "softmax",
    "gelu_v2": "gelu",
    "swish_v1": "swish",
    "log_softmax_v2": "log_softmax",
}

_NO_EFFECT = (
    "activity_regularizer adjustment autocast batch_input_shape batch_size build_input_shape "
    "dynamic expects_mask_arg expects_training_arg experimental_autocast function_type fused "
    "has_mutated_metrics implementation input_dtype input_length input_shape input_spec key_shape "
    "kernel_constraint kernel_initializer kernel_regularizer must_restore_from_config "
    "preserve_input_structure_in_config query_shape rng_type save_spec shared_object_id sparse "
    "synchronized trainable value_shape virtual_batch_size vocabulary_size"
)

# What Keras 2 wrote of a layer that decides nothing about its numbers in Keras 3.
WITHOUT_EFFECT = frozenset(_NO_EFFECT.split())
