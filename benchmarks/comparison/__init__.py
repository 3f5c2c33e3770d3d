"""The parts of accuracy.py and time_to_accuracy.py.

splits      a split for choosing, without its test part, and for the final training
recipe      what minitower trains with, chosen on validation
peers       implicit, LightFM and baselines in closed form
frameworks  the same two towers in PyTorch and in Keras
arms        every contender: its settings to try, its epochs, its splits
lines       the results file, what may be added to it, and what is chosen from it
units       which units there are, one of them, and how they run
published   figures of others, with their sources
tables      from the results file to the tables of the book
curves      from the results file to accuracy against CPU seconds
"""
