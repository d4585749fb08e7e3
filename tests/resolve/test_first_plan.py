from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftspec.plan.codec import digest
from ftspec.plan.fields import get, leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import OriginKind
from ftspec.plan.reasons import Reason
from ftspec.resolve.evaluation import detectable_gain
from ftspec.resolve.first_plan import parse_bytes
from tests.resolve.make import codes_of, data_facts, lengths, model_facts, resolve, resolved, spec_tree

FILE = {"type": "file", "path": "rows.jsonl.gz", "roles": {"query": "q", "positive": "p"}}


def reason_of(plan: Any, field: str) -> Reason:
    return [item.reason for item in plan.decisions if item.field == field][-1]


def test_a_short_spec_becomes_a_full_plan(tmp_path: Path) -> None:
    plan = resolved(tmp_path, spec_tree())
    assert plan.model.max_seq_length == 256
    assert plan.model.pooling == "mean"
    assert plan.model.trainable_parameters == plan.model.facts.total_parameters
    assert plan.train.roles == ("query", "positive")
    assert plan.train.total_steps == 1000 // 32  # the incomplete last batch is left out
    assert plan.train.warmup_steps == 4
    assert plan.train.eval_steps is None
    assert plan.train.save_steps == 8
    assert plan.data.split.by == "group"
    assert plan.evaluation.dimensions == (384,)
    assert plan.execution.backend is None
    assert plan.machine.name == "bench"
    assert reason_of(plan, "model.max_seq_length") is Reason.TAKEN_FROM_MODEL


def test_every_leaf_has_one_origin_and_every_decided_one_a_decision(tmp_path: Path) -> None:
    plan = resolved(tmp_path, spec_tree())
    assert set(plan.origins) == {path for path, _ in leaves(plan)}
    decided = {path for path, origin in plan.origins.items() if origin.kind is OriginKind.DECIDED}
    assert decided == {decision.field for decision in plan.decisions}
    for decision in plan.decisions:
        assert decision.after == get(plan, decision.field)


def test_origins_name_the_place_of_what_was_given(tmp_path: Path) -> None:
    tree = spec_tree(
        train={"global_batch_size": 16, "max_steps": 7},
        resources={"precision": "fp32", "device": "auto", "limits": {"memory": "1.5 GiB", "threads": 2}},
        gates={"ndcg@10": {"min_gain": 0.01}},
    )
    plan = resolved(tmp_path, tree)
    given = {path for path, origin in plan.origins.items() if origin.kind is OriginKind.GIVEN}
    assert {
        "train.global_batch_size",
        "train.total_steps",
        "execution.precision",
        "execution.memory_limit_bytes",
        "execution.num_threads",
        "gates.ndcg@10.min_gain",
        "data.train.0.path",
    } <= given
    assert "execution.device" not in given
    assert plan.origins["gates.ndcg@10.confidence"].kind is OriginKind.DEFAULT
    assert plan.gates["ndcg@10"].confidence == 0.95
    place = plan.origins["train.global_batch_size"].place
    path, line, _ = place.rsplit(":", 2)
    assert path.endswith("spec.yaml")
    assert "global_batch_size" in (tmp_path / "spec.yaml").read_text().splitlines()[int(line) - 1]
    assert plan.execution.memory_limit_bytes == parse_bytes("1.5 GiB") == int(1.5 * 2**30)
    assert plan.train.num_train_epochs is None


def test_all_faults_at_once_with_places(tmp_path: Path) -> None:
    tree = spec_tree(
        model={"max_seq_length": 1024, "freeze": {"layers": 7}},
        train={
            "objective": {"type": "triplet"},
            "global_batch_size": 4096,
            "matryoshka": {"dimensions": [768, 128]},
        },
        evaluation={"slices": ["difficulty"]},
        data={"train": [{"type": "beir", "path": "folder", "split": "train"}]},
    )
    plan, found = resolve(tmp_path, tree, model=model_facts(needs_remote_code=True))
    assert plan is None
    assert sorted(codes_of(found)) == sorted(
        ["FTS304", "FTS305", "FTS306", "FTS307", "FTS312", "FTS406", "FTS704"]
    )
    assert all(item.primary is not None and item.help for item in found)


@pytest.mark.parametrize(("layers", "ok"), [(5, True), (6, False), (10, False)])
def test_freezing_is_checked_against_the_real_layers(tmp_path: Path, layers: int, ok: bool) -> None:
    plan, found = resolve(tmp_path, spec_tree(model={"freeze": {"layers": layers, "embeddings": True}}))
    assert (plan is not None) == ok
    assert codes_of(found) == ([] if ok else ["FTS305"])
    if plan is not None:
        assert plan.model.trainable_parameters == 22_713_216 - 11_917_824 - 5 * 1_774_464


