"""Right losses in PyTorch: its own, sentence-transformers' and OpenCLIP's.

The last two bring their models along, so their losses are transcribed.
"""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional

rows = lambda z: torch.arange(len(z))
first = lambda z: torch.zeros(len(z), dtype=torch.int64)
hits = lambda ids: (ids[:, None] == ids) & ~torch.eye(len(ids), dtype=torch.bool)


def cross_entropy(users, items, log_q, temperature):
    return F.cross_entropy(users @ items.T / temperature - log_q, rows(users))


def cross_entropy_module(users, items, log_q, temperature):
    return nn.CrossEntropyLoss()(users @ items.T / temperature - log_q, rows(users))


def cross_entropy_of_one_hot(users, items, log_q, temperature):
    logits = users @ items.T / temperature - log_q
    return F.cross_entropy(logits, torch.eye(len(logits), dtype=logits.dtype))


def nll_of_log_softmax(users, items, log_q, temperature):
    return F.nll_loss(F.log_softmax(users @ items.T / temperature - log_q, dim=1), rows(users))


def cross_entropy_weighted(users, items, log_q, weights, temperature):
    logits = users @ items.T / temperature - log_q
    return (weights * F.cross_entropy(logits, rows(users), reduction="none")).mean()


def cross_entropy_of_normalized(users, items, log_q, temperature):
    logits = F.normalize(users) @ F.normalize(items).T / temperature - log_q
    return F.cross_entropy(logits, rows(users))


def cross_entropy_of_scores(users, items, temperature):
    return F.cross_entropy(users @ items.T / temperature, rows(users))


def cross_entropy_masked(users, items, item_ids, temperature):
    logits = users @ items.T / temperature
    return F.cross_entropy(logits.masked_fill(hits(item_ids), -torch.inf), rows(users))


def cross_entropy_of_lists(positive, negatives, drop, temperature):
    negatives = negatives.masked_fill(drop, -torch.inf)
    logits = torch.column_stack([positive, negatives]) / temperature
    return F.cross_entropy(logits, first(logits))


def cross_entropy_of_lists_with_q(
    positive, negatives, positive_log_q, log_q, drop, temperature
):  # fmt: skip
    negatives = (negatives / temperature - log_q).masked_fill(drop, -torch.inf)
    logits = torch.column_stack([positive / temperature - positive_log_q, negatives])
    return F.cross_entropy(logits, first(logits))


def learned(scores, temperature):
    return F.cross_entropy(scores / temperature, rows(scores))


def binary_with_logits(logits, labels):
    return F.binary_cross_entropy_with_logits(logits, labels)


def binary_module(logits, labels):
    return nn.BCEWithLogitsLoss()(logits, labels)


def logistic(scores, labels, scale, bias):
    return F.binary_cross_entropy_with_logits(scale * scores + bias, (labels + 1) / 2)


def squared(scores, labels):
    return F.mse_loss(scores, labels)


def ranking(positive, negative, margin):
    return F.margin_ranking_loss(positive, negative, torch.ones_like(positive), margin=margin)


def triplet_of_distances(positive, negative, margin):
    distance = lambda a, b: -(a * b).sum(-1)
    loss = nn.TripletMarginWithDistanceLoss(distance_function=distance, margin=margin)
    return loss(torch.ones_like(positive)[:, None], positive[:, None], negative[:, None])


def ranking_many(positive, negatives, margin):
    positive = positive[:, None].expand_as(negatives)
    return F.margin_ranking_loss(positive, negatives, torch.ones_like(positive), margin=margin)


def softplus(positive, negative, scale):
    return F.softplus(scale * (negative - positive)).mean()


def log_sigmoid(positive, negative, scale):
    return -F.logsigmoid(scale * (positive - negative)).mean()


def log_sigmoid_many(positive, negatives, scale):
    return -F.logsigmoid(scale * (positive[:, None] - negatives)).mean()


def cosine_similarity(users, items, pull):
    return pull @ F.cosine_similarity(users, items)


def embedding(table, rows, pull):
    return (F.embedding(rows, table) * pull).sum()


def embedding_sparse(table, rows, pull):
    return (F.embedding(rows, table, sparse=True) * pull).sum()


def embedding_module(table, rows, pull):
    return (nn.functional.embedding_bag(rows[:, None], table, mode="sum") * pull).sum()


def sentence_transformers_ranking(first, second, temperature):
    """MultipleNegativesRankingLoss: the similarity is cos_sim, scale is 1 / temperature.

    UKPLab/sentence-transformers, sentence_transformers/losses/MultipleNegativesRankingLoss.py
    at 005f3f4f89b37635a47ac0c05a5d1f090390ffef, and cos_sim of sentence_transformers/util.py.
    """
    cos_sim = lambda a, b: torch.mm(F.normalize(a, p=2, dim=1), F.normalize(b, p=2, dim=1).T)
    scores = cos_sim(first, second) * (1 / temperature)
    labels = torch.arange(0, scores.size(0))
    return nn.CrossEntropyLoss()(scores, labels)


def sentence_transformers_ranking_by_dot(users, items, temperature):
    """The same with dot_score as the similarity."""
    scores = torch.mm(users, items.transpose(0, 1)) * (1 / temperature)
    labels = torch.arange(0, scores.size(0))
    return nn.CrossEntropyLoss()(scores, labels)


def open_clip(first, second, temperature):
    """ClipLoss on one device, of features that CLIP.encode_image and encode_text normalize.

    mlfoundations/open_clip, src/open_clip/loss.py at 00aa464c20f60168d8220ea25da4adbbe5129eba.
    """
    image_features, text_features = F.normalize(first, dim=-1), F.normalize(second, dim=-1)
    logit_scale = 1 / temperature
    logits_per_image = logit_scale * image_features @ text_features.T
    logits_per_text = logit_scale * text_features @ image_features.T
    labels = torch.arange(logits_per_image.shape[0])
    return (
        F.cross_entropy(logits_per_image, labels) + F.cross_entropy(logits_per_text, labels)
    ) / 2
