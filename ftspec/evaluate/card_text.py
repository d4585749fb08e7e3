"""What the card and the passport of an LLM say that those of other kinds do not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.evaluate.card_front import front_matter, hub_base
from ftspec.evaluate.evidence import Summary
from ftspec.evaluate.words import counted, markdown_table, markdown_text, metric_label
from ftspec.plan.codec import plan_document
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.plan.llm_data import ANSWER_MARK, QUOTE_BEGIN, QUOTE_END, REFUSAL, RaftPlan
from ftspec.plan.metrics import metric_traits
from ftspec.store.registry import ADAPTER, folder_digest

# Weights of an adapter folder -> the library that loads it.
_FORMATS = {
    "adapter_model.safetensors": "peft",
    "adapter_model.bin": "peft",
    "adapters.safetensors": "mlx_lm",
}
_TRAINED_ON = {
    "completions": "the last answer of each row",
    "assistant": "everything that the assistant says",
    "all": "all tokens, prompts too",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a train stage left behind. `parity`: how near the merged model's logits are to those of base and
    adapter; None where nothing was merged."""

    merged: bool  # model/ holds all weights
    adapter_digest: str | None
    adapter_format: str | None  # peft | mlx_lm
    warm_started: bool
    parity: Mapping[str, float] | None


def read_trained(train: Path) -> Trained:
    """Of the artefact of a train stage. Raises FtspecError FTS612 when it is damaged."""
    adapter = train / ADAPTER
    try:
        info = json.loads((train / "info.json").read_text(encoding="utf-8"))
        parity = info.get("parity")
        return Trained(
            merged=(train / "model").is_dir(),
            adapter_digest=folder_digest(adapter) if adapter.is_dir() else None,
            adapter_format=adapter_format(adapter),
            warm_started=bool(info.get("warm_started", False)),
            parity=None if parity is None else {name: float(value) for name, value in parity.items()},
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FtspecError(
            Diagnostic(
                code=codes.ARTIFACT_DAMAGED,
                detail=f"{train.name}/info.json: {type(error).__name__}",
                help="`ftspec apply` of the spec makes it again",
            )
        ) from error


def adapter_format(adapter: Path) -> str | None:
    """Which library's format an adapter folder has; None for no adapter."""
    return next((name for file, name in _FORMATS.items() if (adapter / file).is_file()), None)


def passport_part(plan: LlmPlan, trained: Trained) -> dict[str, Any]:
    """What was trained and how it is loaded, as JSON values."""
    document = plan_document(plan)
    adapter = None
    if plan.adapter.type != "full":
        adapter = {
            **document["adapter"],
            "digest": trained.adapter_digest,
            "format": trained.adapter_format,
            "folder": ADAPTER,
        }
    return {
        "model": {
            "max_seq_length": plan.model.max_seq_length,
            "trust_remote_code": plan.model.trust_remote_code,
            "quantization_bits": plan.model.quantization_bits,
            "hub_base": hub_base(plan),
            "merged": trained.merged,
            "dtype": plan.export.dtype,
        },
        "adapter": adapter,
        "training": {
            "backend": plan.execution.backend,
            "train_on": plan.train.train_on,
            "warm_started": trained.warm_started,
        },
        "parity": None if trained.parity is None else dict(trained.parity),
    }


def front(plan: LlmPlan, trained: Trained) -> Iterator[str]:
    kind = () if plan.adapter.type == "full" else (plan.adapter.type,)
    return front_matter(
        plan,
        library="transformers" if trained.merged else _library(trained),
        pipeline="text-generation",
        tags=("text-generation", *kind, "ftspec"),
        relation="finetune" if trained.merged else "adapter",
    )


def _library(trained: Trained) -> str:
    return "mlx" if trained.adapter_format == "mlx_lm" else "peft"


def usage_lines(plan: LlmPlan, trained: Trained) -> Iterator[str]:
    yield "## Use"
    yield ""
    if trained.merged:
        yield "The folder holds all weights:"
        yield ""
        yield "```python"
        yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
        yield ""
        yield f'model = AutoModelForCausalLM.from_pretrained("path/to/this/folder"{_trust(plan)})'
        yield f'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder"{_trust(plan)})'
        yield "```"
        yield ""
        yield '`mlx_lm.load("path/to/this/folder")` loads it on Apple Silicon.'
        yield ""
    if plan.adapter.type != "full":
        yield from _adapter_usage(plan, trained)
    rendered = sorted(set(plan.data.facts.render))
    if "chat" in rendered:
        yield "Prompts are messages, put through the chat template of the tokenizer."
    if "text" in rendered:
        yield "Prompts are plain text, answered right where they end."
    yield f"Prompt and answer have at most {plan.model.max_seq_length:,} tokens together."
    if any(source.type == "raft" for source in plan.data.train):
        yield (
            f"Answers cite between `{QUOTE_BEGIN}` and `{QUOTE_END}`, and say after `{ANSWER_MARK}` what "
            "was asked for."
        )
    yield ""


def _trust(plan: LlmPlan) -> str:
    return ", trust_remote_code=True" if plan.model.trust_remote_code else ""


def _adapter_usage(plan: LlmPlan, trained: Trained) -> Iterator[str]:
    base = repr(hub_base(plan) or "path/to/the/base")
    adapter = f'"path/to/this/folder/{ADAPTER}"'
    yield (
        "The adapter alone, on the base that it was trained on:"
        if not trained.merged
        else ("The same as an adapter on its base:")
    )
    yield ""
    yield "```python"
    if trained.adapter_format == "mlx_lm":
        yield "from mlx_lm import load"
        yield ""
        yield f"model, tokenizer = load({base}, adapter_path={adapter})"
    else:
        yield "from peft import PeftModel"
        yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
        yield ""
        yield f"base = AutoModelForCausalLM.from_pretrained({base}{_trust(plan)})"
        yield f"model = PeftModel.from_pretrained(base, {adapter})"
        yield f"tokenizer = AutoTokenizer.from_pretrained({base}{_trust(plan)})"
    yield "```"
    yield ""


def data_lines(plan: LlmPlan) -> Iterator[str]:
    facts = plan.data.facts
    yield "## Data"
    yield ""
    for source in facts.sources:
        yield f"- {markdown_text(source.label)} ({source.type}, {source.rows:,} rows, `{source.digest}`)"
    yield ""
    how = "given apart" if facts.split_by == "given" else f"held out by {facts.split_by}"
    yield (
        f"Trained on {facts.train_rows:,} rows ({facts.trained_tokens:,} trained tokens: "
        f"{_TRAINED_ON[plan.train.train_on]}); tested on {facts.test_rows:,} rows, which were {how}. "
        f"Training and test share {counted(facts.leaked_prompts, 'prompt', 'prompts')} and "
        f"{counted(facts.leaked_documents, 'document', 'documents')}."
    )
    if facts.dropped_too_long or facts.truncated or facts.prompt_too_long:
        yield (
            f"Too long for {plan.model.max_seq_length:,} tokens: {facts.dropped_too_long:,} rows left out, "
            f"{facts.truncated:,} cut, {facts.prompt_too_long:,} left out for their prompt alone."
        )
    yield ""
    for each in (*plan.data.train, *plan.data.evaluation):
        if each.raft is not None:
            yield from _raft_lines(each.raft)
    if facts.raft is not None:
        raft = facts.raft
        yield (
            f"Of {raft.questions:,} questions over {raft.documents:,} documents, {raft.oracle_present:,} show "
            f"the document that answers them; {raft.refusals:,} are answered by a refusal."
        )
        if facts.raft_rows not in (0, raft.questions):
            yield (
                f"After split and limits {facts.raft_rows:,} of them are left: {facts.raft_oracle_present:,} with that "
                f"document, {facts.raft_refusals:,} refusals."
            )
        yield ""


def _raft_lines(raft: RaftPlan) -> Iterator[str]:
    """Settings by which rows were made from documents and questions."""
    absent = f'are refused ("{REFUSAL}")' if raft.when_absent == "refuse" else "are answered all the same"
    chosen = "drawn at random" if raft.retriever == "random" else f"chosen by {raft.retriever}"
    answers = (
        "are extractive: a verbatim sentence of the document and the answer, no written reasoning"
        if raft.answers == "extractive"
        else "were written by a model"
    )
    yield (
        f"- Rows from documents: {raft.distractors} distractors {chosen}; the answering document is shown "
        f"in {raft.oracle_probability * 100:g} % of the rows, rows without it {absent}. Answers {answers}."
    )
    if raft.synthesize is not None:
        yield (
            f"- {markdown_text(raft.synthesize.model)} wrote questions or answers of these rows: what it got "
            "wrong was trained."
        )
    yield ""


def training_lines(plan: LlmPlan, trained: Trained) -> Iterator[str]:
    train, model, adapter = plan.train, plan.model, plan.adapter
    settings: list[tuple[str, object]] = [
        ("base model", model.base),
        ("base digest", model.facts.digest),
        ("base quantised to", model.quantization_bits and f"{model.quantization_bits} bits"),
        *_adapter_settings(adapter),
        ("adapter digest", trained.adapter_digest),
        ("trainable parameters", f"{model.trainable_parameters:,} of {model.facts.total_parameters:,}"),
        ("trained on", _TRAINED_ON[train.train_on]),
        ("packing", "on" if train.packing else "off"),
        ("global batch size", train.global_batch_size),
        ("epochs", train.num_train_epochs),
        ("steps", train.total_steps),
        ("learning rate", f"{train.learning_rate:g}"),
        (
            "scheduler",
            f"{train.lr_scheduler_type}, warmup over {counted(train.warmup_steps, 'step', 'steps')}",
        ),
        ("weight decay", f"{train.weight_decay:g}"),
        ("optimizer", train.optim),
        ("precision", plan.execution.precision),
        ("backend", plan.execution.backend),
        ("seed", train.seed),
    ]
    yield "## Training"
    yield ""
    rows = [[name, markdown_text(str(value))] for name, value in settings if value is not None]
    yield from markdown_table(("setting", "value"), rows, right=2)
    yield ""
    if trained.parity is not None:
        yield from _parity_lines(trained.parity)


def _adapter_settings(adapter: AdapterPlan) -> list[tuple[str, object]]:
    if adapter.type == "full":
        return [("adapter", "none: all weights were trained")]
    return [
        ("adapter", adapter.type),
        ("rank", adapter.r),
        ("alpha", adapter.alpha),
        ("dropout", adapter.dropout and f"{adapter.dropout:g}"),
        ("target modules", ", ".join(adapter.target_modules)),
        ("layers", "all" if adapter.layers is None else f"the last {adapter.layers}"),
    ]


def _parity_lines(parity: Mapping[str, float]) -> Iterator[str]:
    yield (
        f"Merged weights against base and adapter, on {counted(int(parity['rows']), 'row', 'rows')}: logits differ by "
        f"{parity['max_abs_logit_difference']:.3g} at most ({parity['tolerance']:.3g} is allowed) and by "
        f"{parity['mean_abs_logit_difference']:.3g} on average; {parity['argmax_agreement'] * 100:.2f} % of "
        "the next tokens are the same."
    )
    yield ""


def limit_lines(plan: LlmPlan, summary: Summary, trained: Trained) -> Iterator[str]:
    """What the numbers do not say."""
    measured = {metric.metric for metric in summary.metrics}
    yield "## Limits"
    yield ""
    yield (
        "- Measured on rows of the same sources only. The loss says how well the model foretells their "
        "answers, not whether what it writes is true."
    )
    written = sorted(
        metric_label(name)
        for name in measured
        if (traits := metric_traits(name)) is not None and traits.needs_generation
    )
    if written:
        yield (
            f"- {', '.join(written)}: of answers written greedily, of at most "
            f"{plan.evaluation.max_new_tokens:,} tokens. They compare words and marks; a right answer in "
            "other words counts as wrong."
        )
    else:
        yield "- No answer was generated: what the model writes was not looked at."
    if trained.warm_started:
        yield (
            "- **Warm start**: training was interrupted, and went on with the weights alone. The optimizer "
            "lost its state, so a repeat will not give the same weights."
        )
    if plan.model.quantization_bits is not None and plan.adapter.type != "full":
        yield (
            f"- The adapter was trained on a base of {plan.model.quantization_bits} bits; on the base in "
            "full precision it behaves a little differently."
        )
    yield ""
