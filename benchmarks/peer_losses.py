"""What `minitower check` says of losses that are shipped by others; prints a page of Markdown.

    python benchmarks/peer_losses.py --install DIR      # an environment, everything from PyPI
    python benchmarks/peer_losses.py                    # where the libraries are installed
    python benchmarks/peer_losses.py --only torch       # one of them

Every entry is the library's own function under the thinnest adapter that has the arguments of the
formula: what stands in an adapter is only what the library leaves to its user.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # tensorflow-recommenders is written for Keras 2
os.environ.setdefault("KERAS_BACKEND", "jax")  # keras-rs is written for Keras 3, of any backend

import numpy as np

from minitower import __version__
from minitower.conformance import check

PACKAGES = ["tensorflow", "tf-keras", "tensorflow-recommenders", "keras", "keras-rs", "torch",
            "optax", "jax"]  # fmt: skip


class Peer(NamedTuple):
    """A shipped loss: whose, what it is called, which formula it should be, and how to call it."""

    library: str
    name: str
    formula: str
    framework: str
    loss: Callable[..., Any]
    dtype: str = "float64"


def torch_losses() -> Iterator[Peer]:
    """torch.nn.functional."""
    import torch
    from torch.nn import functional as F

    rows = lambda x: torch.arange(len(x))
    cross_entropy = lambda z: F.cross_entropy(z, rows(z))
    peer = lambda name, formula, loss: Peer("torch", f"F.{name}", formula, "torch", loss)
    yield peer(
        "cross_entropy", "in_batch_softmax", lambda u, v, q, t: cross_entropy(u @ v.T / t - q)
    )
    yield peer(
        "normalize + cross_entropy",
        "in_batch_softmax_cosine",
        lambda u, v, q, t: cross_entropy(F.normalize(u) @ F.normalize(v).T / t - q),
    )
    yield peer(
        "cross_entropy, -inf for hits",
        "in_batch_softmax_masked",
        lambda u, v, ids, t: cross_entropy(
            (u @ v.T / t).masked_fill(
                (ids[:, None] == ids) & ~torch.eye(len(ids), dtype=bool), -torch.inf
            )
        ),
    )
    yield peer(
        "cross_entropy, both ways",
        "info_nce_symmetric",
        lambda a, b, t: (
            (
                cross_entropy(F.normalize(a) @ F.normalize(b).T / t)
                + cross_entropy(F.normalize(b) @ F.normalize(a).T / t)
            )
            / 2
        ),
    )
    yield peer("cosine_similarity", "cosine", lambda u, v, pull: pull @ F.cosine_similarity(u, v))
    yield peer("mse_loss", "pointwise_squared", F.mse_loss)
    yield peer(
        "soft_margin_loss",
        "pointwise_logistic",
        lambda c, y, s, b: F.soft_margin_loss(s * c + b, y),
    )
    yield peer(
        "binary_cross_entropy_with_logits",
        "pointwise_logistic",
        lambda c, y, s, b: F.binary_cross_entropy_with_logits(s * c + b, (y + 1) / 2),
    )
    yield peer(
        "binary_cross_entropy of sigmoid",
        "pointwise_logistic",
        lambda c, y, s, b: F.binary_cross_entropy(torch.sigmoid(s * c + b), (y + 1) / 2),
    )
    yield peer(
        "margin_ranking_loss",
        "triplet_hinge",
        lambda p, g, m: F.margin_ranking_loss(p, g, torch.ones_like(p), margin=m),
    )
    yield peer(
        "softplus(beta=scale)", "triplet_logistic", lambda p, g, s: F.softplus(g - p, beta=s).mean()
    )
    yield peer(
        "softplus(scale * x)", "triplet_logistic", lambda p, g, s: F.softplus(s * (g - p)).mean()
    )
    yield peer("logsigmoid", "triplet_logistic", lambda p, g, s: -F.logsigmoid(s * (p - g)).mean())
    yield peer(
        "embedding",
        "embedding_lookup",
        lambda table, which, pull: (F.embedding(which, table) * pull).sum(),
    )


def optax_losses() -> Iterator[Peer]:
    """optax.losses."""
    import jax.numpy as jnp
    from optax import losses

    rows = lambda z: jnp.arange(len(z))
    peer = lambda name, formula, loss: Peer("optax", name, formula, "jax", loss)
    yield peer(
        "softmax_cross_entropy_with_integer_labels",
        "in_batch_softmax",
        lambda u, v, q, t: losses.softmax_cross_entropy_with_integer_labels(
            u @ v.T / t - q, jnp.arange(len(u))
        ).mean(),
    )
    yield peer(
        "softmax_cross_entropy_with_integer_labels(where=)",
        "in_batch_softmax_masked",
        lambda u, v, ids, t: losses.softmax_cross_entropy_with_integer_labels(
            u @ v.T / t, rows(ids), where=(ids[:, None] != ids) | jnp.eye(len(ids), dtype=bool)
        ).mean(),
    )
    yield peer(
        "ranking_softmax_loss(where=)",
        "listwise_softmax",
        lambda p, g, drop, t: losses.ranking_softmax_loss(
            jnp.column_stack([p, g]) / t,
            jnp.column_stack([jnp.ones(len(p)), jnp.zeros(g.shape)]),
            where=jnp.column_stack([jnp.ones(len(p), bool), ~drop]),
        ),
    )
    yield peer(
        "cosine_similarity", "cosine", lambda u, v, pull: pull @ losses.cosine_similarity(u, v)
    )
    yield peer(
        "cosine_similarity(epsilon=1e-6)",
        "cosine",
        lambda u, v, pull: pull @ losses.cosine_similarity(u, v, epsilon=1e-6),
    )
    yield peer(
        "ntxent",
        "info_nce_symmetric",
        lambda a, b, t: losses.ntxent(jnp.concatenate([a, b]), jnp.tile(rows(a), 2), temperature=t),
    )
    yield peer("squared_error", "pointwise_squared", lambda c, y: losses.squared_error(c, y).mean())
    yield peer("l2_loss", "pointwise_squared", lambda c, y: losses.l2_loss(c, y).mean())
    yield peer(
        "sigmoid_binary_cross_entropy",
        "pointwise_logistic",
        lambda c, y, s, b: losses.sigmoid_binary_cross_entropy(s * c + b, (y + 1) / 2).mean(),
    )


def tensorflow_recommenders_losses() -> Iterator[Peer]:
    """tensorflow_recommenders.tasks.Retrieval."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    mean = lambda: tf.keras.losses.CategoricalCrossentropy(
        from_logits=True, reduction=tf.keras.losses.Reduction.SUM_OVER_BATCH_SIZE
    )

    def corrected(loss: Any) -> Callable[..., Any]:
        return lambda u, v, q, t: tfrs.tasks.Retrieval(loss=loss(), temperature=t)(
            u, v, candidate_sampling_probability=tf.exp(q)
        )

    peer = lambda name, formula, loss: Peer(
        "tensorflow-recommenders", name, formula, "tensorflow", loss, "float32"
    )
    yield peer("Retrieval (as shipped: a sum)", "in_batch_softmax", corrected(lambda: None))
    yield peer("Retrieval, mean of the rows", "in_batch_softmax", corrected(mean))
    yield peer(
        "Retrieval(remove_accidental_hits), mean",
        "in_batch_softmax_masked",
        lambda u, v, ids, t: tfrs.tasks.Retrieval(
            loss=mean(), temperature=t, remove_accidental_hits=True
        )(u, v, candidate_ids=ids),
    )
    yield peer(
        "Retrieval(sample_weight), mean",
        "in_batch_softmax_weighted",
        lambda u, v, q, w, t: tfrs.tasks.Retrieval(loss=mean(), temperature=t)(
            u, v, sample_weight=w, candidate_sampling_probability=tf.exp(q)
        ),
    )


