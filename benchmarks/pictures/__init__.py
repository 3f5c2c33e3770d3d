"""The pictures of the book: each module draws one idea, from numbers that the package computes."""
