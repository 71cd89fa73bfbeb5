"""Whether a source's batches are the same wherever its passes are gone on with."""

import numpy as np

from holdfast.data.batches import content_sum
from holdfast.data.drawing import Drawing, isolated

SEED = 11


def rest_of(drawing, number, batch=0):
    """What is left of a pass, with others drawing from the global generators in between."""
    sums = []
    with isolated():
        drawing.seek(number, batch)
        while (drawn := drawing.draw()) is not None:
            np.random.random(3)
            sums.append(content_sum(drawn))
    return sums


def whole(source, passes=2):
    drawing = Drawing(source, SEED)
    sums = [rest_of(drawing, number) for number in range(passes)]
    drawing.close()
    return sums


def goes_on(make, passes=2, batches=None):
    """Compare with the whole what is drawn after a stop at a batch; return the whole.

    A stop is: a source of its own reads three batches ahead of the place, another goes on from it.
    """
    expected = whole(make(), passes)
    for number in range(passes):
        for batch in batches or range(len(expected[number])):
            before = Drawing(make(), SEED)
            with isolated():
                before.seek(number, 0)
                for _ in range(batch + 3):
                    if before.draw() is None:
                        break
            place = before.place(number, batch)
            before.close()
            after = Drawing(make(), SEED)
            after.restore(place)
            found = [rest_of(after, number, batch)]
            found += [rest_of(after, later) for later in range(number + 1, passes)]
            after.close()
            assert found == [expected[number][batch:], *expected[number + 1 :]], (number, batch)
    return expected
