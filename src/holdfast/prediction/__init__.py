"""Outputs for whole files of inputs, a part at a time."""
