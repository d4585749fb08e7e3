"""`model`: the base model and which of its parts are trained."""

from typing import Annotated, Literal

from pydantic import Field

from ftspec.spec.base import Section


class Prompts(Section):
    query: str = ""
    """Text put before every query, in training, evaluation and use, e.g. `"query: "`."""
    document: str = ""
    """Text put before every document, e.g. `"passage: "`."""


class Freeze(Section):
    """Parts that are not trained. Checked against the model's real layer count."""

    embeddings: bool = False
    """Freeze the token and position embeddings."""
    layers: Annotated[int, Field(ge=0)] | None = None
    """Freeze this many transformer layers, counted from the input."""
    fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Freeze this share of the transformer layers (rounded down) instead of a number."""


class Lora(Section):
    """Train low-rank adapters in place of the full weights."""

    r: Annotated[int, Field(gt=0)] = 16
    """Rank of the adapters."""
    alpha: Annotated[int, Field(gt=0)] = 32
    """Scale: the adapter's output is multiplied by `alpha / r`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before the adapter."""
    target_modules: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    """Names of linear layers that get an adapter, e.g. `[query, value]`."""


class Model(Section):
    base: Annotated[str, Field(min_length=1)]
    """Hub id (`sentence-transformers/all-MiniLM-L6-v2`), short name, or path of a local folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    max_seq_length: Annotated[int, Field(ge=8)] | None = None
    """Tokens of a text that the model reads; default: the base model's own setting."""
    prompts: Prompts = Prompts()
    """Fixed texts put before queries and documents."""
    pooling: Literal["mean", "cls", "max", "lasttoken", "weightedmean"] | None = None
    """How token vectors become one; default: the base model's own."""
    similarity: Literal["cosine", "dot"] = "cosine"
    """Score between a query and a document."""
    freeze: Freeze | None = None
    """Parts that are not trained."""
    lora: Lora | None = None
    """Low-rank adapters instead of full fine-tuning."""
    trust_remote_code: bool = False
    """Allow Python code that comes with the model to run. Shown in the plan."""
