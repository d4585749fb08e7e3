"""`ftspec models merge`: an adapter that was registered unmerged becomes a whole model, as a version of its own.

A backend that can do that has `merge.py` among its programs. In a run folder, `python merge.py FOLDER` makes
FOLDER/model of base/ and FOLDER/adapter. Its last line on standard output is a JSON object: how near the
merged model is to the two, or, with exit code 20, `code` and `detail` of a failed check. With
FTSPEC_WATCH_STDIN=1 it ends when its standard input does.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.code import find_code
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.evaluate.card import PASSPORT, write_card
from ftspec.evaluate.card_text import Trained, adapter_format
from ftspec.evaluate.evidence import read_evidence
from ftspec.evaluate.gates import read_verdict
from ftspec.lower.lower import LowerInputs, lower
from ftspec.models.decoder import read_decoder_facts
from ftspec.plan.codec import hash_of
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Extension
from ftspec.plan.text import plan_from_json
from ftspec.run.logtext import clean_tail, secrets_of
from ftspec.store.artifacts import Artifacts
from ftspec.store.leases import Notify, project_lease
from ftspec.store.project import Project
from ftspec.store.registry import (
    ADAPTER,
    REGISTRATION,
    RegisteredModel,
    folder_digest,
    list_models,
    note_model,
    register_model,
)
from ftspec.target.environments import require_environment
from ftspec.target.model import Target

PROGRAM = "merge.py"
_CHECK_FAILED = 20
_TAIL_LINES = 12
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip


def merge_model(
    project: Project,
    model: RegisteredModel,
    *,
    targets: Sequence[Target],
    base: Path | None = None,
    notify: Notify | None = None,
) -> RegisteredModel:
    """Merge the adapter of `model` into its base, and register the result as the next version of its name,
    current if `model` is. A version that was merged before is found again.

    `base`: a folder with the base; None: where the plan found it. Raises FtspecError: FTS642 when there is
    nothing to merge or the backend cannot, FTS643 for another base, FTS651 when the merged model differs
    from adapter and base, FTS605 without the backend's packages, FTS612 when files of the run are gone.
    """
    adapter = model.adapter
    if adapter is None or model.is_whole:
        raise FtspecError(
            Diagnostic(
                code=codes.MODEL_FORM,
                detail=f"{model.name} {model.version} holds all weights already",
                help=f"`ftspec models export {model.name}` copies it",
            )
        )
    plan = _plan(project, model)
    target = _target(model, plan, targets)
    folder = _base(project, model, plan, base)
    environment = require_environment(project.state, target)
    key = hash_of({"merged": model.digest, "dtype": plan.export.dtype, "backend": target.name})
    with project_lease(project, f"models merge {model.name} {model.version}", notify=notify):
        for each in list_models(project, model.name):
            if each.meta.get("key") == key:
                return each
        work = project.state / "merge" / f"{model.name}-{model.version}"
        shutil.rmtree(work, ignore_errors=True)
        try:
            _prepare(project, plan, target, folder, work)
            made = work / "made"
            shutil.copytree(adapter, made / ADAPTER)
            parity = _run(work, made, plan, environment.interpreter)
            whole = work / "whole"
            _assemble(project, model, plan, made, whole, parity)
            meta = {**model.meta, "key": key, "merged_from": model.version}
            made_version = register_model(project, model.name, whole, meta, make_current=model.current)
            note_model(project, made_version)
            return made_version
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _plan(project: Project, model: RegisteredModel) -> LlmPlan:
    path = project.runs / str(model.meta.get("run_id")) / "plan.json"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _gone(f"the plan of {model.name} {model.version}: {error.strerror}") from error
    plan, found = plan_from_json(text, name=project.relative(path))
    if plan is None:
        raise FtspecError(*found)
    assert isinstance(plan, LlmPlan), plan.kind
    return plan


def _target(model: RegisteredModel, plan: LlmPlan, targets: Sequence[Target]) -> Target:
    name = plan.execution.backend
    target = next((each for each in targets if each.name == name), None)
    if target is None:
        raise _cannot(model, f"was trained by `{name}`, which is not among the backends here")
    if PROGRAM not in {Path(program).name for program in target.programs}:
        raise _cannot(model, f"was trained by `{name}`, which merges only at the end of a run")
    return target


def _cannot(model: RegisteredModel, why: str) -> FtspecError:
    return FtspecError(
        Diagnostic(
            code=codes.MODEL_FORM,
            detail=f"{model.name} {model.version} {why}",
            help="a spec with `export.merge: true` makes the merged model in its run",
        )
    )


def _base(project: Project, model: RegisteredModel, plan: LlmPlan, given: Path | None) -> Path:
    """The folder of the base, whose files are those that the adapter was trained on."""
    folder = Path(plan.model.facts.location) if given is None else given
    if not folder.is_dir():
        raise FtspecError(
            Diagnostic(
                code=codes.MODEL_NOT_FOUND,
                detail=f"the base `{plan.model.base}` is not at {folder}",
                help="name its folder with --base",
            )
        )
    facts, found = read_decoder_facts(folder, id=plan.model.base, origin="path", cache=project.cache)
    if facts is None:
        raise FtspecError(*found)
    if facts.digest != plan.model.facts.digest:
        raise FtspecError(
            Diagnostic(
                code=codes.OTHER_BASE,
                detail=f"{model.name} {model.version} was trained on {plan.model.base} "
                f"{plan.model.facts.digest}; {folder} is {facts.digest}",
                help="name the folder of that base with --base",
            )
        )
    return folder


def _prepare(project: Project, plan: LlmPlan, target: Target, base: Path, folder: Path) -> None:
    """A run folder without stages: base, tokens and programs."""
    keys = {stage.name: stage.key for stage in plan.stages}
    tokens = Artifacts(project).find("tokenize", keys["tokenize"])
    if tokens is None:
        raise _gone("the tokens that the merged model is checked on are no longer in the store")
    merging = replace(plan, export=replace(plan.export, merge=True))
    lowered, found = lower(merging, target, LowerInputs(base_model=base, data=tokens.path), folder)
    if lowered is None:
        raise FtspecError(*found)


def _run(folder: Path, made: Path, plan: LlmPlan, interpreter: Path) -> dict[str, float]:
    """The program in the backend's environment; how near the merged model is to adapter and base."""
    run = plan.execution
    variables = {
        **os.environ,
        **_OFFLINE,
        "OMP_NUM_THREADS": str(run.num_threads),
        **(run.environment or {}),
        "FTSPEC_WATCH_STDIN": "1",
    }
    with (folder / "merge.log").open("w+b") as log:
        child = subprocess.Popen(
            [str(interpreter), PROGRAM, str(made.resolve())],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            assert child.stdout is not None
            said = child.stdout.read()
            child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        log.seek(0)
        tail = clean_tail(said + b"\n" + log.read(), _TAIL_LINES, secrets_of(variables))
    answer = _last_object(said)
    if child.returncode == 0 and answer is not None and (made / "model" / "config.json").is_file():
        return {name: float(value) for name, value in answer.items()}
    known = find_code(str((answer or {}).get("code", "")))
    if child.returncode == _CHECK_FAILED and known is not None and answer is not None:
        raise FtspecError(Diagnostic(code=known, detail=str(answer.get("detail", ""))))
    raise FtspecError(
        Diagnostic(
            code=codes.MERGE_FAILED,
            detail="\n".join([f"exit code {child.returncode}", *tail]),
            help="`ftspec doctor` shows the environment of the backend",
        )
    )


def _last_object(said: bytes) -> dict[str, Any] | None:
    """The JSON object that the last line of standard output is."""
    lines = said.decode("utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    try:
        found = json.loads(last)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _assemble(
    project: Project,
    model: RegisteredModel,
    plan: LlmPlan,
    made: Path,
    folder: Path,
    parity: Mapping[str, float],
) -> None:
    """The files of the version with the whole model beside the adapter, and a card that says so."""
    (made / "model").rename(folder)
    for path in model.path.iterdir():
        if path.name != REGISTRATION and path.is_file():
            (folder / path.name).unlink(missing_ok=True)
            shutil.copyfile(path, folder / path.name)
    shutil.rmtree(folder / ADAPTER, ignore_errors=True)  # of the base's own files
    shutil.copytree(made / ADAPTER, folder / ADAPTER)
    keys = {stage.name: stage.key for stage in plan.stages}
    stored = {name: Artifacts(project).find(name, keys[name]) for name in ("evaluate", "gate")}
    evaluated, judged = stored["evaluate"], stored["gate"]
    if evaluated is None or judged is None:
        raise _gone(f"the evidence of {model.name} {model.version} is no longer in the store")
    passport = json.loads((model.path / PASSPORT).read_text(encoding="utf-8"))
    trained = Trained(
        merged=True,
        adapter_digest=folder_digest(folder / ADAPTER),
        adapter_format=adapter_format(folder / ADAPTER),
        warm_started=bool(passport["training"]["warm_started"]),
        parity=parity,
    )
    evidence, verdict = read_evidence(evaluated.path), read_verdict(judged.path)
    extended = passport.get("extended_from")
    write_card(
        folder,
        plan,
        evidence,
        verdict,
        passport["environment"],
        trained=trained,
        tainted=passport.get("tainted", ()),
        extended=None if extended is None else Extension(**extended),
    )


def _gone(detail: str) -> FtspecError:
    return FtspecError(
        Diagnostic(
            code=codes.ARTIFACT_DAMAGED, detail=detail, help="`ftspec apply` of the spec makes it again"
        )
    )
