"""Which vectors may be compared: two models with one space id give the same vectors for the same text."""

from collections.abc import Mapping

from ftspec.plan.codec import hash_of
from ftspec.plan.embedding import EmbeddingModelPlan, Prompts

SPACE_VERSION = 2  # raised when other things enter the id
_DIGITS = 12


def embedding_space_id(
    *, weights: str, pooling: str, normalizes: bool, prompts: Prompts, dimension: int, max_seq_length: int
) -> str:
    """`sha256:` over what decides where a text lies; `max_seq_length` does for all texts that are longer.
    `weights`: digest of all weights, see `weights_of`."""
    return hash_of(
        {
            "space_version": SPACE_VERSION,
            "weights": weights.removeprefix("sha256:"),
            "pooling": pooling,
            "normalizes": normalizes,
            "prompts": {"query": prompts.query, "document": prompts.document},
            "dimension": dimension,
            "max_seq_length": max_seq_length,
        }
    )


def space_id_of(model: EmbeddingModelPlan, weights: str | None = None) -> str:
    """The space of a planned model: of its base, or of what has the given weights and is read as planned."""
    return embedding_space_id(
        weights=model.facts.weights_sha256 if weights is None else weights,
        pooling=model.pooling,
        normalizes=model.facts.normalizes or model.similarity == "cosine",
        prompts=model.prompts,
        dimension=model.facts.embedding_dimension,
        max_seq_length=model.max_seq_length,
    )


def weights_of(files: Mapping[str, str]) -> str:
    """One digest for the weights of a folder (relative name → sha256): that of the only file, as hubs state
    it, or over them all."""
    if len(files) == 1:
        return next(iter(files.values()))
    return hash_of(dict(files)).removeprefix("sha256:")


def short_space(space_id: str | None) -> str:
    """As people are shown it."""
    return "" if space_id is None else space_id.removeprefix("sha256:")[:_DIGITS]
