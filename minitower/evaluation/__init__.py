"""Encode users and items, rank all items for every user, and measure. Chapter 16."""
