"""What the service answers in, by real requests on the loopback address.

    python benchmarks/service.py           # 30,000 users, 10,000 items: about a minute
    python benchmarks/service.py --quick   # tiny sizes: only shows that it runs

`minitower serve` runs in a process of its own. Clients keep one connection each and send their
next request when an answer has come. Half of the time versions are published meanwhile, which
the service opens. The call beside it is `Recommender.recall` in this process. Every answer is
checked for its status.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from lists import publish
from timing import table

import minitower as mt

K = 10


def calls(folder: Path, users: int, seconds: float) -> list[float]:
    """Seconds of single recalls in this process."""
    recommender, rng, took = mt.Recommender.open(folder), np.random.default_rng(0), []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        recommender.recall(int(rng.integers(users)), k=K)
        took.append(time.perf_counter() - start)
    return took


def requests(port: int, users: int, clients: int, seconds: float) -> list[float]:
    """Seconds of the requests of some clients.

    Raises:
        SystemExit: a request failed.
    """
    took: list[float] = []
    failed: list[object] = []

    def client(seed: int) -> None:
        rng = np.random.default_rng(seed)
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        end = time.perf_counter() + seconds
        try:
            while (start := time.perf_counter()) < end:
                connection.request("GET", f"/recall?user={rng.integers(users)}&k={K}")
                response = connection.getresponse()
                answer = json.loads(response.read())
                took.append(time.perf_counter() - start)
                if response.status != 200 or len(answer["items"]) != K:
                    failed.append(answer)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"{len(failed)} requests failed, such as {failed[0]}")
    return took


def publishing(folder: Path, stop: threading.Event) -> None:
    """Publish the open version again and again, a second apart."""
    store = mt.Recommender.open(folder).store
    number = 1
    while not stop.wait(1.0):
        rows = {"user.user_id.embedding": (np.array([1]), np.full((1, 64), number, np.float32))}
        mt.publish_incremental(folder, rows, parent=1, full=store)
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    users, items, seconds = (300, 200, 0.3) if args.quick else (30_000, 10_000, 8.0)
    rows: list[list[object]] = []

    def show(what: str, clients: int, took: list[float], span: float) -> None:
        p50, p99 = 1e3 * np.percentile(took, [50, 99])
        rows.append([what, clients, len(took) / span, float(p50), float(p99)])

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "store"
        publish(folder, users, items)
        show("call in the process", 1, calls(folder, users, seconds), seconds)
        command = [sys.executable, "-m", "minitower", "serve", str(folder), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                port = urlsplit(process.stdout.readline().strip()).port
                assert port is not None
                for clients in (1, 4):
                    took = requests(port, users, clients, seconds)
                    show("requests", clients, took, seconds)
                stop = threading.Event()
                writer = threading.Thread(target=publishing, args=(folder, stop))
                writer.start()
                took = requests(port, users, 4, seconds)
                stop.set()
                writer.join()
                show("requests while versions are published", 4, took, seconds)
            finally:
                process.terminate()
    print(f"Recall of {K} of {items:,} items")
    print(table(["", "clients", "per second", "p50, ms", "p99, ms"], rows))


if __name__ == "__main__":
    main()