def test_a_fraction_becomes_layers_and_never_nothing(tmp_path: Path) -> None:
    plan = resolved(tmp_path, spec_tree(model={"freeze": {"fraction": 0.5}}))
    assert plan.model.freeze.layers == 3
    assert reason_of(plan, "model.freeze.layers") is Reason.LAYERS_FROM_FRACTION
    plan, found = resolve(tmp_path, spec_tree(model={"freeze": {"fraction": 0.1}}))
    assert plan is None
    assert codes_of(found) == ["FTS205"]
    assert "0.17" in next(iter(found)).help


def test_matryoshka_is_sorted_weighted_and_evaluated(tmp_path: Path) -> None:
    tree = spec_tree(train={"matryoshka": {"dimensions": [64, 128], "weights": [0.5, 2.0]}})
    plan = resolved(tmp_path, tree)
    assert plan.train.matryoshka is not None
    assert plan.train.matryoshka.dimensions == (384, 128, 64)
    assert plan.train.matryoshka.weights == (1.0, 2.0, 0.5)
    assert plan.evaluation.dimensions == (384, 128, 64)


def test_lora_counts_its_adapters(tmp_path: Path) -> None:
    plan = resolved(tmp_path, spec_tree(model={"lora": {"r": 8}}))
    assert plan.model.lora is not None
    assert plan.model.lora.target_modules == ("dense", "key", "query", "value")
    assert plan.model.trainable_parameters == 8 * (3 * 4608 + 28416)
    assert plan.origins["model.lora.target_modules"].kind is OriginKind.DECIDED
    plan = resolved(tmp_path, spec_tree(model={"lora": {"target_modules": ["query"]}}))
    assert plan.model.trainable_parameters == 16 * 4608
    _, found = resolve(tmp_path, spec_tree(model={"lora": {"target_modules": ["query", "q_proj"]}}))
    assert codes_of(found) == ["FTS311"]


def test_columns_that_the_objective_does_not_read_are_refused(tmp_path: Path) -> None:
    data = data_facts(roles=("query", "positive", "label"))
    tree = spec_tree(data={"train": [{"type": "beir", "path": "folder", "split": "train"}]})
    plan, found = resolve(tmp_path, tree, data=data)
    assert plan is None
    assert codes_of(found) == ["FTS308"]
    item = next(iter(found))
    assert item.related
    assert "binary_pairs" in item.help


def test_negatives_reach_the_loss_as_many_as_every_row_has(tmp_path: Path) -> None:
    roles = ("query", "positive", "negatives")
    plan = resolved(tmp_path, spec_tree(), data=data_facts(roles=roles, num_negatives=3))
    assert plan.train.roles == roles
    assert plan.train.objective.num_negatives == 3
    _, found = resolve(tmp_path, spec_tree(), data=data_facts(roles=roles, num_negatives=0))
    assert codes_of(found) == ["FTS307"]


@pytest.mark.parametrize(
    ("objective", "roles", "steps"),
    [("contrastive", ("query", "positive"), 62), ("scored_pairs", ("query", "positive", "score"), 64)],
)
def test_steps_drop_incomplete_batches_only_where_rows_are_compared(
    tmp_path: Path, objective: str, roles: tuple[str, ...], steps: int
) -> None:
    source = {**FILE, "roles": {**FILE["roles"], **({"score": "s"} if "score" in roles else {})}}
    tree = spec_tree(
        data={"train": [source]}, train={"objective": {"type": objective}, "num_train_epochs": 2.0}
    )
    plan = resolved(tmp_path, tree, data=data_facts(roles=roles))
    assert plan.train.total_steps == steps
    assert plan.data.train[0].format == "jsonl"
    assert plan.data.train[0].roles == FrozenMap(
        {"query": "q", "positive": "p", **({"score": "s"} if "score" in roles else {})}
    )


def test_checkpoints_stand_where_the_best_is_judged(tmp_path: Path) -> None:
    tree = spec_tree(
        train={"keep_best": True, "num_train_epochs": 100.0},
        data={"train": [{"type": "code", "path": "."}], "split": {"validation": 0.1}},
    )
    plan = resolved(tmp_path, tree, data=data_facts(validation_queries=50))
    assert plan.train.eval_steps == 310
    assert plan.train.save_steps == 310
    tree["train"] = {**tree["train"], "eval_steps": 50, "save_steps": 70}
    _, found = resolve(tmp_path, tree, data=data_facts(validation_queries=50))
    assert codes_of(found) == ["FTS205"]
    tree["train"] = {**tree["train"], "eval_steps": 4000, "save_steps": None}
    _, found = resolve(tmp_path, tree, data=data_facts(validation_queries=50))
    assert codes_of(found) == ["FTS205"]  # 3100 steps: nothing would be evaluated


def test_a_plan_for_a_saved_profile_is_the_plan_of_that_machine(tmp_path: Path) -> None:
    plan = resolved(tmp_path, spec_tree())
    there = replace(plan, machine=replace(plan.machine, name="this-machine"))
    assert there.machine.name != plan.machine.name
    assert digest(there) == digest(plan)


