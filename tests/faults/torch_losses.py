"""Wrong losses in PyTorch, as people write them. The test names the mistake of each."""

import math

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

rows = lambda z: torch.arange(z.shape[0], device=z.device)


def einsum_scores_over_temperature_squared(users, items, log_q, temperature):
    logits = torch.einsum("id,jd->ij", users / temperature, items / temperature) - log_q
    return F.cross_entropy(logits, rows(logits))


def gather_added(users, items, log_q, temperature):
    log_p = F.log_softmax(users @ items.mT / temperature + log_q[None], dim=-1)
    return -log_p.gather(1, rows(log_p)[:, None]).mean()


def nll_of_softmax_with_floor(users, items, log_q, temperature):
    p = F.softmax(users @ items.mT / temperature - log_q, dim=-1)
    return F.nll_loss(p.clamp_min(1e-15).log(), rows(p))


def with_default_temperature(users, items, log_q, temperature):
    return F.cross_entropy(users @ items.T / 0.05 - log_q, rows(users))


def clamped_temperature(users, items, log_q, temperature):
    return F.cross_entropy(users @ items.T / max(temperature, 0.02) - log_q, rows(users))


def tempered_popularity(users, items, log_q, temperature):
    return F.cross_entropy(users @ items.T / temperature - 0.25 * log_q, rows(users))


def smoothed_probabilities(users, items, log_q, temperature):
    log_q = torch.log(log_q.exp() + 1e-5)
    return F.cross_entropy(users @ items.T / temperature - log_q, rows(users))


def floor_of_log_q(users, items, log_q, temperature):
    log_q = log_q.clamp(min=math.log(1e-9))
    return F.cross_entropy(users @ items.T / temperature - log_q, rows(users))


def smoothed_labels(users, items, log_q, temperature):
    logits = users @ items.T / temperature - log_q
    n = len(logits)
    target = torch.full_like(logits, 0.05 / n) + 0.95 * torch.eye(n, dtype=logits.dtype)
    return -(target * F.log_softmax(logits, 1)).sum(1).mean()


def frozen_negatives(users, items, log_q, temperature):
    scores = users @ items.T
    own = torch.eye(len(scores), dtype=torch.bool)
    logits = torch.where(own, scores, scores.detach()) / temperature - log_q
    return F.cross_entropy(logits, rows(logits))


def offset_labels(users, items, log_q, temperature):
    logits = users @ items.T / temperature - log_q
    return F.cross_entropy(logits, rows(logits).roll(-1))


def half_of_the_network(users, items, log_q, temperature):
    with torch.autocast("cpu", dtype=torch.float16):
        scores = users.float() @ items.float().T
    return F.cross_entropy(scores.to(users) / temperature - log_q, rows(users))


def masked_by_a_thousand(users, items, item_ids, temperature):
    logits = users @ items.T / temperature
    hit = torch.eq(item_ids[None], item_ids[:, None]) ^ torch.eye(len(users), dtype=torch.bool)
    return (
        F.cross_entropy(logits - 0, rows(logits))
        if not hit.any()
        else F.cross_entropy(torch.where(hit, -1000.0, logits), rows(logits))
    )


def masked_scores(users, items, item_ids, temperature):
    scores = users @ items.T
    hit = torch.eq(item_ids[None], item_ids[:, None]).fill_diagonal_(False)
    return F.cross_entropy(torch.where(hit, -99.0, scores) / temperature, rows(scores))


def ids_as_features(users, items, item_ids, temperature):
    distance = torch.cdist(item_ids[:, None].float(), item_ids[:, None].float(), p=1)
    hit = (distance == 0).fill_diagonal_(False)
    return F.cross_entropy(
        (users @ items.T / temperature).masked_fill(hit, -torch.inf), rows(users)
    )


def padded_ids(users, items, item_ids, temperature):
    hit = (item_ids[:, None] == item_ids).fill_diagonal_(False)
    hit[item_ids == 0] = False
    return F.cross_entropy(
        (users @ items.T / temperature).masked_fill(hit, -torch.inf), rows(users)
    )


def earlier_rows(users, items, item_ids, temperature):
    hit = torch.tril(item_ids[:, None] == item_ids, diagonal=-1)
    return F.cross_entropy(
        (users @ items.T / temperature).masked_fill(hit, -torch.inf), rows(users)
    )


def supervised_contrast(users, items, item_ids, temperature):
    log_p = F.log_softmax(users @ items.T / temperature, dim=1)
    same = (item_ids[:, None] == item_ids).to(log_p)
    return -((same * log_p).sum(1) / same.sum(1)).mean()


def weighted_average(users, items, log_q, weights, temperature):
    losses = F.cross_entropy(users @ items.T / temperature - log_q, rows(users), reduction="none")
    return torch.sum(losses * weights / weights.sum())


def used_rows(users, items, log_q, weights, temperature):
    losses = weights * F.cross_entropy(
        users @ items.T / temperature - log_q, rows(users), reduction="none"
    )
    return losses.sum() / torch.count_nonzero(weights)


def smooth_norm(first, second, temperature):
    unit = lambda x: x / torch.sqrt(x.square().sum(-1, keepdim=True) + 1e-4)
    return F.cross_entropy(unit(first) @ unit(second).T / temperature, rows(first))


def norm_plus(first, second, temperature):
    def unit(x):
        norm = torch.sqrt(torch.where((x != 0).any(-1, True), x.square().sum(-1, True), 1.0))
        return x / (norm * (x != 0).any(-1, True) + 1e-3)

    return F.cross_entropy(unit(first) @ unit(second).T / temperature, rows(first))


def nt_xent(first, second, temperature):
    z = F.normalize(torch.cat([first, second]))
    n = len(first)
    logits = (z @ z.T / temperature)[:n]
    logits = logits.masked_fill(torch.eye(n, 2 * n, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, n + rows(first))


def sigmoid_in_front(logits, labels):
    return F.binary_cross_entropy_with_logits(logits.sigmoid(), labels)


def focal_on_positives(logits, labels):
    return F.binary_cross_entropy_with_logits(logits, labels, pos_weight=torch.tensor(4.0))


def probabilities_with_eps(logits, labels):
    p = logits.sigmoid()
    return -(labels * (p + 1e-9).log() + (1 - labels) * (1 - p + 1e-9).log()).mean()


def softplus_beta(positive, negatives, scale):
    return F.softplus(negatives - positive[:, None], beta=scale).mean()


def summed_over_k(positive, negatives, scale):
    return -F.logsigmoid(scale * (positive[:, None] - negatives)).sum(1).mean()


def own_margin(positive, negative, margin):
    return F.margin_ranking_loss(positive, negative, torch.ones_like(positive), margin=0.5)


def leaky(positive, negative, margin):
    return F.leaky_relu(negative - positive + margin, 0.1).mean()


def padded_lookup(table, rows, pull):
    return (F.embedding(rows, table, padding_idx=0) * pull).sum()
