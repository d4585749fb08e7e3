from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftspec.diagnostics.model import Diagnostics
from ftspec.hardware.model import Hardware
from ftspec.passes.candidates import candidates, divisors_below, powers_of_two_below
from ftspec.passes.context import Context
from ftspec.passes.driver import apply_rewrite, optimise
from ftspec.passes.order import PASSES
from ftspec.passes.predict import predict_memory
from ftspec.plan.embedding import EmbeddingExecutionPlan, EmbeddingPlan
from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Decision, OriginKind, Rewrite
from ftspec.plan.reasons import Reason
from ftspec.plan.text import plan_from_json, plan_to_json
from ftspec.resolve.origins import given_spans
from ftspec.target.features import Feature, Support
from ftspec.target.model import Target
from tests.resolve.make import (
    GIB,
    cpu,
    data_facts,
    gpu,
    hardware,
    lengths,
    read_spec,
    resolved,
    spec_tree,
    target,
)


def compiled(
    folder: Path,
    machine: Hardware,
    *targets: Target,
    tree: dict[str, Any] | None = None,
    **facts: Any,
) -> tuple[EmbeddingPlan | None, Diagnostics]:
    first = resolved(folder, tree or spec_tree(), machine=machine, **facts)
    _, document = read_spec(folder, tree or spec_tree())
    spans = given_spans(first, document)
    return optimise(first, Context(hardware=machine, targets=targets or (target(),), spans=spans))


def plan_of(folder: Path, machine: Hardware, *targets: Target, **more: Any) -> EmbeddingPlan:
    plan, found = compiled(folder, machine, *targets, **more)
    assert plan is not None, [(item.code.id, item.detail) for item in found]
    return plan


def refused(folder: Path, machine: Hardware, *targets: Target, **more: Any) -> dict[str, Any]:
    plan, found = compiled(folder, machine, *targets, **more)
    assert plan is None
    return {item.code.id: item for item in found}


def decisions(plan: EmbeddingPlan, field: str) -> list[Decision]:
    return [item for item in plan.decisions if item.field == field]


def chosen(plan: EmbeddingPlan, field: str) -> Decision:
    return [item for item in decisions(plan, field) if "rejected" not in item.facts][-1]


def test_variables_of_the_backend_reach_the_child_process(tmp_path: Path) -> None:
    variables = {"UNSLOTH_AUTO_INSTALL": "0", "OMP_NUM_THREADS": "99"}
    found = plan_of(tmp_path, hardware(), target(environment=variables)).execution.environment
    assert found is not None
    assert found["UNSLOTH_AUTO_INSTALL"] == "0"
    assert found["OMP_NUM_THREADS"] == "2"  # the plan's own


def test_a_cpu_plan_is_complete_and_explained(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, hardware())
    run = plan.execution
    assert (run.backend, run.device, run.precision, run.num_processes) == ("bench-backend", "cpu", "bf16", 1)
    assert (run.per_device_train_batch_size, run.gradient_accumulation_steps) == (32, 1)
    assert not run.cached_loss
    assert run.num_threads == 2
    assert run.environment is not None
    assert run.environment["OMP_NUM_THREADS"] == "2"
    assert "MALLOC_TRIM_THRESHOLD_" not in run.environment  # it fits, and returning memory costs time
    for field, _ in leaves(plan):
        if field.startswith("execution."):
            assert plan.origins[field].kind is OriginKind.DECIDED
            assert chosen(plan, field).by in {step.name for step in PASSES["Embedding"]}
    assert plan.estimates is not None
    assert plan.estimates.peak_memory_bytes <= (run.memory_limit_bytes or 0)


def test_a_plan_survives_its_json(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, hardware(gpu(), gpu()))
    again, found = plan_from_json(plan_to_json(plan), name="plan")
    assert again == plan, list(found)


def test_passes_come_after_what_they_need() -> None:
    settled: set[str] = set()
    for step in PASSES["Embedding"]:
        assert set(step.needs) <= settled, step.name
        settled |= set(step.settles)
    assert settled == set(EmbeddingExecutionPlan.__dataclass_fields__)


def test_rewriting_what_was_given_is_our_fault(tmp_path: Path) -> None:
    plan = resolved(tmp_path, spec_tree(train={"learning_rate": 1e-4}))
    rewrite = Rewrite(field="train.learning_rate", value=1.0, reason=Reason.USABLE_CORES)
    with pytest.raises(AssertionError, match="which the user gave"):
        apply_rewrite(plan, rewrite, by="test")


