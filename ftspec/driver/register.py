"""The last stage: the tuned model with its evidence becomes a folder, and, if it passed, a version."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.evaluate.card import PASSPORT, write_card
from ftspec.evaluate.card_text import read_trained
from ftspec.evaluate.evidence import Evidence
from ftspec.evaluate.gates import Outcome, Verdict
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan
from ftspec.plan.space import space_id_of, weights_of
from ftspec.store.extension import read_extension
from ftspec.store.files import file_sha256, files_below, write_atomically
from ftspec.store.project import Project
from ftspec.store.registry import ADAPTER, REGISTRATION, RegisteredModel, find_model_version, register_model

NOTE = "registered.json"
TRAINING_LOG = "training_log.jsonl"


def assemble_model(
    folder: Path,
    train: Path,
    plan: Plan,
    evidence: Evidence,
    verdict: Verdict,
    versions: Mapping[str, str],
    *,
    tainted: tuple[str, ...] = (),
) -> None:
    """Fill `folder`: the trained model, its card, ftspec.json and the training log.

    Of an LLM: the merged model, if there is one, and the adapter, if there is one, in `adapter/`. The folder is complete or absent. Nothing in it is shared with the artefact, which may not change.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if (train / "model").is_dir():
        shutil.copytree(train / "model", partial)
    else:
        partial.mkdir(parents=True)
    if (train / ADAPTER).is_dir():
        shutil.rmtree(partial / ADAPTER, ignore_errors=True)  # of the base's own files
        shutil.copytree(train / ADAPTER, partial / ADAPTER)
    shutil.copyfile(train / "curve.jsonl", partial / TRAINING_LOG)
    trained = read_trained(train) if isinstance(plan, LlmPlan) else None
    write_card(
        partial,
        plan,
        evidence,
        verdict,
        dict(versions),
        trained=trained,
        tainted=tainted,
        extended=read_extension(train),
    )
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def register(
    project: Project,
    plan: Plan,
    model_folder: Path,
    verdict: Verdict,
    *,
    key: str,
    run_id: str,
    plan_digest: str,
    metrics: Mapping[str, Any],
    out: Path,
    tainted: tuple[str, ...] = (),
) -> RegisteredModel | None:
    """Register a model whose gates passed; note the outcome in `out`, the artefact of the stage.

    None when the gates did not pass: then nothing ships, and what was current stays current. A model of a
    `tainted` run becomes a version that says so, and neither current nor exported.
    """
    registered: RegisteredModel | None = None
    if verdict.verdict is Outcome.PASSED:
        meta = {
            "key": key,
            "kind": plan.kind,
            "run_id": run_id,
            "spec_hash": plan.spec_hash,
            "plan_digest": plan_digest,
            "base_digest": plan.model.facts.digest,
            "verdict": verdict.verdict.value,
            "metrics": dict(metrics),
            **_space(plan, model_folder),
            **({"tainted": list(tainted)} if tainted else {}),
        }
        registered = register_model(project, plan.name, model_folder, meta, make_current=not tainted)
        target = export_target(plan)
        if target is not None and not tainted:
            _export(registered.path, target)  # that of an earlier run, where this one makes it current again
    note = {
        "verdict": verdict.verdict.value,
        "name": plan.name if registered else None,
        "version": registered.version if registered else None,
    }
    write_atomically(out / NOTE, json.dumps(note, indent=1) + "\n")
    return registered


def _space(plan: Plan, folder: Path) -> dict[str, str]:
    if not isinstance(plan, EmbeddingPlan):
        return {}
    return {"space_id": space_id_of(plan.model, weights_of(weight_files(folder)))}


def weight_files(folder: Path) -> dict[str, str]:
    """sha256 of each file of weights that a model loads, by relative name; adapters are merged into them."""
    return {
        name: file_sha256(path)
        for name, path in files_below(folder)
        if path.suffix == ".safetensors" and not name.startswith(f"{ADAPTER}/")
    }


def registered_model(project: Project, note_folder: Path) -> RegisteredModel | None:
    """The version that a register artefact speaks of; None when nothing was to be registered, or when
    it was deleted since."""
    note = _read_note(note_folder)
    if note["version"] is None:
        return None
    return find_model_version(project, note["name"], note["version"])[0]


def still_holds(project: Project, note_folder: Path) -> bool:
    """False when the artefact speaks of a version that was deleted since."""
    return _read_note(note_folder)["version"] is None or registered_model(project, note_folder) is not None


def _read_note(folder: Path) -> dict[str, Any]:
    note: dict[str, Any] = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    return note


def export_target(plan: Plan) -> Path | None:
    """Where the plan wants a copy of the model. Raises FTS640 when something else lies there: it would be
    replaced, so only an empty folder or an earlier export is."""
    if plan.export.path is None:
        return None
    target = Path(plan.data.folder) / Path(plan.export.path).expanduser()
    is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if not is_free and not (target / PASSPORT).is_file():
        raise FtspecError(
            Diagnostic(
                code=codes.EXPORT_REFUSED,
                detail=f"`export.path`: {target} holds something else than a model of ftspec",
                help="name a new folder, or one that an earlier export made",
            )
        )
    return target


def _export(folder: Path, target: Path) -> None:
    """Replace `target` by a copy of a registered version, in one step as far as file systems allow."""
    target = target.resolve()
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder, partial, ignore=shutil.ignore_patterns(REGISTRATION))
    retired = target.with_name(f".{target.name}.old")
    shutil.rmtree(retired, ignore_errors=True)
    if target.exists():
        target.rename(retired)
    partial.rename(target)
    shutil.rmtree(retired, ignore_errors=True)
