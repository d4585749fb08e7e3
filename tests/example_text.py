"""An LLM plan, a split and scores made on the spot, for tests of what comes after scoring."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ftspec.plan.facts import DecoderFacts, SourceFacts, TextLengths
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import (
    AdapterPlan,
    LlmChecks,
    LlmEvaluationPlan,
    LlmExecutionPlan,
    LlmExportPlan,
    LlmModelPlan,
    LlmPlan,
    LlmTrainPlan,
)
from ftspec.plan.llm_data import (
    ANSWER_MARK,
    QUOTE_BEGIN,
    QUOTE_END,
    REFUSAL,
    LlmDataFacts,
    LlmDataPlan,
    LlmFilters,
    LlmLimit,
    LlmSource,
    RaftFacts,
    RaftFile,
    RaftPlan,
)
from ftspec.plan.model import Bootstrap, Gate, Split
from tests.example_evidence import example_plan, write_lines

_LENGTHS = TextLengths(count=10, mean=9.0, p50=9, p95=12, max=14, share_above_limit=0.0, padded_mean=11.0)
ROWS = 40
TOKENS = 4  # trained tokens of each row
LORA = AdapterPlan(type="lora", r=8, alpha=16, dropout=0.0, target_modules=("q_proj", "v_proj"))


def example_text_plan(
    *,
    gates: Mapping[str, Gate] | None = None,
    adapter: AdapterPlan = LORA,
    merge: bool = True,
    raft: bool = True,
    **evaluation: Any,
) -> LlmPlan:
    """A plan of an LLM run; keyword arguments replace fields of `evaluation`."""
    other = example_plan()
    encoder = {field.name: getattr(other.model.facts, field.name) for field in fields(other.model.facts)}
    source = SourceFacts(
        label="data/corpus.jsonl",
        type="raft",
        digest="sha256:" + "e" * 64,
        files=2,
        rows=120,
        skipped=0,
        skip_examples=(),
    )
    facts = LlmDataFacts(
        digest="sha256:" + "d" * 64,
        sources=(source,),
        train_rows=80,
        split_by="document",
        train_groups=8,
        test_groups=4,
        duplicates_removed=0,
        leak_examples=(),
        slices=("topic",),
        render=("chat",),
        tokenizer_digest="sha256:" + "9" * 64,
        validation_rows=0,
        test_rows=ROWS,
        sequences=80,
        leaked_prompts=0,
        leaked_documents=0,
        dropped_too_long=2,
        truncated=0,
        prompt_too_long=1,
        test_dropped=0,
        lengths=_LENGTHS,
        prompt_lengths=_LENGTHS,
        completion_lengths=_LENGTHS,
        train_tokens=900,
        trained_tokens=300,
        test_tokens=450,
        tested_tokens=ROWS * TOKENS,
        longest_prompt=12,
        template_refused=0,
        test_with_answers=ROWS * 3 // 4,
        test_raft=ROWS // 2,
        raft=RaftFacts(
            documents=60,
            questions=120,
            oracle_present=96,
            refusals=24,
            distractors=4,
            retriever="bm25",
            answers="extractive",
            answers_not_found=3,
            random_distractors=0,
            mean_overlap=0.4,
            examples=(),
        )
        if raft
        else None,
    )
    plan = RaftPlan(
        documents=RaftFile(path="data/corpus.jsonl"),
        questions=RaftFile(path="data/qa.jsonl"),
        synthesize=None,
        distractors=4,
        oracle_probability=0.8,
        retriever="bm25",
        when_absent="refuse",
        answers="extractive",
        prompt=None,
        seed=13,
    )
    settings = {
        "metrics": ("loss", "perplexity", "exact_match", "token_f1"),
        "primary": "loss",
        "slices": (),
        "baseline": "base",
        "baseline_facts": None,
        "bootstrap": Bootstrap(resamples=500, confidence=0.95, seed=7),
        "detectable_gain": 0.1,
        "generate_rows": ROWS,
        "max_new_tokens": 32,
        **evaluation,
    }
    return LlmPlan(
        kind="LLM",
        name="example",
        description="Answers questions.",
        labels=FrozenMap(),
        spec_path="specs/example.yaml",
        spec_hash="sha256:" + "a" * 64,
        machine=other.machine,
        model=LlmModelPlan(
            base="tiny",
            revision=None,
            max_seq_length=512,
            trust_remote_code=False,
            trainable_parameters=1_000,
            quantization_bits=None,
            facts=DecoderFacts(
                **encoder,
                num_key_value_heads=2,
                head_dim=8,
                tied_embeddings=True,
                linear_parameters=4_000,
                chat_template=True,
                eos_token_ids=(2,),
                rope_type="default",
                rope_theta=10_000.0,
            ),
        ),
        adapter=adapter,
        data=LlmDataPlan(
            folder="/nowhere",
            train=(LlmSource(type="raft", render="chat", raft=plan),),
            evaluation=(),
            split=Split(by="auto", test=0.2, validation=0.0, seed=7),
            on_error="fail",
            facts=facts,
            filters=LlmFilters(),
            limit=LlmLimit(),
        ),
        train=LlmTrainPlan(
            global_batch_size=8,
            num_train_epochs=1.0,
            total_steps=10,
            learning_rate=1e-4,
            lr_scheduler_type="linear",
            lr_num_cycles=None,
            warmup_steps=1,
            weight_decay=0.0,
            max_grad_norm=1.0,
            optim="adamw",
            seed=7,
            eval_steps=None,
            save_steps=10,
            logging_steps=1,
            train_on="completions",
            packing=False,
            too_long="drop",
            checks=LlmChecks(rising_loss="fail", divergence="fail", divergence_factor=3.0),
        ),
        evaluation=LlmEvaluationPlan(**settings),
        gates=FrozenMap(gates if gates is not None else {"loss": Gate(min_gain=0.0, confidence=0.95)}),
        export=LlmExportPlan(dtype="bf16", path=None, merge=merge),
        execution=LlmExecutionPlan(backend="trl", device="cpu", precision="fp32"),
        origins=FrozenMap(),
    )


def row_id(number: int) -> str:
    return f"r{number:03d}"


def cited(number: int) -> str:
    """The trained answer of an even row."""
    return f"{QUOTE_BEGIN}The value {number} is kept.{QUOTE_END} {ANSWER_MARK} value {number}"


def write_text_split(folder: Path, *, rows: int = ROWS) -> Path:
    """Four kinds of rows in turn: with the oracle, chat without documents, refusal, prompt and completion."""
    write_lines(folder / "test.jsonl", [_row(number) for number in range(rows)])
    (folder / "report.json").write_text("{}\n", encoding="utf-8")
    return folder


def _row(number: int) -> dict[str, Any]:
    row: dict[str, Any] = {"id": row_id(number), "slices": {"topic": "abbc"[number % 4]}}
    oracle = {"id": f"d{number}", "text": f"Kept things. The value {number}\nis kept."}
    others = [{"id": f"o{number}{each}", "text": f"The value {each} is lost."} for each in "xy"]
    if number % 4 in (0, 2):
        present = number % 4 == 0
        answer = cited(number) if present else f"{ANSWER_MARK} {REFUSAL}"
        row["raft"] = {
            "question": f"Which value [is] kept in {number}?",
            "oracle_id": oracle["id"],
            "oracle": oracle["text"],
            "documents": [others[0], oracle, others[1]] if present else [*others, others[0]],
            "present": present,
            "refuse": not present,
        }
        row["answers"] = [f"value {number}", f"the value {number}."]
        row["messages"] = [
            {"role": "user", "content": f"Documents. {number}?"},
            {"role": "assistant", "content": answer},
        ]
    elif number % 4 == 1:
        row["messages"] = [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": f"word {number} " * 40},
            {"role": "assistant", "content": f"word {number}"},
        ]
    else:
        row |= {"prompt": f"say {number}", "completion": f"said {number}", "answers": [f"said {number}"]}
    return row


def trained_answer(number: int) -> str:
    """What the row teaches."""
    row = _row(number)
    return row["messages"][-1]["content"] if "messages" in row else row["completion"]


def write_scores(
    folder: Path, losses: Sequence[float], answers: Sequence[str] | None = None, *, tokens: int = TOKENS
) -> Path:
    """losses[i] nats per token of row i; answers of the first rows."""
    write_lines(
        folder / "losses.jsonl",
        [{"id": row_id(i), "nll": loss * tokens, "tokens": tokens} for i, loss in enumerate(losses)],
    )
    if answers is not None:
        write_lines(
            folder / "answers.jsonl",
            [{"id": row_id(i), "text": text} for i, text in enumerate(answers)],
        )
    info = {"seconds": 1.0, "peak_memory_bytes": 1, "tokens_per_second": 1.0, "device": "cpu"}
    (folder / "info.json").write_text(json.dumps(info), encoding="utf-8")
    return folder