@pytest.mark.parametrize(
    ("machine", "device", "precision", "reason"),
    [
        (hardware(), "cpu", "bf16", Reason.BF16_INSTRUCTIONS),
        (hardware(cpu=cpu(flags=("avx2",))), "cpu", "fp32", Reason.NO_BF16_INSTRUCTIONS),
        (hardware(gpu()), "cuda", "bf16", Reason.BF16_INSTRUCTIONS),
        (
            hardware(gpu("Tesla T4", 15, compute_capability="7.5", bf16=False)),
            "cuda",
            "fp16",
            Reason.PRECISION_FITS_DEVICE,
        ),
        (
            hardware(gpu("Tesla P100", 16, compute_capability="6.0", bf16=False, fp16=False)),
            "cuda",
            "fp32",
            Reason.PRECISION_FITS_DEVICE,
        ),
        (
            hardware(
                gpu("Apple M2", 11.8, kind="mps", compute_capability=None, shares_memory=True), os="darwin"
            ),
            "mps",
            "fp32",
            Reason.PRECISION_FITS_DEVICE,
        ),
    ],
)
def test_device_and_precision(
    tmp_path: Path, machine: Hardware, device: str, precision: str, reason: Reason
) -> None:
    plan = plan_of(tmp_path, machine)
    assert (plan.execution.device, plan.execution.precision) == (device, precision)
    assert chosen(plan, "execution.precision").reason is reason


@pytest.mark.parametrize(("memory_gib", "returned"), [(24, False), (1.6, True)])
def test_memory_is_returned_early_only_where_it_is_short(
    tmp_path: Path, memory_gib: float, returned: bool
) -> None:
    plan = plan_of(tmp_path, hardware(memory_gib=memory_gib))
    assert ("MALLOC_TRIM_THRESHOLD_" in (plan.execution.environment or {})) is returned
    reason = Reason.MALLOC_RETURNS_MEMORY if returned else Reason.CHILD_ENVIRONMENT
    assert chosen(plan, "execution.environment").reason is reason


def test_the_largest_of_several_gpus_is_used_by_one_process(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, hardware(*[gpu()] * 8))
    assert plan.execution.num_processes == 1
    decision = chosen(plan, "execution.num_processes")
    assert decision.reason is Reason.ONE_PROCESS_PER_RUN
    assert decision.facts["devices"] == 8
    assert decision.facts["why"] == "One process per run."


def test_devices_that_the_backend_does_not_know_are_rejected(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, hardware(gpu("AMD MI300X", 192, kind="rocm", compute_capability="gfx942")))
    assert plan.execution.device == "cpu"
    assert decisions(plan, "execution.device")[0].facts["rejected"] == "AMD MI300X"


def test_backends_are_rejected_with_reasons(tmp_path: Path) -> None:
    others = (
        target("other-kind", kinds=("LLM",)),
        target("only-gpu", devices=("cuda",)),
        target("no-masks", features={Feature.MASK_POSITIVES: Support.NOT_IMPLEMENTED}),
    )
    plan = plan_of(tmp_path, hardware(), *others, target())
    assert plan.execution.backend == "bench-backend"
    rejected = {
        item.facts["rejected"]: item.facts["why"] for item in decisions(plan, "execution.backend")[:-1]
    }
    assert set(rejected) == {"other-kind", "only-gpu", "no-masks"}
    assert "mask_positives is not implemented" in str(rejected["no-masks"])
    found = refused(tmp_path, hardware(), *others[:2])
    assert "other-kind" in found["FTS401"].detail
    assert "only-gpu" in found["FTS401"].detail


def test_wishes_that_cannot_be_met(tmp_path: Path) -> None:
    def wish(**resources: Any) -> dict[str, Any]:
        return spec_tree(resources=resources)

    slow = hardware(cpu=cpu(flags=()))
    found = refused(tmp_path, slow, tree=wish(precision="bf16", num_processes=4))
    assert set(found) == {"FTS404", "FTS402"}
    assert "bf16" in found["FTS404"].primary.excerpt
    assert set(refused(tmp_path, slow, tree=wish(device="cuda"))) == {"FTS405"}
    assert set(refused(tmp_path, slow, tree=wish(backend="nothing"))) == {"FTS401"}
    plan = plan_of(tmp_path, hardware(gpu()), tree=wish(device="cpu", precision="fp32", num_processes=1))
    assert (plan.execution.device, plan.execution.precision) == ("cpu", "fp32")
    assert not decisions(plan, "execution.precision")


def test_unsupported_features_are_refused_and_approximated_ones_noted(tmp_path: Path) -> None:
    weak = target(
        features={Feature.MATRYOSHKA: Support.IMPOSSIBLE, Feature.MASK_POSITIVES: Support.APPROXIMATED}
    )
    tree = spec_tree(train={"matryoshka": {"dimensions": [64]}})
    assert set(refused(tmp_path, hardware(), weak, tree=tree)) == {"FTS402"}
    plan = plan_of(tmp_path, hardware(), weak)
    assert [note.code for note in plan.notes] == ["FTS407"]


