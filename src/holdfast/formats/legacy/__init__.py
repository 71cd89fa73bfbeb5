"""Configurations of Keras 1 and 2 made into those of Keras 3: JSON in, JSON out."""
