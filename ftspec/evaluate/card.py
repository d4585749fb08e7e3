"""The model card and the machine-readable passport of a tuned model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ftspec.evaluate import card_embedding, card_text
from ftspec.evaluate.card_evidence import evidence_lines, gate_lines
from ftspec.evaluate.card_text import Trained
from ftspec.evaluate.evidence import Evidence, Summary, means
from ftspec.evaluate.gates import Verdict
from ftspec.evaluate.words import consequence, finding, markdown_text
from ftspec.plan.codec import digest
from ftspec.plan.continuation import warm_start_of
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.fingerprints import semantic_fingerprint
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Extension, Plan

CARD = "README.md"
PASSPORT = "ftspec.json"
PASSPORT_VERSION = "1.0"


def write_card(
    folder: Path,
    plan: Plan,
    evidence: Evidence,
    verdict: Verdict,
    environment: Mapping[str, str],
    *,
    trained: Trained | None = None,
    tainted: Sequence[str] = (),
    extended: Extension | None = None,
) -> None:
    """Write README.md (replacing the one that the training library made) and ftspec.json.

    `environment` holds versions by package name; `trained` says what training left behind, which the
    card of an LLM speaks of; `tainted` names inputs that changed during the run; `extended` is the training that its own went on from. Both files depend on the arguments alone: no time, no path of this machine.
    """
    assert (trained is not None) == isinstance(plan, LlmPlan)
    text = card_text_of(plan, evidence.summary, verdict, environment, trained, tainted, extended)
    (folder / CARD).write_text(text, encoding="utf-8")
    document = passport(plan, evidence.summary, verdict, environment, trained, tainted, extended)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / PASSPORT).write_text(text + "\n", encoding="utf-8")


def passport(
    plan: Plan,
    summary: Summary,
    verdict: Verdict,
    environment: Mapping[str, str],
    trained: Trained | None = None,
    tainted: Sequence[str] = (),
    extended: Extension | None = None,
) -> dict[str, Any]:
    """Where the model came from, how it is to be read, and what was measured, as JSON values."""
    return {
        "format_version": PASSPORT_VERSION,
        "name": plan.name,
        "kind": plan.kind,
        "spec_hash": plan.spec_hash,
        "plan_digest": digest(plan),
        "semantic_fingerprint": semantic_fingerprint(plan),
        "base": {
            "id": plan.model.base,
            "revision": plan.model.revision,
            "digest": plan.model.facts.digest,
        },
        "warm_start": _warm_start(plan),
        "extended_from": None if extended is None else asdict(extended),
        "data": {
            "digest": plan.data.facts.digest,
            "sources": [
                {"path": source.label, "type": source.type, "digest": source.digest, "rows": source.rows}
                for source in plan.data.facts.sources
            ],
        },
        **_own_part(plan, trained),
        "stages": {stage.name: stage.key for stage in plan.stages},
        "verdict": str(verdict.verdict),
        "tainted": list(tainted),
        "metrics": means(summary),
        "environment": dict(sorted(environment.items())),
    }


def _own_part(plan: Plan, trained: Trained | None) -> dict[str, Any]:
    if isinstance(plan, LlmPlan):
        assert trained is not None
        return card_text.passport_part(plan, trained)
    assert isinstance(plan, EmbeddingPlan), plan.kind
    return card_embedding.passport_part(plan)


def card_text_of(
    plan: Plan,
    summary: Summary,
    verdict: Verdict,
    environment: Mapping[str, str],
    trained: Trained | None = None,
    tainted: Sequence[str] = (),
    extended: Extension | None = None,
) -> str:
    """README.md: front matter of the hub, then what was measured, on what, and how it was made."""
    lines = [
        *_front(plan, trained),
        f"# {markdown_text(plan.name)}",
        "",
    ]
    if plan.description.strip():
        lines += [markdown_text(plan.description), ""]
    lines += [
        f"**Verdict: {verdict.verdict}.** {consequence(verdict.verdict, summary.noun)}",
        f"Against its baseline: {markdown_text(finding(summary))}.",
        "",
        *_warm_start_lines(plan),
        *_extension_lines(plan, extended),
        *_taint_lines(tainted),
        *evidence_lines(summary),
        *gate_lines(verdict),
        *_own_lines(plan, summary, trained),
        "## Environment",
        "",
        *(
            f"- {markdown_text(name)} {markdown_text(version)}"
            for name, version in sorted(environment.items())
        ),
        "",
        f"Spec `{plan.spec_hash}`, plan `{digest(plan)}`. `{PASSPORT}` holds the rest.",
        "",
    ]
    return "\n".join(lines)


def _warm_start(plan: Plan) -> dict[str, str] | None:
    started = warm_start_of(plan)
    return None if started is None else {"name": started.name, "version": started.version}


def _warm_start_lines(plan: Plan) -> Iterator[str]:
    started = warm_start_of(plan)
    if started is None:
        return
    yield (
        f"**Warm start.** Training started from the weights of {markdown_text(started.name)} "
        f"{markdown_text(started.version)} (`{plan.model.facts.digest}`), a model of the same project, and from "
        "nothing else of it: neither its learning-rate curve nor its optimizer's state."
    )
    yield ""


def _extension_lines(plan: Plan, extended: Extension | None) -> Iterator[str]:
    if extended is None:
        return
    yield (
        f"**Extended from step {extended.step:,}.** Training went on from the last state of run "
        f"{markdown_text(extended.run_id)} (weights, optimizer, place in the data and in its random numbers), whose "
        f"{extended.step:,} steps are the first of these {plan.train.total_steps:,}. The training log of those steps "
        "has the intervals of that run."
    )
    yield ""


def _taint_lines(tainted: Sequence[str]) -> Iterator[str]:
    if not tainted:
        return
    yield "**Tainted.** These inputs changed while the run went on, so what the model was made from is not certain:"
    yield ""
    yield from (f"- {markdown_text(each)}" for each in tainted)
    yield ""


def _front(plan: Plan, trained: Trained | None) -> Iterator[str]:
    if isinstance(plan, LlmPlan):
        assert trained is not None
        return card_text.front(plan, trained)
    assert isinstance(plan, EmbeddingPlan), plan.kind
    return card_embedding.front(plan)


def _own_lines(plan: Plan, summary: Summary, trained: Trained | None) -> Iterator[str]:
    if isinstance(plan, LlmPlan):
        assert trained is not None
        yield from card_text.usage_lines(plan, trained)
        yield from card_text.data_lines(plan)
        yield from card_text.training_lines(plan, trained)
        yield from card_text.limit_lines(plan, summary, trained)
        return
    assert isinstance(plan, EmbeddingPlan), plan.kind
    yield from card_embedding.usage_lines(plan)
    yield from card_embedding.data_lines(plan)
    yield from card_embedding.training_lines(plan)
