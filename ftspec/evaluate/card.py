"""The model card and the machine-readable passport of a tuned model."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftspec.evaluate.evidence import Evidence, Latency, MetricSummary, Summary, means
from ftspec.evaluate.gates import Verdict
from ftspec.evaluate.words import (
    bound_text,
    consequence,
    finding,
    gain_text,
    interval_text,
    markdown_table,
    markdown_text,
    metric_label,
    p_text,
    value_text,
)
from ftspec.plan.codec import digest, plan_document
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.fingerprints import semantic_fingerprint

PASSPORT = "ftspec.json"
PASSPORT_VERSION = "1.0"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SLICE_ROWS = 20
_COMPARED = ("baseline", "this model", "gain", "interval")


def write_card(
    folder: Path, plan: EmbeddingPlan, evidence: Evidence, verdict: Verdict, environment: Mapping[str, str]
) -> None:
    """Write README.md (replacing the one that the training library made) and ftspec.json.

    `environment` holds versions by package name. Both files depend on the arguments alone: no time, no
    path of this machine.
    """
    (folder / "README.md").write_text(card_text(plan, evidence.summary, verdict, environment), "utf-8")
    document = passport(plan, evidence.summary, verdict, environment)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / PASSPORT).write_text(text + "\n", encoding="utf-8")


def passport(
    plan: EmbeddingPlan, summary: Summary, verdict: Verdict, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Where the model came from, how it is to be read, and what was measured, as JSON values."""
    document = plan_document(plan)
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
        "data": {
            "digest": plan.data.facts.digest,
            "sources": [
                {"path": source.label, "type": source.type, "digest": source.digest, "rows": source.rows}
                for source in plan.data.facts.sources
            ],
        },
        "model": {
            key: document["model"][key]
            for key in ("max_seq_length", "prompts", "pooling", "similarity", "trust_remote_code")
        },
        "dimensions": list(plan.evaluation.dimensions),
        "stages": {stage.name: stage.key for stage in plan.stages},
        "verdict": str(verdict.verdict),
        "metrics": means(summary),
        "environment": dict(sorted(environment.items())),
    }


