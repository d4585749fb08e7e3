"""`train` of kind Embedding: the objective and the optimisation."""

from typing import Annotated, Literal

from pydantic import Field

from ftspec.spec.base import Section
from ftspec.spec.optimisation import Count, Optimisation, Positive


class Contrastive(Section):
    """Each query against all documents of its batch (InfoNCE, in-batch negatives)."""

    type: Literal["contrastive"]
    temperature: Positive = 0.05
    """Similarities are divided by this; 0.05 is a scale of 20."""
    symmetric: bool = False
    """Also each document against all queries of the batch."""
    mask_positives: bool = True
    """Leave documents that are judged relevant to the query out of its negatives."""


class Triplet(Section):
    """The positive must be nearer than the negative by a margin."""

    type: Literal["triplet"]
    margin: Positive = 0.3
    """Distance that must lie between positive and negative."""
    distance: Literal["cosine", "euclidean"] = "cosine"
    """Distance between embeddings."""


class ScoredPairs(Section):
    """Similarities should follow scores."""

    type: Literal["scored_pairs"]
    loss: Literal["cosent", "angle", "cosine"] = "cosent"
    """`cosent` and `angle` learn the order of scores; `cosine` regresses to scores in 0..1."""


class BinaryPairs(Section):
    """Pairs with label 1 move together, pairs with label 0 apart."""

    type: Literal["binary_pairs"]
    loss: Literal["contrastive", "online_contrastive"] = "contrastive"
    """`online_contrastive` learns from the hard pairs of a batch only."""
    margin: Positive = 0.5
    """Cosine distance beyond which a negative pair costs nothing."""


class LabelledClasses(Section):
    """Texts of one class move together (triplets are formed in the batch)."""

    type: Literal["labelled_classes"]
    loss: Literal["batch_all", "batch_hard", "batch_semi_hard", "batch_hard_soft_margin"] = (
        "batch_hard_soft_margin"
    )
    """Which triplets of a batch count."""
    margin: Positive = 0.3
    """Not read by `batch_hard_soft_margin`."""


Objective = Annotated[
    Contrastive | Triplet | ScoredPairs | BinaryPairs | LabelledClasses, Field(discriminator="type")
]


class Matryoshka(Section):
    """Make prefixes of the embedding useful on their own."""

    dimensions: Annotated[list[Count], Field(min_length=1)]
    """Prefix lengths, e.g. `[256, 128, 64]`; the full width is always trained."""
    weights: list[Positive] | None = None
    """Weight of each prefix's loss; default 1 each."""


class EarlyStopping(Section):
    metric: str = "loss"
    """`loss`, or a metric name, on the validation split."""
    patience: Count = 3
    """Evaluations without an improvement before training stops."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Smaller changes are no improvement."""


class Checks(Section):
    """Judgements about a run while it trains."""

    rising_loss: Literal["fail", "warn", "off"] = "fail"
    """The training loss of the last quarter of the steps is above that of the first, beyond its scatter."""
    collapse: Literal["fail", "warn", "off"] = "fail"
    """Random documents have nearly the same embedding."""
    max_mean_cosine: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Mean cosine of random documents above which embeddings count as collapsed."""


class Train(Optimisation):
    objective: Objective
    """What the model learns."""
    matryoshka: Matryoshka | None = None
    """Train prefixes of the embedding too."""
    global_batch_size: Annotated[int, Field(ge=2)] = 32
    """Rows of one optimizer step, over all devices. Hardware never changes it."""
    learning_rate: Positive = 2e-5
    """Peak learning rate."""
    early_stopping: EarlyStopping | None = None
    """Stop when the validation split no longer improves."""
    keep_best: bool = False
    """Keep the checkpoint that is best on the validation split, instead of the last."""
    checks: Checks = Checks()
    """Judgements that can fail a run."""
