"""Registered models: a list, and one of them in full."""

from collections.abc import Sequence
from typing import Any

from ftspec.store.registry import RegisteredModel
from ftspec.view.safe_text import safe
from ftspec.view.table import render_table


def render_models(models: Sequence[RegisteredModel], *, width: int | None = None) -> str:
    """One line per version; `*` marks the one that queries load."""
    columns = ("", "model", "version", "metric", "base", "tuned", "gain", "registered (UTC)")
    right = (False, False, False, False, True, True, True, False)
    rows = []
    for model in models:
        base, tuned = _metrics(model.meta, "base"), _metrics(model.meta, "tuned")
        primary = next((name for name in tuned if name in base), None)
        rows.append(
            (
                "*" if model.current else "",
                model.name,
                model.version,
                primary or "",
                f"{base[primary]:.3f}" if primary else "",
                f"{tuned[primary]:.3f}" if primary else "",
                f"{tuned[primary] - base[primary]:+.3f}" if primary else "",
                model.registered[:16].replace("T", " "),
            )
        )
    return render_table(columns, rows, right=right, width=width)


def render_model(model: RegisteredModel, passport: dict[str, Any]) -> str:
    """Where a version lies, what it came from, and how to load it."""
    base, data = _object(passport, "base"), _object(passport, "data")
    facts = [
        ("version", f"{model.version}{' (current)' if model.current else ''}"),
        ("path", str(model.path)),
        ("digest", model.digest),
        ("registered", model.registered),
        ("run", model.meta.get("run_id")),
        ("verdict", passport.get("verdict")),
        ("base", f"{base.get('id')} {base.get('digest')}"),
        ("data", data.get("digest")),
        ("spec", passport.get("spec_hash")),
        ("plan", passport.get("plan_digest")),
    ]
    lines = [safe(model.name), ""]
    lines += [f"  {name:<11} {safe(str(value))}" for name, value in facts if value]
    tuned, before = _metrics(passport, "tuned"), _metrics(passport, "base")
    if tuned:
        rows = [
            (name, f"{before[name]:.3f}", f"{value:.3f}", f"{value - before[name]:+.3f}")
            for name, value in tuned.items()
            if name in before
        ]
        table = render_table(("metric", "base", "tuned", "gain"), rows, right=(False, True, True, True))
        lines += ["", *(f"  {line}" for line in table.splitlines())]
    lines += ["", "  from sentence_transformers import SentenceTransformer"]
    lines += [f"  model = SentenceTransformer({str(model.path)!r})"]
    return "\n".join(lines) + "\n"


def model_document(model: RegisteredModel) -> dict[str, Any]:
    """A version as JSON values."""
    return {
        "name": model.name,
        "version": model.version,
        "current": model.current,
        "path": str(model.path),
        "digest": model.digest,
        "registered": model.registered,
        **{key: value for key, value in model.meta.items() if key in ("run_id", "spec_hash", "plan_digest")},
        "metrics": {"base": _metrics(model.meta, "base"), "tuned": _metrics(model.meta, "tuned")},
    }


def _metrics(document: dict[str, Any], variant: str) -> dict[str, float]:
    found = _object(_object(document, "metrics"), variant)
    return {str(name): float(value) for name, value in found.items()}


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
