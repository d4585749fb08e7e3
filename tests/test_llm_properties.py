"""Every key of kind LLM changes a plan, or is declared cosmetic; and changes it where it should."""

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ftspec.driver.compile import compile_spec
from ftspec.paths import shared_folder
from ftspec.plan.codec import digest
from ftspec.plan.llm import LlmPlan
from ftspec.source.load import load_document
from ftspec.spec.llm import LlmSpec
from ftspec.store.project import Project
from tests.test_plan_properties import COSMETIC, _set, fingerprints, keys, spec_leaves, substance

MACHINE = "rtx4090"
Values = Mapping[str, Any]
Build = Callable[[str, Values], LlmPlan]

_QLORA: Values = {"adapter.type": "qlora", "model.quantization": {"bits": 8}}
_VALIDATED: Values = {"data.split.validation": 0.2}
_RAFT = "data.train.0"
_GIVEN = [
    {
        "type": "completion",
        "path": "data/extra.jsonl",
        "roles": {"prompt": "question", "completion": "answer", "answers": "answer"},
    }
]
# Leaf -> (spec in specs/llm-*.yaml, values that it needs first, values that change it). None removes a key.
CHANGES: dict[str, tuple[str, Values, Values]] = {
    "metadata.name": ("completion", {}, {"metadata.name": "other"}),
    "metadata.description": ("completion", {}, {"metadata.description": "Another sentence."}),
    "metadata.labels": ("completion", {}, {"metadata.labels": {"team": "search"}}),
    "model.base": ("completion", {}, {"model.base": "data/other-llm"}),
    "model.revision": ("completion", {}, {"model.revision": "main"}),
    "model.max_seq_length": ("completion", {}, {"model.max_seq_length": 96}),
    "model.quantization.bits": ("completion", _QLORA, {"model.quantization": {"bits": 4}}),
    "model.attention": ("completion", {}, {"model.attention": "eager"}),
    "model.trust_remote_code": ("completion", {}, {"model.trust_remote_code": True}),
    "adapter[lora].type": ("completion", {}, {"adapter.type": "dora"}),
    "adapter[lora].r": ("completion", {}, {"adapter.r": 4}),
    "adapter[lora].alpha": ("completion", {}, {"adapter.alpha": 8}),
    "adapter[lora].dropout": ("completion", {}, {"adapter.dropout": 0.1}),
    "adapter[lora].target_modules": ("completion", {}, {"adapter.target_modules": ["q_proj"]}),
    "adapter[lora].layers": ("completion", {}, {"adapter.layers": 1}),
    "data.train[chat].path": ("chat", {}, {"data.train.0.path": "data/fewer-chats.jsonl"}),
    "data.train[chat].format": ("chat", {}, {"data.train.0.format": "jsonl"}),
    "data.train[chat].roles.messages": ("chat", {}, {"data.train.0.roles.messages": "short"}),
    "data.train[chat].roles.tools": ("chat", {"data.train.0.path": "data/more-chats.jsonl"}, {"data.train.0.roles.tools": "tools"}),
    "data.train[chat].roles.answers": ("chat", {"data.train.0.path": "data/more-chats.jsonl"}, {"data.train.0.roles.answers": "answers"}),
    "data.train[chat].roles.group": ("chat", {"evaluation.slices": []}, {"data.train.0.roles.group": None}),
    "data.train[chat].roles.id": ("chat", {"data.train.0.path": "data/more-chats.jsonl"}, {"data.train.0.roles.id": "number"}),
    "data.train[completion].path": ("completion", {}, {"data.train.0.path": "data/fewer.jsonl"}),
    "data.train[completion].format": ("completion", {}, {"data.train.0.format": "jsonl"}),
    "data.train[completion].roles.prompt": ("completion", {}, {"data.train.0.roles.prompt": "class"}),
    "data.train[completion].roles.completion": ("completion", {}, {"data.train.0.roles.completion": "class"}),
    "data.train[completion].roles.answers": ("completion", {}, {"data.train.0.roles.answers": "class"}),
    "data.train[completion].roles.group": ("completion", {}, {"data.train.0.roles.group": None}),
    "data.train[completion].roles.id": ("completion", {}, {"data.train.0.roles.id": "answer"}),
    "data.train[completion].render": ("completion", {}, {"data.train.0.render": "text"}),
    "data.train[raft].documents.path": ("raft", {}, {f"{_RAFT}.documents.path": "data/more-documents.jsonl"}),
    "data.train[raft].documents.format": ("raft", {}, {f"{_RAFT}.documents.format": "jsonl"}),
    "data.train[raft].documents.roles.id": ("raft", {"data.on_error": "skip", f"{_RAFT}.documents.path": "data/more-documents.jsonl"}, {f"{_RAFT}.documents.roles": {"id": "also"}}),
    "data.train[raft].documents.roles.text": ("raft", {f"{_RAFT}.documents.path": "data/more-documents.jsonl"}, {f"{_RAFT}.documents.roles": {"text": "long"}}),
    "data.train[raft].documents.roles.title": ("raft", {f"{_RAFT}.documents.path": "data/more-documents.jsonl"}, {f"{_RAFT}.documents.roles": {"title": "also"}}),
    "data.train[raft].questions.path": ("raft", {}, {f"{_RAFT}.questions.path": "data/fewer-questions.jsonl"}),
    "data.train[raft].questions.format": ("raft", {}, {f"{_RAFT}.questions.format": "jsonl"}),
    "data.train[raft].questions.roles.question": ("raft", {f"{_RAFT}.questions.path": "data/fewer-questions.jsonl"}, {f"{_RAFT}.questions.roles": {"question": "id"}}),
    "data.train[raft].questions.roles.answers": ("raft", {f"{_RAFT}.questions.path": "data/fewer-questions.jsonl"}, {f"{_RAFT}.questions.roles": {"answers": "document"}}),
    "data.train[raft].questions.roles.document": ("raft", {"data.on_error": "skip", f"{_RAFT}.questions.path": "data/fewer-questions.jsonl"}, {f"{_RAFT}.questions.roles": {"document": "also"}}),
    "data.train[raft].questions.roles.group": ("raft", {}, {f"{_RAFT}.questions.roles": {"group": "document"}}),
    "data.train[raft].questions.roles.id": ("raft", {}, {f"{_RAFT}.questions.roles": {"id": "id"}}),
    "data.train[raft].distractors": ("raft", {}, {f"{_RAFT}.distractors": 3}),
    "data.train[raft].oracle_probability": ("raft", {}, {f"{_RAFT}.oracle_probability": 0.5}),
    "data.train[raft].retriever": ("raft", {}, {f"{_RAFT}.retriever": "random"}),
    "data.train[raft].when_absent": ("raft", {}, {f"{_RAFT}.when_absent": "answer"}),
    "data.train[raft].prompt": ("raft", {}, {f"{_RAFT}.prompt": "Quote, then answer."}),
    "data.train[raft].render": ("raft", {}, {f"{_RAFT}.render": "text"}),
    "data.train[raft].seed": ("raft", {}, {f"{_RAFT}.seed": 14}),
    "data.evaluation": ("completion", {"data.split": {}}, {"data.evaluation": _GIVEN, "data.split": {}}),
    "data.filters.deduplicate": ("completion", {}, {"data.filters.deduplicate": False}),
    "data.limit.train": ("completion", {}, {"data.limit.train": 16}),
    "data.limit.test": ("completion", {}, {"data.limit.test": 6}),
    "data.split.by": ("completion", {}, {"data.split.by": "group"}),
    "data.split.test": ("completion", {}, {"data.split.test": 0.3}),
    "data.split.validation": ("completion", {}, _VALIDATED),
    "data.split.seed": ("completion", {}, {"data.split.seed": 14}),
    "data.split.leakage": ("completion", {"data.evaluation": _GIVEN, "data.split": {}}, {"data.split.leakage": "drop_train"}),
    "data.on_error": ("completion", {}, {"data.on_error": "skip"}),
    "train.num_train_epochs": ("completion", {}, {"train.num_train_epochs": 3}),
    "train.max_steps": ("completion", {"train.num_train_epochs": None}, {"train.max_steps": 5}),
    "train.lr_scheduler_type": ("completion", {}, {"train.lr_scheduler_type": "cosine"}),
    "train.lr_num_cycles": ("completion", {"train.lr_scheduler_type": "cosine_with_restarts"}, {"train.lr_num_cycles": 2}),
    "train.warmup_ratio": ("completion", {}, {"train.warmup_ratio": 0.5}),
    "train.warmup_steps": ("completion", {}, {"train.warmup_steps": 3}),
    "train.weight_decay": ("completion", {}, {"train.weight_decay": 0.01}),
    "train.max_grad_norm": ("completion", {}, {"train.max_grad_norm": 0.5}),
    "train.optim": ("completion", {}, {"train.optim": "adafactor"}),
    "train.seed": ("completion", {}, {"train.seed": 1}),
    "train.eval_steps": ("completion", _VALIDATED, {"train.eval_steps": 2}),
    "train.save_steps": ("completion", {}, {"train.save_steps": 3}),
    "train.logging_steps": ("completion", {}, {"train.logging_steps": 2}),
    "train.train_on": ("chat", {}, {"train.train_on": "all"}),
    "train.packing": ("completion", {"resources.backend": "trl"}, {"train.packing": True}),
    "train.too_long": ("completion", {}, {"train.too_long": "truncate"}),
    "train.global_batch_size": ("completion", {}, {"train.global_batch_size": 2}),
    "train.learning_rate": ("completion", {}, {"train.learning_rate": 1e-4}),
    "train.checks.rising_loss": ("completion", {}, {"train.checks.rising_loss": "warn"}),
    "train.checks.divergence": ("completion", {}, {"train.checks.divergence": "off"}),
    "train.checks.divergence_factor": ("completion", {}, {"train.checks.divergence_factor": 5.0}),
    "evaluation.metrics": ("completion", {}, {"evaluation.metrics": ["token_f1", "loss"]}),
    "evaluation.generate_rows": ("completion", {}, {"evaluation.generate_rows": 5}),
    "evaluation.max_new_tokens": ("completion", {}, {"evaluation.max_new_tokens": 8}),
    "evaluation.slices": ("chat", {}, {"evaluation.slices": []}),
    "evaluation.bootstrap.resamples": ("completion", {}, {"evaluation.bootstrap.resamples": 500}),
    "evaluation.bootstrap.confidence": ("completion", {}, {"evaluation.bootstrap.confidence": 0.9}),
    "evaluation.bootstrap.seed": ("completion", {}, {"evaluation.bootstrap.seed": 8}),
    "gates.*.min": ("completion", {}, {"gates.token_f1": {"min": 0.4}}),
    "gates.*.max": ("completion", {}, {"gates.loss": {"max": 6.0}}),
    "gates.*.min_gain": ("completion", {}, {"gates.loss": {"min_gain": 0.01}}),
    "gates.*.confidence": ("completion", {}, {"gates.loss": {"min_gain": 0, "confidence": 0.9}}),
    "resources.backend": ("completion", {}, {"resources.backend": "trl"}),
    "resources.precision": ("completion", {}, {"resources.precision": "fp32"}),
    "resources.device": ("completion", {}, {"resources.device": "cpu"}),
    "resources.num_processes": ("completion", {}, {"resources.num_processes": 1}),
    "resources.limits.memory": ("completion", {}, {"resources.limits.memory": "8GiB"}),
    "resources.limits.threads": ("completion", {}, {"resources.limits.threads": 2}),
    "export.dtype": ("completion", {}, {"export.dtype": "fp32"}),
    "export.merge": ("completion", {}, {"export.merge": False}),
    "export.path": ("completion", {}, {"export.path": "out"}),
}  # fmt: skip
ELSEWHERE = {
    "gates.*.p50_max",  # bound a latency, which kind LLM does not measure: refused
    "gates.*.p95_max",
    "data.train[raft].answers",  # `written` reads what `synthesize` wrote: tests/synth
}
# The only other valid value says what was decided anyway: the origin changes, from decided to given.
ORIGIN_ONLY = {
    "data.train[chat].format",
    "data.train[completion].format",
    "data.train[raft].documents.format",
    "data.train[raft].questions.format",
    "resources.num_processes",
}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("properties")
    shutil.copytree(shared_folder("specs"), folder / "specs")
    _more_data(folder / "specs" / "data")
    project = Project(folder)
    known: dict[str, LlmPlan] = {}

    def plan(name: str, values: Values) -> LlmPlan:
        document, _ = load_document(folder / "specs" / f"llm-{name}.yaml")
        assert document is not None
        tree = document.tree
        for path, value in values.items():
            _set(tree, path.split("."), copy.deepcopy(value))
        text = json.dumps(tree)
        if text not in known:
            spec = folder / "specs" / "changed.yaml"
            spec.write_text(text, encoding="utf-8")
            made, found = compile_spec(spec, project=project, hardware_name=MACHINE)
            assert made is not None, [*found]
            assert isinstance(made.plan, LlmPlan)
            known[text] = made.plan
        return known[text]

    return plan


