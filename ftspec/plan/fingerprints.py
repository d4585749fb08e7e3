"""The two fingerprints of a plan.

Semantic: what model comes out (weights, data content, objective, effective batch, schedule, seed).
Realisation: how this machine gets there. Both work by deny-lists: a new field counts unless it is
declared here as one that does not.
"""

from typing import Any

from ftspec.plan.codec import HASH_VERSION, hash_of, plan_document, without
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan

# Says nothing about the weights that come out.
NOT_SEMANTIC = (
    "model.facts",  # its digest is added back below
    "model.base",  # a name for the digest
    "model.revision",
    "model.trust_remote_code",
    "model.trainable_parameters",
    "data.facts",  # likewise
    "data.folder",
    "data.train.*.path",
    "data.train.*.synthesize",  # what was written is in the digests
    "data.train.*.raft.synthesize",
    "data.train.*.raft.documents.path",
    "data.train.*.raft.questions.path",
    "data.evaluation",
    "data.limit.test_queries",
    "data.limit.test_documents",
    "data.limit.test",
    "train.logging_steps",
    "train.save_steps",
    "train.checks",
)


def semantic_document(plan: Plan) -> dict[str, Any]:
    document = plan_document(plan)
    sections = ("kind", "model", "adapter", "data", "train")
    kept = {key: document[key] for key in sections if key in document}
    num_train_sources = len(plan.data.train)
    return {
        **without(kept, NOT_SEMANTIC),
        "base_digest": plan.model.facts.digest,
        "train_digests": [source.digest for source in plan.data.facts.sources[:num_train_sources]],
        **_of_kind(plan, document),
        "hash_version": HASH_VERSION,
    }


def _of_kind(plan: Plan, document: dict[str, Any]) -> dict[str, Any]:
    """What else decides the weights of one kind."""
    if isinstance(plan, LlmPlan):  # its tokens are part of the data; the validation side is only watched
        return {"tokenizer_digest": plan.data.facts.tokenizer_digest, "render": plan.data.facts.render}
    assert isinstance(plan, EmbeddingPlan), plan.kind
    # The validation side picks the checkpoint, and it is sampled to the limits of the test side.
    limit = document["data"]["limit"] if plan.data.split.validation > 0 else None
    return {"validation_limit": limit, **_choice_of_checkpoint(plan)}


def _choice_of_checkpoint(plan: EmbeddingPlan) -> dict[str, str]:
    """The best checkpoint is kept by the primary metric, unless early stopping names another."""
    if not plan.train.keep_best or plan.train.early_stopping is not None:
        return {}
    return {"best_by": plan.evaluation.primary}


def semantic_fingerprint(plan: Plan) -> str:
    return hash_of(semantic_document(plan))


def realisation_fingerprint(plan: Plan) -> str:
    return hash_of({"execution": plan_document(plan)["execution"], "hash_version": HASH_VERSION})
