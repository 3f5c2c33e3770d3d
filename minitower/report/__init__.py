"""What a run has to say: as a small table on a terminal, and as a page to look at.

A :class:`Story` holds numbers and words that were measured elsewhere; nothing is
computed here but their looks. :func:`as_text` prints it, :func:`write_page` draws it
into one HTML file that needs nothing else: no network, no scripts, plots as inline
SVG whose colours are CSS variables, so that they follow the reader's light or dark
mode with the rest of the page.
"""

from minitower.report.page import write_page
from minitower.report.plots import can_draw
from minitower.report.story import Example, IndexPoint, ItemMap, Recalled, Story, System
from minitower.report.text import as_text

__all__ = [
    "Example",
    "IndexPoint",
    "ItemMap",
    "Recalled",
    "Story",
    "System",
    "as_text",
    "can_draw",
    "write_page",
]
