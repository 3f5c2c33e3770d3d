"""Vectors to nearest items: exact, and approximate over an engine. Chapters 5 and 20."""
