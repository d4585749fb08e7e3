"""What `apply` says at its end: one JSON line for programs, a summary with next steps for people."""

import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ftspec.evaluate.evidence import means
from ftspec.evaluate.outcome import UNCHANGED, ApplyResult
from ftspec.hardware.model import format_bytes
from ftspec.view.amounts import seconds_text
from ftspec.view.evidence import render_evidence
from ftspec.view.safe_text import safe


class ResultDocument(BaseModel):
    """The last line of `ftspec apply --format json`."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    format_version: Literal["1.0"] = "1.0"
    run_id: str
    """The run that made the evidence; `ftspec show RUN` shows its plan."""
    spec_hash: str
    plan_digest: str
    verdict: Literal["passed", "failed", "inconclusive", "unchanged"]
    """What this apply came to."""
    standing_verdict: Literal["passed", "failed", "inconclusive"]
    """What the gates said, also when nothing had to run."""
    metrics: dict[Literal["base", "tuned"], dict[str, float]]
    """Mean over the held-out queries, at full width; of an LLM over the held-out rows."""
    model_path: str
    """A SentenceTransformer folder, or that of an LLM; it is registered only when `model` is not null."""
    model: dict[Literal["name", "version"], str] | None = None
    gates: list[dict[str, Any]] = Field(default_factory=list)
    """One entry per bound, with its outcome and reason."""
    resumed_from_step: int | None = None
    """Optimizer step of the checkpoint that training went on from."""
    extended_from: dict[Literal["run_id", "step"], str | int] | None = None
    """The finished training whose last state this one went on from, and its last step; null: it began at its start."""
    tainted: list[str] = Field(default_factory=list)
    """Inputs that changed while the run went on; such a run is not promoted. Empty: none did."""
    current_before: str | None = None
    """The version that queries loaded until this apply put that of `model` in its place; null: none, or the same."""


def result_document(result: ApplyResult) -> dict[str, Any]:
    from ftspec.evaluate.gates import verdict_document

    document = ResultDocument(
        run_id=result.run_id,
        spec_hash=result.spec_hash,
        plan_digest=result.plan_digest,
        verdict=result.verdict,
        standing_verdict=result.standing,
        metrics=means(result.summary),
        model_path=str(result.model_path),
        model=None
        if result.model_name is None or result.model_version is None
        else {"name": result.model_name, "version": result.model_version},
        gates=verdict_document(result.gates)["gates"],
        resumed_from_step=result.resumed_from_step,
        extended_from=None if result.extended_from is None else asdict(result.extended_from),
        tainted=list(result.tainted),
        current_before=result.current_before,
    )
    return document.model_dump(mode="json")


def result_line(result: ApplyResult) -> str:
    return json.dumps(result_document(result), ensure_ascii=False)


def result_schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ftspec:schema:result:1",
        **ResultDocument.model_json_schema(),
    }


def render_result(result: ApplyResult, *, spec_path: str, width: int, color: bool) -> str:
    """Evidence, where the model is, and what to do next."""
    lines = [render_evidence(result.summary, result.gates, width=width, color=color).rstrip("\n"), ""]
    if result.verdict == UNCHANGED:
        lines.append(
            f"Unchanged: everything is stored already, nothing ran. Evidence of run {result.run_id}."
        )
    else:
        lines.append(f"Run {result.run_id} took {seconds_text(result.seconds)}{_prediction(result)}.")
    if result.extended_from is not None:
        one = result.extended_from
        lines.append(
            f"Its training extends that of run {safe(one.run_id)}: it went on from step {one.step:,}."
        )
    model = _relative(result.model_path)
    if result.tainted:
        lines.append("Tainted: these inputs changed while it ran, so what it was made from is not certain.")
        lines += [f"  {safe(each)}" for each in result.tainted]
    if result.model_name is not None:
        note = ", tainted and therefore not current" if result.tainted else ""
        lines.append(f"Registered as {result.model_name} {result.model_version}{note}: {model}")
        if result.current_before is not None:
            lines.append(f"It is current now; before, {result.current_before} was.")
    else:
        lines.append(
            f"Not registered, the base model stays in place. The trained model is kept for a look: {model}"
        )
    lines += ["", "Next"]
    steps = _next_steps(result, spec_path)
    widest = max(len(command) for command, _ in steps)
    if widest + max(len(what) for _, what in steps) + 4 <= width:
        lines += [f"  {command:<{widest}}  {what}" for command, what in steps]
    else:
        lines += [line for command, what in steps for line in (f"  {command}", f"      {what}")]
    return "\n".join(lines)


def _prediction(result: ApplyResult) -> str:
    parts = []
    if result.peak_memory_bytes is not None:
        parts.append(f"at most {format_bytes(result.peak_memory_bytes)} of memory")
    if result.predicted_seconds is not None and result.predicted_peak_memory_bytes is not None:
        parts.append(
            f"planned: {seconds_text(result.predicted_seconds)}, {format_bytes(result.predicted_peak_memory_bytes)}"
        )
    return f" ({'; '.join(parts)})" if parts else ""


def _next_steps(result: ApplyResult, spec_path: str) -> list[tuple[str, str]]:
    steps = []
    is_text = result.summary.text is not None
    if result.model_name is not None and is_text:
        steps.append((f"ftspec models show {result.model_name}", "where it lies, and how it is loaded"))
    elif result.model_name is not None:
        steps.append((f'ftspec query {result.model_name} "parse a date"', "search with it"))
    if result.tainted:
        steps.insert(0, (f"ftspec apply {shlex.quote(spec_path)}", "again, while the inputs stand still"))
    steps.append((f"ftspec eval {result.run_id}", "the evidence again, with slices and examples"))
    if spec_path.endswith((".yaml", ".yml")):
        path = shlex.quote(spec_path)
        rate = "5e-5" if is_text else "3e-5"
        steps.append((f"ftspec plan {path} --set train.learning_rate={rate}", "what a change would cost"))
        if not is_text:
            steps.append(("ftspec init mine.yaml --path PATH/TO/CODE", "a spec for your own code"))
    return steps


def _relative(path: Path) -> str:
    """Relative to the working directory where that is shorter to read."""
    text = os.path.relpath(path)
    return str(path) if text.startswith("..") else text
