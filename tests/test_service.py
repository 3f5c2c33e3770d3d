"""The service on the loopback address, over real sockets."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

import numpy as np
import pytest

from minitower.data import Categorical, DataError, Dataset, Id, RandomSplit, Schema
from minitower.scale import service
from minitower.scale.service import LARGEST_REQUEST, Service, serve
from minitower.store.full_version import publish_model
from minitower.store.recommender import Recommender
from minitower.towers.two_tower import TwoTower


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    log = {"user": rng.integers(0, 30, 90), "item": [f"item {i}" for i in rng.integers(0, 40, 90)]}
    users = {"user": np.arange(30), "city": rng.choice(["rome", "oslo"], 30)}
    schema = Schema(user=[Id("user"), Categorical("city")], item=[Id("item")])
    items = {"item": [f"item {i}" for i in range(40)]}
    return Dataset.from_columns(schema, log, users, items, split=RandomSplit(0, 0))


def publish(data, folder, seed=0, parent=None):
    publish_model(TwoTower(data.schema, dim=4, seed=seed), data, folder, index="exact",
                  parent=parent)  # fmt: skip
    return folder


@contextmanager
def running(store, *flags):
    """A service in a process of its own; yields the process and its port."""
    for package in ("starlette", "uvicorn"):
        pytest.importorskip(package, reason="not installed: pip install '.[serve]'")
    command = [sys.executable, "-m", "minitower", "serve", str(store), "--port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.stderr.read()
        yield process, urlsplit(url).port
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(data, tmp_path_factory):
    store = publish(data, tmp_path_factory.mktemp("service") / "s")
    with running(store, "--max-k", "20") as (process, port):
        yield Recommender.open(store), port
        assert process.poll() is None, "it still runs after every bad request"


def ask(port, path, body=None, method=None):
    """The status and the JSON of one request."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        content = json.dumps(body) if isinstance(body, dict) else body
        connection.request(method or ("GET" if body is None else "POST"), path, content)
        response = connection.getresponse()
        assert response.getheader("content-type") == "application/json"
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def listed(found, names):
    rows = zip(found[0].tolist(), found[1].tolist(), names, strict=True)
    return [{"item": i, "score": s, "name": n} for i, s, n in rows]


def test_recall__is_that_of_the_recommender(served):
    recommender, port = served
    found = recommender.recall(7, k=5)
    expected = {"user": 7, "version": 1, "items": listed(found, recommender.names(found[0]))}
    assert ask(port, "/recall?user=7&k=5") == (200, expected)
    assert ask(port, "/recall", {"user": 7, "k": 5}) == (200, expected)
    seen = recommender.recall(7, k=20, exclude_seen=False)
    for answer in (
        ask(port, "/recall?user=7&k=20&include_seen=true"),
        ask(port, "/recall", {"user": 7, "k": 20, "include_seen": True}),
    ):
        assert answer[1]["items"] == listed(seen, recommender.names(seen[0]))


def test_recall__profile_and_exclude_are_passed_on(served):
    recommender, port = served
    profile, exclude = {"city": "oslo"}, ["item 3", "item 5", "nothing"]
    found = recommender.recall(999, profile, 5, exclude=exclude)
    body = {"user": 999, "profile": profile, "exclude": exclude, "k": 5}
    assert ask(port, "/recall", body)[1]["items"] == listed(found, recommender.names(found[0]))
    assert not np.array_equal(found[1], recommender.recall(999, k=5, exclude=exclude)[1])


def test_similar(served):
    recommender, port = served
    found = recommender.similar("item 9", 4)
    status, answer = ask(port, f"/similar?item={quote('item 9')}&k=4")
    assert (status, answer["item"], answer["version"]) == (200, "item 9", 1)
    assert answer["items"] == listed(found, recommender.names(found[0]))


def test_health_and_version(served):
    port = served[1]
    assert ask(port, "/health") == (200, {"status": "ok", "reload_error": None})
    status, about = ask(port, "/version")
    assert (status, about["version"], about["kind"]) == (200, 1, "full")