def test_saves_are_never_far_apart(tmp_path: Path) -> None:
    plan = resolved(tmp_path, spec_tree(train={"max_steps": 100_000}))
    assert plan.train.save_steps == 200
    assert plan.train.logging_steps == 1000


def test_the_code_of_a_baseline_is_asked_for_too(tmp_path: Path) -> None:
    tree = spec_tree(evaluation={"baseline": "org/other"})
    _, found = resolve(tmp_path, tree, baseline=model_facts(needs_remote_code=True))
    assert codes_of(found) == ["FTS312"]
    resolved(tmp_path, tree, baseline=model_facts())
    tree["model"] = {**tree["model"], "trust_remote_code": True}
    resolved(tmp_path, tree, baseline=model_facts(needs_remote_code=True))


def test_default_gate(tmp_path: Path) -> None:
    plan = resolved(tmp_path, spec_tree(evaluation={"metrics": ["recall@5", "ndcg@10"]}))
    assert list(plan.gates) == ["recall@5"]
    assert plan.gates["recall@5"].min_gain == 0.0
    assert plan.gates["recall@5"].confidence == 0.95
    assert reason_of(plan, "gates.recall@5.min_gain") is Reason.DEFAULT_GATE


def test_detectable_gain() -> None:
    assert round(detectable_gain(100), 3) == 0.070
    assert round(detectable_gain(400), 3) == 0.035
    assert round(detectable_gain(1000, 0.9), 3) == 0.020
    assert round(detectable_gain(2500), 4) == 0.0140


def test_leakage_is_refused_with_examples(tmp_path: Path) -> None:
    data = data_facts(leaked_queries=3, leaked_positives=1, leak_examples=('how\nto "quit"',))
    plan, found = resolve(tmp_path, spec_tree(), data=data)
    assert plan is None
    item = next(iter(found))
    assert item.code.id == "FTS705"
    assert "3 queries and 1 positive," in item.detail
    assert "\n" not in item.detail


def test_warnings_become_notes(tmp_path: Path) -> None:
    data = data_facts(
        test_queries=40,
        distinct_queries=1038,
        distinct_positives=75,
        document_lengths=lengths(share_above_limit=0.48),
    )
    plan = resolved(tmp_path, spec_tree(), data=data)
    assert [note.code for note in plan.notes] == ["FTS803", "FTS707", "FTS709"]
    assert "48%" in plan.notes[2].detail


def test_prompts_of_the_base_model_are_used_unless_given(tmp_path: Path) -> None:
    model = model_facts(prompts=FrozenMap({"query": "query: ", "passage": "passage: "}))
    plan = resolved(tmp_path, spec_tree(), model=model)
    assert plan.model.prompts.query == "query: "
    assert plan.model.prompts.document == "passage: "
    plan = resolved(tmp_path, spec_tree(model={"prompts": {"query": "", "document": "d: "}}), model=model)
    assert plan.model.prompts.query == ""
    assert plan.model.prompts.document == "d: "


def test_warmup_beyond_the_run_is_refused(tmp_path: Path) -> None:
    _, found = resolve(tmp_path, spec_tree(train={"warmup_steps": 31}))
    assert codes_of(found) == ["FTS205"]
    plan = resolved(tmp_path, spec_tree(train={"lr_scheduler_type": "constant"}))
    assert plan.train.warmup_steps == 0


@pytest.mark.parametrize(
    ("gates", "gain", "confidence"),
    [
        ({"recall@5": {"min": 0.5}}, 0.0, 0.95),  # added on the primary metric
        ({"ndcg@10": {"min": 0.5}}, 0.0, None),  # beside a bound that asks the mean
        ({"ndcg@10": {"min": 0.5, "confidence": 0.9}}, 0.0, 0.9),
        ({"recall@5": {"min_gain": -0.01}}, None, None),  # the user allows a loss, visibly
    ],
)
def test_nothing_passes_that_did_not_beat_its_baseline(
    tmp_path: Path, gates: dict[str, Any], gain: float | None, confidence: float | None
) -> None:
    plan = resolved(tmp_path, spec_tree(gates=gates))
    gate = plan.gates.get("ndcg@10")
    assert (gate and gate.min_gain) == gain
    assert (gate and gate.confidence) == confidence
    if gain is not None:
        assert reason_of(plan, "gates.ndcg@10.min_gain") is Reason.DEFAULT_GATE


def test_a_run_of_one_step_learns(tmp_path: Path) -> None:
    """The first step of a warmup has a learning rate of zero."""
    tree = spec_tree()
    tree["train"] |= {"max_steps": 1}
    tree["train"].pop("num_train_epochs", None)
    assert resolved(tmp_path, tree).train.warmup_steps == 0
