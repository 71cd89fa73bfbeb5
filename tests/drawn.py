"""Whether a source's batches are the same from wherever they are drawn."""

import random

import keras
import numpy as np

from holdfast.data.batches import content_sum
from holdfast.data.drawing import Drawing, isolated


def drawn(source, number, batch=0, seed=5):
    """The content of the batches of a pass, from one on."""
    drawing = Drawing(source, seed)
    try:
        return from_here(drawing, number, batch)
    finally:
        drawing.close()


def from_here(drawing, number, batch):
    found = []
    while True:
        disturb()
        with isolated():
            drawing.seek(number, batch + len(found))
            one = drawing.draw()
        if one is None:
            return found
        found.append(content_sum(one))


def disturb():
    """What else a program draws from the global generators, meanwhile."""
    random.random()
    np.random.random()
    keras.random.uniform((1,))


def same_from_everywhere(make, passes=3):
    """Draw some passes whole, and from each batch on in sources made anew; returns the former."""
    drawing = Drawing(make(), 5)
    whole = [from_here(drawing, number, 0) for number in range(passes)]
    for number, expected in enumerate(whole):
        for batch in range(len(expected)):
            assert drawn(make(), number, batch) == expected[batch:], (number, batch)
    drawing.close()
    return whole
