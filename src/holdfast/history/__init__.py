"""The history of a run as curves, and their pictures.

Owns what a picture of a run shows. Knows no Keras, so that the command line draws without it.
"""
