"""How a plan of an LLM is settled: backend, processes, precision, and what fits."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftspec.diagnostics.model import Diagnostics
from ftspec.hardware.model import Hardware
from ftspec.passes.candidates import candidates
from ftspec.passes.context import Context
from ftspec.passes.driver import optimise
from ftspec.passes.least import least_peak
from ftspec.passes.order import PASSES
from ftspec.plan.fields import leaves
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import AdapterPlan, LlmExecutionPlan, LlmPlan
from ftspec.plan.model import Decision, Origin, OriginKind
from ftspec.plan.reasons import Reason
from ftspec.target.features import Device, Feature, Support
from ftspec.target.model import Target
from tests.llm_facts import llm_facts
from tests.llm_plan import make_llm_plan
from tests.resolve.make import cpu, gpu, hardware
from tests.resolve.make import target as any_target

QWEN = llm_facts("qwen2.5-3b-instruct")
LORA = AdapterPlan(type="lora", r=16, alpha=32, dropout=0.0, target_modules=QWEN.linear_modules)
ADAPTERS = 16 * sum(QWEN.linear_widths.values())
MPS = gpu("Apple M3 Max", 107, kind="mps", compute_capability=None, shares_memory=True, peak_tflops_bf16=14.0)
PROCESSES = {Feature.MULTI_PROCESS: Support.FULL}


def target(name: str = "torchy", **changes: Any) -> Target:
    return any_target(name, **{"kinds": ("LLM",), **changes})


def first(adapter: AdapterPlan = LORA, *, given: tuple[str, ...] = (), **sections: Any) -> LlmPlan:
    """A plan of the 3B model before the passes; leaves named in `given` are the user's."""
    full = adapter.type == "full"
    model = {
        "facts": QWEN,
        "max_seq_length": 1024,
        "trainable_parameters": QWEN.total_parameters if full else ADAPTERS,
        **sections.pop("model", {}),
    }
    execution = LlmExecutionPlan(**sections.pop("execution", {}))
    train = sections.pop("train", {})
    lengths = replace(make_llm_plan().data.facts.lengths, max=2000, mean=500.0, padded_mean=800.0)
    plan = make_llm_plan(adapter=adapter, model=model, **sections)
    plan = replace(
        plan,
        train=replace(plan.train, **train),
        data=replace(plan.data, facts=replace(plan.data.facts, lengths=lengths)),
        execution=execution,
        estimates=None,
        stages=(),
    )
    origins = {
        path: Origin(kind=OriginKind.GIVEN if path in given else OriginKind.DEFAULT)
        for path, _ in leaves(plan)
    }
    return replace(plan, origins=FrozenMap(origins))


def settle(plan: LlmPlan, machine: Hardware, *targets: Target) -> tuple[LlmPlan | None, Diagnostics]:
    made, found = optimise(plan, Context(hardware=machine, targets=targets or (target(),)))
    assert made is None or isinstance(made, LlmPlan)
    return made, found


def settled(plan: LlmPlan, machine: Hardware, *targets: Target) -> LlmPlan:
    made, found = settle(plan, machine, *targets)
    assert made is not None, [(item.code.id, item.detail) for item in found]
    return made


def refused(plan: LlmPlan, machine: Hardware, *targets: Target) -> dict[str, Any]:
    made, found = settle(plan, machine, *targets)
    assert made is None
    return {item.code.id: item for item in found}


def decisions(plan: LlmPlan, field: str) -> list[Decision]:
    return [item for item in plan.decisions if item.field == field]


def rejected(plan: LlmPlan) -> dict[str, str]:
    return {
        str(item.facts["rejected"]): str(item.facts["why"])
        for item in decisions(plan, "execution.backend")
        if "rejected" in item.facts
    }


def test_a_plan_is_complete_and_explained() -> None:
    plan = settled(first(), hardware(gpu(memory_gib=40)))
    run = plan.execution
    assert (run.backend, run.device, run.precision, run.num_processes) == ("torchy", "cuda", "bf16", 1)
    assert run.score_batch_size is not None
    for field, _ in leaves(plan):
        if field.startswith("execution."):
            assert plan.origins[field].kind is OriginKind.DECIDED
    assert plan.estimates is not None
    assert plan.estimates.peak_memory_bytes <= (run.memory_limit_bytes or 0)
    assert set(plan.estimates.stage_seconds) >= {"tokenize", "score_base", "train", "score_tuned"}
    assert plan.estimates.wall_factor == 3.0


