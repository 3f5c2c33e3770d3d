"""A simulated world with known truth, the report of a run, and the index benchmark.

Chapters 8, 16 and 20.
"""
