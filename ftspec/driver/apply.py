"""Running a plan: stages in order, each from the store or anew, and the evidence into the ledger."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.driver.lookup import stored_stages
from ftspec.driver.register import assemble_model, export_target, register, registered_model
from ftspec.evaluate.evidence import means
from ftspec.evaluate.outcome import ApplyResult, read_result
from ftspec.plan.codec import HASH_VERSION, digest
from ftspec.plan.facts import Scalar
from ftspec.plan.fingerprints import realisation_fingerprint, semantic_fingerprint
from ftspec.plan.model import Action, Plan, Stage
from ftspec.plan.stages import (
    GRAPHS,
    data_stages,
    predicted_seconds,
    program_stages,
    stage_documents,
    with_stages,
)
from ftspec.plan.text import plan_to_json
from ftspec.run.events import Event
from ftspec.store.artifacts import Artifacts
from ftspec.store.files import write_atomically
from ftspec.store.leases import HeldLease, Notify, project_lease
from ftspec.store.project import Project
from ftspec.store.run_record import EstimateRecord, ModelRecord, RunRecord, StageRecord, finish_run
from ftspec.target.environments import (
    BackendEnvironment,
    EnvironmentKind,
    examine,
    find_environment,
    not_installed,
    require_environment,
)
from ftspec.target.model import Target

Observe = Callable[[Event], None]


_SECONDS = "seconds.json"  # stage → seconds, over all attempts of a run


@dataclass(slots=True)
class _Run:
    """One apply in progress."""

    project: Project
    plan: Plan
    target: Target
    spec: Mapping[str, Any]
    observe: Observe
    interpreter: Path | None
    artifacts: Artifacts
    documents: dict[str, dict[str, Any]]
    plan_digest: str
    folder: Path
    started: str
    lease: HeldLease
    environment: BackendEnvironment | None = None  # once a program needs it
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.plan.stages if stage.name == name)

    def runs(self, name: str) -> bool:
        return self.stage(name).action is Action.RUN

    def output(self, name: str) -> Path:
        return self.artifacts.path(name, self.stage(name).key)

    def publish(self, name: str, folder: Path) -> None:
        self.lease.require()
        self.artifacts.publish(
            name, self.stage(name).key, folder, self.documents[name], algorithm=HASH_VERSION
        )

    def took(self, name: str, seconds: float) -> None:
        """Remembered beside the run, so that a run of several attempts tells the time of all of them."""
        self.seconds[name] = seconds
        write_atomically(self.folder / _SECONDS, json.dumps(self.seconds) + "\n")

    def watch(self, event: Event) -> None:
        """Every event is a moment to stop at, should the project be another's by now."""
        self.lease.require()
        self.observe(event)

    def emit(self, stage: str, event: str, **values: Scalar) -> None:
        self.watch(Event(time=time.time(), stage=stage, event=event, values=values))


def apply_plan(
    plan: Plan,
    *,
    spec: Mapping[str, Any],
    project: Project,
    target: Target,
    observe: Observe,
    purpose: str,
    interpreter: Path | None = None,
    notify: Notify | None = None,
) -> ApplyResult:
    """Run what the store does not hold yet, and record it. `spec` is the canonical spec, for the ledger.

    Programs run in the `interpreter`, or else in the backend's environment of this project.

    Raises FtspecError: FTS601 when another apply holds the project, FTS625 when another one took it over in
    the meantime, and whatever stopped the run. `notify` is told of a lease that was taken over. What
    was finished until then stays stored, so that the next apply goes on from there.
    """
    with project_lease(project, purpose, notify=notify) as lease:
        plan = with_stages(plan, stored_stages(project))
        plan_digest = digest(plan)
        artifacts = Artifacts(project)
        if all(stage.action is Action.REUSE for stage in plan.stages):
            result = read_result(project, plan, plan_digest)
            if result is not None:
                return result
        export_target(plan)  # refused before hours of training, not after
        run = _Run(
            project=project,
            plan=plan,
            target=target,
            spec=spec,
            observe=observe,
            interpreter=interpreter,
            artifacts=artifacts,
            documents=stage_documents(plan),
            plan_digest=plan_digest,
            folder=_run_folder(project, plan, plan_digest),
            started=_now(),
            lease=lease,
        )
        if any(run.runs(name) for name in program_stages(plan)):
            _environment(run)  # missing packages are told before the data is read
        write_atomically(run.folder / "plan.json", plan_to_json(plan))
        run.seconds.update(_earlier_seconds(run.folder))
        try:
            _data_stages(run)
            _program_stages(run)
            return _evidence_stages(run)
        except KeyboardInterrupt:
            raise FtspecError(
                Diagnostic(
                    code=codes.INTERRUPTED,
                    detail=f"run {run.folder.name}",
                    help="`ftspec apply` again goes on from here",
                )
            ) from None


