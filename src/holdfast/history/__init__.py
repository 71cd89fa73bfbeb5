"""The history of a run as curves, and their pictures.

Owns what a picture of a run shows. Knows no Keras, so that the command line draws without it.
"""

from holdfast.history.chart import chart
from holdfast.history.curves import Curves
from holdfast.history.figure import compare, draw

__all__ = ["Curves", "chart", "compare", "draw"]
