"""The model section of a plan: the spec's wishes against what the base model really is."""

from ftspec.diagnostics import codes
from ftspec.plan.embedding import EmbeddingModelPlan, Freeze, Lora, Prompts
from ftspec.plan.reasons import Reason
from ftspec.resolve.desk import EmbeddingDesk

ALL_LINEAR = "all-linear"


def resolve_model(desk: EmbeddingDesk) -> EmbeddingModelPlan:
    """The model section. Faults go to the desk; the values stay usable so that all can be found."""
    wish, facts = desk.spec.model, desk.model
    if facts.needs_remote_code and not wish.trust_remote_code:
        desk.fault(
            codes.REMOTE_CODE,
            f"{facts.id} brings Python code of its own, which would run on this machine",
            "model",
            "base",
            help="read that code, then write `model.trust_remote_code: true`; or choose another base model",
        )
    freeze = _resolve_freeze(desk)
    lora = _resolve_lora(desk)
    return EmbeddingModelPlan(
        base=wish.base,
        revision=wish.revision,
        max_seq_length=_resolve_length(desk),
        prompts=Prompts(
            query=_resolve_prompt(desk, "query", ("query",)),
            document=_resolve_prompt(desk, "document", ("document", "passage", "corpus")),
        ),
        pooling=_resolve_pooling(desk),
        similarity=wish.similarity,
        freeze=freeze,
        lora=lora,
        trust_remote_code=wish.trust_remote_code,
        trainable_parameters=_count_trainable(desk, freeze, lora),
        facts=facts,
    )


def _resolve_length(desk: EmbeddingDesk) -> int:
    wish, facts = desk.spec.model.max_seq_length, desk.model
    if wish is None:
        desk.decide(
            "model.max_seq_length",
            facts.max_seq_length,
            Reason.TAKEN_FROM_MODEL,
            by="resolve_model",
            facts={"max_positions": facts.max_positions},
            at=("model", "max_seq_length"),
        )
        return facts.max_seq_length
    if wish > facts.max_positions:
        desk.fault(
            codes.SEQUENCE_TOO_LONG,
            f"{wish} tokens asked for; {facts.id} has {facts.max_positions} positions",
            "model",
            "max_seq_length",
            help=f"use at most {facts.max_positions}, or a base model with more positions",
        )
    return wish


def _resolve_pooling(desk: EmbeddingDesk) -> str:
    wish, facts = desk.spec.model.pooling, desk.model
    if wish is not None:
        return wish
    desk.decide(
        "model.pooling",
        facts.pooling,
        Reason.TAKEN_FROM_MODEL,
        by="resolve_model",
        facts={"model": facts.id},
        at=("model", "pooling"),
    )
    return facts.pooling


def _resolve_prompt(desk: EmbeddingDesk, side: str, names: tuple[str, ...]) -> str:
    """As given; else the one that the base model was made with, or the baseline would be unfair."""
    wish: str = getattr(desk.spec.model.prompts, side)
    if desk.given("model", "prompts", side):
        return wish
    own = next((desk.model.prompts[name] for name in names if desk.model.prompts.get(name)), None)
    if own is None:
        return wish
    desk.decide(
        f"model.prompts.{side}",
        own,
        Reason.TAKEN_FROM_MODEL,
        by="resolve_model",
        facts={"model": desk.model.id},
        before=wish,
        at=("model", "prompts", side),
    )
    return own


def _resolve_freeze(desk: EmbeddingDesk) -> Freeze:
    wish, num_layers = desk.spec.model.freeze, desk.model.num_layers
    if wish is None:
        return Freeze()
    if wish.fraction is not None:
        layers = int(wish.fraction * num_layers + 1e-9)
        if layers == 0 and wish.fraction > 0:
            desk.fault(
                codes.BAD_VALUE,
                f"{wish.fraction:g} of {num_layers} layers is less than one layer: nothing would be frozen",
                "model",
                "freeze",
                "fraction",
                help=f"use at least {_round_up(1 / num_layers)}, or `layers: 1`",
            )
        desk.decide(
            "model.freeze.layers",
            layers,
            Reason.LAYERS_FROM_FRACTION,
            by="resolve_model",
            facts={"fraction": wish.fraction, "num_layers": num_layers},
            at=("model", "freeze", "fraction"),
        )
        return Freeze(embeddings=wish.embeddings, layers=layers)
    layers = wish.layers or 0
    if layers >= num_layers:
        desk.fault(
            codes.FREEZE_TOO_MANY,
            f"{layers} layers frozen; {desk.model.id} has {num_layers}",
            "model",
            "freeze",
            "layers",
            help=f"use at most {num_layers - 1}, or `fraction: 0.5`, which follows the model",
        )
    return Freeze(embeddings=wish.embeddings, layers=layers)


def _round_up(share: float) -> float:
    """To two decimals, so that the number offered really reaches one layer."""
    return -(-round(share * 10_000) // 100) / 100


def _resolve_lora(desk: EmbeddingDesk) -> Lora | None:
    wish, facts = desk.spec.model.lora, desk.model
    if wish is None:
        return None
    if wish.target_modules == ALL_LINEAR:
        desk.decide(
            "model.lora.target_modules",
            facts.linear_modules,
            Reason.TAKEN_FROM_MODEL,
            by="resolve_model",
            facts={"model": facts.id, "asked": ALL_LINEAR},
            before=ALL_LINEAR,
            at=("model", "lora", "target_modules"),
        )
        modules = facts.linear_modules
    else:
        modules = tuple(dict.fromkeys(wish.target_modules))
        for index, name in enumerate(wish.target_modules):
            if name not in facts.linear_modules:
                desk.fault(
                    codes.UNKNOWN_MODULE,
                    f"{name!r} is no linear layer of {facts.id}",
                    "model",
                    "lora",
                    "target_modules",
                    index,
                    help=f"its linear layers are: {', '.join(facts.linear_modules)}",
                )
    return Lora(r=wish.r, alpha=wish.alpha, dropout=wish.dropout, target_modules=modules)


def _count_trainable(desk: EmbeddingDesk, freeze: Freeze, lora: Lora | None) -> int:
    """Parameters with a gradient; the trainer counts again and fails the run on another number."""
    facts = desk.model
    if lora is not None:
        assert facts.linear_widths, "the facts about the model lack the widths of its linear layers"
        trainable = lora.r * sum(facts.linear_widths.get(name, 0) for name in lora.target_modules)
        frozen = facts.total_parameters
    else:
        embeddings = facts.embedding_parameters if freeze.embeddings else 0
        frozen = freeze.layers * facts.layer_parameters + embeddings
        trainable = max(facts.total_parameters - frozen, 0)
    desk.decide(
        "model.trainable_parameters",
        trainable,
        Reason.COUNTED_PARAMETERS,
        by="resolve_model",
        facts={"total_parameters": facts.total_parameters, "frozen_parameters": frozen},
        at=("model", "freeze" if lora is None else "lora"),
    )
    return trainable
