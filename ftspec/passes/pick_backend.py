"""Which backend trains: asked for by name, or the first that can."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic
from ftspec.passes.check_base import why_not_read
from ftspec.passes.context import Context, is_given, span_of, torch_device, usable_accelerators
from ftspec.passes.features import intended_features
from ftspec.passes.judge_fidelity import impossible_on
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Plan, Rewrite
from ftspec.plan.reasons import Reason
from ftspec.target.features import Feature, Support
from ftspec.target.model import Target

FIELD = "execution.backend"


def pick_backend(plan: Plan, context: Context) -> Iterator[Rewrite | Diagnostic]:
    """Settles `execution.backend`; every other candidate is a decision of its own.

    A candidate must know the kind and a device of the machine. Among those, the fewest missing features
    win, then an accelerator over the CPU, then a process for each of several devices, then what the backend
    is made for (`prefers`), then the order of the backend path. If all lack features, `check_features` names
    them.
    """
    candidates = context.targets
    if is_given(plan, FIELD):
        candidates = tuple(target for target in candidates if target.name == plan.execution.backend)
    rejected = {target.name: why for target in candidates if (why := _why_not(target, plan, context))}
    left = [target for target in candidates if target.name not in rejected]
    if not left:
        yield _no_backend(plan, context, rejected)
        return
    if is_given(plan, FIELD):
        return
    for name, why in rejected.items():
        yield _other(plan, name, why, Reason.BACKEND_REJECTED)
    merits = {target.name: merits_of(target, plan, context) for target in left}
    best = min(left, key=lambda target: merits[target.name].order)  # the first one among equals
    for target in left:
        if target is not best:
            lacking = bool(merits[target.name].lacking)
            why = _why_behind(target, merits[target.name], best, merits[best.name])
            yield _other(
                plan, target.name, why, Reason.BACKEND_REJECTED if lacking else Reason.BACKEND_PASSED_OVER
            )
    able = [target for target in left if len(merits[target.name].lacking) <= len(merits[best.name].lacking)]
    yield Rewrite(
        field=FIELD,
        value=best.name,
        reason=Reason.ONLY_CANDIDATE
        if len(able) == 1
        else Reason.PREFERRED_ON_DEVICE
        if merits[best.name].preferred
        else Reason.FIRST_THAT_CAN,
        facts=FrozenMap({"kind": plan.kind, "candidates": tuple(target.name for target in candidates)}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Merits:
    """What speaks for and against a backend that can run a plan's kind on this machine."""

    device: str  # the kind of device that it would run on
    lacking: tuple[str, ...]  # a sentence for each feature that the spec asks for and it does not have
    leaves_accelerator: bool  # would run on the CPU of a machine that has an accelerator
    idle: str  # why it leaves devices of the machine idle; empty if it uses all it could
    preferred: bool

    @property
    def order(self) -> tuple[int, bool, bool, bool]:
        return len(self.lacking), self.leaves_accelerator, bool(self.idle), not self.preferred


def merits_of(target: Target, plan: Plan, context: Context) -> Merits:
    accelerators = usable_accelerators(target, context)
    wish = plan.execution.device  # that the machine has it is judged by `pick_device`
    present = {"cpu", *(item.kind for item in accelerators)}
    device = next(
        kind for kind in target.devices if (kind in present if wish is None else torch_device(kind) == wish)
    )
    several = sum(item.kind == device for item in accelerators) > 1
    shares = processes_for(plan, sum(item.kind == device for item in accelerators)) > 1
    support = target.support_of(Feature.MULTI_PROCESS, device)
    able = support.support in {Support.FULL, Support.APPROXIMATED}
    return Merits(
        device=device,
        lacking=tuple(_lacking(target, plan, device)),
        leaves_accelerator=device == "cpu" and wish is None and bool(context.hardware.accelerators),
        idle=support.why if several and shares and not able else "",
        preferred=device in target.prefers,
    )


