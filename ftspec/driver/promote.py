"""Moving an environment's pointer forward, with evidence."""

import getpass
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError, Severity
from ftspec.driver.comparison import STAGE, Comparison, Means, compare_models, plan_of
from ftspec.driver.incumbent import CannotCompareError
from ftspec.driver.register import weight_files
from ftspec.evaluate.gates import Outcome
from ftspec.evaluate.words import finding
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.space import short_space, space_id_of, weights_of
from ftspec.store.artifacts import Artifacts
from ftspec.store.environments import environments_lock, strict_pointers
from ftspec.store.history import find_whole, move, not_whole
from ftspec.store.project import Project
from ftspec.store.promotion import Measured, Promotion
from ftspec.store.registry import RegisteredModel, find_model_version, is_intact
from ftspec.store.run_record import RunRecord, read_record

SAME, REGISTERED, COMPARED = "same", "registered", "comparison"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a person takes upon themselves; each is recorded with the promotion."""

    inconclusive: bool = False
    space_break: bool = False
    tainted: bool = False

    def flags(self) -> tuple[str, ...]:
        named = {
            "--allow-inconclusive": self.inconclusive,
            "--allow-space-break": self.space_break,
            "--allow-tainted": self.tainted,
        }
        return tuple(name for name, given in named.items() if given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A promotion that was weighed and not yet carried out.

    `problems`: errors refuse it, others are told. `unchanged`: that model is there already.
    """

    model: RegisteredModel
    space_id: str | None
    environment: str
    present: Promotion | None
    basis: str
    verdict: Outcome | None  # None: it was not come to, see `problems`
    comparison: Comparison | None
    problems: Diagnostics
    flags: tuple[str, ...]
    unchanged: bool = False

    @property
    def refused(self) -> bool:
        return self.problems.has_errors

    @property
    def breaks_space(self) -> bool:
        present = self.present
        return present is not None and self.space_id is not None and self.space_id != present.space_id


def propose(
    project: Project, model: RegisteredModel, environment: str, *, allowed: Allowed, means: Means
) -> Proposal:
    """Weigh `model` against what `environment` holds. Changes nothing but the store of comparisons.

    Refusals are told together: FTS801 and FTS802 of the gates, FTS684 for another embedding space, FTS683 for
    a tainted run. Raises FtspecError for files that are gone or changed, and where a program fails.
    """
    if not is_intact(model):
        raise FtspecError(
            Diagnostic(
                code=codes.PROMOTED_DAMAGED,
                detail=f"{model.name} {model.version}: its files are not the registered ones",
                help="delete this version, and apply its spec again",
            )
        )
    record = _record(project, model)
    present = strict_pointers(project).get((environment, model.name))
    problems = Diagnostics()
    unchanged = present is not None and present.digest == model.digest
    space_id = space_of(project, model)
    basis, verdict, comparison = SAME, None, None
    if not unchanged:
        tainted = tuple(dict.fromkeys((*record.tainted, *model.tainted)))
        problems.extend(_taint(record.run_id, tainted, allowed))
        if present is not None:
            problems.extend(_space(model, space_id, present, allowed))
        if not tainted or allowed.tainted:
            basis, verdict, comparison = _weigh(
                project, model, space_id, record, present, means, allowed, problems
            )
            if verdict is not None:
                problems.extend(_judged(verdict, comparison, present, allowed))
    return Proposal(
        model=model,
        space_id=space_id,
        environment=environment,
        present=present,
        basis=basis,
        verdict=verdict,
        comparison=comparison,
        problems=problems,
        flags=allowed.flags(),
        unchanged=unchanged,
    )


def promote(project: Project, proposal: Proposal, *, note: str = "") -> tuple[Promotion, Diagnostics]:
    """Carry out a proposal that nothing refuses. Raises FTS686 when the environment moved since it was made,
    FTS615 when the version was deleted."""
    assert not proposal.refused, "a refused proposal is not carried out"
    assert proposal.verdict is not None
    model, present, comparison = proposal.model, proposal.present, proposal.comparison
    measured = None
    if comparison is not None:
        primary = comparison.summary.primary_metric
        measured = Measured(
            metric=primary.metric,
            gain=primary.gain.mean,
            low=primary.gain.low,
            high=primary.gain.high,
            rows=comparison.summary.queries if primary.rows is None else primary.rows,
        )
    promotion = Promotion(
        environment=proposal.environment,
        name=model.name,
        kind=model.kind,
        number=0,
        action="promote",
        version=model.version,
        digest=model.digest,
        space_id=proposal.space_id,
        run_id=model.meta.get("run_id"),
        from_version=None if present is None else present.version,
        from_digest=None if present is None else present.digest,
        basis=proposal.basis,
        verdict=proposal.verdict.value,
        comparison=None if comparison is None else comparison.key,
        measured=measured,
        flags=proposal.flags,
        note=writable(note),
        by=who(project),
        promoted=now(),
        previous=None if present is None else present.id,
    )
    with environments_lock(project):
        _, missing = find_model_version(project, model.name, model.version)
        if missing.has_errors:
            raise FtspecError(*missing)
        _require_evidence(project, promotion)
        return move(project, promotion, expected=None if present is None else present.id)


