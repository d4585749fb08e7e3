"""The train section of a plan: columns, steps, and settings that follow from them."""

import math

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Related
from ftspec.plan.embedding import EarlyStopping, EmbeddingChecks, EmbeddingTrainPlan, Matryoshka, Objective
from ftspec.plan.objectives import TRAINING_ROLES, steps_per_epoch, traits_of
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import EmbeddingDesk
from ftspec.resolve.schedule import (
    plain_save_steps,
    planned_eval_steps,
    resolve_cycles,
    resolve_logging_steps,
    resolve_warmup,
)
from ftspec.spec.train import BinaryPairs, Contrastive, LabelledClasses, ScoredPairs, Triplet

_SMALLEST_CLASS_BATCH = 4
_FEWEST_CLASSES = 2


def resolve_train(desk: EmbeddingDesk) -> EmbeddingTrainPlan:
    """The train section. Faults go to the desk; the values stay usable so that all can be found."""
    wish = desk.spec.train
    roles = _resolve_roles(desk)
    _check_batch(desk)
    total_steps = _resolve_steps(desk)
    eval_steps = _resolve_eval_steps(desk, total_steps)
    early = wish.early_stopping
    return EmbeddingTrainPlan(
        objective=_resolve_objective(desk, roles),
        matryoshka=_resolve_matryoshka(desk),
        roles=roles,
        global_batch_size=wish.global_batch_size,
        num_train_epochs=None if wish.max_steps is not None else wish.num_train_epochs or 1.0,
        total_steps=total_steps,
        learning_rate=wish.learning_rate,
        lr_scheduler_type=wish.lr_scheduler_type,
        lr_num_cycles=resolve_cycles(desk),
        warmup_steps=resolve_warmup(desk, total_steps),
        weight_decay=wish.weight_decay,
        max_grad_norm=wish.max_grad_norm,
        optim=wish.optim,
        seed=wish.seed,
        early_stopping=None if early is None else EarlyStopping(**early.model_dump()),
        keep_best=wish.keep_best,
        eval_steps=eval_steps,
        save_steps=_resolve_save_steps(desk, total_steps, eval_steps),
        logging_steps=resolve_logging_steps(desk, total_steps),
        checks=EmbeddingChecks(**wish.checks.model_dump()),
    )


def _resolve_roles(desk: EmbeddingDesk) -> tuple[str, ...]:
    """The columns that reach the loss, in its order; every training role of the data must be read."""
    objective = desk.spec.train.objective.type
    traits, present = traits_of(objective), desk.data.roles
    chosen = desk.span("train", "objective", "type")
    for role in traits.required:
        if role not in present:
            desk.fault(
                codes.OBJECTIVE_LACKS_ROLE,
                f"`{objective}` reads {_listed(traits.required)}; the training data has {_listed(present)}",
                "train",
                "objective",
                "type",
                help=f"give the source a `roles.{role}`, or choose an objective that does without it",
            )
    for role in TRAINING_ROLES:
        if role in present and role not in traits.reads:
            desk.fault(
                codes.OBJECTIVE_IGNORES_ROLE,
                f"the training data has a `{role}`, which `{objective}` does not read",
                *_place_of_role(desk, role),
                help=_help_for_ignored(role),
                related=()
                if chosen is None
                else (Related(span=chosen, message="the objective is chosen here"),),
            )
    if "negatives" in present and "negatives" in traits.reads and desk.data.num_negatives == 0:
        desk.fault(
            codes.OBJECTIVE_LACKS_ROLE,
            "the training data has negatives, but at least one row has none",
            *_place_of_role(desk, "negatives"),
            help="leave rows without negatives out of the data, or remove the role `negatives`",
        )
    roles = tuple(role for role in traits.reads if role in present)
    desk.decide(
        "train.roles",
        roles,
        Reason.ROLES_OF_OBJECTIVE,
        by="resolve_train",
        facts={"objective": objective, "present": present},
        at=("train", "objective", "type"),
    )
    return roles


def _listed(roles: tuple[str, ...]) -> str:
    return ", ".join(f"`{role}`" for role in roles) or "no columns"


def _place_of_role(desk: EmbeddingDesk, role: str) -> tuple[str | int, ...]:
    """Where the spec gives the data this role; the list of sources if it comes with the format."""
    for index in range(len(desk.spec.data.train)):
        path = ("data", "train", index, "roles", role)
        if desk.document.has(path):
            return path
    return ("data", "train")


def _help_for_ignored(role: str) -> str:
    if role == "label":
        return (
            "rows with label 0 would be trained as positives: use `binary_pairs`, or keep only the rows "
            "with label 1 and remove the role"
        )
    objectives = {"negatives": "`contrastive` or `triplet`", "score": "`scored_pairs`"}.get(
        role, "another objective"
    )
    return f"remove the role, or use {objectives}"


def _resolve_objective(desk: EmbeddingDesk, roles: tuple[str, ...]) -> Objective:
    """Each type sets the fields that its loss reads; the others stay None."""
    num_negatives = desk.data.num_negatives if "negatives" in roles else 0
    if "negatives" in traits_of(desk.spec.train.objective.type).reads:
        desk.decide(
            "train.objective.num_negatives",
            num_negatives,
            Reason.NEGATIVES_OF_EVERY_ROW,
            by="resolve_train",
            facts={"fewest_of_a_row": num_negatives},
            at=_place_of_role(desk, "negatives"),
        )
    match desk.spec.train.objective:
        case Contrastive() as wish:
            return Objective(
                type="contrastive",
                temperature=wish.temperature,
                symmetric=wish.symmetric,
                mask_positives=wish.mask_positives,
                num_negatives=num_negatives,
            )
        case Triplet() as wish:
            return Objective(
                type="triplet", margin=wish.margin, distance=wish.distance, num_negatives=num_negatives
            )
        case ScoredPairs() as wish:
            return Objective(type="scored_pairs", loss=wish.loss)
        case BinaryPairs() as wish:
            return Objective(type="binary_pairs", loss=wish.loss, margin=wish.margin)
        case LabelledClasses() as wish:
            soft = wish.loss == "batch_hard_soft_margin"
            return Objective(type="labelled_classes", loss=wish.loss, margin=None if soft else wish.margin)