def test_large_in_batch_losses_are_cached_and_never_accumulated(tmp_path: Path) -> None:
    tree = spec_tree(train={"global_batch_size": 512})
    plan = plan_of(tmp_path, hardware(memory_gib=8), tree=tree)
    run = plan.execution
    assert run.cached_loss
    assert run.per_device_train_batch_size == 512
    assert run.gradient_accumulation_steps == 1
    assert run.mini_batch_size in powers_of_two_below(512)
    assert chosen(plan, "execution.cached_loss").reason is Reason.NEGATIVES_KEPT
    assert decisions(plan, "execution.per_device_train_batch_size")[0].reason is Reason.BATCH_REJECTED


def test_other_objectives_accumulate(tmp_path: Path) -> None:
    data = data_facts(roles=("query", "positive", "negatives"), num_negatives=1)
    source = {"type": "beir", "path": "folder", "split": "train"}
    tree = spec_tree(
        train={"global_batch_size": 48, "objective": {"type": "triplet"}}, data={"train": [source]}
    )
    plan = plan_of(tmp_path, hardware(memory_gib=4), tree=tree, data=data)
    run = plan.execution
    assert not run.cached_loss
    assert (run.per_device_train_batch_size or 0) < 48
    assert (run.per_device_train_batch_size or 0) * (run.gradient_accumulation_steps or 0) == 48
    assert run.mini_batch_size == run.per_device_train_batch_size


def test_labelled_classes_keep_the_batch_whole(tmp_path: Path) -> None:
    source = {"type": "file", "path": "a.csv", "roles": {"query": "q", "label": "l"}}
    tree = spec_tree(
        train={"objective": {"type": "labelled_classes"}, "global_batch_size": 128}, data={"train": [source]}
    )
    data = data_facts(roles=("query", "label"), classes=4, query_lengths=lengths(max=256))
    ways = []
    for memory_gib in (24, 6):
        plan = plan_of(tmp_path, hardware(memory_gib=memory_gib), tree=tree, data=data)
        assert plan.execution.per_device_train_batch_size == 128
        assert plan.execution.gradient_accumulation_steps == 1
        ways.append(plan.execution.gradient_checkpointing)
    assert ways == [False, True]


@pytest.mark.parametrize(
    ("objective", "role", "loss", "whole"),
    [
        ("scored_pairs", "score", "cosent", True),
        ("scored_pairs", "score", "angle", True),
        ("scored_pairs", "score", "cosine", False),
        ("binary_pairs", "label", "online_contrastive", True),
        ("binary_pairs", "label", "contrastive", False),
    ],
)
def test_losses_that_compare_rows_keep_the_batch_whole(
    tmp_path: Path, objective: str, role: str, loss: str, whole: bool
) -> None:
    source = {"type": "file", "path": "a.csv", "roles": {"query": "q", "positive": "p", role: role}}
    tree = spec_tree(
        train={"objective": {"type": objective, "loss": loss}, "global_batch_size": 128},
        data={"train": [source]},
    )
    plan = plan_of(
        tmp_path, hardware(memory_gib=6), tree=tree, data=data_facts(roles=("query", "positive", role))
    )
    assert (plan.execution.gradient_accumulation_steps == 1) is whole
    assert plan.execution.gradient_checkpointing is whole


def test_what_does_not_fit_comes_with_changes_that_do(tmp_path: Path) -> None:
    found = refused(tmp_path, hardware(memory_gib=1), tree=spec_tree())
    item = found["FTS403"]
    assert "GiB" in item.detail or "MiB" in item.detail
    assert item.help.count(";") == 2  # three changes
    assert "more memory" in item.help
    # and the memory that it asks for really is enough
    plan = plan_of(tmp_path, hardware(memory_gib=1.6))
    assert plan.execution.mini_batch_size is not None


def test_offered_changes_really_fit(tmp_path: Path) -> None:
    machine = hardware(memory_gib=24)
    tree = spec_tree(resources={"limits": {"memory": "900MiB"}})
    found = refused(tmp_path, machine, tree=tree)
    offers = found["FTS403"].help.partition("fit: ")[2].split("; ")
    for offer in offers:
        text = offer.partition("`")[2].partition("`")[0]
        if text.startswith("model.max_seq_length"):
            changed = {**tree, "model": {**tree["model"], "max_seq_length": int(text.split()[-1])}}
        elif text.startswith("model.lora"):
            changed = {**tree, "model": {**tree["model"], "lora": {"r": 16}}}
        elif text.startswith("model.freeze"):
            layers = int(text.rstrip("}").split()[-1])
            changed = {**tree, "model": {**tree["model"], "freeze": {"embeddings": True, "layers": layers}}}
        elif text.startswith("train.global_batch_size"):
            changed = {**tree, "train": {**tree["train"], "global_batch_size": int(text.split()[-1])}}
        else:
            continue
        assert plan_of(tmp_path, machine, tree=changed).estimates is not None


