"""What a saved plan says beside the plan; and as much of a plan file as any version of ftspec can read."""

from collections.abc import Mapping
from typing import Any

from ftspec.plan.contract import Contract
from ftspec.plan.lock_changes import short_digest
from ftspec.plan.text import READABLE
from ftspec.view.safe_text import safe

_LABEL = 15


def render_contract(contract: Contract) -> str:
    """The section that follows the plan, ending in a newline."""
    commit = "none"
    if contract.commit is not None:
        commit = contract.commit[:12] + (", with uncommitted changes" if contract.dirty else "")
    production = contract.production
    rows = [
        ("commit", commit),
        ("ftspec", contract.ftspec),
        (
            "packages",
            ", ".join(f"{name} {version}" for name, version in contract.packages.items()) or "not known",
        ),
        (
            "production",
            "nothing" if production is None else f"{production.version} {short_digest(production.digest)}",
        ),
    ]
    for key, model in contract.lock.models.items():
        at = f", revision {model.revision[:12]}" if model.revision else ""
        rows.append(("model", f"{key} {short_digest(model.digest)}{at}"))
    for key, source in contract.lock.data.items():
        rows.append(("data", f"{key} {source.rows} rows {short_digest(source.digest)}"))
    return "\n".join(["Made in", *(f"  {label:<{_LABEL - 2}}{safe(text)}" for label, text in rows)]) + "\n"


def render_head(document: Mapping[str, Any]) -> str:
    """Of a plan file of another major version: what every version states."""
    known = [(key, document.get(key)) for key in READABLE]
    return (
        "\n".join(f"{key:<{_LABEL}}{safe(str(value))[:200]}" for key, value in known if value is not None)
        + "\n"
    )