def _run_folder(project: Project, plan: Plan, plan_digest: str) -> Path:
    """The folder of an unfinished run of this plan, or a new one."""
    from ftspec.run.folder import find_unfinished, new_run_id

    project.create()
    folder = find_unfinished(project, plan_digest)
    if folder is None:
        folder = project.runs / new_run_id(project, plan.name, plan_digest)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _earlier_seconds(folder: Path) -> dict[str, float]:
    path = folder / _SECONDS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


@contextmanager
def _timed(run: _Run, name: str) -> Iterator[Path]:
    """A scratch folder for the output of one in-process stage, which is published when the block ends."""
    run.emit(name, "start")
    started = time.monotonic()
    scratch = run.folder / "scratch" / name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    yield scratch
    run.publish(name, scratch)
    run.took(name, time.monotonic() - started)
    run.emit(name, "end", seconds=run.seconds[name])


def _data_stages(run: _Run) -> None:
    from ftspec.driver.inprocess import make_data

    for name in data_stages(run.plan):
        if not run.runs(name):
            continue

        def progress(done: int, total: int, unit: str, stage: str = name) -> None:
            run.emit(stage, "progress", done=done, total=total, unit=unit)

        with _timed(run, name) as out:
            _raise(make_data(run.plan, name, run.output, out, project=run.project, on_progress=progress))


def _program_stages(run: _Run) -> None:
    """Lower the run folder and launch it, unless all of its stages are stored."""
    missing = [name for name in program_stages(run.plan) if run.runs(name)]
    if not missing:
        return
    from ftspec.driver.disk import check_disk
    from ftspec.driver.inprocess import check_evidence
    from ftspec.lower.lower import LowerInputs, lower
    from ftspec.run.launch import launch

    _raise(check_evidence(run.plan, run.output))
    environment = _environment(run)
    check_disk(run.plan, run.project)
    baseline = run.plan.evaluation.baseline_facts
    inputs = LowerInputs(
        base_model=Path(run.plan.model.facts.location),
        baseline_model=None if baseline is None else Path(baseline.location),
        data=run.output(GRAPHS[run.plan.kind].data),
        reused={name: run.output(name) for name in program_stages(run.plan) if name not in missing},
    )
    _raise(lower(run.plan, run.target, inputs, run.folder)[1])
    try:
        outcome = launch(
            run.folder,
            on_event=run.watch,
            interpreter=str(environment.interpreter),
        )
    finally:
        for name in missing:
            _take_over(run, name)
    _raise(outcome.diagnostics)
    unfinished = [name for name in missing if run.artifacts.find(name, run.stage(name).key) is None]
    assert not unfinished, f"the program ended well without finishing {unfinished}"


def _take_over(run: _Run, name: str) -> None:
    """Publish the output of a finished program stage. The run folder keeps links to it."""
    from ftspec.lower.links import link_tree

    out = run.folder / "out" / name
    done = out / "DONE.json"
    if not done.is_file():
        return
    state = json.loads(done.read_text(encoding="utf-8"))
    if state["key"] != run.stage(name).key:
        return
    scratch = run.folder / "scratch" / name
    shutil.rmtree(scratch, ignore_errors=True)
    link_tree(out, scratch)
    run.publish(name, scratch)
    run.took(name, float(state["seconds"]))
    info = json.loads((out / "info.json").read_text(encoding="utf-8"))
    peak = info.get("peak_memory_bytes")
    if peak is not None:
        run.peak_memory_bytes = max(run.peak_memory_bytes or 0, int(peak))


