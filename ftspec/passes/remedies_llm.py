"""Changes of an LLM spec that take less memory. A smaller batch is none: it is accumulated row by row."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ftspec.estimate.decoder import longest_row
from ftspec.passes.context import Context, is_given, kind_of_device, target_of
from ftspec.passes.units import gib
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.target.features import Feature
from ftspec.target.model import Target

_LENGTHS = (32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128)
_RANK, _ALPHA = 16, 32
_LEAST_BILLIONS = 0.1  # nobody looks for a smaller one

Least = Callable[[LlmPlan], int]  # bytes that the leanest way to run a plan needs


def _adapter(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    """Adapters in place of all weights, or of what DoRA keeps beside them."""
    if plan.adapter.type in ("full", "dora"):
        yield from _other_type(plan, context, limit, least, "lora", None, Feature.LORA)


def _quantised(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    if plan.model.quantization_bits != 4:
        features = (Feature.QLORA, Feature.QUANTIZATION_4BIT)
        yield from _other_type(plan, context, limit, least, "qlora", 4, *features)


def _other_type(
    plan: LlmPlan,
    context: Context,
    limit: int,
    least: Least,
    type: str,
    bits: int | None,
    *features: Feature,
) -> Iterator[str]:
    """Adapters of a type; where that alone does not fit, with what else it takes."""
    backend = _backend_for(plan, context, *features)
    if backend is None:
        return
    changed = _on(_with_adapter(plan, type), backend)
    changed = replace(changed, model=replace(changed.model, quantization_bits=bits))
    by = "" if backend.name == plan.execution.backend else f", backend {backend.name}"
    ways = [(changed, ""), *_unmerged_ways(changed, " with ")]
    yield from _first_that_fits(ways, limit, least, before=f"`adapter: {{type: {type}}}`", after=by)


def _unmerged(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    """The adapter beside a quantised base, where the merged model is what does not fit."""
    del context
    if plan.model.quantization_bits is not None:
        yield from _first_that_fits(_unmerged_ways(plan, ""), limit, least)


def _shorter(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    """The longest limit that fits; rows above it are dropped or cut, as `train.too_long` says."""
    del context
    yield from _first_that_fits(_shorter_ways(plan, ""), limit, least)


Way = tuple[LlmPlan, str]  # a changed plan, and the words for the change


def _unmerged_ways(plan: LlmPlan, joint: str) -> Iterator[Way]:
    """Without merging, then with ever shorter rows besides; the latter alone where nothing is merged."""
    if plan.export.merge:
        words = f"{joint}`export: {{merge: false}}`"
        unmerged = replace(plan, export=replace(plan.export, merge=False))
        yield unmerged, words
        yield from _shorter_ways(unmerged, f"{words} and ")
    elif joint:
        yield from _shorter_ways(plan, joint)


def _shorter_ways(plan: LlmPlan, words: str) -> Iterator[Way]:
    for length in _LENGTHS:
        if length < longest_row(plan):
            shorter = replace(plan, model=replace(plan.model, max_seq_length=length))
            yield shorter, f"{words}`model.max_seq_length: {length}`"


def _first_that_fits(
    ways: Iterable[Way], limit: int, least: Least, *, before: str = "", after: str = ""
) -> Iterator[str]:
    for plan, words in ways:
        needed = least(plan)
        if needed <= limit:
            yield f"{before}{words} ({gib(needed)}{after})"
            return


def _smaller_base(plan: LlmPlan, context: Context, limit: int, least: Least) -> Iterator[str]:
    """The size of a base that would fit: this one with fewer layers of the same width."""
    del context
    for layers in range(plan.model.facts.num_layers - 1, 0, -1):
        changed = _with_layers(plan, layers)
        if least(changed) <= limit:
            billions = changed.model.facts.total_parameters / 1e9
            if billions >= _LEAST_BILLIONS:
                yield f"a base of at most {billions:.1f} billion parameters"
            return


def _with_layers(plan: LlmPlan, layers: int) -> LlmPlan:
    facts = plan.model.facts
    share = layers / facts.num_layers
    fewer = replace(
        facts,
        num_layers=layers,
        total_parameters=facts.total_parameters - (facts.num_layers - layers) * facts.layer_parameters,
        linear_parameters=round(facts.linear_parameters * share),
    )
    full = plan.adapter.type == "full"
    trainable = fewer.total_parameters if full else round(plan.model.trainable_parameters * share)
    return replace(plan, model=replace(plan.model, facts=fewer, trainable_parameters=trainable))


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


LLM_ATTEMPTS = (_adapter, _quantised, _unmerged, _shorter, _smaller_base)
