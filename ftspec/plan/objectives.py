"""What each training objective reads, and whether its loss looks across the rows of a batch.

One table, because the resolver, the passes and the lowering must agree on it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveTraits:
    """`required` and `optional` are roles in the order in which their columns reach the loss.

    `in_batch`: every row is compared with the other rows of its batch. Splitting such a batch by
    gradient accumulation changes the objective, and an incomplete last batch would give its rows
    fewer comparisons, so it is left out of training (`drop_last`).

    `in_batch_losses`: where only some losses of the objective compare rows, those. Their batches are
    not split either; an incomplete last batch is trained on.

    `can_cache`: an exact cached form of the loss exists (gradient caching), which keeps the whole
    batch in the objective while it holds the activations of one mini-batch only.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    in_batch: bool = False
    in_batch_losses: tuple[str, ...] = ()
    can_cache: bool = False

    @property
    def drop_last(self) -> bool:
        return self.in_batch

    @property
    def reads(self) -> tuple[str, ...]:
        return self.required + self.optional


TRAITS: dict[str, ObjectiveTraits] = {
    "contrastive": ObjectiveTraits(
        required=("query", "positive"), optional=("negatives",), in_batch=True, can_cache=True
    ),
    "triplet": ObjectiveTraits(required=("query", "positive", "negatives")),
    "scored_pairs": ObjectiveTraits(
        required=("query", "positive", "score"), in_batch_losses=("cosent", "angle")
    ),
    "binary_pairs": ObjectiveTraits(
        required=("query", "positive", "label"), in_batch_losses=("online_contrastive",)
    ),
    "labelled_classes": ObjectiveTraits(required=("query", "label"), in_batch=True),
}

# Roles that a loss can read. `group` and `id` steer the split and the evidence only.
TRAINING_ROLES = ("query", "positive", "negatives", "score", "label")

TEXT_ROLES = ("query", "positive", "negatives")


def traits_of(objective: str) -> ObjectiveTraits:
    return TRAITS[objective]


def compares_rows(objective: str, loss: str | None) -> bool:
    """Does the loss compare the rows of a batch, so that the batch must stay whole?"""
    traits = TRAITS[objective]
    return traits.in_batch or loss in traits.in_batch_losses


def text_columns(roles: tuple[str, ...], num_negatives: int | None) -> int:
    """Texts of one row that pass through the model: `negatives` stands for `num_negatives` columns."""
    return sum((num_negatives or 0) if role == "negatives" else 1 for role in roles if role in TEXT_ROLES)


def steps_per_epoch(rows: int, global_batch_size: int, *, drop_last: bool) -> int:
    """Optimizer steps of one pass over `rows`; the trainer's own rule for its data loader."""
    return rows // global_batch_size if drop_last else -(-rows // global_batch_size)
