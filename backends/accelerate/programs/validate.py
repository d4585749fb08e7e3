"""Measures on the validation split while a model trains."""

from pathlib import Path
from typing import Any

import torch
from data import Judgements, judged_pairs, read_retrieval
from encode import encode_texts
from losses import Contrastive, Prefixes
from ranking import mean_metric
from settings import Settings

DEFAULT_TEMPERATURE = 0.05  # of the validation loss, for objectives that have none


class Validator:
    """`loss` is the in-batch contrastive loss over the judged pairs of the split, in batches of the
    planned size, with the objective's temperature: for objectives that train on labels, scores or
    triplets too, as the split holds queries and their relevant documents.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        assert settings.validation is not None
        self._split = read_retrieval(root / settings.data.folder / "validation")
        self._pairs = judged_pairs(self._split)
        self._metric = settings.validation.metric
        self._prompts = settings.model.prompts
        self._normalize = settings.model.similarity == "cosine"
        self._batch = settings.encode.batch_size
        arguments = settings.arguments
        self._rows = arguments["per_device_train_batch_size"] * arguments["gradient_accumulation_steps"]
        loss = settings.loss
        judgements = Judgements.from_rows(self._pairs, 0)
        self._objective = Prefixes(
            Contrastive(
                None if loss.mask_positives is False else judgements,
                temperature=loss.temperature or DEFAULT_TEMPERATURE,
                symmetric=bool(loss.symmetric),
                similarity=settings.model.similarity,
            ),
            loss.matryoshka_dims,
            loss.matryoshka_weights,
        )

    def measure(self, model: Any) -> dict[str, float]:
        """The planned metric; a ranking metric comes with the loss, which costs nothing more."""
        split = self._split
        with torch.no_grad():
            if self._metric == "loss":
                queries = self._encode(model, [row["query"] for row in self._pairs], self._prompts.query)
                positives = self._encode(
                    model, [row["positive"] for row in self._pairs], self._prompts.document
                )
                return {"loss": self._loss(queries, positives)}
            queries = self._encode(model, split.queries, self._prompts.query)
            documents = self._encode(model, split.documents, self._prompts.document)
            value = mean_metric(queries.numpy(), documents.numpy(), split.grades, self._metric)
            query_at = {id: at for at, id in enumerate(split.query_ids)}
            document_at = {id: at for at, id in enumerate(split.document_ids)}
            loss = self._loss(
                queries[[query_at[row["query_id"]] for row in self._pairs]],
                documents[[document_at[row["positive_id"]] for row in self._pairs]],
            )
            return {self._metric: value, "loss": loss}

    def _encode(self, model: Any, texts: list[str], prompt: str) -> torch.Tensor:
        return torch.from_numpy(
            encode_texts(model, texts, prompt, batch_size=self._batch, normalize=self._normalize)
        )

    def _loss(self, queries: torch.Tensor, positives: torch.Tensor) -> float:
        """Mean over rows, in batches of the training's size; the last one may be smaller."""
        total = 0.0
        for start in range(0, len(queries), self._rows):
            rows = torch.arange(start, min(start + self._rows, len(queries)))
            total += float(self._objective([queries[rows], positives[rows]], rows)) * len(rows)
        return total / len(queries)
