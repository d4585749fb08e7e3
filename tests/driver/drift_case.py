"""A project with a registered model whose run is written down, and never ran: what it was made from is real,
what it made is pretended."""

import json
from pathlib import Path
from typing import Any

from ftspec.driver.compile import compile_spec
from ftspec.plan.codec import digest
from ftspec.plan.model import Plan
from ftspec.plan.text import plan_to_json
from ftspec.store.artifacts import Artifacts
from ftspec.store.project import Project
from ftspec.store.registry import RegisteredModel, register_model
from ftspec.store.run_record import EstimateRecord, ModelRecord, RunRecord, StageRecord, write_record


def compiled_plan(project: Project, spec: Path) -> Plan:
    compiled, found = compile_spec(spec, project=project)
    assert compiled is not None, [each.detail for each in found]
    return compiled.plan


def pretend_run(
    project: Project, plan: Plan, *, run_id: str = "tiny-00000001", **changes: Any
) -> RegisteredModel:
    """The plan as a finished run, with artefacts of all stages and the version that it registered."""
    store = Artifacts(project)
    for stage in plan.stages:
        out = project.state / "made" / stage.name
        out.mkdir(parents=True)
        (out / "result.json").write_text(json.dumps({"stage": stage.name, "run": run_id}))
        if stage.name == "register":
            note = {"verdict": "passed", "name": plan.name, "version": "v1"}
            (out / "registered.json").write_text(json.dumps(note))
        store.publish(stage.name, stage.key, out, {})
    weights = project.state / "made" / "model"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_text(f"weights of {run_id}")
    (weights / "config.json").write_text("{}")
    meta = {
        "kind": plan.kind,
        "run_id": run_id,
        "metrics": {"tuned": {plan.evaluation.primary: 0.75}},
        "space_id": None,
    }
    model = register_model(project, plan.name, weights, meta)
    folder = project.runs / run_id
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    values: dict[str, Any] = {
        "run_id": run_id,
        "name": plan.name,
        "kind": plan.kind,
        "spec": {},
        "spec_hash": plan.spec_hash,
        "spec_path": plan.spec_path,
        "plan_digest": digest(plan),
        "plan_path": f".ftspec/runs/{run_id}/plan.json",
        "semantic_fingerprint": "s",
        "realisation_fingerprint": "r",
        "backend": plan.execution.backend,
        "started": "2026-01-01T10:00:00+00:00",
        "ended": "2026-01-01T10:03:00+00:00",
        "verdict": "passed",
        "metrics": {},
        "stages": tuple(
            StageRecord(name=stage.name, key=stage.key, action="run", reason="no_artifact")
            for stage in plan.stages
        ),
        "estimate": EstimateRecord(),
        "base_model_digest": plan.model.facts.digest,
        "machine": {
            "name": plan.machine.name,
            "digest": plan.machine.digest,
            "summary": plan.machine.summary,
        },
        "versions": present_versions(project, plan),
        "model": ModelRecord(
            name=model.name, version=model.version, digest=model.digest, path=project.relative(model.path)
        ),
    }
    write_record(project, RunRecord(**{**values, **changes}))
    return model


def present_versions(project: Project, plan: Plan) -> dict[str, str]:
    from importlib.metadata import version

    from ftspec.target.environments import find_environment
    from ftspec.target.load import load_targets

    targets, _ = load_targets(cache=project.cache)
    target = next(each for each in targets if each.name == plan.execution.backend)
    environment = find_environment(project.state, target)
    assert environment is not None
    return {"python": environment.python or "", "ftspec": version("ftspec"), **environment.versions}
