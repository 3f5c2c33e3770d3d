"""Wrong pointwise and pairwise losses of public repositories, transcribed to a few lines each.

A scale of 1 is built in where the repository has none.
"""

from __future__ import annotations

from typing import Any

import torch
from bug import found
from torch.nn import functional as F

_NO_SCALE = {"scale": 1.0}


@found(
    "maciejkula/spotlight",
    "spotlight/losses.py",
    "00866b100e894a9270a7b98b9c55a36a06a51fa6",
    thread="issues/185",
    formula="triplet_logistic",
    says="BPR without its logarithm: a triple that is far wrong gets almost no gradient.",
    now="The report is open.",
    given=_NO_SCALE,
)
def spotlight_bpr(positive: Any, negative: Any) -> Any:
    return (1.0 - torch.sigmoid(positive - negative)).mean()


@found(
    "maciejkula/spotlight",
    "spotlight/losses.py",
    "00866b100e894a9270a7b98b9c55a36a06a51fa6",
    formula="binary_cross_entropy",
    says="The pointwise loss is the probability of the wrong label, without a logarithm.",
    now="So in the version that was read; no report is known.",
)
def spotlight_pointwise(logits: Any, labels: Any) -> Any:
    positives_loss = 1.0 - torch.sigmoid(logits[labels > 0])
    negatives_loss = torch.sigmoid(logits[labels == 0])
    return torch.cat([positives_loss, negatives_loss]).mean()


@found(
    "wubinzzu/NeuRec",
    "util/learner.py",
    "7ed875fa1daa49f7d28f5a71edffe15ad6301445",
    formula="triplet_hinge",
    says="`y` is positive minus negative, and the hinge is max(0, y + margin): it learns to rank "
    "sampled items first.",
    now="A later file of the repository has relu(1 - y).",
)
def neurec_hinge(positive: Any, negative: Any, margin: Any) -> Any:
    y = positive - negative
    return torch.clamp(y + margin, min=0).sum()


@found(
    "NTMC-Community/MatchZoo-py",
    "matchzoo/losses/rank_hinge_loss.py",
    "a0751bde1e3f5b0e8f2583d435a0c7cf49a398a9",
    thread="issues/159",
    formula="triplet_hinge_many",
    says="The hinge compares with the mean score of the negatives; one hard negative hides there.",
    now="Fixed after the report.",
)
def matchzoo_rank_hinge(positive: Any, negatives: Any, margin: Any) -> Any:
    y_neg = torch.mean(negatives, dim=-1)
    return F.margin_ranking_loss(positive, y_neg, torch.ones_like(positive), margin=margin)


@found(
    "datawhalechina/torch-rechub",
    "torch_rechub/basic/loss_func.py",
    "280162705211716c0d363d5cfec36b91159251cd",
    formula="triplet_logistic_many",
    says="The logarithm of a sigmoid that has been computed: -inf for a triple that is far wrong.",
    now="So in the version that was read; no report is known.",
    given=_NO_SCALE,
)
def rechub_bpr(positive: Any, negatives: Any) -> Any:
    diff = positive.view(-1, 1) - negatives
    return (-diff.sigmoid().log()).mean()


@found(
    "pyg-team/pytorch_geometric",
    "torch_geometric/nn/models/lightgcn.py",
    "e79a830045464bcb4b0fbdbb26c4da6f3c133e40",
    thread="issues/7196",
    formula="triplet_logistic",
    says="The mean over the pairs is divided by the number of pairs once more.",
    now="Shipped in 2.3.0; 2.5.3 divides once.",
    given=_NO_SCALE,
)
def pyg_bpr(positive: Any, negative: Any) -> Any:
    n_pairs = positive.size(0)
    log_prob = F.logsigmoid(positive - negative).mean()
    return -log_prob / n_pairs


@found(
    "Coder-Yu/SELFRec",
    "util/loss_torch.py",
    "ff3b1f82ca1ce143c98bb61066600f29c5eb1427",
    formula="triplet_logistic",
    says="BPR adds `10e-6`, which is 1e-5, to the sigmoid.",
    now="Another version of the file adds `10e-8`; no report is known.",
    given=_NO_SCALE,
)
def selfrec_bpr(positive: Any, negative: Any) -> Any:
    return -torch.log(10e-6 + torch.sigmoid(positive - negative)).mean()
