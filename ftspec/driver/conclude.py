"""The end of a run: evidence, verdict, the registered model, and the record of it all."""

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime

from ftspec.driver.inputs import moved_inputs
from ftspec.driver.last_state import drop_extended
from ftspec.driver.lookup import stored_stages
from ftspec.driver.register import assemble_model, register, registered_model
from ftspec.driver.running import Run, timed, versions_of
from ftspec.evaluate.evidence import means
from ftspec.evaluate.outcome import ApplyResult, read_result
from ftspec.plan.fingerprints import realisation_fingerprint, semantic_fingerprint
from ftspec.plan.model import Action
from ftspec.plan.stages import predicted_seconds, with_stages
from ftspec.store.extension import read_extension
from ftspec.store.run_record import EstimateRecord, ModelRecord, RunRecord, StageRecord, finish_run


def run_evidence_stages(run: Run) -> ApplyResult:
    from ftspec.driver.inprocess import make_evidence
    from ftspec.evaluate.evidence import read_evidence
    from ftspec.evaluate.gates import judge, read_verdict, write_verdict

    if run.runs("evaluate"):
        with timed(run, "evaluate") as out:
            make_evidence(run.plan, run.output, out)
    evidence = read_evidence(run.output("evaluate"))
    if run.runs("gate"):
        with timed(run, "gate") as out:
            write_verdict(out, judge(run.plan, evidence))
    verdict = read_verdict(run.output("gate"))
    metrics = means(evidence.summary)
    versions = versions_of(run)
    run.note_moved(moved_inputs(run.plan, run.project))
    model_folder = run.folder / "model"
    assemble_model(
        model_folder, run.output("train"), run.plan, evidence, verdict, versions, tainted=run.tainted
    )
    if run.runs("register"):
        # What is stored under this key speaks of a version that was deleted since, and publish would keep it.
        run.artifacts.delete("register", run.stage("register").key)
        with timed(run, "register", tainted=run.tainted) as out:
            register(
                run.project,
                run.plan,
                model_folder,
                verdict,
                key=run.stage("register").key,
                run_id=run.folder.name,
                plan_digest=run.plan_digest,
                metrics=metrics,
                tainted=run.tainted,
                out=out,
            )
    model = _registered(run)
    run.lease.require()
    finish_run(run.project, _record(run, verdict.verdict.value, metrics, versions, model))
    drop_extended(run)
    shutil.rmtree(run.folder / "scratch", ignore_errors=True)
    result = read_result(run.project, with_stages(run.plan, stored_stages(run.project)), run.plan_digest)
    assert result is not None, "the run that was just recorded cannot be read"
    return result.as_new(resumed_from_step=_resumed_from(run))


def _registered(run: Run) -> ModelRecord | None:
    """Read from the artefact, which an attempt that was killed later may have left."""
    model = registered_model(run.project, run.output("register"))
    if model is None:
        return None
    return ModelRecord(
        name=model.name,
        version=model.version,
        digest=model.digest,
        path=run.project.relative(model.path),
    )


def _record(
    run: Run,
    verdict: str,
    metrics: Mapping[str, Mapping[str, float]],
    versions: Mapping[str, str],
    model: ModelRecord | None,
) -> RunRecord:
    plan = run.plan
    assert plan.estimates is not None
    assert plan.execution.backend is not None
    return RunRecord(
        run_id=run.folder.name,
        name=plan.name,
        kind=plan.kind,
        spec=dict(run.spec),
        spec_hash=plan.spec_hash,
        spec_path=plan.spec_path,
        plan_digest=run.plan_digest,
        plan_path=run.project.relative(run.folder / "plan.json"),
        semantic_fingerprint=semantic_fingerprint(plan),
        realisation_fingerprint=realisation_fingerprint(plan),
        backend=plan.execution.backend,
        started=run.started,
        ended=now(),
        verdict=verdict,
        metrics={variant: dict(values) for variant, values in metrics.items()},
        stages=tuple(
            StageRecord(
                name=stage.name,
                key=stage.key,
                action=stage.action.value,
                reason=stage.reason.value,
                seconds=run.seconds.get(stage.name),
            )
            for stage in plan.stages
        ),
        estimate=EstimateRecord(
            device=plan.execution.device,
            precision=plan.execution.precision,
            train_steps=plan.train.total_steps,
            predicted_peak_memory_bytes=plan.estimates.peak_memory_bytes,
            measured_peak_memory_bytes=run.peak_memory_bytes,
            predicted_wall_seconds=predicted_seconds(plan),
            measured_wall_seconds=_wall_seconds(run),
            predicted_stage_seconds=dict(plan.estimates.stage_seconds),
            measured_stage_seconds=dict(run.seconds),
        ),
        base_model_digest=plan.model.facts.digest,
        machine={"name": run.machine.name, "digest": run.machine.digest, "summary": run.machine.summary},
        versions=dict(versions),
        model=model,
        tainted=run.tainted,
        extended_from=read_extension(run.output("train")),
    )


def _wall_seconds(run: Run) -> float | None:
    """Of the stages that ran; None where an earlier attempt did a part of them."""
    fresh = all(stage.name in run.seconds for stage in run.plan.stages if stage.action is Action.RUN)
    return sum(run.seconds.values()) if fresh and _resumed_from(run) is None else None


def _resumed_from(run: Run) -> int | None:
    path = run.output("train") / "info.json"
    if not run.runs("train"):
        return None
    step = json.loads(path.read_text(encoding="utf-8")).get("resumed_from_step")
    return None if step is None else int(step)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
