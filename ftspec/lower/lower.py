"""Plan and backend into a run folder that runs where ftspec is not installed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.lower.config import BASE, BASELINE, DATA, build_config
from ftspec.lower.emit import emitted_commands, emitted_file, unemitted_fields
from ftspec.lower.links import is_model_file, link_tree
from ftspec.lower.llm_config import build_llm_config
from ftspec.lower.templates import render
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.fields import leaves
from ftspec.plan.invariants import check_complete
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Plan
from ftspec.target.load import helper_file
from ftspec.target.model import Target, unlowered_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerInputs:
    """Where the inputs of a run lie on this machine. None of these paths is written into the run folder.

    `reused`: output folders of program stages (encode_base, train, encode_tuned) that exist already;
    they are linked to out/<stage>, and the programs skip them.
    """

    base_model: Path
    data: Path  # what the programs read: the output of the stage `GRAPHS[kind].data`
    baseline_model: Path | None = None  # of plan.evaluation.baseline_facts
    reused: Mapping[str, Path] = field(default_factory=dict)


def lower(plan: Plan, target: Target, inputs: LowerInputs, folder: Path) -> tuple[Path | None, Diagnostics]:
    """Write the run folder and return it. The same plan gives the same bytes, wherever it is lowered.

    A folder from an earlier attempt keeps out/ and events.jsonl, so that the run can go on.
    FTS502: the plan has a field that the backend neither lowers nor declares ignored.
    """
    check_complete(plan)
    found = Diagnostics()
    for leaf in unlowered_fields(target, [leaf for leaf, _ in leaves(plan)]):
        found.add(codes.NOT_LOWERED, f"{target.name} does not say what becomes of `{leaf}`")
    for leaf in unemitted_fields(plan, target):
        found.add(codes.NOT_LOWERED, f"{target.name} does not say what this value of `{leaf}` stands for")
    if found.has_errors:
        return None, found
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render_files(plan, target, reused=frozenset(inputs.reused)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    (folder / "launch.sh").chmod(0o755)
    link_tree(inputs.base_model, folder / BASE, is_model_file)
    link_tree(inputs.data, folder / DATA)
    if plan.evaluation.baseline_facts is not None:
        assert inputs.baseline_model is not None, "the plan has another baseline; its folder is not given"
        link_tree(inputs.baseline_model, folder / BASELINE, is_model_file)
    keys = {stage.name: stage.key for stage in plan.stages}
    for stage, output in inputs.reused.items():
        _place_output(output, folder / "out" / stage, stage, keys[stage])
    return folder, found


def render_files(plan: Plan, target: Target, *, reused: frozenset[str] = frozenset()) -> dict[str, str]:
    """The texts of a run folder by name, apart from model and data: what goldens hold."""
    files = {
        "config.json": _json(config_of(plan, target, reused)),
        **_requirements(target),
        **emitted_file(plan, target),
    }
    for name in target.programs:
        path = target.folder / name
        files[path.name] = path.read_text(encoding="utf-8")
    for name in target.helpers:
        files[Path(name).name] = helper_file(target, name).read_text(encoding="utf-8")
    values = _template_values(plan, target)
    for name, template in target.templates.items():
        files[name] = render(target.folder / template, values)
    return dict(sorted(files.items()))


def config_of(plan: Plan, target: Target, reused: frozenset[str]) -> Mapping[str, Any]:
    if isinstance(plan, LlmPlan):
        return build_llm_config(plan, target, reused)
    assert isinstance(plan, EmbeddingPlan), plan.kind
    return build_config(plan, reused)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _requirements(target: Target) -> dict[str, str]:
    """requirements.txt, and beside it what is to be installed without its dependencies: the backend's exact
    versions where it names them."""
    if target.requirements is None:
        return {
            "requirements.txt": "".join(
                f"{name}{range_}\n" for name, range_ in sorted(target.packages.items())
            )
        }
    pins = {"requirements.txt": target.requirements, "requirements-no-deps.txt": target.requirements_no_deps}
    return {
        name: (target.folder / file).read_text(encoding="utf-8")
        for name, file in pins.items()
        if file is not None
    }


def _template_values(plan: Plan, target: Target) -> dict[str, Any]:
    run = plan.execution
    assert run.environment is not None
    return {
        "name": plan.name,
        "description": plan.description or "No description.",
        "base": plan.model.base,
        "backend": target.name,
        "num_processes": run.num_processes,
        "steps": plan.train.total_steps,
        "packages": sorted(target.packages.items()),
        "commands": emitted_commands(plan, target),
        "environment": {"OMP_NUM_THREADS": str(run.num_threads), **run.environment},
    }


def _place_output(source: Path, target: Path, stage: str, key: str) -> None:
    """An output that exists already, marked done under the key of this plan."""
    link_tree(source, target, lambda path: path.name != "DONE.json" or len(path.parts) > 1)
    done = {"stage": stage, "key": key, "seconds": 0.0}
    (target / "DONE.json").write_text(json.dumps(done) + "\n", encoding="utf-8")