@pytest.mark.parametrize("path, body, status, message", [
    ("/recall", None, 400, "user: expected an id, got None"),
    ("/recall?user=x", None, 400, "ids are integers of 64 bits here, got 'x'"),
    ("/recall?user=1&k=0", None, 400, "k: expected an integer from 1 to 20, got '0'"),
    ("/recall?user=1&k=21", None, 400, "k: expected an integer from 1 to 20, got '21'"),
    ("/recall?user=1&k=two", None, 400, "k: expected an integer"),
    ("/recall?user=1&include_seen=yes", None, 400, "include_seen: expected true or false"),
    ("/recall?user=1&who=2", None, 400, "who: unknown; expected exclude, include_seen, k"),
    ("/recall", {"user": 1, "k": True}, 400, "k: expected an integer"),
    ("/recall", {"user": 1, "k": 2.5}, 400, "k: expected an integer"),
    ("/recall", {"user": True}, 400, "user: expected an id, got True"),
    ("/recall", {"user": [1]}, 400, "user: expected an id"),
    ("/recall", {"user": 10**30}, 400, "64 bits"),
    ("/recall", {"user": 1, "profile": [1]}, 400, "profile: expected an object"),
    ("/recall", {"user": 1, "profile": {"shoe": 44}}, 400, "unknown field 'shoe'"),
    ("/recall", {"user": 1, "profile": {"city": {"a": [1]}}}, 400, "city"),
    ("/recall", {"user": 1, "exclude": 7}, 400, "exclude: expected a list of item ids, got 7"),
    ("/recall", {"user": 1, "exclude": {"a": 1}}, 400, "exclude: expected a list of item ids"),
    ("/recall?user=1&exclude=3", None, 400, "exclude: expected a list of item ids, got '3'"),
    ("/recall", {"user": 1, "exclude": [1]}, 400, "integers"),
    ("/recall", {"user": 1, "include_seen": [1]}, 400, "include_seen: expected true or false"),
    ("/recall", "[1]", 400, "expected an object, got [1]"),
    ("/recall", "{", 400, "the request is not JSON"),
    ("/recall", "[" * 100_000, 400, "the request is not JSON"),
    ("/recall", '{"user": ' + "9" * 5000 + "}", 400, "the request is not JSON"),
    ("/recall", b"\xff\xfe{", 400, "the request is not JSON"),
    ("/recall", " " * (LARGEST_REQUEST + 1), 413, "more than 1,048,576 bytes"),
    ("/recall?user=" + "1" * 200_000, None, 414, "the URL has more than 65,536 bytes; use POST"),
    ("/recall?user=1&k=" + "1" * 900_000, None, 414, "the URL has more than 65,536 bytes"),
    ("/similar?item=" + "a" * 60_000, None, 400, "an id has at most"),
    ("/similar?item=nothing", None, 404, "unknown item 'nothing'"),
    ("/similar", {"item": 3}, 400, "strings"),
    ("/similar", {"k": 3}, 400, "item: expected an id, got None"),
    ("/nothing", None, 404, "Not Found"),
    ("/health", "{}", 405, "Method Not Allowed"),
])  # fmt: skip
def test_errors__are_json_and_say_what_to_do(served, path, body, status, message):
    got, answer = ask(served[1], path, body)
    assert got == status
    assert list(answer) == ["error"]
    assert message in answer["error"]
    assert len(answer["error"]) < 500


