"""Two-tower retrieval in one file. Read it from top to bottom; run it: python -m minitower.nano

A user tower and an item tower turn features into unit vectors. Training makes clicked pairs close.
Online, a user's vector recalls the k items with the largest cosine. The order is that of Shusen
Wang's lecture. Tests hold each function equal to the same formula of the package. Chapter 0.
"""

import numpy as np


# 1. Two towers. A field is a matrix (n,v): row by row, the share of each value. Column 0: default.
def new_tower(rng, fields, width=16, hidden=64, d=32):
    """Draw an embedding table for each field, and two dense layers."""
    p = {name: rng.normal(size=(x.shape[1], width)) / width**0.5 for name, x in fields.items()}
    wide = width * len(fields)
    p["W1"], p["b1"] = rng.normal(size=(wide, hidden)) * (2 / wide) ** 0.5, np.zeros(hidden)
    p["W2"], p["b2"] = rng.normal(size=(hidden, d)) / hidden**0.5, np.zeros(d)
    return p


def tower(p, fields):
    """Return unit vectors (n,d), and the function from their gradient to the gradients of p."""
    h0 = np.concatenate([x @ p[name] for name, x in fields.items()], axis=1)
    h1 = np.maximum(h0 @ p["W1"] + p["b1"], 0)
    y = h1 @ p["W2"] + p["b2"]
    length = np.linalg.norm(y, axis=1, keepdims=True)
    unit = y / length

    def backward(d_unit):
        d_y = (d_unit - unit * (unit * d_unit).sum(axis=1, keepdims=True)) / length
        d_h1 = (d_y @ p["W2"].T) * (h1 > 0)
        d_h0 = np.split(d_h1 @ p["W1"].T, len(fields), axis=1)
        g = {name: x.T @ d_rows for (name, x), d_rows in zip(fields.items(), d_h0)}
        return g | {"W1": h0.T @ d_h1, "b1": d_h1.sum(0), "W2": h1.T @ d_y, "b2": d_y.sum(0)}

    return unit, backward


# 2. Negatives. Easy ones: any item, with probability clicks^0.75, through an alias table. Hard
#    ones: items that rank high, but not at the top. Never: items that were shown and not clicked.
def alias_table(p):
    """Vose (1991): slot i returns i with probability keep_i, and alias_i otherwise."""
    keep, alias = len(p) * p, np.full(len(p), p.argmax())
    small, large = list(np.flatnonzero(keep < 1)), list(np.flatnonzero(keep >= 1))
    while small and large:
        lacking, donor = small.pop(), large.pop()
        alias[lacking] = donor
        keep[donor] -= 1 - keep[lacking]
        (small if keep[donor] < 1 else large).append(donor)
    keep[small + large] = 1  # rounding alone keeps these slots from exactly 1
    return keep, alias


def draw(rng, keep, alias, size):
    """Draw from an alias table: two random numbers for each draw, however many the items."""
    slot = rng.integers(len(keep), size=size)
    return np.where(rng.random(size) < keep[slot], slot, alias[slot])


def hard_negatives(rng, scores, first, last, size):
    """Draw from places first to last - 1 of each user's ranking. Clicked items must score -inf."""
    return np.take_along_axis(nearest(scores, last), rng.integers(first, last, size), axis=1)


# 3. Three ways to train. Each loss returns its mean, and its gradient by the scores.
def pointwise(scores, scale):
    """Logistic regression of scores (n,1+k): column 0 was clicked, the others were sampled."""
    labels = np.where(np.arange(scores.shape[1]) == 0, 1, -1)
    margins = scale * labels * scores
    return np.logaddexp(0, -margins).mean(), -scale * labels / (1 + np.exp(margins)) / scores.size


def pairwise(scores, scale):
    """Triplet logistic of scores (n,1+k): the clicked column 0 should lead each of the others."""
    lead = scale * (scores[:, :1] - scores[:, 1:])
    d = scale / (1 + np.exp(lead)) / lead.size
    return np.logaddexp(0, -lead).mean(), np.column_stack([-d.sum(axis=1), d])


def listwise(scores, clicked, t, log_q=0):
    """Softmax of scores (n,m): in each row, the item in column clicked (n) should win.

    In a batch, the other items are what other users clicked: popular items too often. A draw of
    probability q stands for 1/q items, so its exponential is divided by q. Serving draws nothing.
    """
    rows, logits = np.arange(len(scores)), scores / t - log_q
    logits -= logits.max(axis=1, keepdims=True)  # so that no exponential overflows
    log_P = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    d_logits = np.exp(log_P)
    d_logits[rows, clicked] -= 1
    return -log_P[rows, clicked].mean(), d_logits / (t * len(rows))


