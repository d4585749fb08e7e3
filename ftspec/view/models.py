"""Registered models: a list, and one of them in full."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ftspec.evaluate.words import improvement, metric_gain_text, value_text
from ftspec.plan.space import short_space
from ftspec.store.registry import RegisteredModel
from ftspec.view.safe_text import safe
from ftspec.view.table import render_table

Places = Mapping[tuple[str, str], Sequence[str]]  # (name, version) -> the environments that point to it


def render_models(
    models: Sequence[RegisteredModel],
    *,
    environments: Places = MappingProxyType({}),
    width: int | None = None,
) -> str:
    """One line per version; `*` marks the one that is current, which queries load."""
    columns = (
        "", "model", "version", "environments", "holds", "metric", "base", "tuned", "gain", "space", "registered (UTC)",
    )  # fmt: skip
    right = (False, False, False, False, False, False, True, True, True, False, False)
    rows = []
    for model in models:
        base, tuned = _metrics(model.meta, "base"), _metrics(model.meta, "tuned")
        primary = next((name for name in tuned if name in base), None)
        rows.append(
            (
                "*" if model.current else "",
                model.name,
                f"{model.version} (tainted)" if model.tainted else model.version,
                ", ".join(environments.get((model.name, model.version), ())),
                _holds(model),
                primary or "",
                *(_compared(primary, base[primary], tuned[primary]) if primary else ("", "", "")),
                short_space(model.space_id),
                model.registered[:16].replace("T", " "),
            )
        )
    kept = [
        place for place, name in enumerate(columns) if name not in _RARE or any(row[place] for row in rows)
    ]
    return render_table(
        [columns[place] for place in kept],
        [[row[place] for place in kept] for row in rows],
        right=[right[place] for place in kept],
        width=width,
    )


_RARE = ("environments", "holds", "space")  # left out where no version has any


def _holds(model: RegisteredModel) -> str:
    """The forms of an LLM; nothing of other kinds, which have one."""
    if model.kind != "LLM":
        return ""
    return " + ".join(_forms(model)) if model.adapter else "model"


def _forms(model: RegisteredModel) -> list[str]:
    return [*(["merged"] if model.is_whole else []), *(["adapter"] if model.adapter else [])]


def _compared(metric: str, base: float, tuned: float) -> tuple[str, str, str]:
    gain = metric_gain_text(metric, improvement(metric, base, tuned))
    return value_text(base), value_text(tuned), gain


def render_model(
    model: RegisteredModel, passport: dict[str, Any], *, environments: Places = MappingProxyType({})
) -> str:
    """Where a version lies, what it came from, and how to load it."""
    base, data = _object(passport, "base"), _object(passport, "data")
    facts = [
        ("version", f"{model.version}{' (current)' if model.current else ''}"),
        *((("kind", model.kind),) if model.kind != "Embedding" else ()),
        ("in", ", ".join(environments.get((model.name, model.version), ()))),
        ("path", str(model.path)),
        ("digest", model.digest),
        ("space", model.space_id),
        ("registered", model.registered),
        ("run", model.meta.get("run_id")),
        ("verdict", passport.get("verdict")),
        ("tainted", "; ".join(model.tainted)),
        ("base", f"{base.get('id')} {base.get('digest')}"),
        *_adapter_facts(model, passport),
        ("data", data.get("digest")),
        ("spec", passport.get("spec_hash")),
        ("plan", passport.get("plan_digest")),
    ]
    lines = [safe(model.name), ""]
    lines += [f"  {name:<11} {safe(str(value))}" for name, value in facts if value]
    tuned, before = _metrics(passport, "tuned"), _metrics(passport, "base")
    if tuned:
        rows = [
            (name, *_compared(name, before[name], value)) for name, value in tuned.items() if name in before
        ]
        table = render_table(("metric", "base", "tuned", "gain"), rows, right=(False, True, True, True))
        lines += ["", *(f"  {line}" for line in table.splitlines())]
    lines += ["", *(f"  {line}" for line in _loading(model, passport))]
    return "\n".join(lines) + "\n"


def _adapter_facts(model: RegisteredModel, passport: dict[str, Any]) -> list[tuple[str, object]]:
    if model.kind != "LLM":
        return []
    adapter, training = _object(passport, "adapter"), _object(passport, "training")
    settings = " ".join(str(adapter[key]) for key in ("type", "format", "digest") if adapter.get(key))
    return [
        ("holds", _holds(model)),
        ("adapter", settings),
        ("merged from", model.meta.get("merged_from")),
        ("warm start", "training went on with the weights alone" if training.get("warm_started") else None),
        ("card", str(model.path / "README.md")),
    ]


def _loading(model: RegisteredModel, passport: dict[str, Any]) -> list[str]:
    """Python that loads the version."""
    path = str(model.path)
    if model.kind != "LLM":
        return [
            "from sentence_transformers import SentenceTransformer",
            f"model = SentenceTransformer({path!r})",
        ]
    if model.is_whole:
        return [
            "from transformers import AutoModelForCausalLM",
            f"model = AutoModelForCausalLM.from_pretrained({path!r})",
        ]
    base = str(_object(passport, "model").get("hub_base") or "path/to/the/base")
    if _object(passport, "adapter").get("format") == "mlx_lm":
        return [
            "from mlx_lm import load",
            f"model, tokenizer = load({base!r}, adapter_path={str(model.adapter)!r})",
        ]
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM",
        f"base = AutoModelForCausalLM.from_pretrained({base!r})",
        f"model = PeftModel.from_pretrained(base, {str(model.adapter)!r})",
    ]


def model_document(model: RegisteredModel, *, environments: Places = MappingProxyType({})) -> dict[str, Any]:
    """A version as JSON values."""
    return {
        "name": model.name,
        "version": model.version,
        "current": model.current,
        "environments": list(environments.get((model.name, model.version), ())),
        "space_id": model.space_id,
        "kind": model.kind,
        "holds": _forms(model) if model.adapter else ["model"],
        "path": str(model.path),
        "digest": model.digest,
        "registered": model.registered,
        **{key: value for key, value in model.meta.items() if key in _TOLD},
        "metrics": {"base": _metrics(model.meta, "base"), "tuned": _metrics(model.meta, "tuned")},
    }


_TOLD = ("run_id", "spec_hash", "plan_digest", "base_digest", "merged_from")


def _metrics(document: dict[str, Any], variant: str) -> dict[str, float]:
    found = _object(_object(document, "metrics"), variant)
    return {str(name): float(value) for name, value in found.items()}


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
