"""Is your loss right? Golden vectors, and a checker for other people's implementations. Chapter 17.

>>> from minitower.conformance import FORMULAS, check
>>> def hinge(positive, negative, margin):              # in NumPy: the loss and its gradients
...     lead = positive - negative
...     active = (lead < margin) / len(lead)
...     return (margin - lead).clip(0).mean(), (-active, active)
>>> print(check(hinge, formula="triplet_hinge"))
triplet_hinge   6 cases   all passed   (numpy, float64)
"""

from minitower.conformance.by_command import check_command
from minitower.conformance.checker import assert_conforms, check
from minitower.conformance.child import Child
from minitower.conformance.mistakes import MISTAKES
from minitower.conformance.registry import FORMULAS
from minitower.conformance.report import Report
from minitower.conformance.samplers import SAMPLER, check_sampler
from minitower.conformance.vectors import VERSION, describe, write_vectors

__all__ = [
    "FORMULAS",
    "MISTAKES",
    "SAMPLER",
    "VERSION",
    "Child",
    "Report",
    "assert_conforms",
    "check",
    "check_command",
    "check_sampler",
    "describe",
    "write_vectors",
]
