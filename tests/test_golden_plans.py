"""What a spec becomes on a machine, in golden/plans/<spec>@<machine>/.

    plan.json     the plan, without what differs between checkouts and stores
    plan.txt      as `ftspec plan` shows it, 80 columns wide
    explain.txt   why each value is what it is
    run/          the texts of the run folder; programs are copies of backends/ and stay out
    errors.txt    instead of all these, where the machine cannot run the spec

Only specs whose data lies in the repository: what `stdlib` holds depends on the Python that runs the test.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.compile import Compilation, compile_spec, plan_for
from ftspec.driver.facts import World, gather
from ftspec.hardware.profiles import load_hardware, profile_names
from ftspec.lower.lower import render_files
from ftspec.paths import shared_folder
from ftspec.plan.codec import VOLATILE, digest, plan_document, without
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.model import Plan
from ftspec.plan.stages import nothing_stored, with_stages
from ftspec.plan.text import plan_from_json, plan_to_json, summary_head
from ftspec.source.load import load_document
from ftspec.spec.check import check_spec
from ftspec.store.project import Project
from ftspec.target.load import load_targets
from ftspec.target.model import Target
from ftspec.view.diagnostics import render_diagnostics
from ftspec.view.explain import render_explanation
from ftspec.view.plan_human import render_plan
from tests import large_case, llm_case, odd_case
from tests.golden import FOLDER, check_files

ROOT = FOLDER.parent
PLANS = FOLDER / "plans"
WIDTH = 80
CASES = (
    *(("pairs", machine) for machine in profile_names()),
    *(
        (spec, machine)
        for spec in ("beir", "triplets", "scored", "binary", "classes")
        for machine in ("laptop-cpu", "rtx4090")
    ),
    *(
        ("large", machine)
        for machine in (
            "laptop-cpu", "ci-runner", "t4", "rtx4090", "a100-80gb", "h100x8", "m2-16gb", "m3-max-128gb",
        )
    ),
    ("odd", "t4"),
    *(("large-classes", machine) for machine in ("laptop-cpu", "rtx4090", "h200x8")),
)  # fmt: skip
# Differs between checkouts, disks and stores. Estimates stay: the store of a test has measured nothing.
LEFT_OUT = tuple(path for path in VOLATILE if path != "estimates")

OWN = {*large_case.SPECS, "odd"}  # made by the test; the others stand in specs/

Planned = tuple[EmbeddingPlan | None, Diagnostics]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_case.make_project(large_case.make_project(tmp_path_factory.mktemp("large")))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def plan_on(large: Path, project: Project) -> Callable[[str, str], Planned]:
    """Plans a spec for a machine. The world is read once for each spec; its machine is exchanged."""
    worlds: dict[str, World] = {}
    known: dict[tuple[str, str], Planned] = {}

    def plan(name: str, machine: str) -> Planned:
        if (name, machine) in known:
            return known[name, machine]
        own = name in OWN
        folder, path = (large, Path(f"{name}.yaml")) if own else (ROOT, Path("specs", f"{name}.yaml"))
        before = Path.cwd()
        os.chdir(folder)
        try:
            document, found = load_document(path)
            assert document is not None, [*found]
            spec, found = check_spec(document)
            assert spec is not None, [*found]
            if name not in worlds:
                world, found = gather(
                    spec, folder=document.folder, project=project, hardware_name="laptop-cpu"
                )
                assert world is not None, [*found]
                worlds[name] = world
            hardware, found = load_hardware(machine)
            assert hardware is not None, [*found]
            made, found = plan_for(
                spec,
                document,
                replace(worlds[name], hardware=hardware),
                project=project,
                path=path,
                overrides=(),
            )
        finally:
            os.chdir(before)
        known[name, machine] = (made if made is None else with_stages(made, nothing_stored)), found
        return known[name, machine]

    return plan


def golden_files(plan: Plan) -> dict[str, str]:
    document = {**summary_head(plan), **without(plan_document(plan), LEFT_OUT)}
    document["estimates"] = _rounded(document["estimates"])
    document["fidelity"] = [
        row for row in document["fidelity"] if row["difference"]
    ]  # plan.txt counts the rest
    target = _target(plan)
    texts = render_files(plan, target)
    copied = {Path(name).name for name in (*target.programs, *target.helpers)}
    return {
        "plan.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        "plan.txt": render_plan(plan, width=WIDTH),
        "explain.txt": render_explanation(plan, width=WIDTH),
        **{f"run/{name}": text for name, text in texts.items() if name not in copied},
    }


def _rounded(value: Any) -> Any:
    """Floats to six digits: the last ones belong to the C library."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _target(plan: Plan) -> Target:
    targets, _ = load_targets()
    return next(target for target in targets if target.name == plan.execution.backend)


