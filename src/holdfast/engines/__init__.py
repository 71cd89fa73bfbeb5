"""Engines: they execute a stretch of steps."""
