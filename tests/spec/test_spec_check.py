import time
from pathlib import Path
from typing import Any

import pytest
import spec_text

from ftspec.diagnostics.model import Diagnostic
from ftspec.source.load import load_document
from ftspec.spec.check import check_spec
from ftspec.spec.spec import EmbeddingSpec

SPECS = sorted((Path(__file__).resolve().parents[2] / "specs").glob("*.yaml"))


def check(
    folder: Path, *overrides: str, text: str = spec_text.MINIMAL
) -> tuple[EmbeddingSpec | None, list[Diagnostic]]:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    document, found = load_document(path, overrides)
    assert document is not None, list(found)
    spec, more = check_spec(document)
    found.extend(more)
    return spec, list(found)


def codes(found: list[Diagnostic]) -> list[str]:
    return [item.code.id for item in found]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_examples_are_valid(path: Path) -> None:
    document, found = load_document(path)
    assert document is not None
    spec, more = check_spec(document)
    assert [*found, *more] == []
    assert spec is not None


def test_minimal(tmp_path: Path) -> None:
    spec, found = check(tmp_path)
    assert spec is not None
    assert found == []
    assert spec.train.global_batch_size == 32


def test_whole_numbers_serve_as_numbers(tmp_path: Path) -> None:
    spec, found = check(tmp_path, "train.num_train_epochs=2", "train.learning_rate=1")
    assert spec is not None, found
    assert isinstance(spec.train.num_train_epochs, float)


@pytest.mark.parametrize(
    ("override", "code", "help"),
    [
        ("train.learing_rate=1", "FTS203", "did you mean `learning_rate`?"),
        ("model.Max-Seq-Length=64", "FTS203", "did you mean `max_seq_length`?"),
        ("model.cutoff_len=64", "FTS203", "here it is `model.max_seq_length`"),
        ("train.gradient_accumulation_steps=2", "FTS203", "write `train.global_batch_size`"),
        ("train.max_seq_length=2", "FTS203", "`max_seq_length` stands at `model.max_seq_length`"),
        ("train.objective.margin=2", "FTS203", "`triplet`"),
        ("train.objective.type=tripplet", "FTS205", "did you mean `triplet`?"),
        ("train.objective.type=7", "FTS205", ""),
        ("train.objective.type=[1]", "FTS205", ""),
        ("train.objective.type={a: 1}", "FTS205", ""),
        ("train.objective.type=null", "FTS202", "add `type:`"),
        ("train.objective={}", "FTS202", "add `type:`"),
        ("train.objective=[]", "FTS204", ""),
        ("train.objective=contrastive", "FTS204", "{type: contrastive}"),
        ("train.seed=1.0", "FTS204", "write `1`"),
        ("train.seed=true", "FTS204", ""),
        ("train.learning_rate=true", "FTS204", ""),
        ("train.learning_rate=.nan", "FTS205", ""),
        ("train.learning_rate=nan", "FTS204", "give a number"),
        ("train.learning_rate=1e999", "FTS205", ""),
        ("train.weight_decay=-.inf", "FTS205", ""),
        ("train.max_steps=99999999999999999999999999", "OK", ""),
        ("train.keep_best=no", "FTS204", "write `false`"),
        ("metadata.name=7", "FTS204", "quote it"),
        ("metadata.name=a/b", "FTS205", "folder"),
        ("metadata.labels={team: 7}", "FTS204", "quote it"),
        ("data.train=[]", "FTS205", ""),
        ("data.train={type: code}", "FTS204", ""),
        ("data.train.0=7", "FTS204", ""),
        ("data.train.0={path: x}", "FTS202", "`code`, `file`, `beir` or `documents`"),
        ("data.train.0={type: file, path: x, file: 1, roles: {positive: a}}", "FTS203", ""),
        ("data.train.0.roles.negatives={a: 1}", "FTS204", ""),
        ("data.train.0.roles.negatives=[a, 1]", "FTS204", "quote it"),
        ("data.train.0.roles.negatives=[]", "FTS205", ""),
        ("data.train.0.roles.negatives=7", "FTS204", "quote it"),
        ("model.lora.target_modules=query", "FTS204", "[query]"),
        ("model.lora.target_modules=[]", "FTS205", ""),
        ("gates=[]", "FTS204", ""),
        ("gates.ndcg@10=0.5", "FTS204", "{min: 0.5}"),
        ("gates.ndcg@10={}", "FTS205", "min_gain"),
        ("gates.ndcg@10={confidence: 0.9}", "FTS205", "min_gain"),
        ("gates.ndcg@10={min: 0.9, max: 0.1}", "FTS205", ""),
        ("gates.ndcg@10={min_gain: 5}", "FTS205", "0.05"[:0]),
        ("gates.ndcg@7={min: 0.5}", "FTS208", "evaluation.metrics"),
        ("gates.ndgc@10={min: 0.5}", "FTS207", "`ndcg@10`"),
        ("gates.latency={p95_max: 5}", "FTS207", "`latency_ms`"),
        ("gates.latency_ms={p95_max: 5}", "OK", ""),
        ("gates.latency_ms={}", "FTS205", "p95_max"),
        ("gates.latency_ms={max: 5}", "FTS205", "p95_max"),
        ("evaluation.metrics=[ndcg@10, ndcg@10]", "FTS205", ""),
        ("evaluation.metrics=[recall@101]", "FTS207", "top_k"),
        ("evaluation.top_k=9", "FTS207", ""),
        ("kind=embedding", "FTS201", "did you mean `Embedding`?"),
        ("kind=Ranker", "FTS201", ""),
        ("kind=[1]", "FTS201", ""),
        ("apiVersion=1", "FTS201", ""),
        ("train.early_stopping={}", "FTS210", "data.split.validation"),
        ("train.eval_steps=5", "FTS210", "data.split.validation"),
        ("train.lr_num_cycles=2", "FTS211", "cosine_with_restarts"),
        ("train.matryoshka={dimensions: [64, 64]}", "FTS205", ""),
        ("train.matryoshka={dimensions: [64], weights: [1, 2]}", "FTS205", ""),
        ("train.objective={type: labelled_classes, margin: 0.2}", "FTS211", "batch_hard"),
        ("export.merge_lora=false", "FTS211", ""),
        ("model={base: x, lora: {}, freeze: {embeddings: true}}", "FTS206", ""),
        ("data.filters={min_query_chars: 9, max_query_chars: 3}", "FTS205", ""),
        ("data.train.0.roles.positive=query", "FTS205", "column"),
        ("data.evaluation=[{type: file, path: x, roles: {}}]", "FTS307", "positive"),
        ("train.objective.type=triplet", "FTS307", "negatives"),
        ("train.objective.type=scored_pairs", "FTS307", "score"),
        ("data.train.0.roles.label=y", "FTS308", "binary_pairs"),
        ("model.prompts.query=${env:X}", "FTS212", ""),
        ("model.prompts.query=${env:}", "FTS205", "${env:NAME}"),
        ("model.prompts.query=${env:A", "FTS205", "${env:NAME}"),
        ("model.prompts.query=$(env) ${x} {{env}}", "OK", ""),
        ("metadata.labels={token: '${env:X}'}", "OK", ""),
    ],
)
def test_one_value(tmp_path: Path, override: str, code: str, help: str) -> None:
    spec, found = check(tmp_path, override)
    assert set(codes(found)) - {"FTS307", "FTS308"} <= {code} - {"OK"}, found
    assert (spec is None) == any(item.is_error for item in found)
    if code != "OK":
        first = next(item for item in found if item.code.id == code)
        assert help in first.help
        assert first.primary is not None
        assert first.primary.path == "--set" or code in ("FTS202", "FTS207", "FTS307")


