"""Features to a vector, with the gradient written beside it. Chapters 2 and 3."""