def card_text(plan: EmbeddingPlan, summary: Summary, verdict: Verdict, environment: Mapping[str, str]) -> str:
    """README.md: front matter of the hub, then what was measured, on what, and how it was made."""
    lines = [
        *_front_matter(plan),
        f"# {markdown_text(plan.name)}",
        "",
    ]
    if plan.description.strip():
        lines += [markdown_text(plan.description), ""]
    lines += [
        f"**Verdict: {verdict.verdict}.** {consequence(verdict.verdict)}",
        f"Against its baseline: {markdown_text(finding(summary))}.",
        "",
        *evidence_lines(summary),
        *gate_lines(verdict),
        *_usage(plan),
        *_data(plan),
        *_training(plan),
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


def _front_matter(plan: EmbeddingPlan) -> Iterator[str]:
    yield "---"
    yield "library_name: sentence-transformers"
    yield "pipeline_tag: sentence-similarity"
    yield "tags:"
    for tag in ("sentence-transformers", "sentence-similarity", "feature-extraction", "ftspec"):
        yield f"- {tag}"
    if plan.model.facts.origin not in ("path", "store") and _HUB_ID.fullmatch(plan.model.base):
        yield f"base_model: {_yaml_text(plan.model.base)}"
        yield "base_model_relation: finetune"
    yield f"model_name: {_yaml_text(plan.name)}"
    yield "---"
    yield ""


def _yaml_text(text: str) -> str:
    """A double-quoted YAML scalar: JSON's, with the characters escaped that YAML cannot hold as they are."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)


def evidence_lines(summary: Summary) -> Iterator[str]:
    """Markdown of what was measured."""
    yield "## Evidence"
    yield ""
    yield (
        f"{summary.queries:,} held-out queries, ranked exactly over {summary.documents:,} documents. "
        f"Intervals are paired bootstrap intervals of {summary.confidence * 100:g} % "
        f"({summary.resamples:,} resamples); p-values are of a two-sided paired permutation test."
    )
    yield ""
    head = ("metric", *_COMPARED, "p", "better / same / worse")
    yield from markdown_table(head, [_metric_row(metric) for metric in summary.metrics])
    yield ""
    if len(summary.dimensions) > 1:
        label = metric_label(summary.primary)
        yield f"By dimension, {label}:"
        yield ""
        rows = [
            [str(part.dimension), *_metric_row(part.metric(summary.primary))[1:5]]
            for part in summary.dimensions
        ]
        yield from markdown_table(("dimensions", *_COMPARED), rows, right=0)
        yield ""
    if summary.slices:
        yield f"By slice, {metric_label(summary.primary)}; p is Holm's over the slices of a column:"
        yield ""
        rows = []
        for part in summary.slices[:_SLICE_ROWS]:
            metric = part.metric(summary.primary)
            p = metric.p_value if metric.p_adjusted is None else metric.p_adjusted
            name = markdown_text(f"{part.column}: {part.value}")
            rows.append([name, f"{part.queries:,}", *_metric_row(metric)[1:5], p_text(p)])
        yield from markdown_table(("slice", "queries", *_COMPARED, "p"), rows)
        yield ""
        if len(summary.slices) > _SLICE_ROWS:
            yield f"The {_SLICE_ROWS} largest of {len(summary.slices)} slices are shown."
            yield ""
    if summary.tuned_latency is not None:
        yield from _latency(summary.base_latency, summary.tuned_latency)


def _latency(base: Latency | None, tuned: Latency) -> Iterator[str]:
    threads = "" if tuned.threads is None else f" with {tuned.threads} threads"
    text = (
        f"Encoding one query took {tuned.p50_ms:.1f} ms (median) and {tuned.p95_ms:.1f} ms (95th "
        f"percentile) on {markdown_text(tuned.device) or 'the device of the run'}{threads}"
    )
    if base is not None:
        text += f"; the baseline took {base.p50_ms:.1f} ms and {base.p95_ms:.1f} ms"
    yield f"{text}."
    yield ""


def _metric_row(metric: MetricSummary) -> list[str]:
    return [
        metric_label(metric.metric),
        value_text(metric.base.mean),
        value_text(metric.tuned.mean),
        gain_text(metric.gain.mean),
        interval_text(metric.gain),
        p_text(metric.p_value),
        f"{metric.wins} / {metric.ties} / {metric.losses}",
    ]


def gate_lines(verdict: Verdict) -> Iterator[str]:
    """Markdown of what was asked, and whether it was reached."""
    yield "## Gates"
    yield ""
    for gate in verdict.gates:
        asked = f"{metric_label(gate.metric)}: {bound_text(gate)}"
        yield f"- **{gate.outcome}** {markdown_text(asked)}; {markdown_text(gate.reason)}."
    yield ""


def _usage(plan: EmbeddingPlan) -> Iterator[str]:
    prompts = plan.model.prompts
    query = f", prompt={prompts.query!r}" if prompts.query else ""
    document = f", prompt={prompts.document!r}" if prompts.document else ""
    normalise = ", normalize_embeddings=True" if plan.model.similarity == "cosine" else ""
    yield "## Use"
    yield ""
    yield "```python"
    yield "from sentence_transformers import SentenceTransformer"
    yield ""
    yield 'model = SentenceTransformer("path/to/this/folder")'
    yield f'queries = model.encode(["a query"]{query}{normalise})'
    yield f'documents = model.encode(["a document"]{document}{normalise})'
    yield "scores = queries @ documents.T"
    yield "```"
    yield ""
    yield f"Texts are cut after {plan.model.max_seq_length} tokens; similarity is {plan.model.similarity}."
    if len(plan.evaluation.dimensions) > 1:
        shorter = ", ".join(str(dimension) for dimension in plan.evaluation.dimensions[1:])
        yield f"Trained to be cut to {shorter} dimensions as well."
    yield ""


def _data(plan: EmbeddingPlan) -> Iterator[str]:
    facts = plan.data.facts
    yield "## Data"
    yield ""
    for source in facts.sources:
        yield f"- {markdown_text(source.label)} ({source.type}, {source.rows:,} rows, `{source.digest}`)"
    yield ""
    how = "given apart" if facts.split_by == "given" else f"held out by {facts.split_by}"
    yield (
        f"Trained on {facts.train_rows:,} rows; tested on {facts.test_queries:,} queries, which were {how}. "
        f"Training and test share {facts.leaked_queries} queries and {facts.leaked_positives} positives."
    )
    yield ""


def _training(plan: EmbeddingPlan) -> Iterator[str]:
    train, model = plan.train, plan.model
    objective = train.objective
    settings: list[tuple[str, object]] = [
        ("base model", model.base),
        ("base digest", model.facts.digest),
        ("objective", objective.type),
        ("temperature", objective.temperature),
        ("margin", objective.margin),
        ("explicit negatives", objective.num_negatives or None),
        ("Matryoshka dimensions", train.matryoshka and ", ".join(map(str, train.matryoshka.dimensions))),
        ("frozen layers", model.freeze.layers or None),
        ("frozen embeddings", model.freeze.embeddings or None),
        ("LoRA rank", model.lora and model.lora.r),
        ("trainable parameters", f"{model.trainable_parameters:,} of {model.facts.total_parameters:,}"),
        ("global batch size", train.global_batch_size),
        ("epochs", train.num_train_epochs),
        ("steps", train.total_steps),
        ("learning rate", f"{train.learning_rate:g}"),
        ("scheduler", f"{train.lr_scheduler_type}, warmup over {train.warmup_steps:,} steps"),
        ("weight decay", f"{train.weight_decay:g}"),
        ("optimizer", train.optim),
        ("precision", plan.execution.precision),
        ("seed", train.seed),
    ]
    yield "## Training"
    yield ""
    rows = [[name, markdown_text(str(value))] for name, value in settings if value is not None]
    yield from markdown_table(("setting", "value"), rows, right=2)
    yield ""
