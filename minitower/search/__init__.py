"""Vectors to nearest items: exact, and approximate over an engine."""
