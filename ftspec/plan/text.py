"""The text of a plan file: written whole, read with its digests verified."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics, Severity
from ftspec.plan.codec import NOT_IDENTITY, digest, hash_of, plan_document, without
from ftspec.plan.contract import Contract, contract_digest, contract_of, contract_part
from ftspec.plan.fingerprints import realisation_fingerprint, semantic_fingerprint
from ftspec.plan.kinds import PLAN_TYPES
from ftspec.plan.model import FORMAT_VERSION, Plan

_MAKE = "make a plan file with `ftspec plan SPEC --out FILE`"
_DERIVED = ("semantic_fingerprint", "realisation_fingerprint", "backend")
DRIFT = "drift"  # what `plan --format json` says beside the plan
_CONFLICT = ("<<<<<<< ", ">>>>>>> ")
READABLE = ("format_version", "kind", "name", "spec_path", "spec_hash", "digest", "backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A plan file. `contract` is None in plans of runs, and in files that older versions wrote."""

    plan: Plan
    contract: Contract | None
    format_version: str


@cache
def _adapter(kind: str) -> TypeAdapter[Plan]:
    return TypeAdapter(PLAN_TYPES[kind])


def plan_to_json(plan: Plan, contract: Contract | None = None) -> str:
    """The text of a plan file: the plan, its digest and fingerprints, and what it promises, for people too."""
    document = {**summary_head(plan), **plan_document(plan)}
    if contract is not None:
        document |= contract_part(contract, document["digest"])
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def summary_head(plan: Plan) -> dict[str, Any]:
    return {
        "format_version": plan.format_version,
        "digest": digest(plan),
        "spec_hash": plan.spec_hash,
        "semantic_fingerprint": semantic_fingerprint(plan),
        "realisation_fingerprint": realisation_fingerprint(plan),
        "backend": plan.execution.backend,
    }


def plan_from_json(text: str, *, name: str) -> tuple[Plan | None, Diagnostics]:
    """Read a plan file and verify its digests. `name` is the path for messages."""
    saved, found = saved_from_json(text, name=name)
    return (None if saved is None else saved.plan), found


def saved_from_json(text: str, *, name: str, lenient: bool = False) -> tuple[SavedPlan | None, Diagnostics]:
    """Read a plan file and verify its digests: FTS603, FTS604, FTS616.

    Older minor versions are read. `lenient`, for showing only: an edited file and a newer minor version are
    read as far as they are understood, and what is wrong with them is a warning.
    """
    document, found = document_of(text, name=name)
    if document is None:
        return None, found
    version = str(document["format_version"])
    _check_version(version, found, name, lenient=lenient)
    kind = document.get("kind")
    if not found.has_errors and (not isinstance(kind, str) or kind not in PLAN_TYPES):
        found.add(
            codes.PLAN_NOT_READABLE,
            f"{name} is of kind {kind!r:.80}; this ftspec knows {', '.join(PLAN_TYPES)}",
            help="make the plan again",
        )
    if found.has_errors:
        return None, found
    stated = {
        key: document.pop(key, None) for key in ("digest", "contract", "contract_digest", DRIFT, *_DERIVED)
    }
    try:
        plan = _adapter(str(kind)).validate_json(json.dumps(document))
        contract = None if stated["contract"] is None else contract_of(stated["contract"])
    except (ValueError, RecursionError) as error:  # pydantic's errors are among the first
        why = "; written by an older ftspec" if _minor(version) < _minor(FORMAT_VERSION) else ""
        found.add(codes.PLAN_NOT_READABLE, f"{name}: {_first_fault(error)}{why}", help="make the plan again")
        return None, found
    edited = _edited(document, contract, stated)
    if edited is not None:
        found.add(
            codes.PLAN_EDITED,
            f"{name}: {edited}",
            help="change the spec instead, and make a new plan",
            severity=Severity.WARNING if lenient else None,
        )
    plan = replace(plan, format_version=FORMAT_VERSION)
    saved = SavedPlan(plan=plan, contract=contract, format_version=version)
    return (None if found.has_errors else saved), found


def _edited(document: dict[str, Any], contract: Contract | None, stated: Mapping[str, Any]) -> str | None:
    """What does not fit to the digests of the file. The document itself counts, also keys that nobody reads."""
    try:
        if stated["digest"] != hash_of(without(document, NOT_IDENTITY)):
            return "its content does not have the digest that it states"
        if contract is None:
            return None if stated["contract_digest"] is None else "its contract was taken out"
        if stated["contract_digest"] != contract_digest(contract, stated["digest"]):
            return "its contract does not have the digest that it states"
    except (ValueError, RecursionError):  # half a surrogate pair, thousands of brackets
        return "it holds what no plan holds"
    return None


def document_of(text: str, *, name: str) -> tuple[dict[str, Any] | None, Diagnostics]:
    """The JSON of a plan file of any version. FTS616 tells what it is instead."""
    found = Diagnostics()
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if any(line.startswith(_CONFLICT) for line in text.splitlines()):
            found.add(
                codes.PLAN_NOT_READABLE, f"{name} holds a conflict of git, not settled", help="make it again"
            )
        elif text.lstrip().startswith("{") and not text.rstrip().endswith("}"):
            found.add(
                codes.PLAN_NOT_READABLE,
                f"{name} ends in the middle: it was written or copied in part",
                help="copy it again, or make it again",
            )
        else:
            found.add(codes.PLAN_NOT_READABLE, f"{name} is not JSON ({error})", help=_MAKE)
        return None, found
    if not isinstance(document, dict) or "format_version" not in document:
        found.add(codes.PLAN_NOT_READABLE, f"{name} has no format_version", help=_MAKE)
        return None, found
    return document, found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def is_other_major(version: str) -> bool:
    """Of another major version than ours, which is not read at all."""
    return version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]


def _check_version(version: str, found: Diagnostics, name: str, *, lenient: bool) -> None:
    if is_other_major(version):
        found.add(
            codes.PLAN_VERSION,
            f"{name} has format {version:.40}; this ftspec reads {FORMAT_VERSION}",
            help="make the plan again",
        )
    elif _minor(version) > _minor(FORMAT_VERSION):
        found.add(
            codes.PLAN_VERSION,
            f"{name} has format {version:.40}, made by a newer ftspec; this one reads {FORMAT_VERSION}",
            help="update ftspec, or make the plan again",
            severity=Severity.WARNING if lenient else None,
        )


def _minor(version: str) -> int:
    minor = version.partition(".")[2]
    return int(minor) if minor.isdecimal() and len(minor) < 10 else 0


def _first_fault(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
