"""Arithmetic of the training step: bf16 where the hardware multiplies it, never where it is emulated."""

from collections.abc import Iterator

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.context import Context, accelerator_of, kind_of_device, span_of, target_of
from ftspec.plan import embedding
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite, Value
from ftspec.plan.reasons import Reason
from ftspec.target.features import Feature
from ftspec.target.model import Target

FIELD = "execution.precision"
_FEATURES = {"bf16": Feature.BF16, "fp16": Feature.FP16}


def pick_precision(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.precision`. Trained weights and optimizer states are fp32 in every case; the frozen
    base of an LLM is kept in this precision.

    bf16 needs no loss scaling and is tried first. fp16 is taken on GPUs without bf16 (compute
    capability 7.x, such as a T4), where the tensor cores do several times the fp32 rate, with loss
    scaling. On Apple devices embedding models stay in fp32: half precision is not faster there for
    encoders of this size; for an LLM it halves the weights that a step reads.
    """
    target, kind = target_of(plan, context), kind_of_device(plan, context)
    wish = plan.execution.precision
    if wish is not None:
        missing = why_not(wish, plan, context)
        if missing:
            yield Diagnostic(
                code=codes.PRECISION_UNSUPPORTED,
                detail=f"`{wish}` asked for; {missing}",
                primary=span_of(context, FIELD),
                help="`precision: auto` takes what this hardware is made for; fp32 runs everywhere",
            )
        return
    for candidate in ("bf16", "fp16"):
        missing = why_not(candidate, plan, context) or _why_target_not(candidate, target, kind)
        if not missing and kind == "mps" and plan.kind == embedding.KIND:
            missing = "on Apple devices half precision is not faster for such models"
        if not missing:
            yield Rewrite(
                field=FIELD,
                value=candidate,
                reason=Reason.BF16_INSTRUCTIONS if candidate == "bf16" else Reason.PRECISION_FITS_DEVICE,
                facts=FrozenMap(_facts(plan, context)),
            )
            return
        yield Rewrite(
            field=FIELD,
            value=None,
            reason=Reason.PRECISION_REJECTED,
            facts=FrozenMap({"rejected": candidate, "why": missing}),
        )
    yield Rewrite(
        field=FIELD,
        value="fp32",
        reason=Reason.NO_BF16_INSTRUCTIONS if kind == "cpu" else Reason.PRECISION_FITS_DEVICE,
        facts=FrozenMap(_facts(plan, context)),
    )


def why_not(precision: str, plan: Plan, context: Context) -> str:
    """Empty if the hardware computes in this precision natively."""
    if precision == "fp32":
        return ""
    accelerator, cpu = accelerator_of(plan, context), context.hardware.cpu
    if accelerator is None:
        if precision == "fp16":
            return "fp16 needs a GPU"
        return "" if cpu.bf16 else f"{cpu.model or 'the CPU'} has neither avx512_bf16 nor amx_bf16"
    if accelerator.bf16 if precision == "bf16" else accelerator.fp16:
        return ""
    capability = accelerator.compute_capability
    return (
        f"{accelerator.name}"
        + (f" (compute capability {capability})" if capability else "")
        + (f" does not compute in {precision}")
    )


def _why_target_not(precision: str, target: Target, kind: str) -> str:
    support = target.support_of(_FEATURES[precision], kind)
    return "" if target.supports(_FEATURES[precision], kind) else f"{target.name}: {support.why}"


def _facts(plan: Plan, context: Context) -> dict[str, Value]:
    accelerator, cpu = accelerator_of(plan, context), context.hardware.cpu
    if accelerator is None:
        flags = tuple(flag for flag in ("avx512_bf16", "amx_bf16") if flag in cpu.flags)
        return {"cpu": cpu.model, "bf16_flags": flags}
    return {"accelerator": accelerator.name, "compute_capability": accelerator.compute_capability}
