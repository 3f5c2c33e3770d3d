"""An HTTP service that recalls items from a store (extra ``serve``: Starlette and uvicorn).

    GET  /recall?user=7&k=10&include_seen=false     POST /recall, also with profile and exclude
    GET  /similar?item=3&k=10                       POST /similar
    GET  /health                                    GET  /version

Every answer is a JSON object. An error is ``{"error": "..."}`` with a status of 400 and above. A
list is computed from one version of the store, whose number stands beside it. A URL or a body that
is too long is refused; beyond a megabyte of URL and headers, uvicorn ends the connection. The
service has no authentication: bind it to the loopback address, or put a proxy in front.

Chapter 15.
"""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import current_thread, main_thread
from typing import Annotated, Any

from minitower import __version__
from minitower.data.errors import DataError, show
from minitower.data.options import Option
from minitower.data.table import Table
from minitower.search.index import SearchResult
from minitower.store.recommender import Recommender

LARGEST_REQUEST = 1 << 20
"""Bytes of the body of a request, and of its first line and headers."""

LONGEST_QUERY = 1 << 16
"""Bytes of the query of a URL; a longer request belongs into a body."""

_STOPPING = 10  # seconds that requests have to end after SIGTERM
_FLAGS = {True: True, False: False, "true": True, "false": False}


class Unknown(DataError):
    """A request names an item that the store does not have."""

    status_code = 404


class Service:
    """The endpoints over one recommender.

    Args:
        recommender: of a store.
        max_k: the longest list that a request may ask for.
        poll: seconds between two looks at the store for a new version.

    Attributes:
        problem: why the last reload failed; None when it succeeded.
    """

    def __init__(self, recommender: Recommender, *, max_k: int = 1000, poll: float = 1.0) -> None:
        self.recommender, self.poll = recommender, poll
        self.problem: str | None = None
        self._k = Option("", 1, max_k, type=int)

    def recall(self, user: Any = None, k: Any = 10, profile: Any = None, exclude: Any = (),
               include_seen: Any = False) -> dict[str, Any]:  # fmt: skip
        """The items of a user."""
        opened = self.recommender.snapshot()
        user_id = _id("user", user, opened.store.users)
        if profile is not None and not isinstance(profile, dict):
            raise DataError(f"profile: expected an object, got {show(profile)}")
        if not isinstance(include_seen, bool | str) or include_seen not in _FLAGS:
            raise DataError(f"include_seen: expected true or false, got {show(include_seen)}")
        if not isinstance(exclude, list | tuple):
            raise DataError(f"exclude: expected a list of item ids, got {show(exclude)}")
        seen = not _FLAGS[include_seen]
        found = opened.recall(user_id, profile, self._length(k), seen, exclude)
        return {"user": user_id, **_listed(opened, found)}

    def similar(self, item: Any = None, k: Any = 10) -> dict[str, Any]:
        """The items that are similar to an item."""
        opened = self.recommender.snapshot()
        item_id = _id("item", item, opened.store.items)
        length = self._length(k)
        if opened.store.items.rows_of([item_id])[0] < 0:
            raise Unknown(f"unknown item {item_id!r}")
        return {"item": item_id, **_listed(opened, opened.similar(item_id, length))}

    def health(self) -> dict[str, Any]:
        """Whether the service answers, and whether it could open the newest version."""
        return {"status": "ok", "reload_error": self.problem}

    def version(self) -> dict[str, Any]:
        """The open version of the store, and the version of this package."""
        v = self.recommender.version
        about = {} if v is None else {"kind": v.kind, "published": v.published}
        return {"version": v and v.number, **about, "minitower": __version__}

    async def follow(self) -> None:
        """Reload the store when it has another current version. It runs until the service stops."""
        while True:
            await asyncio.sleep(self.poll)
            try:
                await asyncio.to_thread(self.recommender.reload)
                self.problem = None
            except (DataError, OSError) as error:
                self.problem = str(error)

    def _length(self, k: Any) -> int:
        try:
            return int(self._k.read(k))
        except ValueError as error:
            raise DataError(f"k: {error}, got {show(k)}") from None


