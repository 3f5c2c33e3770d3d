"""What the lecture writes on the board: pure functions on arrays, gradients beside them."""
