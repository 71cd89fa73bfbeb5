"""What a source gives from a place on, while others draw random numbers: sums of its batches."""

import random

import numpy as np

from holdfast.data.batches import content_sum
from holdfast.data.drawing import Drawing, isolated

SEED = 5


def from_here(drawing, number, batch=0):
    """What is left of a pass, each batch drawn by itself."""
    sums = []
    while True:
        random.random()
        np.random.random(3)
        with isolated():
            drawing.seek(number, batch + len(sums))
            found = drawing.draw()
        if found is None:
            return sums
        sums.append(content_sum(found))


def drawn(source, number, batch=0):
    """The same for a source that nothing was drawn from before, with its workers gone after it."""
    drawing = Drawing(source, SEED)
    try:
        return from_here(drawing, number, batch)
    finally:
        drawing.close()


def same_from_everywhere(make, passes=3):
    """Compare what is drawn from each batch of each pass on with the whole; return the whole."""
    drawing = Drawing(make(), SEED)
    whole = [from_here(drawing, number) for number in range(passes)]
    drawing.close()
    for number, sums in enumerate(whole):
        for batch in range(len(sums)):
            assert drawn(make(), number, batch) == sums[batch:], (number, batch)
    return whole