# 4. Recall. Offline, the vectors of all items go into an index. Online, a user's vector asks it.
def nearest(scores, k):
    """Exact recall: the columns of the k largest scores of each row, best first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


class HNSW:
    """Malkov and Yashunin (2018): greedy walks over layers of links between near items."""

    def __init__(self, rng, items, links=12, effort=60):
        self.items, self.layers, self.compared = items, [], 0
        height = np.floor(-np.log(1 - rng.random(len(items))) / np.log(links))
        order = np.argsort(-height, kind="stable").tolist()  # walks start at the tallest
        for level in np.arange(height.max(), -1, -1):  # from few items to all of them
            layer = {order[0]: []}
            for i in order[1 : (height >= level).sum()]:
                layer[i] = self.walk(layer, items[i], order[:1], effort)[:links]
                for j in layer[i]:  # links go both ways; the paper also drops some of them
                    layer[j].append(i)
            self.layers.append(layer)

    def walk(self, layer, query, start, effort):
        """Follow the links of the best item not yet followed; keep the best of all items seen."""
        best, seen, followed = [(self.items[i] @ query, i) for i in start], set(start), set()
        while todo := [i for _, i in best if i not in followed]:
            followed.add(todo[0])
            new = [j for j in layer[todo[0]] if j not in seen]
            seen.update(new)
            best = sorted([*best, *zip(self.items[new] @ query, new)], reverse=True)[:effort]
        self.compared += len(seen)
        return [i for _, i in best]

    def recall(self, query, k, effort):
        """Approximate recall: jump to the right region, then look around in the last layer."""
        near = list(self.layers[0])[:1]  # the tallest item
        for layer in self.layers[:-1]:
            near = self.walk(layer, query, near, 1)
        return self.walk(self.layers[-1], query, near, max(effort, k))[:k]


# 5. Self-supervision, for items with few clicks: two views of one item should be close.
def mutual_information(a, b):
    """sum_uv p(u,v) log(p(u,v) / (p(u) p(v))) of two fields (n,u) and (n,v)."""
    joint = a.T @ b / len(a)
    u, v = joint.nonzero()
    return (joint[u, v] * np.log(joint[u, v] / joint.sum(1)[u] / joint.sum(0)[v])).sum()


def masks(rng, kind, n, related):
    """Draw which of f fields two views hide. related: (f,f) mutual information -> (n,f),(n,f)"""
    f = len(related)
    if kind == "correlated":  # hide a random field, and the f // 2 fields that say most about it
        to_seed = np.where(np.eye(f), np.inf, related)[rng.integers(f, size=1)]
        first = np.tile(np.isin(np.arange(f), nearest(to_seed, 1 + f // 2)), (n, 1))
    else:
        first = rng.permuted(np.tile(np.arange(f) < f // 2, (n, 1)), axis=1)
    return first, rng.permuted(first, axis=1) if kind == "random" else ~first


def hide(fields, mask):
    """Replace the hidden fields (n,f) of each item by the default value."""
    hidden = dict(zip(fields, mask.T[:, :, None]))
    return {name: np.where(hidden[name], np.eye(1, x.shape[1]), x) for name, x in fields.items()}


def drop_half(rng, x):
    """Dropout: put the values of each row in random order; drop the first half, rounded down."""
    order = np.where(x > 0, rng.random(x.shape), np.inf).argsort(axis=1).argsort(axis=1)
    kept = x * (order >= np.count_nonzero(x, axis=1, keepdims=True) // 2)
    return kept / kept.sum(axis=1, keepdims=True)


def contrastive(p, first, second, t):
    """A first view should find the second view of its item. Uniform draws need no log q."""
    (A, back_A), (B, back_B) = tower(p, first), tower(p, second)
    loss, d = listwise(A @ B.T, np.arange(len(A)), t)
    g_A, g_B = back_A(d @ B), back_B(d.T @ A)
    return loss, {name: g_A[name] + g_B[name] for name in p}


# 6. Training. A full update trains all parameters, on a day of clicks in random order. Between two
#    of them, incremental updates train the ids of users alone, on the newest clicks in time order.
def train(rng, model, x, clicks, log_q, epochs=1, ids_only=False, related=None, rate=0.1, t=0.1):
    """Return model = (p, sums of squared gradients) after Adagrad on each user's clicks (n,c)."""
    p, squares = {side: dict(model[0][side]) for side in x}, dict(model[1])
    moving = [("user", "id")] if ids_only else [(side, name) for side in x for name in p[side]]
    take = lambda side, rows: {name: a[rows] for name, a in x[side].items()}
    pairs = np.column_stack([np.tile(np.arange(len(clicks)), clicks.shape[1]), clicks.T.ravel()])
    pairs = np.concatenate([pairs if ids_only else rng.permutation(pairs) for _ in range(epochs)])
    for users, items in (batch.T for batch in np.array_split(pairs, 1 + len(pairs) // 256)):
        U, back_U = tower(p["user"], take("user", users))
        V, back_V = tower(p["item"], take("item", items))
        _, d = listwise(U @ V.T, np.arange(len(U)), t, log_q[items])
        g = {"user": back_U(d @ V), "item": back_V(d.T @ U)}
        if related:  # self-supervision, on items that are equally likely
            some = take("item", rng.integers(len(log_q), size=256))
            views = (hide(some, mask) for mask in masks(rng, "correlated", 256, related))
            _, g_views = contrastive(p["item"], *views, t)
            g["item"] = {name: a + 0.1 * g_views[name] for name, a in g["item"].items()}
        for side, name in moving:
            square = squares[side, name] = squares.get((side, name), 0) + g[side][name] ** 2
            p[side][name] = p[side][name] - rate * g[side][name] / (np.sqrt(square) + 1e-10)
    return p, squares


def world(rng, n=800, m=1600, themes=8):
    """Draw the fields of users and items, and the items (n,40) that each user clicks in turn."""
    theme, interest = rng.integers(themes, size=m), rng.integers(themes, size=n)
    about = np.where(rng.random((5, m)) < 0.8, theme, rng.integers(themes, size=(5, m)))
    x = {"user": {"id": np.arange(n), "interest": interest}, "item": {"id": np.arange(m)}}
    x["item"] |= {"brand": about[0], "style": about[1], "tags": about[2:].T}
    encode = lambda v: np.eye(2 + v.max())[1 + v.reshape(len(v), -1)].mean(axis=1)
    x = {side: {name: encode(values) for name, values in x[side].items()} for side in x}
    quality, taste = rng.normal(size=m), rng.normal(size=(n, themes))[:, theme]
    liking = quality + taste + 3 * (interest[:, None] == theme)
    clicks = nearest(liking + rng.gumbel(size=(n, m)), 40)  # drawn in proportion to exp(liking)
    clicks[: n // 5, 25:] = np.roll(clicks[: n // 5, 25:], 1, axis=0)  # some users change taste
    return x, clicks


def main(k=50):
    rng = np.random.default_rng(0)
    x, clicks = world(rng)
    past, today, later = np.split(clicks, [25, 30], axis=1)
    count = np.bincount(past.ravel(), minlength=len(x["item"]["id"]))
    rare, log_q = count <= np.median(count), np.log((count + 1) / (count + 1).sum())
    vectors = lambda model: [tower(model[0][side], x[side])[0] for side in x]

    def report(name, U, V):
        """Print the share of later clicks among the k best items that are new to their user."""
        scores = U @ V.T
        np.put_along_axis(scores, clicks[:, :30], -np.inf, axis=1)
        best = nearest(scores, k)
        hit = (best[:, :, None] == later[:, None]).any(axis=2)
        of_rare = hit[rare[best]].sum() / rare[later].sum()
        print(f"{name:42}recall {hit.sum() / later.size:.3f}   of rare items {of_rare:.3f}")

    report("most popular", np.ones((len(past), 1)), 1.0 * count[:, None])
    start = ({side: new_tower(rng, x[side]) for side in x}, {})
    report("in-batch softmax, uncorrected", *vectors(train(rng, start, x, past, 0 * log_q, 3)))
    report("in-batch softmax, minus log q", *vectors(train(rng, start, x, past, log_q, 3)))
    related = [[mutual_information(a, b) for a in x["item"].values()] for b in x["item"].values()]
    model = train(rng, start, x, past, log_q, 3, related=related)
    report("  and self-supervised", *vectors(model))
    for kind, ids_only in (("incremental", True), ("full", False)):
        new = train(rng, model, x, today, log_q, ids_only=ids_only)
        moved = sum((new[0][s][name] != model[0][s][name]).sum() for s in x for name in new[0][s])
        report(f"{kind} update: {moved:,} numbers moved", *vectors(new))
    U, V = vectors(model)
    index = HNSW(rng, V)
    index.compared = 0
    hit = [np.isin(index.recall(u, k, 100), best) for u, best in zip(U, nearest(U @ V.T, k))]
    print(f"HNSW: {np.mean(hit):.1%} of exact recall, {index.compared // len(U)} of {len(V)} seen")


if __name__ == "__main__":
    main()
