"""Batches, negatives, objectives, self-supervision, and the training loop."""