def _more_data(data: Path) -> None:
    def lines(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (data / name).read_text(encoding="utf-8").splitlines()]

    def write(name: str, rows: list[dict[str, Any]]) -> None:
        (data / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    pairs = lines("http-pairs.jsonl")
    write("fewer.jsonl", pairs[:-5])
    extra = [
        {"question": f"{row['question']}, please", "answer": row["answer"], "class": row["class"]}
        for row in pairs[:8]
    ]
    write("extra.jsonl", extra)
    chats = lines("http-chats.jsonl")
    for number, row in enumerate(chats):
        row |= {"short": row["messages"][:3], "number": f"chat-{number}", "answers": ["yes"]}
        row["tools"] = [{"type": "function", "function": {"name": f"look_up_{number}", "parameters": {}}}]
    write("http-chats.jsonl", chats)
    write("more-chats.jsonl", chats)
    write("fewer-chats.jsonl", chats[:-4])
    documents = lines("http-documents.jsonl")
    for place, row in enumerate(documents):
        row |= {"long": f"{row['text']} It is one of many.", "also": documents[place - 1]["id"]}
    write(
        "more-documents.jsonl", [*documents[1:], documents[0] | {"text": documents[0]["text"] + " Indeed."}]
    )
    questions = lines("http-questions.jsonl")
    for row in questions:
        row["also"] = row["document"]
    questions[0]["document"] = questions[5]["document"]
    questions[0]["answers"] = questions[5]["answers"]
    write("fewer-questions.jsonl", questions[:-6])
    shutil.copytree(data / "tiny-llm", data / "other-llm")
    config = json.loads((data / "other-llm" / "config.json").read_text(encoding="utf-8"))
    (data / "other-llm" / "config.json").write_text(
        json.dumps(config | {"rms_norm_eps": 1e-5}), encoding="utf-8"
    )


def test_the_table_has_every_key() -> None:
    leaves = {leaf for leaf in spec_leaves(LlmSpec) if ".synthesize." not in leaf}  # tests/synth/test_keys.py
    assert {*CHANGES, *ELSEWHERE} == leaves


@pytest.mark.parametrize("leaf", CHANGES)
def test_every_key_changes_the_plan(leaf: str, build: Build) -> None:
    name, needs, change = CHANGES[leaf]
    before, after = build(name, needs), build(name, {**needs, **change})
    assert before.spec_hash != after.spec_hash
    assert digest(before) != digest(after)
    if leaf in ORIGIN_ONLY:
        assert substance(before) == substance(after)
        assert before.origins != after.origins
    else:
        assert substance(before) != substance(after)
    if leaf in COSMETIC:
        assert fingerprints(before) == fingerprints(after)
        assert keys(before) == keys(after)


def changed_stages(build: Build, after: Values, name: str = "completion") -> set[str]:
    old, new = keys(build(name, {})), keys(build(name, after))
    return {stage for stage in old if old[stage] != new[stage]}


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"evaluation.bootstrap.seed": 9}, {"evaluate", "gate", "register"}),
        ({"gates.loss": {"min_gain": 0.1}}, {"gate", "register"}),
        ({"evaluation.max_new_tokens": 9}, {"score_base", "score_tuned", "evaluate", "gate", "register"}),
        ({"train.learning_rate": 1e-4}, {"train", "score_tuned", "evaluate", "gate", "register"}),
        ({"adapter.r": 4}, {"train", "score_tuned", "evaluate", "gate", "register"}),
        ({"resources.limits.threads": 2}, set()),
        # another precision scores anew, and does not train anew
        ({"resources.precision": "fp32"}, {"score_base", "score_tuned", "evaluate", "gate", "register"}),
    ],
)
def test_a_change_runs_what_reads_it(change: Values, stages: set[str], build: Build) -> None:
    assert changed_stages(build, change) == stages


def test_the_number_of_test_rows_does_not_retrain(build: Build) -> None:
    assert "train" not in changed_stages(build, {"data.limit.test": 6})