def test_passes_come_after_what_they_need_and_settle_everything() -> None:
    known: set[str] = set()
    for step in PASSES["LLM"]:
        assert set(step.needs) <= known, step.name
        known |= set(step.settles)
    assert known == set(LlmExecutionPlan.__dataclass_fields__)


# --- backend -----------------------------------------------------------------------------------

REFERENCE = target("reference", prefers=(Device.CPU,), features=PROCESSES)
FAST = target("fast", devices=(Device.CUDA, Device.CPU), prefers=(Device.CUDA,))
APPLE = target("apple", devices=(Device.MPS, Device.CPU), prefers=(Device.MPS,))
WRITER = target("a-writer", emit_only="Nobody runs it here.", prefers=(Device.CUDA, Device.CPU))
ALL = (WRITER, APPLE, FAST, REFERENCE)


@pytest.mark.parametrize(
    ("machine", "chosen"),
    [
        (hardware(MPS, os="darwin", memory_gib=128), "apple"),
        (hardware(gpu(memory_gib=40)), "fast"),
        (hardware(*[gpu(memory_gib=40)] * 4), "reference"),
        (hardware(memory_gib=64), "reference"),
    ],
)
def test_the_backend_made_for_the_machine_is_taken(machine: Hardware, chosen: str) -> None:
    plan = settled(first(), machine, *ALL)
    assert plan.execution.backend == chosen
    assert rejected(plan).keys() == {item.name for item in ALL} - {chosen}
    assert rejected(plan)["a-writer"] == "it is for others to run: Nobody runs it here."


def test_each_rejection_has_its_reason() -> None:
    on_gpu = rejected(settled(first(), hardware(gpu(memory_gib=40)), *ALL))
    assert on_gpu["apple"] == "it would leave the cuda device idle, which fast trains on"
    assert on_gpu["reference"] == "fast is preferred on cuda"
    on_many = settled(first(), hardware(*[gpu(memory_gib=40)] * 4), *ALL)
    assert rejected(on_many)["fast"] == "it would use one of several devices: One process per run."
    reasons = {item.facts.get("rejected"): item.reason for item in decisions(on_many, "execution.backend")}
    assert reasons["fast"] is Reason.BACKEND_PASSED_OVER
    assert reasons["a-writer"] is Reason.BACKEND_REJECTED
    twins = (target("one"), target("two"))
    assert rejected(settled(first(), hardware(gpu(memory_gib=40)), *twins)) == {
        "two": "one comes first among equals"
    }


def test_features_come_before_preferences() -> None:
    without = target("fast", prefers=(Device.CUDA,), features={Feature.DORA: Support.NOT_IMPLEMENTED})
    dora = replace(LORA, type="dora")
    plan = settled(first(dora), hardware(gpu(memory_gib=40)), without, REFERENCE)
    assert plan.execution.backend == "reference"
    assert rejected(plan)["fast"] == "dora is not implemented: A reason."
    assert settled(first(), hardware(gpu(memory_gib=40)), without, REFERENCE).execution.backend == "fast"


def test_a_feature_of_another_device_is_none_here() -> None:
    """4 bits on CUDA only: on a CPU the backend that has them there is taken, though another is preferred."""
    some = FeatureOn(Feature.QLORA, Feature.QUANTIZATION_4BIT)
    qlora = first(replace(LORA, type="qlora"), model={"quantization_bits": 4}, export={"merge": False})
    plan = settled(qlora, hardware(memory_gib=64), some.only_on("cuda", REFERENCE), APPLE)
    assert plan.execution.backend == "apple"
    assert "qlora is impossible: only on cuda" in rejected(plan)["reference"]


