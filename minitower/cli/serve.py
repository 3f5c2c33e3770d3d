"""``serve``: a store over HTTP. Chapter 15."""

from functools import wraps
from typing import Any

from minitower.cli.terminal import row
from minitower.scale import service


@wraps(service.serve, assigned=["__annotations__"])
def serve(**given: Any) -> None:
    """Answer /recall, /similar, /health and /version of a store over HTTP, as JSON.

    Prints the URL. A new version of the store is opened when it is published. SIGTERM or Ctrl-C
    stops the service after the running requests. It has no authentication.
    """
    service.serve(**given, on_listening=row)
