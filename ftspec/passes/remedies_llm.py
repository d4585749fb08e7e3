"""Changes of an LLM spec that take less memory. A smaller batch is none: it is accumulated row by row."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ftspec.estimate.decoder import decoder_inputs, longest_row, weight_bytes
from ftspec.passes.context import Context, is_given, kind_of_device, target_of
from ftspec.passes.units import gib
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.target.model import Feature, Target

_LENGTHS = (32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128)
_RANK, _ALPHA = 16, 32

Least = Callable[[LlmPlan], int]  # bytes that the leanest way to run a plan needs


def _adapter(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    """Adapters in place of all weights, or of what DoRA keeps beside them."""
    if plan.adapter.type not in ("full", "dora"):
        return
    backend = _backend_for(plan, context, Feature.LORA)
    if backend is not None:
        needed = least(_on(_with_adapter(plan, "lora"), backend))
        if needed <= limit:
            yield f"`adapter: {{type: lora}}` ({gib(needed)}{_by(plan, backend)})"


def _quantised(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    if plan.model.quantization_bits == 4:
        return
    backend = _backend_for(plan, context, Feature.QLORA, Feature.QUANTIZATION_4BIT)
    if backend is None:
        return
    changed = _with_adapter(plan, "qlora")
    changed = replace(changed, model=replace(changed.model, quantization_bits=4))
    needed = least(_on(changed, backend))
    if needed <= limit:
        yield f"`adapter: {{type: qlora}}` ({gib(needed)}{_by(plan, backend)})"


def _shorter(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    """The longest limit that fits; rows above it are dropped or cut, as `train.too_long` says."""
    del context
    for length in _LENGTHS:
        if length < longest_row(plan):
            needed = least(replace(plan, model=replace(plan.model, max_seq_length=length)))
            if needed <= limit:
                yield f"`model.max_seq_length: {length}` ({gib(needed)})"
                return


def _smaller_base(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    """How many parameters would fit if all else stayed the same: weights and states grow with them."""
    inputs = decoder_inputs(plan, target_of(plan, context).memory)
    states = weight_bytes(inputs) + (12 * inputs.trainable_parameters if inputs.trains_all else 0)
    per_parameter = states / inputs.facts.total_parameters
    room = limit - (least(plan) - states)
    billions = int(room / per_parameter / 1e8) / 10
    if billions >= 0.1:
        yield f"a base of at most {billions:.1f} billion parameters"


def _with_adapter(plan: LlmPlan, type: str) -> LlmPlan:
    """The plan with adapters as they are by default, or with the rank and places of those it has."""
    present, facts = plan.adapter, plan.model.facts
    if present.type == "full":
        adapter = AdapterPlan(
            type=type, r=_RANK, alpha=_ALPHA, dropout=0.0, target_modules=facts.linear_modules
        )
        trainable = _RANK * sum(facts.linear_widths.values())
    else:
        adapter, trainable = replace(present, type=type), plan.model.trainable_parameters
    return replace(plan, adapter=adapter, model=replace(plan.model, trainable_parameters=trainable))


def _backend_for(plan: LlmPlan, context: Context, *features: Feature) -> Target | None:
    """The plan's backend if it has these features on its device, else, where the spec leaves the choice, one
    that has."""
    present, kind = target_of(plan, context), kind_of_device(plan, context)
    others = () if is_given(plan, "execution.backend") else context.targets
    for target in (present, *others):
        runs_here = plan.kind in target.kinds and kind in target.devices and target.emit_only is None
        if runs_here and all(target.supports(feature, kind) for feature in features):
            return target
    return None


def _on(plan: LlmPlan, backend: Target) -> LlmPlan:
    return replace(plan, execution=replace(plan.execution, backend=backend.name))


def _by(plan: LlmPlan, backend: Target) -> str:
    return "" if backend.name == plan.execution.backend else f", backend {backend.name}"


LLM_ATTEMPTS = (_adapter, _quantised, _shorter, _smaller_base)
