"""The objectives as functions of embeddings, and the modules that feed them.

An objective never sees texts: it gets one matrix of embeddings for each column. So the same objective
serves the plain form, the cached form (many rows, little memory) and every Matryoshka prefix.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from data import Judgements
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.losses import BatchHardTripletLossDistanceFunction
from settings import Loss
from torch import Tensor, nn
from torch.nn import functional

Features = dict[str, Tensor]
Objective = Callable[[list[Tensor], Tensor | None], Tensor]  # (one [batch, width] a column, labels) -> scalar


class Contrastive:
    """InfoNCE over the documents of the batch, and over its queries when symmetric.

    The first column is the query, the second its positive, any others its explicit negatives. Labels
    are row numbers: documents that `judgements` finds relevant to a query are left out of its negatives.
    The mean over rows of -log(exp(s_ii / t) / sum_j exp(s_ij / t)); symmetric: the mean of both directions.
    """

    def __init__(
        self, judgements: Judgements | None, *, temperature: float, symmetric: bool, similarity: str
    ) -> None:
        self.judgements = judgements
        self.temperature = temperature
        self.symmetric = symmetric
        self.similarity = similarity

    def __call__(self, columns: list[Tensor], labels: Tensor | None) -> Tensor:
        columns = [column.float() for column in columns]
        if self.similarity == "cosine":
            columns = [functional.normalize(column, dim=-1) for column in columns]
        queries, documents = columns[0], torch.cat(columns[1:])
        with torch.autocast(device_type=queries.device.type, enabled=False):
            scores = queries @ documents.T / self.temperature
        if self.judgements is not None:
            assert labels is not None, "row numbers tell which documents are judged"
            mask = self.judgements.relevant_mask(labels).to(scores.device)
            scores = scores.masked_fill(mask, -torch.inf)
        own = torch.arange(len(queries), device=scores.device)
        loss = functional.cross_entropy(scores, own)
        if self.symmetric:  # the mask is the same question asked from the document's side
            loss = (loss + functional.cross_entropy(scores[:, : len(queries)].T, own)) / 2
        return loss


class Triplet:
    """max(0, d(query, positive) - d(query, negative) + margin), the mean over rows and negatives."""

    def __init__(self, *, margin: float, distance: str) -> None:
        self.margin = margin
        self.distance = distance

    def __call__(self, columns: list[Tensor], labels: Tensor | None) -> Tensor:
        del labels
        query, positive, *negatives = (column.float() for column in columns)
        near = self._distance(query, positive)
        parts = [functional.relu(near - self._distance(query, one) + self.margin) for one in negatives]
        return torch.stack(parts).mean()

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        if self.distance == "euclidean":
            return functional.pairwise_distance(a, b, p=2)
        return 1 - functional.cosine_similarity(a, b)


def native_objective(loss: Any) -> Objective:
    """A loss of sentence-transformers as a function of embeddings."""

    def objective(columns: list[Tensor], labels: Tensor | None) -> Tensor:
        value: Tensor = loss.compute_loss_from_embeddings([column.float() for column in columns], labels)
        return value

    return objective


def build_objective(settings: Loss, *, similarity: str, judgements: Judgements | None) -> Objective:
    """The objective that the settings name; margins and distances as planned, cosine where none is."""
    model: Any = None  # native losses keep it for their own forward pass, which is not used
    cosine = BatchHardTripletLossDistanceFunction.cosine_distance
    match settings.objective, settings.variant:
        case "contrastive", _:
            return Contrastive(
                judgements if settings.mask_positives else None,
                temperature=_given(settings.temperature),
                symmetric=bool(settings.symmetric),
                similarity=similarity,
            )
        case "triplet", _:
            return Triplet(margin=_given(settings.margin), distance=settings.distance or "cosine")
        case "scored_pairs", "cosent":
            return native_objective(losses.CoSENTLoss(model))
        case "scored_pairs", "angle":
            return native_objective(losses.AnglELoss(model))
        case "scored_pairs", "cosine":
            return native_objective(losses.CosineSimilarityLoss(model))
        case "binary_pairs", "contrastive":
            return native_objective(losses.ContrastiveLoss(model, margin=_given(settings.margin)))
        case "binary_pairs", "online_contrastive":
            return native_objective(losses.OnlineContrastiveLoss(model, margin=_given(settings.margin)))
        case "labelled_classes", "batch_all":
            return native_objective(losses.BatchAllTripletLoss(model, cosine, _given(settings.margin)))
        case "labelled_classes", "batch_hard":
            return native_objective(losses.BatchHardTripletLoss(model, cosine, _given(settings.margin)))
        case "labelled_classes", "batch_semi_hard":
            return native_objective(losses.BatchSemiHardTripletLoss(model, cosine, _given(settings.margin)))
        case "labelled_classes", "batch_hard_soft_margin":
            return native_objective(losses.BatchHardSoftMarginTripletLoss(model, cosine))
    raise ValueError(f"unknown objective {settings.objective!r} with loss {settings.variant!r}")


def _given(value: float | None) -> float:
    assert value is not None, "the plan settles every option that its objective reads"
    return value


class Prefixes:
    """Sum over prefix lengths of weight times objective; no lengths: the full width alone."""

    def __init__(self, objective: Objective, dims: Sequence[int], weights: Sequence[float]) -> None:
        self.objective = objective
        self.parts = sorted(zip(dims, weights, strict=True), reverse=True)

    def __call__(self, columns: list[Tensor], labels: Tensor | None) -> Tensor:
        if not self.parts:
            return self.objective(columns, labels)
        terms = [
            weight * self.objective([column[:, :dim] for column in columns], labels)
            for dim, weight in self.parts
        ]
        return torch.stack(terms).sum()


class EmbeddingLoss(nn.Module):
    """Embeds each column in its own forward pass and asks the objective."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        columns = [self.model(features)["sentence_embedding"] for features in sentence_features]
        return self.objective(columns, labels)


class CachedEmbeddingLoss(CachedLossMixin, nn.Module):
    """The same loss and gradients with the activations of one mini-batch alive at a time (GradCache)."""

    def __init__(self, model: nn.Module, objective: Objective, mini_batch_size: int) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.mini_batch_size = mini_batch_size

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        loss = self.objective([torch.cat(parts) for parts in reps], labels)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        loss: Tensor = self.forward_cached(sentence_features, labels)
        return loss


def build_loss(
    model: nn.Module, settings: Loss, *, similarity: str, judgements: Judgements | None
) -> nn.Module:
    objective = Prefixes(
        build_objective(settings, similarity=similarity, judgements=judgements),
        settings.matryoshka_dims,
        settings.matryoshka_weights,
    )
    if settings.cached:
        return CachedEmbeddingLoss(model, objective, settings.mini_batch_size)
    return EmbeddingLoss(model, objective)