def _evidence_stages(run: _Run) -> ApplyResult:
    from ftspec.driver.inprocess import make_evidence
    from ftspec.evaluate.evidence import read_evidence
    from ftspec.evaluate.gates import judge, read_verdict, write_verdict

    if run.runs("evaluate"):
        with _timed(run, "evaluate") as out:
            make_evidence(run.plan, run.output, out)
    evidence = read_evidence(run.output("evaluate"))
    if run.runs("gate"):
        with _timed(run, "gate") as out:
            write_verdict(out, judge(run.plan, evidence))
    verdict = read_verdict(run.output("gate"))
    metrics = means(evidence.summary)
    versions = _versions(run)
    model_folder = run.folder / "model"
    assemble_model(model_folder, run.output("train"), run.plan, evidence, verdict, versions)
    if run.runs("register"):
        # What is stored under this key speaks of a version that was deleted since, and publish would keep it.
        run.artifacts.delete("register", run.stage("register").key)
        with _timed(run, "register") as out:
            register(
                run.project,
                run.plan,
                model_folder,
                verdict,
                key=run.stage("register").key,
                run_id=run.folder.name,
                plan_digest=run.plan_digest,
                metrics=metrics,
                out=out,
            )
    model = _registered(run)
    run.lease.require()
    finish_run(run.project, _record(run, verdict.verdict.value, metrics, versions, model))
    shutil.rmtree(run.folder / "scratch", ignore_errors=True)
    result = read_result(run.project, with_stages(run.plan, stored_stages(run.project)), run.plan_digest)
    assert result is not None, "the run that was just recorded cannot be read"
    return result.as_new(resumed_from_step=_resumed_from(run))


def _registered(run: _Run) -> ModelRecord | None:
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
    run: _Run,
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
        ended=_now(),
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
        machine={"name": plan.machine.name, "digest": plan.machine.digest, "summary": plan.machine.summary},
        versions=dict(versions),
        model=model,
    )


def _wall_seconds(run: _Run) -> float | None:
    """Of the stages that ran; None where an earlier attempt did a part of them."""
    fresh = all(stage.name in run.seconds for stage in run.plan.stages if stage.action is Action.RUN)
    return sum(run.seconds.values()) if fresh and _resumed_from(run) is None else None


def _environment(run: _Run) -> BackendEnvironment:
    """Where the programs run; asked once. FTS605 where their packages are not."""
    if run.environment is None and run.interpreter is not None:
        run.environment = examine(run.target, run.interpreter, EnvironmentKind.NAMED)
        if not run.environment.usable:
            raise FtspecError(not_installed(run.target, run.environment))
    run.environment = run.environment or require_environment(run.project.state, run.target)
    return run.environment


def _versions(run: _Run) -> dict[str, str]:
    """Versions of everything that affects numbers: Python, ftspec, and the backend's packages. Where no
    program had to run, they are those that would run one now."""
    import platform
    from importlib.metadata import version

    environment = run.environment or find_environment(run.project.state, run.target)
    return {
        "python": (environment and environment.python) or platform.python_version(),
        "ftspec": version("ftspec"),
        **({} if environment is None else environment.versions),
    }


def _resumed_from(run: _Run) -> int | None:
    path = run.output("train") / "info.json"
    if not run.runs("train"):
        return None
    step = json.loads(path.read_text(encoding="utf-8")).get("resumed_from_step")
    return None if step is None else int(step)


def _raise(diagnostics: Diagnostics | tuple[Diagnostic, ...]) -> None:
    errors = [item for item in diagnostics if item.is_error]
    if errors:
        raise FtspecError(*errors)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
