"""Encode a side, rank the catalogue, measure."""
