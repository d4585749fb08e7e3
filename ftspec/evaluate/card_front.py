"""The front matter of a model card: what the hub reads."""

import json
import re
from collections.abc import Iterator

from ftspec.plan.model import Plan

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def front_matter(
    plan: Plan, *, library: str, pipeline: str, tags: tuple[str, ...], relation: str
) -> Iterator[str]:
    """YAML between dashes. `relation` of the model to its base, which is named only when it came from the
    hub: finetune | adapter."""
    yield "---"
    yield f"library_name: {library}"
    yield f"pipeline_tag: {pipeline}"
    yield "tags:"
    for tag in tags:
        yield f"- {tag}"
    if hub_base(plan) is not None:
        yield f"base_model: {_yaml_text(plan.model.base)}"
        yield f"base_model_relation: {relation}"
    yield f"model_name: {_yaml_text(plan.name)}"
    yield "---"
    yield ""


def hub_base(plan: Plan) -> str | None:
    """The id of a base that came from the hub."""
    known = plan.model.facts.origin not in ("path", "store") and _HUB_ID.fullmatch(plan.model.base)
    return plan.model.base if known else None


def _yaml_text(text: str) -> str:
    """A double-quoted YAML scalar: JSON's, with the characters escaped that YAML cannot hold as they are."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
