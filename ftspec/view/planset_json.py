"""Plans of many specs for programs."""

from typing import Any

from ftspec.plan.changes import cost
from ftspec.plan.planset import PlannedSpec, PlanSet
from ftspec.view.diagnostics_json import diagnostics_document
from ftspec.view.diff_json import diff_json
from ftspec.view.drift import relevant_drift

FORMAT_VERSION = "1.0"


def planset_json(plans: PlanSet) -> dict[str, Any]:
    """`format_version, category, revision, base, head, unchanged, specs [{path, state, category, stored, name, stages,
    seconds, device_seconds, peak_memory_bytes, plan {digest, spec_hash, file}, difference, diagnostics, drift, …}]`,
    in the order that people should read. `category` is the costliest; null where no change means anything.
    `stored`: the category asks for a training, and that is stored."""
    categories = [each.category for each in plans.specs if each.category is not None]
    return {
        "format_version": FORMAT_VERSION,
        "category": max(categories, key=cost, default=None),
        "revision": plans.revision,
        "base": plans.base,
        "head": plans.head,
        "unchanged": plans.unchanged,
        "folder": plans.folder,
        "notes": list(plans.notes),
        "specs": [_spec(each) for each in plans.specs],
    }


def _spec(spec: PlannedSpec) -> dict[str, Any]:
    plan = spec.plan
    return {
        "path": spec.path,
        "state": str(spec.state),
        "category": spec.category,
        "stored": spec.is_stored,
        "name": spec.name,
        "old_path": spec.old_path,
        "because": list(spec.because),
        "stages": list(spec.running),
        "seconds": spec.seconds,
        "device_seconds": spec.device_seconds,
        "peak_memory_bytes": spec.peak_memory_bytes,
        "plan": None
        if plan is None
        else {"digest": spec.digest, "spec_hash": plan.spec_hash, "file": spec.file},
        "difference": None if spec.difference is None else diff_json(spec.difference),
        "diagnostics": diagnostics_document(spec.found)["diagnostics"],
        "drift": relevant_drift(spec.drift),
        "notes": list(spec.notes),
    }
