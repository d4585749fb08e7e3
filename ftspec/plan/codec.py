"""Plan ↔ JSON, its digest, and the two fingerprints.

Semantic: what model comes out (weights, data content, objective, effective batch, schedule, seed).
Realisation: how this machine gets there. Both work by deny-lists: a new field counts unless it is
declared here as one that does not.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import FORMAT_VERSION, Plan

HASH_VERSION = 1  # raised when the canonical form changes, so that old entries can be hashed again

# Where things lie and what the store holds; the same plan on another day or disk.
VOLATILE = (
    "spec_path",
    "machine.name",  # of its profile, or this-machine; its facts count
    "data.folder",
    "model.facts.location",
    "model.facts.origin",
    "evaluation.baseline_facts.location",
    "evaluation.baseline_facts.origin",
    "decisions.*.place",
    "origins.*.place",
    "stages.*.action",
    "stages.*.reason",
    "estimates",  # calibrated by earlier runs
)

# Whether a value was written or left to its default; the value itself counts.
NOT_IDENTITY = (*VOLATILE, "origins")

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
    "data.evaluation",
    "data.limit.test_queries",
    "data.limit.test_documents",
    "train.logging_steps",
    "train.save_steps",
    "train.checks",
)


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values, without its digest. The adapter would give the same, and take longer to
    build than the rest of a warm plan's keys."""
    document: dict[str, Any] = to_jsonable_python(plan, fallback=_plain)
    return document


def _plain(value: object) -> dict[str, Any]:
    assert isinstance(value, FrozenMap), type(value)
    return dict(value)


def plan_to_json(plan: Plan) -> str:
    """The text of a plan file: the plan, its digest and fingerprints, indented for people."""
    return json.dumps({**summary_head(plan), **plan_document(plan)}, indent=1, ensure_ascii=False) + "\n"


def summary_head(plan: Plan) -> dict[str, Any]:
    return {
        "format_version": plan.format_version,
        "digest": digest(plan),
        "spec_hash": plan.spec_hash,
        "semantic_fingerprint": semantic_fingerprint(plan),
        "realisation_fingerprint": realisation_fingerprint(plan),
        "backend": plan.execution.backend,
    }


def _minor(version: str) -> int:
    minor = version.partition(".")[2]
    return int(minor) if minor.isdecimal() else 0


def plan_from_json(text: str, *, name: str) -> tuple[Plan | None, Diagnostics]:
    """Read a plan file and verify its digest. `name` is the path for messages."""
    found = Diagnostics()
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        found.add(
            codes.PLAN_NOT_READABLE,
            f"{name} is not JSON ({error})",
            help="make a plan file with `ftspec plan SPEC --out FILE`",
        )
        return None, found
    if not isinstance(document, dict) or "format_version" not in document:
        found.add(
            codes.PLAN_NOT_READABLE,
            f"{name} has no format_version",
            help="make a plan file with `ftspec plan SPEC --out FILE`",
        )
        return None, found
    version = str(document["format_version"])
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        found.add(
            codes.PLAN_VERSION,
            f"{name} has format {version}; this ftspec reads {FORMAT_VERSION}",
            help="make the plan again",
        )
        return None, found
    if _minor(version) > _minor(FORMAT_VERSION):
        found.add(
            codes.PLAN_VERSION,
            f"{name} has format {version}, made by a newer ftspec; this one reads {FORMAT_VERSION}",
            help="update ftspec, or make the plan again",
        )
        return None, found
    claimed = document.pop("digest", None)
    for key in ("semantic_fingerprint", "realisation_fingerprint", "backend"):
        document.pop(key, None)
    try:
        plan = _adapter().validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        found.add(codes.PLAN_NOT_READABLE, f"{name}: {place}: {first['msg']}", help="make the plan again")
        return None, found
    if claimed != digest(plan):
        found.add(
            codes.PLAN_EDITED,
            f"{name}: its content does not have the digest that it states",
            help="change the spec instead, and make a new plan",
        )
        return None, found
    return plan, found


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_of(value: object) -> str:
    """`sha256:` of the canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest(plan: Plan) -> str:
    """Identity of the plan: same inputs, same digest, on any machine that gives the same facts."""
    return hash_of(without(plan_document(plan), NOT_IDENTITY))


def semantic_document(plan: Plan) -> dict[str, Any]:
    document = plan_document(plan)
    kept = {key: document[key] for key in ("kind", "model", "data", "train")}
    num_train_sources = len(plan.data.train)
    return {
        **without(kept, NOT_SEMANTIC),
        "base_digest": plan.model.facts.digest,
        # The validation side picks the checkpoint, and it is sampled to the limits of the test side.
        "validation_limit": document["data"]["limit"] if plan.data.split.validation > 0 else None,
        "train_digests": [source.digest for source in plan.data.facts.sources[:num_train_sources]],
        **_choice_of_checkpoint(plan),
        "hash_version": HASH_VERSION,
    }


def _choice_of_checkpoint(plan: Plan) -> dict[str, str]:
    """The best checkpoint is kept by the primary metric, unless early stopping names another."""
    if not plan.train.keep_best or plan.train.early_stopping is not None:
        return {}
    return {"best_by": plan.evaluation.primary}


def semantic_fingerprint(plan: Plan) -> str:
    return hash_of(semantic_document(plan))


def realisation_fingerprint(plan: Plan) -> str:
    return hash_of({"execution": plan_document(plan)["execution"], "hash_version": HASH_VERSION})


def without(document: Any, paths: Iterable[str]) -> Any:
    """A copy without the given dotted paths; `*` stands for every key or index of one level."""
    split = [tuple(path.split(".")) for path in paths]
    return _prune(document, split)


def _prune(node: Any, paths: list[tuple[str, ...]]) -> Any:
    if isinstance(node, dict):
        items: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    else:
        return node
    kept = []
    for key, value in items:
        below = [path[1:] for path in paths if path[0] in (str(key), "*")]
        if () not in below:
            kept.append((key, _prune(value, below)))
    return dict(kept) if isinstance(node, dict) else [value for _, value in kept]
