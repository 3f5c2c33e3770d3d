"""Features to a vector, with the gradient written beside it."""