def _id(what: str, value: Any, table: Table) -> int | str:
    """An id of a request: an integer or a string, or in a URL the string of an integer."""
    if isinstance(value, str):
        return table.parse_id(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise DataError(f"{what}: expected an id, got {show(value)}")


def _listed(opened: Recommender, found: SearchResult) -> dict[str, Any]:
    ids, scores = found[0].tolist(), found[1].tolist()
    rows = zip(ids, scores, opened.names(ids), strict=True)
    keys = ("item", "score", "name")
    items = [dict(zip(keys, row, strict=True)) for row in rows]
    return {"version": opened.version and opened.version.number, "items": items}


def make_app(service: Service) -> Any:
    """The ASGI application of a service, for any server.

    Raises:
        ModuleNotFoundError: Starlette is not installed; names the extra.
    """
    _extra("starlette.applications")
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def arguments(request: Request) -> Mapping[str, Any]:
        if len(request.scope["query_string"]) > LONGEST_QUERY:
            raise HTTPException(414, f"the URL has more than {LONGEST_QUERY:,} bytes; use POST")
        if request.method != "POST":
            return request.query_params
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_REQUEST:
                raise HTTPException(413, f"the request has more than {LARGEST_REQUEST:,} bytes")
        try:
            given = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the request is not JSON: {error}") from None
        if not isinstance(given, dict):
            raise DataError(f"the request: expected an object, got {show(given)}")
        return given

    async def answer(call: Callable[..., dict[str, Any]], names: set[str], request: Request
                     ) -> Response:  # fmt: skip
        given = await arguments(request)
        if unknown := sorted(given.keys() - names):
            raise DataError(f"{unknown[0]}: unknown; expected {', '.join(sorted(names))}")
        return JSONResponse(await asyncio.to_thread(call, **given))

    def error(status: int, request: Request, reason: Exception) -> Response:
        message = getattr(reason, "detail", None) or str(reason)
        if status == 500:
            message = "internal error"
        return JSONResponse({"error": message}, getattr(reason, "status_code", status),
                            headers=getattr(reason, "headers", None))  # fmt: skip

    @asynccontextmanager
    async def following(_: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(service.follow())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    both, recalled = ["GET", "POST"], {"user", "k", "profile", "exclude", "include_seen"}
    return Starlette(
        routes=[
            Route("/recall", partial(answer, service.recall, recalled), methods=both),
            Route("/similar", partial(answer, service.similar, {"item", "k"}), methods=both),
            Route("/health", partial(answer, service.health, set())),
            Route("/version", partial(answer, service.version, set())),
        ],
        exception_handlers={
            HTTPException: partial(error, 400),
            DataError: partial(error, 400),
            Exception: partial(error, 500),
        },
        lifespan=following,
    )


def serve(
    store: Annotated[Path, Option("folder that train wrote", metavar="STORE")],
    *,
    host: Annotated[str, Option("address to listen on", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, Option("port to listen on; 0: a free one", 0, 65535)] = 8000,
    max_k: Annotated[int, Option("longest list of one request", 1, metavar="K")] = 1000,
    poll: Annotated[
        float, Option("seconds between two looks for a new version", above=0, metavar="SECONDS")
    ] = 1.0,
    on_listening: Callable[[str], object] | None = None,
) -> None:
    """Serve a store until SIGTERM or Ctrl-C; running requests are answered first.

    Args:
        store, host, port, max_k, poll: as the options of ``minitower serve`` say.
        on_listening: called with the URL when connections are accepted.

    Raises:
        DataError: the store cannot be opened, or the address cannot be used.
        ModuleNotFoundError: Starlette or uvicorn is not installed; names the extra.
    """
    app = make_app(Service(Recommender.open(store), max_k=max_k, poll=poll))
    uvicorn = _extra("uvicorn")
    # Without its own limit h11 reads a URL that is too long, and the client gets an answer.
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="none", http="h11",
        h11_max_incomplete_event_size=LARGEST_REQUEST, timeout_graceful_shutdown=_STOPPING,
    )  # fmt: skip
    server = uvicorn.Server(config)
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address, family=family)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot listen on {show(host)}, port {port}: {reason}") from None
    # Connections inherit this. Otherwise the body of a response waits 40 ms for the client's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener, _stopping(server):
        if on_listening is not None:
            shown = f"[{host}]" if ":" in host else host
            on_listening(f"http://{shown}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])


def _extra(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f'the service needs {name.partition(".")[0]}: pip install "minitower[serve]"'
        ) from None


@contextmanager
def _stopping(server: Any) -> Iterator[None]:
    """In the block, SIGTERM and Ctrl-C end the server and not the process.

    uvicorn handles both itself while it runs, and raises them again at its end.
    """
    if current_thread() is not main_thread():  # only the main thread may handle signals
        yield
        return

    def stop(*_: object) -> None:
        server.should_exit = True

    usual = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
