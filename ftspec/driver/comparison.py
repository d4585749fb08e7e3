"""Is a registered model better than the one that an environment holds? On its own held-out side, by what is
stored, and where that is missing by running one stage for the present model in the backend's environment.

The comparison is an artefact of its own (stage `promotion`), so the same question is answered once.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.driver.incumbent import (
    SCRATCH,
    CannotCompareError,
    encode_again,
    find_stored,
    same_model_as_baseline,
    trained_split,
)
from ftspec.driver.unseen import Side, count_held_out, count_rows, known_rows, without
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.evidence import Summary, read_evidence, read_summary
from ftspec.evaluate.gates import Verdict, judge, read_verdict, write_verdict
from ftspec.lower.links import link_tree
from ftspec.plan.codec import HASH_VERSION, hash_of, plan_document
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Gate, Plan
from ftspec.plan.stages import GRAPHS, program_stages
from ftspec.plan.text import plan_from_json
from ftspec.store.artifacts import Artifact, Artifacts
from ftspec.store.files import scratch_folder as scratch_below
from ftspec.store.leases import Notify
from ftspec.store.project import Project
from ftspec.store.promotion import Promotion
from ftspec.store.registry import RegisteredModel
from ftspec.target.model import Target

STAGE = "promotion"
_VERSION = 1
_AGAIN = "`ftspec apply` of the spec makes it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`basis`: comparison, or baseline where the run itself was measured against that very model.
    `left_out`: held-out rows that the present model was trained on."""

    basis: str
    key: str | None
    summary: Summary
    verdict: Verdict
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a comparison may need to run a program."""

    targets: Sequence[Target]
    purpose: str  # the user's command, for the lease
    tell: Callable[[str], None] = lambda text: None
    notify: Notify | None = None


def compare_models(
    project: Project, candidate: RegisteredModel, present: Promotion, means: Means
) -> Comparison:
    """Judge `candidate` by the gates of its spec, with `present` in the place of the baseline.

    Raises CannotCompareError where nothing could decide that, and FtspecError when files of the candidate's
    run are gone, or a program fails.
    """
    plan = plan_of(project, str(candidate.meta.get("run_id")), candidate.version)
    if present.kind != plan.kind:
        raise CannotCompareError(
            f"{present.model} is of kind {present.kind}, {candidate.version} of kind {plan.kind}"
        )
    with scratch_folder(project, candidate) as scratch:
        return _compare(project, plan, present, means, scratch)


def _compare(project: Project, plan: Plan, present: Promotion, means: Means, scratch: Path) -> Comparison:
    keys = {stage.name: stage.key for stage in plan.stages}
    store = Artifacts(project)
    judged = replace(plan, gates=promotion_gates(plan))
    split = _stored(project, "split", keys)
    theirs = trained_split(project, plan, split.path, present)
    own_split = keep(split.path, scratch)
    known = frozenset[str]() if theirs is None else known_rows(plan, own_split, keep(theirs, scratch))
    if not known and same_model_as_baseline(project, plan, present):
        # The spec's own verdict may not have asked for a gain at all.
        evidence = read_evidence(keep(_stored(project, "evaluate", keys).path, scratch))
        _check_enough(judged, evidence.summary.queries, 0, present)
        return Comparison(
            basis="baseline", key=None, summary=evidence.summary, verdict=judge(judged, evidence)
        )
    document = {
        "stage": STAGE,
        "version": _VERSION,
        "hash_version": HASH_VERSION,
        "evaluate": keys["evaluate"],
        "present": present.digest,
        "gates": plan_document(judged)["gates"],
        "left_out": sorted(known),
    }
    key = hash_of(document)
    artifact = store.find(STAGE, key)
    if artifact is not None:
        told = keep(artifact.path, scratch)
    else:
        _, _, tuned = program_stages(plan)
        data, own = _stored(project, GRAPHS[plan.kind].data, keys), _stored(project, tuned, keys)
        own_path = keep(own.path, scratch)
        left = count_held_out(plan, own_split) - len(known)
        _check_enough(judged, left, len(known), present)  # before a program runs for nothing
        found = find_stored(project, plan, data, present) or encode_again(
            project, plan, data, present, targets=means.targets, purpose=means.purpose, tell=means.tell,
            notify=means.notify,
        )  # fmt: skip
        whole = Side(split=own_split, base=keep(found.folder, scratch), tuned=own_path)
        out = scratch / "out"
        out.mkdir()
        side = without(plan, whole, known, scratch / "side")
        _check_enough(judged, count_rows(plan, side), len(known), present)
        evidence = evaluate(judged, side.split, side.base, side.tuned, out, base_similarity=found.similarity)
        write_verdict(out, judge(judged, evidence))
        told = scratch / "told"
        shutil.copytree(out, told)
        store.publish(STAGE, key, out, document, algorithm=HASH_VERSION)
    return Comparison(
        basis="comparison",
        key=key,
        summary=read_summary(told),
        verdict=read_verdict(told),
        left_out=len(known),
    )


def keep(stored: Path, scratch: Path) -> Path:
    """The files of an artefact by names of our own, so that they stay while `gc` takes away the artefact: no
    comparison waits for a lease that a training holds for days. Raises FtspecError when it went already."""
    kept = scratch / f"{stored.parent.name}-{stored.name}"
    try:
        link_tree(stored, kept)
    except OSError as error:
        raise _gone(f"stage {stored.parent.name} cannot be read any more: {error}") from error
    return kept


def _check_enough(plan: Plan, rows: int, left_out: int, present: Promotion) -> None:
    """Of n rows the smallest p-value that a paired test can give is 2 / 2^n, and the bootstrap of a handful has
    next to no width: it would be sure of anything."""
    confidence = plan.evaluation.bootstrap.confidence
    if 2.0 ** (1 - rows) <= 1 - confidence + 1e-12:
        return
    why = f"; {present.model} was trained on the other {left_out:,}" if left_out else ""
    raise CannotCompareError(
        f"{rows:,} held-out rows are left to compare on{why}, too few to tell anything at "
        f"{confidence * 100:g} % confidence"
    )


def promotion_gates(plan: Plan) -> FrozenMap[Gate]:
    """The gates of the spec, asked against what an environment holds.

    A gain that the spec asks over an untrained base is too much to ask of every successor, so here no more
    than a gain above 0 is asked; a loss that the spec allows stays allowed. The primary metric always has such
    a bound: without one a pointer would move without evidence.
    """
    gates = {
        metric: gate if gate.min_gain is None else replace(gate, min_gain=min(gate.min_gain, 0.0))
        for metric, gate in plan.gates.items()
    }
    primary = gates.get(plan.evaluation.primary, Gate())
    if primary.min_gain is None:
        gates[plan.evaluation.primary] = replace(primary, min_gain=0.0)
    return FrozenMap(gates)


def plan_of(project: Project, run_id: str, what: str) -> Plan:
    """The plan of a run. Raises FtspecError when it is gone or was changed."""
    path = project.runs / run_id / "plan.json"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _gone(
            f"the plan of the run that made {what} ({project.relative(path)}): {error.strerror}"
        ) from error
    plan, found = plan_from_json(text, name=project.relative(path))
    if plan is None:
        raise FtspecError(*found)
    return plan


def scratch_folder(project: Project, model: RegisteredModel) -> AbstractContextManager[Path]:
    """An empty folder for one comparison, gone at the end."""
    return scratch_below(project.state / SCRATCH, f"{model.name}-{model.version}")


def _stored(project: Project, stage: str, keys: dict[str, str]) -> Artifact:
    artifact = Artifacts(project).find(stage, keys[stage])
    if artifact is None:
        raise _gone(f"stage {stage} of the candidate's run is no longer in the store")
    return artifact


def _gone(detail: str) -> FtspecError:
    return FtspecError(Diagnostic(code=codes.ARTIFACT_DAMAGED, detail=detail, help=_AGAIN))
