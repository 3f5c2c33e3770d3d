"""Versions on disk that a crash cannot damage, the model in one, and online recall. Chapter 15."""
