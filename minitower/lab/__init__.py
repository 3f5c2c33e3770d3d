"""The simulated world, the report page, the index benchmark."""
