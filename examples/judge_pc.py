"""Judge rows of numbers on a PC: python judge_pc.py MODEL ROWS.csv"""

import sys

import numpy as np

import holdfast.judge

model = holdfast.judge.load(sys.argv[1])
rows = np.loadtxt(sys.argv[2], "float32", delimiter=",", ndmin=2)
rows = rows.reshape(-1, *model.signature.inputs[0].sample)
for scores in model(rows):
    best = int(scores.argmax())
    name = model.about.classes[best] if model.about.classes else best
    print(f"{name} {scores[best]:.3f}")