def keras_rs_losses() -> Iterator[Peer]:
    """keras_rs.layers and keras_rs.losses."""
    import keras
    import keras_rs
    from jax import numpy as jnp

    cross_entropy = lambda z: keras.ops.mean(
        keras.losses.categorical_crossentropy(keras.ops.eye(len(z)), z, from_logits=True)
    )
    probability = lambda q, z: jnp.broadcast_to(jnp.exp(q), z.shape)

    def corrected(u: Any, v: Any, q: Any, t: Any) -> Any:
        z = u @ v.T / t
        return cross_entropy(keras_rs.layers.SamplingProbabilityCorrection()(z, probability(q, z)))

    def masked(u: Any, v: Any, ids: Any, t: Any) -> Any:
        z = u @ v.T / t
        return cross_entropy(keras_rs.layers.RemoveAccidentalHits()(z, jnp.eye(len(ids)), ids))

    def pairs(loss: Any, p: Any, g: Any) -> Any:
        labels = jnp.tile(jnp.array([1.0, 0.0]), (len(p), 1))
        return 2 * loss(labels, jnp.column_stack([p, g]))  # Keras's mean is over both columns

    peer = lambda name, formula, loss: Peer("keras-rs", name, formula, "jax", loss, "float32")
    yield peer("SamplingProbabilityCorrection", "in_batch_softmax", corrected)
    yield peer("RemoveAccidentalHits", "in_batch_softmax_masked", masked)
    yield peer(
        "PairwiseHingeLoss, scores / margin",
        "triplet_hinge",
        lambda p, g, m: m * pairs(keras_rs.losses.PairwiseHingeLoss(), p / m, g / m),
    )
    yield peer(
        "PairwiseLogisticLoss(temperature=1/scale)",
        "triplet_logistic",
        lambda p, g, s: pairs(keras_rs.losses.PairwiseLogisticLoss(temperature=1 / s), p, g),
    )


