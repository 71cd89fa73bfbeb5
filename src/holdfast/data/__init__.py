"""Seekable batches: data as a function of position."""