def _resolve_matryoshka(desk: EmbeddingDesk) -> Matryoshka | None:
    """Longest first, the full width always among them, weight 1 unless given."""
    wish, width = desk.spec.train.matryoshka, desk.model.embedding_dimension
    if wish is None:
        return None
    for index, dimension in enumerate(wish.dimensions):
        if dimension > width:
            desk.fault(
                codes.DIMENSION_TOO_LARGE,
                f"{dimension} asked for; {desk.model.id} has embeddings of width {width}",
                "train",
                "matryoshka",
                "dimensions",
                index,
                help=f"use dimensions up to {width}",
            )
    given = wish.weights or [1.0] * len(wish.dimensions)
    if len(given) != len(wish.dimensions):
        desk.fault(
            codes.BAD_VALUE,
            f"{len(given)} weights for {len(wish.dimensions)} dimensions",
            "train",
            "matryoshka",
            "weights",
            help="give one weight for each dimension, or none",
        )
        return None
    weights = {width: 1.0, **dict(zip(wish.dimensions, given, strict=True))}
    dimensions = tuple(sorted(weights, reverse=True))
    return Matryoshka(dimensions=dimensions, weights=tuple(weights[dimension] for dimension in dimensions))


def _check_batch(desk: EmbeddingDesk) -> None:
    batch, rows = desk.spec.train.global_batch_size, desk.data.train_rows
    if batch > rows:
        desk.fault(
            codes.BATCH_TOO_LARGE,
            f"a batch of {batch} from {rows} training rows",
            "train",
            "global_batch_size",
            help=f"use at most {rows}, or more data",
        )
    if desk.spec.train.objective.type == "labelled_classes":
        _check_classes(desk, batch)


def _check_classes(desk: EmbeddingDesk, batch: int) -> None:
    """Each batch holds pairs of rows of at least two classes: triplets are formed inside of it."""
    if batch < _SMALLEST_CLASS_BATCH or batch % 2:
        desk.fault(
            codes.BAD_VALUE,
            f"labelled classes are batched in pairs of one class, at least two pairs; {batch} is not possible",
            "train",
            "global_batch_size",
            help="use an even number, 4 or more",
        )
    if desk.data.classes < _FEWEST_CLASSES:
        desk.fault(
            codes.SPLIT_EMPTY,
            f"{desk.data.classes} classes have two or more training rows; the objective compares at least two",
            "train",
            "objective",
            help="add labelled rows, or hold out less (`data.split.test`)",
        )


def _resolve_steps(desk: EmbeddingDesk) -> int:
    """Optimizer steps: rows of complete batches only where the loss compares rows of one batch."""
    wish = desk.spec.train
    if wish.max_steps is not None:
        return wish.max_steps
    epochs, rows, batch = wish.num_train_epochs or 1.0, desk.data.train_rows, wish.global_batch_size
    drop_last = traits_of(wish.objective.type).drop_last
    per_epoch = max(1, steps_per_epoch(rows, batch, drop_last=drop_last))
    total = max(1, math.ceil(epochs * per_epoch))
    desk.decide(
        "train.total_steps",
        total,
        Reason.STEPS_FROM_ROWS,
        by="resolve_train",
        facts={
            "train_rows": rows,
            "global_batch_size": batch,
            "num_train_epochs": epochs,
            "incomplete_batch_dropped": drop_last and rows % batch != 0,
        },
        at=("train", "num_train_epochs"),
    )
    return total


def _resolve_eval_steps(desk: EmbeddingDesk, total_steps: int) -> int | None:
    """None without a validation split: there is nothing to evaluate on while training."""
    wish = desk.spec.train
    if desk.data.validation_queries:
        return planned_eval_steps(desk, total_steps)
    for key, asked in (
        ("early_stopping", wish.early_stopping is not None),
        ("keep_best", wish.keep_best),
        ("eval_steps", wish.eval_steps is not None),
    ):
        if asked:
            desk.fault(
                codes.SPLIT_EMPTY,
                f"`train.{key}` reads the validation split, which has no queries",
                "train",
                key,
                help="hold rows out for it with `data.split.validation: 0.1`",
            )
    return None


def _resolve_save_steps(desk: EmbeddingDesk, total_steps: int, eval_steps: int | None) -> int:
    """Where the best checkpoint is kept, each evaluation needs its checkpoint: a multiple."""
    wish = desk.spec.train
    keeps = eval_steps is not None and (wish.keep_best or wish.early_stopping is not None)
    if wish.save_steps is None:
        if keeps and eval_steps is not None:
            desk.decide(
                "train.save_steps",
                eval_steps,
                Reason.CHECKPOINT_AT_EVALUATION,
                by="resolve_train",
                facts={"eval_steps": eval_steps},
                at=("train", "save_steps"),
            )
            return eval_steps
        return plain_save_steps(desk, total_steps)
    if keeps and eval_steps is not None and wish.save_steps % eval_steps:
        desk.fault(
            codes.BAD_VALUE,
            f"a checkpoint every {wish.save_steps} steps, an evaluation every {eval_steps}: "
            "the best evaluation may have no checkpoint",
            "train",
            "save_steps",
            help=f"use a multiple of {eval_steps}",
        )
    return wish.save_steps
