"""What one step sees, what it wants, and the loop around it."""
