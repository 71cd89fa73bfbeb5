"""Callbacks: Holdfast's own."""
