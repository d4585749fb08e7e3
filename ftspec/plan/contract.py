"""What a saved plan promises besides the plan: what was resolved, and the state that it was reviewed in.

It stands beside the plan in its file, and enters no digest of the plan: the same plan has the same digest on
any machine, in any commit, with any versions of packages.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from ftspec.plan.codec import canonical_json, hash_of
from ftspec.plan.frozen import FrozenMap


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedModel:
    """`revision`: the commit of a hub's snapshot, or the version of a registered model; None for folders and
    packages, which only their content tells apart."""

    revision: str | None
    digest: str
    files: FrozenMap[str]  # relative name → sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedSource:
    type: str
    digest: str  # of the files' bytes, however the spec reads them
    rows: int
    columns: tuple[str, ...]  # of a table, sorted; empty for what has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The content of ftspec.lock, or the part of it that one spec needs."""

    models: FrozenMap[LockedModel] = FrozenMap()
    data: FrozenMap[LockedSource] = FrozenMap()
    packages: FrozenMap[FrozenMap[str]] = FrozenMap()  # backend → package → version


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """The model that production points to."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """`packages` are those of the chosen backend where it was planned for the machine that planned, and empty
    where it was planned for another one, of which they say nothing."""

    spec: str  # its canonical text
    ftspec: str  # the version that decided
    commit: str | None  # of git, checked out; None outside of a repository
    dirty: bool  # the spec, or tracked files, differed from the commit
    packages: FrozenMap[str]
    production: Production | None  # of the plan's name
    lock: Lock


_ADAPTER: TypeAdapter[Contract] | None = None


def model_digest(files: Mapping[str, str]) -> str:
    """Of a model with these files (relative name → sha256), as its facts state it: sha256 over lines
    `name NUL sha256`, sorted by name."""
    total = hashlib.sha256()
    for name, digest in sorted(files.items()):
        total.update(f"{name}\0{digest}\n".encode())
    return "sha256:" + total.hexdigest()


def contract_document(contract: Contract) -> dict[str, Any]:
    """As JSON values; the spec as the object that it is."""
    document: dict[str, Any] = to_jsonable_python(contract, fallback=dict)
    return {**document, "spec": json.loads(contract.spec)}


def contract_of(document: Any) -> Contract:
    """The inverse. Raises ValueError for another shape (pydantic's errors are some)."""
    global _ADAPTER  # noqa: PLW0603 - built once, where a contract is read at all
    if _ADAPTER is None:
        _ADAPTER = TypeAdapter(Contract)
    if not isinstance(document, dict) or not isinstance(document.get("spec"), dict):
        raise ValueError("no contract, which is an object with a spec")
    return _ADAPTER.validate_json(json.dumps({**document, "spec": canonical_json(document["spec"])}))


def contract_part(contract: Contract, plan_digest: str) -> dict[str, Any]:
    """The keys of a plan file that hold it."""
    return {
        "contract": contract_document(contract),
        "contract_digest": contract_digest(contract, plan_digest),
    }


def contract_digest(contract: Contract, plan_digest: str) -> str:
    """Binds the contract to its plan: neither can be edited or exchanged unseen."""
    return hash_of({"plan": plan_digest, "contract": contract_document(contract)})