LIBRARIES = {
    "torch": torch_losses,
    "optax": optax_losses,
    "tensorflow-recommenders": tensorflow_recommenders_losses,
    "keras-rs": keras_rs_losses,
}


def page(libraries: list[str]) -> str:
    """The verdicts as Markdown, with the versions that they are of."""
    lines = [
        f"Versions: {', '.join(_versions())}; minitower {__version__}, NumPy {np.__version__}.",
        "",
        "| library | loss | checked as | verdict |",
        "|---|---|---|---|",
    ]
    details = []
    for library in libraries:
        for peer in LIBRARIES[library]():
            report = check(
                peer.loss, formula=peer.formula, framework=peer.framework, dtype=peer.dtype
            )
            if report.passed:
                verdict = f"all {len(report.cases)} cases pass"
            else:
                known = dict.fromkeys(f"“{r.mistake.name}”" for r in report.failed if r.mistake)
                most = [line for line in report.details.splitlines() if "would explain" in line]
                why = "; ".join(known or most).strip() or "no known mistake"
                verdict = f"{len(report.failed)} of {len(report.cases)} cases fail: {why}"
                details += ["", f"`{peer.name}` of {library}:", "", "```", str(report), "```"]
            lines.append(
                f"| {library} | `{peer.name}` | {peer.formula}, {peer.dtype} | {verdict} |"
            )
    return "\n".join([*lines, *details])


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


def install(folder: Path) -> Path:
    """A virtual environment with minitower and the libraries; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    repository = str(Path(__file__).parent.parent)
    command = [str(python), "-m", "pip", "install", "--quiet", repository, *PACKAGES]
    subprocess.run(command, check=True)
    return python


def main() -> None:
    """Install if asked, check, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", type=Path, metavar="DIR", help="make an environment there")
    parser.add_argument("--only", choices=LIBRARIES, action="append", help="one library")
    parser.add_argument("--quick", action="store_true", help="what is installed, PyTorch at most")
    args = parser.parse_args()
    if args.install:
        rest = [part for library in args.only or () for part in ("--only", library)]
        subprocess.run([str(install(args.install)), __file__, *rest], check=True)
    else:
        print(page(["torch"] if args.quick else args.only or list(LIBRARIES)))


if __name__ == "__main__":
    main()
