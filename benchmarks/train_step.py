"""One training step against PyTorch, and against what the matrix products alone cost.

    python benchmarks/train_step.py              # everything, about twenty minutes
    python benchmarks/train_step.py softmax      # one part: softmax, step, history, ... (--help)
    python benchmarks/train_step.py --quick      # tiny sizes: only shows that it runs

The peers need ``pip install ".[peers]"``. 100,000 users and items; each tower an id (64)
and one categorical (16) -> 128 -> 64, cosine, in-batch softmax with logQ; float32. Steps run on
OMP_NUM_THREADS threads, 2 by default: minitower on its own threads, peers on theirs. One thread
for all runs the parts softmax, history and tables, and whatever is set against bare products.
Contenders take turns in every round; the ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))  # of PyTorch
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # of NumPy

import numpy as np  # noqa: E402
import step_peers  # noqa: E402
from bounds import Bounds  # noqa: E402
from timing import interleave, milliseconds, ratio, table  # noqa: E402

import minitower as mt  # noqa: E402
from minitower.formulas.blocked import BLOCK, blocked_in_batch_softmax  # noqa: E402
from minitower.formulas.logq import yi  # noqa: E402

TEMPERATURE, DIM, CATEGORY_DIM, HIDDEN, CATEGORIES = 0.07, 64, 16, 128, 1000


def unit_vectors(rng: np.random.Generator, n: int, d: int = DIM) -> np.ndarray:
    x = rng.standard_normal((n, d), np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def keep_freed_memory() -> None:
    """Let malloc keep what a call frees, as it does in every training.

    It returns free memory to the system, page by page, until a large array has been freed once.
    Training frees one when it draws the initial embeddings.
    """
    np.empty(30 << 20, np.uint8)


def softmax(batches: list[int], rounds: int, bounds: Bounds) -> str:
    """Loss and both gradients, against three products and against PyTorch."""
    import torch

    def torch_loss(users, items, log_q):
        logits = users @ items.T / TEMPERATURE - log_q
        return torch.nn.functional.cross_entropy(logits, torch.arange(len(users)))

    torch.set_num_threads(1)
    mt.use_threads(1)
    keep_freed_memory()
    compiled = torch.compile(torch_loss)
    rows = []
    for n in batches:
        rng = np.random.default_rng(0)
        users, items = unit_vectors(rng, n), unit_vectors(rng, n)
        log_q = np.log(rng.random(n, np.float32) * 1e-3 + 1e-6)
        correction = yi(log_q)
        scores, d_users, d_items = np.empty((n, n), np.float32), users.copy(), items.copy()
        torch_users = torch.tensor(users, requires_grad=True)
        torch_items = torch.tensor(items, requires_grad=True)
        torch_log_q = torch.tensor(log_q)

        def minitower(users=users, items=items, correction=correction):
            return blocked_in_batch_softmax(users, items, correction, temperature=TEMPERATURE)

        def products(u=users, v=items, s=scores, du=d_users, dv=d_items):
            np.matmul(u, v.T, out=s)
            np.matmul(s, v, out=du)
            np.matmul(s.T, u, out=dv)

        def bare(u=users, v=items, du=d_users, dv=d_items):
            """The same products a block at a time with one exponential per entry: a floor."""
            block = min(BLOCK, len(u))
            buffer, product = np.empty((len(v), block), np.float32), np.empty_like(v)
            for start in range(0, len(u), block):
                part = u[start : start + block]
                scores = np.exp2(np.matmul(v, part.T, out=buffer), out=buffer)
                np.matmul(scores.T, v, out=du[start : start + block])
                dv += np.matmul(scores, part, out=product)

        def pytorch(f, u=torch_users, v=torch_items, log_q=torch_log_q):
            u.grad = v.grad = None
            loss = f(u, v, log_q)
            loss.backward()
            return loss.item()

        loss, (d_users_ours, _) = minitower()
        if abs(loss - pytorch(torch_loss)) > 1e-4 * loss:
            raise SystemExit("the two losses differ: this would compare different things")
        np.testing.assert_allclose(d_users_ours, torch_users.grad.numpy(), atol=1e-6)
        seconds = interleave(
            {
                "minitower": minitower,
                "products": products,
                "bare": bare,
                "eager": lambda f=pytorch: f(torch_loss),
                "compiled": lambda f=pytorch: f(compiled),
            },
            rounds if n < 8192 else max(3, rounds // 2),
        )
        products, floor = (ratio(seconds, one, "products") for one in ("minitower", "bare"))
        eager, graph = (ratio(seconds, peer, "minitower") for peer in ("eager", "compiled"))
        rows.append([n, milliseconds(seconds, "minitower"), products, floor, eager, graph])
        bounds.at_most(1.3 if n < 4096 else 1.1, products, f"softmax of {n} over its products")
        if n >= 4096:
            bounds.at_least(3.5, eager, f"eager PyTorch over softmax of {n}")
            bounds.at_least(1.3, graph, f"torch.compile over softmax of {n}")
        del scores
    head = [
        "batch",
        "ms",
        "over three products",
        "bare loop over them",
        "eager PyTorch is x slower",
        "compiled is x slower",
    ]
    return "In-batch softmax, loss and both gradients\n" + table(head, rows)


def clicks(rng: np.random.Generator, entities: int, n: int) -> mt.Dataset:
    """n clicks of a long tail, and one more of every user and item, so that all have a row."""
    everyone = np.arange(entities)
    popular = np.minimum(rng.zipf(1.3, n) - 1, entities - 1)
    categories = rng.integers(0, CATEGORIES, entities)
    return mt.Dataset.from_columns(
        mt.Schema(
            user=[mt.Id("user_id", dim=DIM), mt.Categorical("user_group", dim=CATEGORY_DIM)],
            item=[mt.Id("item_id", dim=DIM), mt.Categorical("item_group", dim=CATEGORY_DIM)],
        ),
        interactions={
            "user_id": np.concatenate([everyone, rng.integers(0, entities, n)]),
            "item_id": np.concatenate([everyone, popular]),
        },
        users={"user_id": everyone, "user_group": categories},
        items={"item_id": everyone, "item_group": categories},
        split=mt.RandomSplit(valid=0, test=0),
    )


def trainer_of(data: mt.Dataset, batch: int, optimizer: mt.Optimizer) -> mt.Trainer:
    model = mt.TwoTower(data.schema, dim=DIM, hidden=(HIDDEN,), seed=0)
    objective = mt.InBatchSoftmax(TEMPERATURE)
    return mt.Trainer(model, data, objective=objective, optimizer=optimizer, batch_size=batch)


def minitower_steps(data: mt.Dataset, batch: int, optimizer: mt.Optimizer) -> Iterator[float]:
    """Training steps without end: draw a batch, gather, forward, backward, update."""
    return steps_of(trainer_of(data, batch, optimizer))


def steps_of(trainer: mt.Trainer) -> Iterator[float]:
    """Steps of whole batches, epoch after epoch."""
    while True:
        for one in trainer.batches.epoch(trainer.rng):
            if len(one) == trainer.batches.size:
                yield trainer.step(one).loss


def products_of_a_step(n: int) -> Callable[[], None]:
    """The matrix products of a step and nothing else: the softmax's three, and the towers'."""
    rng = np.random.default_rng(0)
    matrix = lambda rows, columns: rng.standard_normal((rows, columns), np.float32)
    layers = [(DIM + CATEGORY_DIM, HIDDEN), (HIDDEN, DIM)]
    users, items, scores = matrix(n, DIM), matrix(n, DIM), matrix(n, n)
    inputs = [(matrix(n, a), matrix(a, b), matrix(n, b)) for a, b in layers]

    def run() -> None:
        np.matmul(users, items.T, out=scores)
        scores @ items
        scores.T @ users
        for _ in ("user", "item"):
            for x, weight, dy in inputs:
                x @ weight
                dy @ weight.T
                x.T @ dy

    return run


def on(threads: int, steps: Iterator[float]) -> Callable[[], float]:
    """A step on a number of threads."""

    def run() -> float:
        mt.use_threads(threads)
        return next(steps)

    return run


def step(batches: list[int], rounds: int, entities: int, bounds: Bounds) -> str:
    """The whole step: gather, towers, loss, backward, optimizer."""
    peers = step_peers.start(THREADS)
    rows = []
    for n in batches:
        data = clicks(np.random.default_rng(0), entities, max(20 * n, 100_000))
        ours = {"Adagrad": mt.Adagrad(0.05), "RowWiseAdam": mt.RowWiseAdam(0.001)}
        runs: dict[str, Callable[[], object]] = {
            name: on(THREADS, minitower_steps(data, n, optimizer))
            for name, optimizer in ours.items()
        }
        runs["one thread"] = on(1, minitower_steps(data, n, mt.Adagrad(0.05)))
        runs["products"] = products_of_a_step(n)
        for name, steps_of_peer in peers.items():
            runs[name] = partial(next, steps_of_peer(data, n))
        seconds = interleave(runs, rounds if n < 8192 else max(3, rounds // 2))
        of_torch = [name for name in peers if name.startswith("torch")]
        fastest = min(of_torch, key=lambda name: milliseconds(seconds, name))
        ratios = [ratio(seconds, fastest, name) for name in ours]
        over_products = ratio(seconds, "one thread", "products")
        bounds.at_least(2.5 if n >= 4096 else 1.3, max(ratios), f"{fastest} over a step of {n}")
        if n in (1024, 4096):
            most = {1024: 1.6, 4096: 1.35}[n]
            bounds.at_most(most, over_products, f"step of {n} on one thread over all its products")
        others = [name for name in peers if name not in of_torch]
        of_others = [ratio(seconds, name, "Adagrad") for name in others]
        for name, found in zip(others, of_others, strict=True):
            bounds.at_least(1.7 if n >= 4096 else 1.8, found, f"{name} over a step of {n}")
        rows.append(
            [n, *(milliseconds(seconds, name) for name in runs), over_products, *ratios, *of_others]
        )
    head = ["batch", *(f"{name} ms" for name in runs), "one thread over all its matrix products"]
    head += [f"fastest torch / {name}" for name in ours] + [f"{name} / Adagrad" for name in others]
    return f"Whole training step on {THREADS} threads\n" + table(head, rows)


def epoch(batches: list[int], rounds: int, small: bool, bounds: Bounds) -> str:
    """An epoch of ids alone on two threads over one thread, with the same bits."""
    data = clicks_of_gowalla(small)
    rows = []
    for n in batches:
        trainers = {}
        for threads in (1, 2):
            model = mt.TwoTower(data.schema, dim=DIM, hidden=(), seed=0)
            trainers[threads] = mt.Trainer(model, data, batch_size=n)

        def run(threads: int, trainers: dict[int, mt.Trainer] = trainers) -> object:
            mt.use_threads(threads)
            return trainers[threads].fit(epochs=1, validate=False)

        seconds = interleave(
            {str(threads): lambda run=run, threads=threads: run(threads) for threads in trainers},
            rounds, warmup=0, settle=0,
        )  # fmt: skip
        one, two = (trainer.model.parameters for trainer in trainers.values())
        for name, array in one.items():
            if array.tobytes() != two[name].tobytes():
                raise SystemExit(f"{name} has other bits on two threads than on one")
        found = ratio(seconds, "2", "1")
        bounds.at_most(0.62, found, f"epoch of batches of {n} on two threads over one")
        rows.append([n, *(milliseconds(seconds, name) / 1e3 for name in seconds), found])
    head = ["batch", "one thread, s", "two threads, s", "two over one"]
    what = f"An epoch of {len(data.train):,} clicks, ids only; the same bits on both"
    return what + "\n" + table(head, rows)


def clicks_of_gowalla(small: bool) -> mt.Dataset:
    """The training part of gowalla-split if MINITOWER_DATA holds it; else clicks of its size."""
    place = Path(os.environ.get("MINITOWER_DATA", ".")) / "gowalla-split"
    if place.is_dir() and not small:
        return mt.Dataset.from_files(place)
    users, items, n = (300, 400, 8000) if small else (29_858, 40_981, 810_128)
    rng = np.random.default_rng(0)
    popular = 1 / (np.arange(items) + 10.0) ** 0.8
    log = {
        "user_id": rng.integers(0, users, n),
        "item_id": rng.choice(items, n, p=popular / popular.sum()),
    }
    schema = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])
    split = mt.RandomSplit(valid=0, test=0)
    return mt.Dataset.from_columns(schema, log, positive="all", split=split)


def tables(n: int, small: int, large: int, rounds: int, bounds: Bounds) -> str:
    """Does the size of the tables matter? The batches use equally many rows of each."""
    mt.use_threads(1)
    runs = {}
    for entities in (small, large):
        rng = np.random.default_rng(0)
        data = clicks(rng, entities, 0)
        trainer = trainer_of(data, n, mt.RowWiseAdagrad(0.05))
        active = rng.choice(entities, small, replace=False)

        def run(trainer=trainer, active=active, rng=rng):
            pairs = mt.Interactions(rng.choice(active, n), rng.choice(active, n))
            return trainer.step(trainer.batches.make_batch(pairs, rng)).loss

        runs[f"{entities:,}"] = run
    seconds = interleave(runs, rounds)
    rows: list[list[object]] = [[size, milliseconds(seconds, size)] for size in runs]
    found = ratio(seconds, f"{large:,}", f"{small:,}")
    bounds.at_most(1.5, found, "step with large tables over small ones")
    return f"Batch {n}, tables of two sizes\n{table(['rows', 'ms'], rows)}\nratio {found:.2f}"


def history(n: int, entities: int, rounds: int, bounds: Bounds) -> str:
    """What a history of 50 clicks costs a step: ids only, timed clicks of a long tail."""
    mt.use_threads(1)
    rng = np.random.default_rng(0)
    popular = 1 / (np.arange(entities) + 10.0) ** 0.8
    size = max(20 * n, 25 * entities)
    log = {
        "user_id": rng.integers(0, max(entities // 2, 1), size),
        "item_id": rng.choice(entities, size, p=popular / popular.sum()),
        "timestamp": np.arange(size),
    }
    schema = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])
    split = mt.RandomSplit(valid=0, test=0)
    data = mt.Dataset.from_columns(schema, log, positive="all", split=split)
    how = {
        "without": None,
        "with": mt.UserHistory(50),
        "own table": mt.UserHistory(50, "mean", "own"),
    }
    runs = {}
    for name, one in how.items():
        model = mt.TwoTower(data.schema, dim=DIM, hidden=(), history=one, seed=0)
        runs[name] = steps_of(mt.Trainer(model, data, batch_size=n))
    seconds = interleave({name: lambda run=run: next(run) for name, run in runs.items()}, rounds)
    found = {name: ratio(seconds, name, "without") for name in runs}
    bounds.at_most(3, found["with"], "step with a history of 50 over the step without")
    rows: list[list[object]] = [[k, milliseconds(seconds, k), found[k]] for k in runs]
    head = f"Batch {n:,}, {entities:,} items, ids only, a history of 50"
    return head + "\n" + table(["history", "ms", "over without"], rows)


def memory(n: int, entities: int, bounds: Bounds) -> str:
    """Peak of what a training step allocates in its first step, above the data.

    NumPy tells tracemalloc of every array, the parameters and the optimizer's state among them.
    """
    mt.use_threads(THREADS)
    data = clicks(np.random.default_rng(0), entities, 2 * n)
    steps = minitower_steps(data, n, mt.Adagrad(0.05))
    tracemalloc.start()
    next(steps)  # the parameters and the optimizer's state are allocated here as well
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    bounds.at_most(1, peak / 1e9, f"GB at the peak of a step of {n}")
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f"Batch {n:,}: {peak / 1e9:.2f} GB at the peak of a step, parameters and optimizer "
        f"state included; the score matrix alone would be {4e-9 * n * n:.1f} GB. "
        f"Most this process ever held: {resident:.2f} GB"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the parts asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "part", nargs="?", choices=["softmax", "step", "epoch", "history", "tables", "memory"]
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args(arguments)
    batches, rounds = ([64], 2) if options.quick else ([1024, 4096, 8192], options.rounds)
    bounds = Bounds(binding=not options.quick)
    entities, catalogue, small, large, many = 100_000, 40_000, 10_000, 10_000_000, 65_536
    if options.quick:
        entities, catalogue, small, large, many = 500, 200, 100, 1000, 256
    parts = {
        "softmax": lambda: softmax(batches, rounds, bounds),
        "step": lambda: step(batches, rounds, entities, bounds),
        "epoch": lambda: epoch(batches[:2], max(rounds // 7, 2), options.quick, bounds),
        "history": lambda: history(batches[0], catalogue, rounds, bounds),
        "tables": lambda: tables(min(batches[-1], 4096), small, large, rounds, bounds),
        "memory": lambda: memory(many, entities, bounds),
    }
    for name in [options.part] if options.part else parts:
        print(parts[name](), end="\n\n", flush=True)
    bounds.close()


if __name__ == "__main__":
    main()
