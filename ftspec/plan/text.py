"""The text of a plan file: written whole, read with its digest verified."""

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.codec import digest, plan_document
from ftspec.plan.fingerprints import realisation_fingerprint, semantic_fingerprint
from ftspec.plan.kinds import PLAN_TYPES
from ftspec.plan.model import FORMAT_VERSION, Plan


@cache
def _adapter(kind: str) -> TypeAdapter[Plan]:
    return TypeAdapter(PLAN_TYPES[kind])


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
    kind = document.get("kind")
    if kind not in PLAN_TYPES:
        found.add(
            codes.PLAN_NOT_READABLE,
            f"{name} is of kind {kind!r}; this ftspec knows {', '.join(PLAN_TYPES)}",
            help="make the plan again",
        )
        return None, found
    try:
        plan = _adapter(kind).validate_json(json.dumps(document))
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
