"""Judging with what was trained, anywhere: `load` gives a model that takes arrays and gives arrays.

    import holdfast.judge
    model = holdfast.judge.load("digits.onnx")
    probabilities = model(rows)

An `.onnx` is run by onnxruntime and a `.tflite` by LiteRT, without Keras and without JAX.
"""

from holdfast.judge.judge import Judge
from holdfast.judge.loading import load

__all__ = ["Judge", "load"]
