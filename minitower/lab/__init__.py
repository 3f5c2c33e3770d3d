"""A simulated world with known truth, the report of a run, and the index benchmark."""
