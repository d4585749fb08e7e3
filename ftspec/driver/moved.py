"""What moved since a plan was saved, in words: causes first, consequences only where no cause is found."""

import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from ftspec.driver.compile import Compilation
from ftspec.driver.contract import commit_moved
from ftspec.driver.lock import compare, needs_of
from ftspec.plan.contract import Contract
from ftspec.plan.facts import SourceFacts
from ftspec.plan.fields import leaves
from ftspec.plan.lock_changes import short_digest
from ftspec.plan.model import Plan
from ftspec.plan.text import SavedPlan
from ftspec.spec.canonical import canonical_text
from ftspec.store.project import Project

_KEYS_SHOWN = 5
_VALUE_CHARS = 60


def moved_parts(saved: SavedPlan, compiled: Compilation, project: Project) -> Iterator[str]:
    """One sentence for each thing that differs: spec, model, baseline, data."""
    old, new, contract = saved.plan, compiled.plan, saved.contract
    causes = [*_spec(old, compiled, contract)]
    causes += [*_resolved(contract, compiled, project)] if contract is not None else []
    if not any("base model" in cause or "data source" in cause for cause in causes):
        causes += _facts(old, new)
    if not causes and old.machine.digest != new.machine.digest:
        causes = [f"hardware: planned for {old.machine.summary}, this is {new.machine.summary}"]
    if causes:
        yield from causes
        return
    named = _changed(old, new, lambda path: True)
    by = "this version of ftspec"
    if contract is not None and contract.ftspec != version("ftspec"):
        by = f"ftspec {version('ftspec')} (planned by {contract.ftspec})"
    yield f"{by} decides otherwise: {named or 'its decisions differ'}"


def _spec(old: Plan, compiled: Compilation, contract: Contract | None) -> Iterator[str]:
    new = compiled.plan
    if old.spec_hash == new.spec_hash:
        return
    if contract is None:
        named = _changed(old, new, lambda path: not path.startswith("execution."))
        yield f"spec {old.spec_path}: {named or 'its text means something else'}"
        return
    commit = commit_moved(contract, compiled.document.folder)
    told = moved_spec(contract.spec, canonical_text(compiled.spec), old.spec_path)
    yield f"{told} ({commit})" if commit else told


def moved_spec(before: str, after: str, path: str) -> str:
    """The keys of two canonical specs that differ, with their values."""
    old, new = dict(_values(json.loads(before))), dict(_values(json.loads(after)))
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    told = [f"{key}: {_shown(old.get(key))} → {_shown(new.get(key))}" for key in keys[:_KEYS_SHOWN]]
    if len(keys) > _KEYS_SHOWN:
        told.append(f"and {len(keys) - _KEYS_SHOWN} more keys")
    return f"spec {path}: {', '.join(told) or 'its text means something else'}"


def _values(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a JSON document by dotted path; empty mappings and lists are leaves."""
    if not isinstance(node, dict | list) or not node:
        yield path, node
        return
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield from _values(value, f"{path}.{key}" if path else str(key))


def _shown(value: Any) -> str:
    text = (
        "not set"
        if value is None
        else value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
    )
    return text if len(text) <= _VALUE_CHARS else f"{text[: _VALUE_CHARS - 1]}…"


def _resolved(contract: Contract, compiled: Compilation, project: Project) -> Iterator[str]:
    """Models by file, data by rows and columns: against what the plan was resolved to. An entry that is new
    belongs to a spec that moved."""
    needs, _ = needs_of(compiled, project, here=False)
    if needs is not None:
        yield from dict.fromkeys(
            change.sentence() for change in compare(needs, contract.lock) if change.change == "moved"
        )


def _facts(old: Plan, new: Plan) -> Iterator[str]:
    """The same by the plans' own facts, for plans without a contract, and what a lock does not state."""
    if old.model.facts.digest != new.model.facts.digest:
        yield (
            f"base model {old.model.base}: {short_digest(old.model.facts.digest)} → "
            f"{short_digest(new.model.facts.digest)}"
        )
    before, after = old.evaluation.baseline_facts, new.evaluation.baseline_facts
    if before is not None and after is not None and before.digest != after.digest:
        yield f"baseline {old.evaluation.baseline}: {short_digest(before.digest)} → {short_digest(after.digest)}"
    if old.data.facts.digest != new.data.facts.digest:
        yield from _sources(
            old.data.facts.sources, new.data.facts.sources, told=old.spec_hash != new.spec_hash
        )


def _sources(old: tuple[SourceFacts, ...], new: tuple[SourceFacts, ...], *, told: bool) -> Iterator[str]:
    """`told`: the spec moved, which may well be why a source is read differently."""
    if told:
        return
    for before, after in zip(old, new, strict=False):
        if before.digest != after.digest:
            yield (
                f"data source {before.label}: {before.rows} rows {short_digest(before.digest)} → "
                f"{after.rows} rows {short_digest(after.digest)}"
            )


def _changed(old: Plan, new: Plan, wanted: Callable[[str], bool]) -> str:
    """At most three leaves with their old and new values."""
    before, after = dict(leaves(old)), dict(leaves(new))
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    named = [f"{path}: {before.get(path)} → {after.get(path)}" for path in paths if wanted(path)]
    return ", ".join(named[:3])