class FeatureOn:
    def __init__(self, *features: Feature) -> None:
        self._features = features

    def only_on(self, device: str, present: Target) -> Target:
        limited = {
            feature: present.features[feature].model_copy(update={"devices": (Device(device),)})
            for feature in self._features
        }
        return present.model_copy(update={"features": {**present.features, **limited}})


def test_a_backend_asked_for_by_name_is_taken_as_it_is() -> None:
    plan = first(execution={"backend": "a-writer"}, given=("execution.backend",))
    assert settled(plan, hardware(gpu(memory_gib=40)), *ALL).execution.backend == "a-writer"
    missing = first(replace(LORA, type="dora"), execution={"backend": "fast"}, given=("execution.backend",))
    without = target("fast", features={Feature.DORA: Support.NOT_IMPLEMENTED})
    item = refused(missing, hardware(gpu(memory_gib=40)), without, REFERENCE)["FTS402"]
    assert "`adapter.type` asks for dora" in item.detail


def test_a_device_that_is_not_there_is_named_by_its_own_pass() -> None:
    plan = first(execution={"device": "mps"}, given=("execution.device",))
    assert set(refused(plan, hardware(gpu(memory_gib=40)), *ALL)) == {"FTS405"}


# --- processes, precision, kernels -------------------------------------------------------------


@pytest.mark.parametrize(("batch", "used"), [(16, 8), (12, 6), (7, 7), (1, 1), (11, 1)])
def test_processes_share_the_batch_equally(batch: int, used: int) -> None:
    machine = hardware(*[gpu(memory_gib=80)] * 8, memory_gib=512)
    plan = settled(first(train={"global_batch_size": batch}), machine, REFERENCE)
    run = plan.execution
    assert run.num_processes == used
    product = used * (run.per_device_train_batch_size or 0) * (run.gradient_accumulation_steps or 0)
    assert product == batch
    (decision,) = decisions(plan, "execution.num_processes")
    assert decision.reason is Reason.ONE_PROCESS_PER_DEVICE
    assert decision.facts["devices"] == 8


@pytest.mark.parametrize(
    ("wish", "device", "words"),
    [
        (3, "cuda", "cannot be shared equally"),
        (16, "cuda", "the machine has 2 such devices"),
        (3, "cpu", "cannot be shared equally"),
    ],
)
def test_processes_that_cannot_be(wish: int, device: str, words: str) -> None:
    plan = first(
        train={"global_batch_size": 16},
        execution={"num_processes": wish, "device": device},
        given=("execution.num_processes", "execution.device"),
    )
    machine = hardware(*[gpu(memory_gib=80)] * (4 if wish == 3 else 2), memory_gib=512)
    assert words in refused(plan, machine, REFERENCE)["FTS402"].detail


def test_processes_on_a_cpu_share_its_memory() -> None:
    wish = {"num_processes": 2, "device": "cpu"}
    names = ("execution.num_processes", "execution.device")
    plan = first(execution=wish, given=names)
    assert settled(plan, hardware(memory_gib=128), REFERENCE).execution.num_threads == 1
    assert settled(first(), hardware(memory_gib=15), REFERENCE).execution.num_processes == 1
    assert "FTS403" in refused(plan, hardware(memory_gib=15), REFERENCE)


@pytest.mark.parametrize(
    ("machine", "precision"),
    [
        (hardware(gpu(memory_gib=40)), "bf16"),
        (hardware(gpu("Tesla T4", 15, compute_capability="7.5", bf16=False)), "fp16"),
        (hardware(MPS, os="darwin"), "bf16"),
        (hardware(replace(MPS, name="Apple M2", bf16=False), os="darwin"), "fp16"),
        (hardware(cpu=cpu(flags=("avx2",)), memory_gib=64), "fp32"),
    ],
)
def test_frozen_weights_are_kept_in_what_the_device_multiplies(machine: Hardware, precision: str) -> None:
    assert settled(first(), machine).execution.precision == precision


def test_an_attention_kernel_that_was_given_stays() -> None:
    plan = first(execution={"attn_implementation": "eager"}, given=("execution.attn_implementation",))
    made = settled(plan, hardware(gpu(memory_gib=40)))
    assert made.execution.attn_implementation == "eager"
    assert not decisions(made, "execution.attn_implementation")