def processes_for(plan: Plan, devices: int) -> int:
    """The most processes, one a device, that share the batch equally."""
    batch = plan.train.global_batch_size
    return max((count for count in range(1, devices + 1) if batch % count == 0), default=1)


def _why_behind(target: Target, merits: Merits, best: Target, its: Merits) -> str:
    """Why `best` comes before `target`: the first respect in which they differ."""
    if len(merits.lacking) > len(its.lacking):
        return "; ".join(merits.lacking)
    if merits.leaves_accelerator and not its.leaves_accelerator:
        return f"it would leave the {its.device} device idle, which {best.name} trains on"
    if merits.idle and not its.idle:
        return f"it would use one of several devices: {merits.idle}"
    if its.preferred and not merits.preferred:
        return f"{best.name} is preferred on {its.device}"
    return f"{best.name} comes first among equals"


def _other(plan: Plan, name: str, why: str, reason: Reason) -> Rewrite:
    return Rewrite(
        field=FIELD,
        value=plan.execution.backend,
        reason=reason,
        facts=FrozenMap({"rejected": name, "why": why}),
    )


def _why_not(target: Target, plan: Plan, context: Context) -> str:
    """Empty if the target can run this kind on this machine."""
    if plan.kind not in target.kinds:
        return f"it does not train kind {plan.kind}"
    if target.emit_only is not None and not is_given(plan, FIELD):
        return f"it is for others to run: {target.emit_only}"
    present = {"cpu", *(item.kind for item in context.hardware.accelerators)}
    wish = plan.execution.device
    if wish is not None:
        return "" if wish in map(torch_device, target.devices) else f"it does not run on {wish}"
    if present & set(target.devices):
        return ""
    return f"it needs {' or '.join(target.devices)}, this machine has {', '.join(sorted(present))}"


def _lacking(target: Target, plan: Plan, device: str) -> Iterator[str]:
    """One sentence for each feature that the spec asks for and the target does not have on the device, and for
    each value of the spec that it cannot take; and one if it does not read the base."""
    unread = why_not_read(target, plan)
    if unread:
        yield unread
    for need in intended_features(plan):
        found = target.support_of(need.feature, device)
        if found.support in {Support.NOT_IMPLEMENTED, Support.IMPOSSIBLE}:
            yield f"{need.feature} is {found.support.replace('_', ' ')}: {found.why}"
    for row in impossible_on(target, plan, device):
        yield f"`{row.field}` is impossible: {row.difference}"


def _no_backend(plan: Plan, context: Context, rejected: dict[str, str]) -> Diagnostic:
    known = ", ".join(target.name for target in context.targets) or "none"
    if is_given(plan, FIELD) and not rejected:
        names = [target.name for target in context.targets]
        close = get_close_matches(str(plan.execution.backend), names, n=1)
        return Diagnostic(
            code=codes.NO_BACKEND,
            detail=f"{plan.execution.backend!r} is not among the known backends: {known}",
            primary=span_of(context, FIELD),
            help=(f"did you mean `{close[0]}`? " if close else "")
            + "`ftspec doctor` lists the backends; `backend: auto` takes one that can",
        )
    reasons = "; ".join(f"{name}: {why}" for name, why in rejected.items())
    elsewhere = next(
        (
            each
            for each in context.targets
            if each.name in rejected and each.emit_only and is_given(plan, FIELD)
        ),
        None,
    )
    return Diagnostic(
        code=codes.NO_BACKEND,
        detail=reasons or "no backend is known",
        primary=span_of(context, "execution.device") or span_of(context, FIELD),
        help="`ftspec doctor` shows the devices of this machine and what each backend runs on"
        if elsewhere is None
        else f"{elsewhere.name} runs elsewhere: `ftspec eject SPEC --hardware PROFILE --to FOLDER` writes its run folder "
        "for another machine, such as `h100x8`",
    )