def test_an_accelerator_of_unknown_memory_asks_for_a_limit(tmp_path: Path) -> None:
    machine = hardware(replace(gpu(), memory_bytes=None))
    assert set(refused(tmp_path, machine)) == {"FTS408"}
    tree = spec_tree(resources={"limits": {"memory": "8GiB"}})
    assert plan_of(tmp_path, machine, tree=tree).execution.memory_limit_bytes == 8 * GIB


def test_a_limit_above_the_machine_does_not_create_memory(tmp_path: Path) -> None:
    tree = spec_tree(resources={"limits": {"memory": "64GiB"}}, train={"global_batch_size": 256})
    plan = plan_of(tmp_path, hardware(memory_gib=4), tree=tree)
    assert plan.estimates is not None
    assert plan.estimates.peak_memory_bytes <= 4 * GIB


OBJECTIVES = (
    ("contrastive", ("query", "positive")),
    ("triplet", ("query", "positive", "negatives")),
    ("scored_pairs", ("query", "positive", "score")),
    ("labelled_classes", ("query", "label")),
)


@pytest.fixture(scope="module")
def firsts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EmbeddingPlan]:
    plans = {}
    for objective, roles in OBJECTIVES:
        folder = tmp_path_factory.mktemp(objective)
        columns = {role: role for role in roles}
        source = {"type": "file", "path": "a.jsonl", "roles": columns}
        tree = spec_tree(train={"objective": {"type": objective}}, data={"train": [source]})
        plans[objective] = resolved(
            folder, tree, data=data_facts(roles=roles, num_negatives=1, train_rows=10_000, classes=4)
        )
    return plans


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    objective=st.sampled_from([name for name, _ in OBJECTIVES]),
    batch=st.integers(min_value=2, max_value=600),
    memory_gib=st.floats(min_value=0.5, max_value=64),
    on_gpu=st.booleans(),
)
def test_no_memory_size_changes_the_effective_batch(
    firsts: dict[str, EmbeddingPlan], objective: str, batch: int, memory_gib: float, on_gpu: bool
) -> None:
    first = firsts[objective]
    first = replace(first, train=replace(first.train, global_batch_size=batch))
    machine = hardware(gpu(memory_gib=memory_gib)) if on_gpu else hardware(memory_gib=memory_gib)
    plan, found = optimise(first, Context(hardware=machine, targets=(target(),)))
    if plan is None:
        assert {item.code.id for item in found} == {"FTS403"}
        return
    run = plan.execution
    assert (run.per_device_train_batch_size or 0) * (run.gradient_accumulation_steps or 0) == batch
    assert plan.estimates is not None
    assert plan.estimates.peak_memory_bytes <= (run.memory_limit_bytes or 0)
    if objective in ("contrastive", "scored_pairs", "labelled_classes"):
        assert run.gradient_accumulation_steps == 1
        assert run.per_device_train_batch_size == batch


def test_candidates_need_less_and_less(firsts: dict[str, EmbeddingPlan], tmp_path: Path) -> None:
    plan = plan_of(tmp_path, hardware())
    context = Context(hardware=hardware(), targets=(target(),))
    sizes = [
        predict_memory(plan, item, target()).peak_bytes
        for item in candidates(plan, context)
        if item.cached_loss
    ]
    assert len(sizes) == 10
    assert sizes[:5] == sorted(sizes[:5], reverse=True)


def test_divisors() -> None:
    assert divisors_below(48) == [24, 16, 12, 8, 6, 4, 3, 2, 1]
    assert divisors_below(2) == [1]
    assert powers_of_two_below(32) == [16, 8, 4, 2, 1]
    assert powers_of_two_below(33) == [32, 16, 8, 4, 2, 1]


def test_decisions_keep_their_order_and_rejections_change_nothing(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, hardware(cpu=cpu(flags=())))
    rejected, settled = decisions(plan, "execution.precision")[-2:]
    assert rejected.facts["rejected"] == "fp16"
    assert rejected.before is None
    assert rejected.after is None
    assert settled.after == "fp32"
    assert isinstance(settled.facts, FrozenMap)