# --- memory ------------------------------------------------------------------------------------


def test_ways_to_take_a_step_get_leaner() -> None:
    plan = settled(first(train={"global_batch_size": 16}), hardware(gpu(memory_gib=80)))
    context = Context(hardware=hardware(gpu(memory_gib=80)), targets=(target(),))
    ways = list(candidates(plan, context))
    sizes = [(way.per_device_train_batch_size, way.gradient_accumulation_steps) for way in ways]
    assert sizes == [(16, 1), (8, 2), (4, 4), (2, 8), (1, 16)] * 2
    assert [way.gradient_checkpointing for way in ways] == [False] * 5 + [True] * 5


def test_a_merged_model_that_does_not_fit_is_refused_with_the_way_out() -> None:
    qlora = replace(LORA, type="qlora")
    plan = first(qlora, model={"quantization_bits": 4}, export={"merge": True})
    item = refused(plan, hardware(gpu(memory_gib=6.9)))["FTS403"]
    assert item.detail.startswith("scoring one row at a time with the merged model needs")
    assert "`export: {merge: false}`" in item.help
    apart = replace(plan, export=replace(plan.export, merge=False))
    assert settled(apart, hardware(gpu(memory_gib=6.9))).execution.score_batch_size


def test_quantising_is_offered_only_where_it_works() -> None:
    machine = hardware(gpu(memory_gib=6.9))
    assert "qlora" in refused(first(), machine)["FTS403"].help
    none = {Feature.QLORA: Support.IMPOSSIBLE}
    assert "qlora" not in refused(first(), machine, target(features=none))["FTS403"].help
    asked = first(execution={"backend": "plain"}, given=("execution.backend",))
    others = (target("plain", features=none), target("able"))
    assert "qlora" not in refused(asked, machine, *others)["FTS403"].help
    free = refused(first(), machine, target("plain", features=none, prefers=(Device.CUDA,)), target("able"))
    assert "backend able" in free["FTS403"].help


def test_only_one_fault_when_training_does_not_fit() -> None:
    plan = first(AdapterPlan(type="full"))
    found = refused(plan, hardware(gpu(memory_gib=4)))
    assert set(found) == {"FTS403"}
    assert "GiB more memory" in found["FTS403"].help


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    adapter=st.sampled_from(["lora", "dora", "qlora", "full"]),
    batch=st.integers(min_value=1, max_value=96),
    memory_gib=st.floats(min_value=2, max_value=120),
    devices=st.integers(min_value=0, max_value=8),
)
def test_no_memory_size_changes_the_batch(adapter: str, batch: int, memory_gib: float, devices: int) -> None:
    made = AdapterPlan(type="full") if adapter == "full" else replace(LORA, type=adapter)
    plan = first(
        made,
        train={"global_batch_size": batch},
        model={"quantization_bits": 4 if adapter == "qlora" else None},
    )
    machine = hardware(*[gpu(memory_gib=memory_gib)] * devices, memory_gib=memory_gib)
    context = Context(hardware=machine, targets=(REFERENCE,))
    done, found = optimise(plan, context)
    if done is None:
        assert {item.code.id for item in found} == {"FTS403"}
        return
    run = done.execution
    parts = (run.num_processes, run.per_device_train_batch_size, run.gradient_accumulation_steps)
    assert (parts[0] or 0) * (parts[1] or 0) * (parts[2] or 0) == batch
    assert done.estimates is not None
    assert done.estimates.peak_memory_bytes <= (run.memory_limit_bytes or 0)
    assert least_peak(done, context) <= (run.memory_limit_bytes or 0)


def test_a_narrow_model_gets_one_thread() -> None:
    plan = first()
    narrow = replace(plan, model=replace(plan.model, facts=replace(plan.model.facts, hidden_size=64)))
    assert settled(plan, hardware(memory_gib=128), REFERENCE).execution.num_threads == 2
    run = settled(narrow, hardware(memory_gib=128), REFERENCE)
    assert run.execution.num_threads == 1
    chosen = next(item for item in run.decisions if item.field == "execution.num_threads")
    assert chosen.reason is Reason.TOO_NARROW_TO_SHARE
