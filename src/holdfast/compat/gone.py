"""Modules of Keras's that are gone, each with those that have its names today.

Owns the table, and the rows made of it. Leaves what such a module does to `old_modules`.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.compat.old import Old

FOR_TENSORFLOW = "keras._tf_keras.keras"
"""Where Keras has its modules for `tensorflow.keras`: the names of today, and some older ones."""


@dataclass(frozen=True)
class Gone:
    """A module that is gone.

    Args:
        since: the first Keras without it.
        today: the modules that have its names.
        names: those it had itself, for `from … import *`; without them, all of `today`'s first.
        within: modules in it, which have the same names.
    """

    since: str
    today: tuple[str, ...]
    names: str = ""
    within: str = ""


_CORE = (
    "Activation ActivityRegularization Dense Dropout Flatten Lambda Masking Permute RepeatVector "
    "Reshape SpatialDropout1D SpatialDropout2D SpatialDropout3D"
)
_CONVOLUTIONAL = (
    "Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose Convolution1D "
    "Convolution2D Convolution3D Convolution2DTranspose Convolution3DTranspose Cropping1D "
    "Cropping2D Cropping3D DepthwiseConv2D SeparableConv1D SeparableConv2D "
    "SeparableConvolution1D SeparableConvolution2D UpSampling1D UpSampling2D UpSampling3D "
    "ZeroPadding1D ZeroPadding2D ZeroPadding3D"
)
_POOLING = (
    "AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D "
    "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D "
    "GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D "
    "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D MaxPool1D MaxPool2D MaxPool3D "
    "MaxPooling1D MaxPooling2D MaxPooling3D"
)
_RECURRENT = "GRU GRUCell LSTM LSTMCell RNN SimpleRNN SimpleRNNCell StackedRNNCells"
_MERGE = (
    "Add Average Concatenate Dot Maximum Minimum Multiply Subtract "
    "add average concatenate dot maximum minimum multiply subtract"
)
_OPTIMIZERS = "adadelta adagrad adam adamax ftrl gradient_descent nadam rmsprop sgd"
_LAYERS = ("keras.layers",)
_SHAPES = "1d 2d 3d"


def _each(*stems: str) -> str:
    return " ".join(f"{stem}{end}" for stem in stems for end in _SHAPES.split())


GONE = {
    # layers
    "keras.layers.core": Gone(
        "Keras 2.13",
        _LAYERS,
        _CORE,
        "activation activity_regularization dense dropout einsum_dense embedding flatten identity "
        "lambda_layer masking permute repeat_vector reshape spatial_dropout",
    ),
    "keras.layers.convolutional": Gone(
        "Keras 2.13",
        _LAYERS,
        _CONVOLUTIONAL,
        "conv1d conv1d_transpose conv2d conv2d_transpose conv3d conv3d_transpose depthwise_conv1d "
        "depthwise_conv2d separable_conv1d separable_conv2d",
    ),
    "keras.layers.pooling": Gone(
        "Keras 2.13",
        _LAYERS,
        _POOLING,
        _each("average_pooling", "global_average_pooling", "global_max_pooling", "max_pooling"),
    ),
    "keras.layers.normalization": Gone(
        "Keras 2.13",
        _LAYERS,
        "BatchNormalization LayerNormalization",
        "batch_normalization batch_normalization_v1 group_normalization layer_normalization "
        "unit_normalization",
    ),
    "keras.layers.noise": Gone("Keras 2.13", _LAYERS, "AlphaDropout GaussianDropout GaussianNoise"),
    "keras.layers.activation": Gone(
        "Keras 2.13",
        _LAYERS,
        "ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU",
        "elu leaky_relu prelu relu softmax thresholded_relu",
    ),
    "keras.layers.attention": Gone(
        "Keras 2.13",
        _LAYERS,
        "AdditiveAttention Attention MultiHeadAttention",
        "additive_attention attention multi_head_attention",
    ),
    "keras.layers.merging": Gone(
        "Keras 2.13",
        _LAYERS,
        _MERGE,
        "add average concatenate dot maximum minimum multiply subtract",
    ),
    "keras.layers.preprocessing": Gone(
        "Keras 2.13",
        _LAYERS,
        "",
        "category_encoding discretization hashed_crossing hashing image_preprocessing "
        "integer_lookup normalization string_lookup text_vectorization",
    ),
    "keras.layers.regularization": Gone(
        "Keras 2.13",
        _LAYERS,
        "",
        "activity_regularization alpha_dropout dropout gaussian_dropout gaussian_noise "
        + _each("spatial_dropout"),
    ),
    "keras.layers.reshaping": Gone(
        "Keras 2.13",
        _LAYERS,
        "",
        "flatten permute repeat_vector reshape " + _each("cropping", "up_sampling", "zero_padding"),
    ),
    "keras.layers.rnn": Gone(
        "Keras 2.13",
        _LAYERS,
        _RECURRENT,
        "abstract_rnn_cell base_rnn base_wrapper bidirectional cudnn_gru cudnn_lstm gru lstm "
        "simple_rnn stacked_rnn_cells time_distributed " + _each("conv_lstm"),
    ),
    "keras.layers.locally_connected": Gone(
        "Keras 2.13",
        _LAYERS,
        "LocallyConnected1D LocallyConnected2D",
        "locally_connected1d locally_connected2d",
    ),
    "keras.layers.serialization": Gone("Keras 2.13", _LAYERS, "deserialize serialize"),
    "keras.layers.advanced_activations": Gone(
        "Keras 2.9", _LAYERS, "ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU"
    ),
    "keras.layers.convolutional_recurrent": Gone("Keras 2.9", _LAYERS, "ConvLSTM2D"),
    "keras.layers.cudnn_recurrent": Gone("Keras 2.9", _LAYERS, "CuDNNGRU CuDNNLSTM"),
    "keras.layers.dense_attention": Gone("Keras 2.9", _LAYERS, "AdditiveAttention Attention"),
    "keras.layers.embeddings": Gone("Keras 2.9", _LAYERS, "Embedding"),
    "keras.layers.local": Gone("Keras 2.9", _LAYERS, "LocallyConnected1D LocallyConnected2D"),
    "keras.layers.merge": Gone("Keras 2.9", _LAYERS, _MERGE),
    "keras.layers.multi_head_attention": Gone("Keras 2.9", _LAYERS, "MultiHeadAttention"),
    "keras.layers.recurrent": Gone("Keras 2.9", _LAYERS, _RECURRENT),
    "keras.layers.recurrent_v2": Gone("Keras 2.9", _LAYERS, "GRU GRUCell LSTM LSTMCell"),
    "keras.layers.wrappers": Gone("Keras 2.9", _LAYERS, "Bidirectional TimeDistributed Wrapper"),
    "keras.layers.experimental": Gone("Keras 3.0", _LAYERS, "EinsumDense"),
    "keras.layers.experimental.preprocessing": Gone(
        "Keras 3.0",
        _LAYERS,
        "CategoryEncoding CenterCrop Discretization HashedCrossing Hashing IntegerLookup "
        "Normalization RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation "
        "RandomTranslation RandomWidth RandomZoom Rescaling Resizing StringLookup "
        "TextVectorization",
    ),
    "keras.legacy.layers": Gone("Keras 2.4", _LAYERS, "Highway MaxoutDense"),
    # models
    "keras.engine": Gone(
        "Keras 2.13", ("keras", *_LAYERS), "Input InputLayer InputSpec Layer Model"
    ),
    "keras.engine.base_layer": Gone("Keras 2.13", _LAYERS, "InputSpec Layer"),
    "keras.engine.functional": Gone("Keras 2.13", ("keras.models",), "Functional"),
    "keras.engine.input_layer": Gone("Keras 2.13", ("keras", *_LAYERS), "Input InputLayer"),
    "keras.engine.input_spec": Gone("Keras 2.13", _LAYERS, "InputSpec"),
    "keras.engine.keras_tensor": Gone("Keras 2.13", ("keras",), "KerasTensor"),
    "keras.engine.network": Gone("Keras 2.6", ("keras.models",), "Network"),
    "keras.engine.saving": Gone("Keras 2.13", ("keras.models",), "load_model save_model"),
    "keras.engine.sequential": Gone("Keras 2.13", ("keras.models",), "Sequential"),
    "keras.engine.topology": Gone(
        "Keras 2.6",
        ("keras", "keras.layers", "keras.utils"),
        "Input InputLayer InputSpec Layer get_source_inputs",
    ),
    "keras.engine.training": Gone("Keras 2.13", ("keras.models",), "Model"),
    "keras.models.cloning": Gone("Keras 2.13", ("keras.models",), "clone_model"),
    "keras.saving.save": Gone("Keras 2.11", ("keras.models",), "load_model save_model"),
    "keras.saving.saving_api": Gone("Keras 2.13", ("keras.saving",), "load_model save_model"),
    "keras.saving.object_registration": Gone("Keras 2.13", ("keras.saving",)),
    # optimizers
    "keras.optimizers.legacy": Gone(
        "Keras 3.0",
        ("keras.optimizers",),
        "Adadelta Adagrad Adam Adamax Ftrl Nadam Optimizer RMSprop SGD",
        f"{_OPTIMIZERS} optimizer optimizer_v2",
    ),
    "keras.optimizers.experimental": Gone("Keras 3.0", ("keras.optimizers",)),
    "keras.optimizers.optimizer_v1": Gone("Keras 2.13", ("keras.optimizers",)),
    "keras.optimizers.optimizer_v2": Gone(
        "Keras 2.12", ("keras.optimizers",), "", f"{_OPTIMIZERS} optimizer_v2"
    ),
    "keras.optimizers.optimizer_experimental": Gone(
        "Keras 2.12", ("keras.optimizers",), "", f"{_OPTIMIZERS} adafactor adamw optimizer"
    ),
    "keras.optimizers.schedules.learning_rate_schedule": Gone(
        "Keras 2.13", ("keras.optimizers.schedules",)
    ),
    "keras.optimizer_v1": Gone("Keras 2.9", ("keras.optimizers",)),
    "keras.optimizer_v2": Gone(
        "Keras 2.9", ("keras.optimizers",), "", f"{_OPTIMIZERS} optimizer_v2"
    ),
    "keras.optimizer_v2.learning_rate_schedule": Gone("Keras 2.9", ("keras.optimizers.schedules",)),
    **{
        f"keras.optimizers.{name}_v2": Gone("Keras 2.12", ("keras.optimizers",))
        for name in _OPTIMIZERS.split()
        if name != "sgd"
    },
    # Keras 2.0 to 2.3 had classes of these names, Keras 2.12 modules.
    **{
        f"keras.optimizers.{name}": Gone("Keras 2.13", ("keras.optimizers",))
        for name in [
            "adadelta",
            "adafactor",
            "adagrad",
            "adam",
            "adamax",
            "adamw",
            "ftrl",
            "nadam",
            "rmsprop",
            "sgd",
        ]
    },
    # the rest
    "keras.utils.all_utils": Gone("Keras 2.9", ("keras.utils",)),
    "keras.utils.conv_utils": Gone("Keras 2.13", ("keras.utils",)),
    "keras.utils.data_utils": Gone(
        "Keras 2.13", ("keras.utils",), "Sequence get_file pad_sequences"
    ),
    "keras.utils.generic_utils": Gone(
        "Keras 2.13",
        ("keras.utils", "keras.saving"),
        "CustomObjectScope Progbar custom_object_scope deserialize_keras_object "
        "get_custom_objects get_registered_name get_registered_object "
        "register_keras_serializable serialize_keras_object",
    ),
    "keras.utils.image_utils": Gone(
        "Keras 2.13", ("keras.utils",), "array_to_img img_to_array load_img save_img"
    ),
    "keras.utils.io_utils": Gone("Keras 2.13", ("keras.utils", "keras.config")),
    "keras.utils.layer_utils": Gone("Keras 2.13", ("keras.utils",), "get_source_inputs"),
    "keras.utils.losses_utils": Gone("Keras 2.13", ("keras.losses",)),
    "keras.utils.multi_gpu_utils": Gone("Keras 2.9", ("keras.utils",)),
    "keras.utils.np_utils": Gone("Keras 2.13", ("keras.utils",), "normalize to_categorical"),
    "keras.utils.tf_utils": Gone("Keras 2.13", ("keras.utils",)),
    "keras.utils.training_utils": Gone("Keras 2.2", ("keras.utils",)),
    "keras.utils.vis_utils": Gone("Keras 2.13", ("keras.utils",), "model_to_dot plot_model"),
    "keras.preprocessing.text": Gone("Keras 3.0", (f"{FOR_TENSORFLOW}.preprocessing.text",)),
    "keras.preprocessing.timeseries": Gone(
        "Keras 2.9", ("keras.utils",), "timeseries_dataset_from_array"
    ),
    "keras.backend.tensorflow_backend": Gone("Keras 2.4", ("keras.backend",)),
    "keras.callbacks.callbacks": Gone("Keras 2.4", ("keras.callbacks",)),
    "keras.callbacks_v1": Gone("Keras 2.13", ("keras.callbacks",), "TensorBoard"),
    "keras.experimental": Gone(
        "Keras 3.0", ("keras.optimizers.schedules",), "CosineDecay CosineDecayRestarts"
    ),
    "keras.initializers.initializers_v2": Gone("Keras 2.12", ("keras.initializers",)),
    "keras.metrics.metrics": Gone("Keras 2.12", ("keras.metrics",)),
    "keras.objectives": Gone("Keras 2.6", ("keras.losses",)),
    "keras.wrappers.scikit_learn": Gone("Keras 2.13", (), "KerasClassifier KerasRegressor"),
}
"""Each module that is gone, by its name."""

OF = {
    name: Old(
        name,
        gone.since,
        ", ".join(part.replace(FOR_TENSORFLOW, "keras") for part in gone.today),
        "a module with the names of today's",
    )
    for name, gone in GONE.items()
}
OF["keras.preprocessing.text"] = Old(
    "keras.preprocessing.text",
    "Keras 3.0",
    "keras.layers.TextVectorization",
    "Keras's own Tokenizer and functions, which it still has for TensorFlow's sake",
)
OF["keras.wrappers.scikit_learn"] = Old(
    "keras.wrappers.scikit_learn",
    "Keras 2.13",
    "scikeras.wrappers",
    "scikeras's KerasClassifier and KerasRegressor, which take the old arguments",
)
WITHIN = {f"{name}.{part}": name for name, gone in GONE.items() for part in gone.within.split()}
"""Modules within those that are gone, and in which."""

ROWS = tuple(OF.values())