def _require_evidence(project: Project, promotion: Promotion) -> None:
    """What the promotion rests on must be stored. `gc` removes comparisons that nothing was promoted by."""
    key = promotion.comparison
    if key is not None and Artifacts(project).find(STAGE, key) is None:
        raise FtspecError(
            Diagnostic(
                code=codes.ARTIFACT_DAMAGED,
                detail=f"the comparison of {promotion.model} with {promotion.from_version} was removed meanwhile",
                help="give the command again: it compares anew",
            )
        )


def space_of(project: Project, model: RegisteredModel) -> str | None:
    """The space of a registered model; of versions of earlier releases made from the plan of their run."""
    if model.space_id is not None or model.kind != "Embedding":
        return model.space_id
    plan = plan_of(project, str(model.meta.get("run_id")), f"{model.name} {model.version}")
    assert isinstance(plan, EmbeddingPlan)
    return space_id_of(plan.model, weights_of(weight_files(model.path)))


def who(project: Project) -> str:
    """The user of git, or of the machine."""
    from ftspec.driver import git

    name = git.user(project.root)
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without names
        return "unknown"


def writable(text: str) -> str:
    """Bytes of an argument that are no UTF-8 cannot be written."""
    return text.encode("utf-8", "replace").decode("utf-8")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _record(project: Project, model: RegisteredModel) -> RunRecord:
    """Whether a model may be trusted stands in the record of its run."""
    run_id = str(model.meta.get("run_id"))
    record, found = read_record(project.runs / run_id)
    if record is None:
        raise FtspecError(
            *found,
            Diagnostic(
                code=codes.RUN_NOT_FOUND,
                detail=f"the run that made {model.name} {model.version} (`{run_id}`) has no record",
                help="`ftspec apply` of its spec makes the model again",
            ),
        )
    return record


def _weigh(
    project: Project,
    model: RegisteredModel,
    space_id: str | None,
    record: RunRecord,
    present: Promotion | None,
    means: Means,
    allowed: Allowed,
    problems: Diagnostics,
) -> tuple[str, Outcome | None, Comparison | None]:
    """(basis, verdict, comparison)."""
    if present is None:
        return REGISTERED, Outcome(record.verdict), None
    if present.run_id == record.run_id or (space_id is not None and space_id == present.space_id):
        return SAME, Outcome.PASSED, None  # another form of the same weights, or the same weights again
    if find_whole(project, present) is None:
        problems.items.append(replace(not_whole(project, present), severity=Severity.WARNING))
    try:
        compared = compare_models(project, model, present, means)
    except CannotCompareError as error:
        problems.add(
            codes.GATE_INCONCLUSIVE,
            f"it cannot be compared with {present.model}: {error}",
            help="`--allow-inconclusive` promotes it without a comparison",
            severity=Severity.WARNING if allowed.inconclusive else None,
        )
        return COMPARED, Outcome.INCONCLUSIVE, None
    if compared.left_out:
        problems.add(
            codes.PRESENT_TRAINED_ON_TEST,
            f"{present.model} was trained on {compared.left_out:,} of them, which are left out; "
            f"{compared.summary.queries:,} are left to compare on",
            help="hold out the same rows for both: `data.evaluation`, or the same split",
        )
    return compared.basis, compared.verdict.verdict, compared


def _judged(
    verdict: Outcome, comparison: Comparison | None, present: Promotion | None, allowed: Allowed
) -> Iterator[Diagnostic]:
    if comparison is None or present is None:
        return
    gates = comparison.verdict.gates
    reasons = "; ".join(f"{gate.metric}: {gate.reason}" for gate in gates if gate.outcome is verdict)
    detail = f"against {present.model} in {present.environment}, the baseline here: {reasons}"
    if verdict is Outcome.FAILED:
        yield Diagnostic(code=codes.GATE_FAILED, detail=detail, help=f"{present.version} stays where it is")
    elif verdict is Outcome.INCONCLUSIVE:
        yield Diagnostic(
            code=codes.GATE_INCONCLUSIVE,
            detail=detail,
            help="more held-out rows would decide; `--allow-inconclusive` promotes it nevertheless",
            severity=Severity.WARNING if allowed.inconclusive else None,
        )


def _taint(run_id: str, tainted: tuple[str, ...], allowed: Allowed) -> Iterator[Diagnostic]:
    if tainted:
        yield Diagnostic(
            code=codes.RUN_TAINTED,
            detail=f"run {run_id}: {'; '.join(tainted)}",
            help="apply the spec again; `--allow-tainted` promotes it nevertheless",
            severity=Severity.WARNING if allowed.tainted else None,
        )


def _space(
    model: RegisteredModel, space_id: str | None, present: Promotion, allowed: Allowed
) -> Iterator[Diagnostic]:
    if space_id is None or space_id == present.space_id:
        return
    before = short_space(present.space_id) or "unknown"
    yield Diagnostic(
        code=codes.SPACE_BREAK,
        detail=f"{present.model} has space {before}, {model.version} has {short_space(space_id)}: "
        "vectors of indexes that were built before do not fit",
        help="build the indexes again with it, and promote with `--allow-space-break`",
        severity=Severity.WARNING if allowed.space_break else None,
    )


def sentence(proposal: Proposal) -> str:
    """What the promotion rests on, in words."""
    present = proposal.present
    if proposal.unchanged:
        return f"{proposal.environment} holds this model already"
    if present is None:
        return f"{proposal.environment} is empty: the verdict of the run counts"
    if proposal.comparison is not None:
        return f"against {present.version}: {finding(proposal.comparison.summary)}"
    if proposal.basis == SAME:
        return f"the same weights as {present.version}"
    return f"not compared with {present.version}"
