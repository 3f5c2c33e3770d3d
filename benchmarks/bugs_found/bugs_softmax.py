"""Wrong softmax losses of public repositories, transcribed to a few lines each.

Each function has the arguments of its formula. The arithmetic is the repository's; names, shapes
and what stands around it are ours.
"""

from __future__ import annotations

from typing import Any

import torch
from bug import found
from torch.nn import functional as F

_rows = lambda z: torch.arange(len(z))
_first = lambda z: torch.zeros(len(z), dtype=torch.int64)


@found(
    "tensorflow/recommenders",
    "tensorflow_recommenders/layers/loss.py",
    "v0.4.0",
    thread="issues/219",
    formula="in_batch_softmax",
    says="`SamplingProbablityCorrection` adds the logarithm of the sampling probability.",
    now="Shipped in 0.4.0; 0.5.1 subtracts it.",
)
def tfrs_sampling_probability(users: Any, items: Any, log_q: Any, temperature: Any) -> Any:
    logits = users @ items.T / temperature
    logits = logits + torch.log(torch.exp(log_q))
    return F.cross_entropy(logits, _rows(logits))


@found(
    "datawhalechina/torch-rechub",
    "torch_rechub/models/matching/youtube_sbc.py",
    "0d695c51288c9362d542f2732410c0806207d4a5",
    formula="in_batch_softmax_cosine",
    says="`YoutubeSBC` subtracts log q first and divides the difference by the temperature.",
    now="So in the version that was read; no report is known.",
    allow=("zero_vectors",),
)
def rechub_youtube_sbc(users: Any, items: Any, log_q: Any, temperature: Any) -> Any:
    pred = torch.cosine_similarity(users.unsqueeze(1), items, dim=2)
    scores = pred - log_q
    column = (_rows(users)[:, None] + _rows(users)) % len(users)  # the pair's own item first
    scores = scores.gather(1, column) / temperature
    return F.cross_entropy(scores, _first(scores))


@found(
    "alibaba/EasyRec",
    "easy_rec/python/model/match_model.py",
    "0389a8963bc0c9ee043e8938db22b8a0983aa70c",
    formula="in_batch_softmax_plain",
    says="The loss is the logarithm of a softmax that has been computed, plus 1e-12.",
    now="So in the version that was read; no report is known.",
)
def easyrec_hit_prob(users: Any, items: Any, temperature: Any) -> Any:
    probs = F.softmax(users @ items.T / temperature, dim=1)
    hit_prob = probs[_rows(probs), _rows(probs)]
    return -torch.log(hit_prob + 1e-12).mean()


@found(
    "LongmaoTeamTf/deep_recommenders",
    "deep_recommend/recommend/match/google_tt/custom_train.py",
    "8d39cf387bc1115eec977bbc2185d5ac98d75cc0",
    thread="issues/4",
    formula="in_batch_softmax_weighted",
    says="The softmax runs over the n pairs of the batch. No user meets another row's item.",
    now="Confirmed by its authors; that version is not maintained.",
)
def deep_recommenders_batch_softmax(
    users: Any, items: Any, log_q: Any, weights: Any, temperature: Any
) -> Any:
    inner_product = (users * items).sum(-1) / temperature - log_q
    output = torch.exp(inner_product) / torch.exp(inner_product).sum()
    return -(weights * torch.log(output)).mean()


@found(
    "keras-team/keras-rs",
    "keras_rs/src/layers/retrieval/remove_accidental_hits.py",
    "ca306221acf77dafefcf15d1e9d0e4aabb46c577",
    thread="pull/206",
    formula="in_batch_softmax_masked",
    says="The mask adds the smallest normal float to a logit, which changes no logit.",
    now="Shipped in 0.4.0; a later version adds the lowest float.",
)
def keras_rs_accidental_hits(users: Any, items: Any, item_ids: Any, temperature: Any) -> Any:
    logits = users @ items.T / temperature
    duplicate = (item_ids[:, None] == item_ids).to(logits) - torch.eye(len(logits))
    logits = logits + duplicate * (torch.finfo(torch.float32).smallest_normal / 100)
    return F.cross_entropy(logits, _rows(logits))


@found(
    "NVIDIA-Merlin/models",
    "merlin/models/tf/outputs/contrastive.py",
    "005926c04046ed2721809658a871659fb30bf5e5",
    formula="listwise_softmax",
    says="False negatives get a score of -655.04; another score may lie below it.",
    now="The default of a parameter, `false_negative_score`; no report is known.",
)
def merlin_false_negatives(positive: Any, negatives: Any, drop: Any, temperature: Any) -> Any:
    min_float = torch.finfo(torch.float16).min / 100
    negatives = torch.where(drop, min_float, negatives)
    logits = torch.column_stack([positive, negatives]) / temperature
    return F.cross_entropy(logits, _first(logits))


@found(
    "lucidrains/DALLE-pytorch",
    "dalle_pytorch/dalle_pytorch.py",
    "9a335d79283e0a49e5b7e572da3af684215e479c",
    thread="issues/32",
    formula="info_nce_symmetric",
    says="CLIP's loss takes the texts' direction alone; the images' direction is missing.",
    now="Fixed the day after the report.",
    allow=("zero_vectors",),
)
def dalle_clip(first: Any, second: Any, temperature: Any) -> Any:
    text_latents, image_latents = F.normalize(first, dim=-1), F.normalize(second, dim=-1)
    sim = torch.einsum("id,jd->ij", text_latents, image_latents) / temperature
    return F.cross_entropy(sim, _rows(sim))


@found(
    "Coder-Yu/SELFRec",
    "util/loss_torch.py",
    "ff3b1f82ca1ce143c98bb61066600f29c5eb1427",
    formula="info_nce",
    says="`batch_softmax_loss` adds `10e-6`, which is 1e-5, to the probability.",
    now="Another version of the file adds nothing there; no report is known.",
    allow=("zero_vectors",),
)
def selfrec_batch_softmax(first: Any, second: Any, temperature: Any) -> Any:
    user_emb, item_emb = F.normalize(first, dim=1), F.normalize(second, dim=1)
    pos_score = torch.exp((user_emb * item_emb).sum(dim=-1) / temperature)
    ttl_score = torch.exp(user_emb @ item_emb.T / temperature).sum(dim=1)
    return -torch.log(pos_score / ttl_score + 10e-6).mean()