@pytest.mark.parametrize(("name", "machine"), CASES)
def test_plan(name: str, machine: str, plan_on: Callable[[str, str], Planned], large: Path) -> None:
    plan, found = plan_on(name, machine)
    files = (
        golden_files(plan)
        if plan is not None
        else {"errors.txt": render_diagnostics(found, "human", width=WIDTH)}
    )
    for file, text in files.items():
        for place in (str(ROOT), str(large), str(Path.home()), sys.prefix):
            assert place not in text, f"{file} holds an absolute path"
    check_files(PLANS / f"{name}@{machine}", files)


def test_no_golden_plan_is_an_orphan() -> None:
    cases = (*CASES, *llm_case.CASES)
    assert {path.name for path in PLANS.iterdir()} == {f"{name}@{machine}" for name, machine in cases}


def test_machines_differ_where_they_should(plan_on: Callable[[str, str], Planned]) -> None:
    plans = {machine: plan_on("large", machine)[0] for name, machine in CASES if name == "large"}
    ways = {
        machine: plan
        if plan is None
        else (plan.execution.precision, plan.execution.mini_batch_size, plan.execution.gradient_checkpointing)
        for machine, plan in plans.items()
    }
    assert len(set(ways.values())) >= 4, ways
    assert len({plan.execution.device for plan in plans.values() if plan is not None}) == 3
    semantic = {plan.train.global_batch_size for plan in plans.values() if plan is not None}
    assert semantic == {1024}, "no machine changes the batch"


@pytest.mark.parametrize(("name", "machine"), CASES)
def test_lowered_text_parses(
    name: str, machine: str, plan_on: Callable[[str, str], Planned], tmp_path: Path
) -> None:
    plan, _ = plan_on(name, machine)
    if plan is None:
        pytest.skip("the machine cannot run it")
    files = render_files(plan, _target(plan))
    assert {"main.py", "config.json", "launch.sh", "requirements.txt", "README.md"} <= files.keys()
    for file, text in files.items():
        if file.endswith(".py"):
            ast.parse(text, file)
    assert json.loads(files["config.json"])["stages"]
    script = tmp_path / "launch.sh"
    script.write_text(files["launch.sh"], encoding="utf-8")
    bash = shutil.which("bash")
    if bash is not None:
        subprocess.run([bash, "-n", str(script)], check=True)


@pytest.mark.parametrize(("name", "machine"), CASES)
def test_plan_file_is_the_plan(name: str, machine: str, plan_on: Callable[[str, str], Planned]) -> None:
    import jsonschema

    plan, _ = plan_on(name, machine)
    if plan is None:
        pytest.skip("the machine cannot run it")
    text = plan_to_json(plan)
    again, found = plan_from_json(text, name="plan")
    assert not found.has_errors
    assert again == plan
    assert digest(again) == digest(plan)
    assert plan_to_json(again) == text
    schema = json.loads((shared_folder("schemas") / "plan.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(text), schema)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "specs").glob("*.yaml")))
def test_every_spec_plans(name: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    made, found = compile_spec(Path("specs", name), project=project, hardware_name="laptop-cpu")
    assert made is not None, [*found]
    assert made.plan.stages


def _compiled(spec: Path, project: Path, machine: str = "laptop-cpu") -> Compilation:
    made, found = compile_spec(spec, project=Project(project), hardware_name=machine)
    assert made is not None, [*found]
    return made


def test_same_digest_wherever_the_project_lies(
    tmp_path: Path, plan_on: Callable[[str, str], Planned]
) -> None:
    digests = set()
    for name in ("one", "another"):
        shutil.copytree(ROOT / "specs", tmp_path / name / "specs")
        made = _compiled(tmp_path / name / "specs" / "pairs.yaml", tmp_path / name)
        digests.add(digest(made.plan))
    here = plan_on("pairs", "laptop-cpu")[0]
    assert here is not None
    assert digests == {digest(here)}


def test_same_digest_in_another_process(tmp_path: Path, plan_on: Callable[[str, str], Planned]) -> None:
    here = plan_on("pairs", "t4")[0]
    assert here is not None
    for seed in ("1", "2"):
        project = tmp_path / seed
        project.mkdir()
        code = "from ftspec.cli.main import main; main()"
        options = ["--hardware", "t4", "--format", "json", "--project", str(project)]
        run = subprocess.run(
            [sys.executable, "-c", code, "plan", str(ROOT / "specs" / "pairs.yaml"), *options],
            cwd=project,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(run.stdout)["digest"] == digest(here)