def test_requests__a_large_body_is_refused_while_it_arrives(served):
    """Chunks without a length, without end: the answer comes before the memory is full."""
    with socket.create_connection(("127.0.0.1", served[1]), timeout=30) as client:
        client.sendall(b"POST /recall HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(LARGEST_REQUEST // 0x10000 + 1):
            client.sendall(chunk)
        assert client.recv(100).startswith(b"HTTP/1.1 413")


def test_requests__a_url_of_megabytes_ends_its_own_connection_only(served):
    address = ("127.0.0.1", served[1])
    with suppress(ConnectionError), socket.create_connection(address, timeout=30) as client:
        client.sendall(b"GET /recall?user=" + b"1" * (4 * LARGEST_REQUEST))
        assert client.recv(100)[:12] in (b"HTTP/1.1 400", b"")
    assert ask(served[1], "/health")[0] == 200


def test_load__no_wrong_answer_while_versions_are_published(data, tmp_path):
    """Each answer is that of the version that it names, and later ones come to be served."""
    store, expected, users = publish(data, tmp_path / "s"), {}, list(range(34))  # four unknown

    def learn(number):
        opened = Recommender.open(store)
        assert opened.version.number == number
        found = [opened.recall(user, k=6) for user in users]
        expected[number] = [listed(f, opened.names(f[0])) for f in found]

    learn(1)
    answers, failures, done = [], [], threading.Event()

    def load(port, seed):
        rng, connection = np.random.default_rng(seed), HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while not done.is_set():
                user = int(rng.integers(len(users)))
                connection.request("GET", f"/recall?user={user}&k=6")
                response = connection.getresponse()
                answers.append((response.status, json.loads(response.read())))
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    with running(store, "--poll", "0.02") as (_, port):
        threads = [threading.Thread(target=load, args=(port, seed)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for number in range(2, 6):
            publish(data, store, seed=number, parent=number - 1)
            learn(number)
            deadline = time.monotonic() + 60
            while ask(port, "/version")[1]["version"] != number:
                assert time.monotonic() < deadline, "the new version is never served"
                time.sleep(0.01)
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert {status for status, _ in answers} == {200}
    assert {answer["version"] for _, answer in answers} >= {1, 5}
    for _, answer in answers:
        assert answer["items"] == expected[answer["version"]][answer["user"]]


def test_recall__comes_from_one_version(data, tmp_path, monkeypatch):
    """A new version is opened after the search and before the answer is complete."""
    opened, recall = Recommender.open(publish(data, tmp_path / "s")), Recommender.recall
    publish(data, tmp_path / "s", seed=1, parent=1)

    def late(self, *arguments):
        found = recall(self, *arguments)
        opened.reload()
        return found

    monkeypatch.setattr(Recommender, "recall", late)
    assert Service(opened).recall(7)["version"] == 1
    assert Service(opened).recall(7)["version"] == 2


def test_reload__a_version_that_cannot_be_opened_is_reported(data, tmp_path):
    store = publish(data, tmp_path / "s")
    with running(store, "--poll", "0.02") as (_, port):
        (store / "CURRENT").write_text("{}")
        deadline = time.monotonic() + 60
        while (problem := ask(port, "/health")[1]["reload_error"]) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "CURRENT" in problem
        assert ask(port, "/recall?user=1")[0] == 200


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop__a_running_request_is_answered(data, tmp_path, number):
    """The rest of a request arrives after the signal."""
    with running(publish(data, tmp_path / "s")) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"POST /recall HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
            assert ask(port, "/health")[0] == 200  # the server has read the head by now
            process.send_signal(number)
            while is_open(port):
                time.sleep(0.01)
            client.sendall(b'{"user": 7}')
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


def test_serve__refuses_an_address_that_is_taken(data, tmp_path):
    pytest.importorskip("starlette", reason="not installed: pip install '.[serve]'")
    pytest.importorskip("uvicorn", reason="not installed: pip install '.[serve]'")
    store = publish(data, tmp_path / "s")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DataError, match=f"cannot listen on '127.0.0.1', port {port}: Address"):
            serve(store, port=port)
    for host in ("no such host", "a" * 300, "\0"):
        with pytest.raises(DataError, match="cannot listen on"):
            serve(store, host=host, port=0)


def test_serve__names_the_extra(monkeypatch, data, tmp_path):
    for package in ("starlette.applications", "uvicorn"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            with pytest.raises(ModuleNotFoundError, match=r"minitower\[serve\]"):
                serve(publish(data, tmp_path / package))


def test_service__an_unexpected_error_is_no_page(served, monkeypatch):
    """The handler of the application: a status of 500, without the reason."""
    from starlette.requests import Request

    app = service.make_app(Service(served[0]))
    handler = app.exception_handlers[Exception]
    response = handler(Request({"type": "http"}), RuntimeError("secret"))
    assert (response.status_code, json.loads(response.body)) == (500, {"error": "internal error"})