def test_one_fault_gives_one_diagnostic(tmp_path: Path) -> None:
    for override in (
        "train.objective={}",
        "data.train.0={path: x}",
        "data.train.0.roles.negatives=[1]",
        "model=3",
    ):
        _, found = check(tmp_path, override)
        assert len(found) == 1, found


def test_faults_of_text_schema_and_rules_come_together_in_order(tmp_path: Path) -> None:
    text = (
        spec_text.MINIMAL
        + "  learning_rate: -1\n  seed: 1\n  seed: 2\ngates:\n  recall@9: {min: 0.5}\nevaluation: {x: 1}\n"
    )
    spec, found = check(tmp_path, text=text)
    assert spec is None
    assert sorted(codes(found)) == ["FTS103", "FTS203", "FTS205"]
    text = text.replace("evaluation: {x: 1}\n", "")
    assert sorted(codes(check(tmp_path, text=text)[1])) == ["FTS103", "FTS205", "FTS208"]


def test_nothing_is_said_about_what_could_not_be_read(tmp_path: Path) -> None:
    spec, found = check(tmp_path, text=spec_text.MINIMAL.replace("base: all-MiniLM-L6-v2", "base: *alias"))
    assert spec is None
    assert codes(found) == ["FTS107"]


def test_tags_of_unions_never_show_in_places(tmp_path: Path) -> None:
    _, found = check(tmp_path, "data.train.0.roles.qurey=1", "data.train.0.path=null")
    assert {item.detail.split("`")[1].split(".")[0] for item in found} <= {"qurey", "data"}
    assert all("file" not in item.detail for item in found)


def test_a_thousand_specs_in_ten_seconds(tmp_path: Path) -> None:
    """Measured on fifty; the allowance is for slow and busy machines."""
    text = SPECS[0].read_text(encoding="utf-8")
    check(tmp_path, text=text)
    start = time.process_time()
    for _ in range(50):
        check(tmp_path, text=text)
    assert (time.process_time() - start) / 50 < 0.010


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "text",
    [],
    {},
    [None],
    {"type": "x"},
    {"type": []},
    [[]],
    [{"type": {}}],
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_any_value_anywhere_is_a_diagnostic_and_no_traceback(tmp_path: Path, odd: Any) -> None:
    import json

    base = json.loads(json.dumps(spec_text.FULL))
    for path in spec_text.paths_of(base):
        changed = json.loads(json.dumps(base))
        place = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = odd
        spec, found = check(tmp_path, text=json.dumps(changed))
        assert (spec is None) == any(item.is_error for item in found)
        assert all(item.primary is not None for item in found)


def test_a_key_that_is_missing_is_not_there_already(tmp_path: Path) -> None:
    text = spec_text.MINIMAL.replace("apiVersion", "apiversion")
    _, found = check(tmp_path, text=text)
    assert {item.code.id: item.help for item in found} == {
        "FTS202": "add `apiVersion: ftspec/v1`",
        "FTS203": "did you mean `apiVersion`?",
    }
