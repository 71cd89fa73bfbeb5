"""Judge what a sensor says, line by line: python judge_board.py MODEL /dev/ttyACM0"""

import sys

import numpy as np

import holdfast.judge

model = holdfast.judge.load(sys.argv[1])
sample = model.signature.inputs[0].sample
with open(sys.argv[2], errors="replace") as sensor:  # a device, a pipe or a file
    for line in sensor:
        try:
            numbers = np.array(line.replace(",", " ").split(), "float32")
            scores = model(numbers.reshape(1, *sample))[0]
        except ValueError as error:  # half a line, or noise on it: the next may be sound
            print(f"passed over: {error}", file=sys.stderr, flush=True)
            continue
        best = int(scores.argmax())
        print(model.about.classes[best] if model.about.classes else best, flush=True)
