"""Click streams, full and incremental updates, and publishing for them."""
