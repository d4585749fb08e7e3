"""The composite action, the example workflows and the hooks: their structure, their privileges, their scripts."""

import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.gitops.conftest import Repository

ROOT = Path(__file__).resolve().parent.parent.parent
ACTION = ROOT / ".github" / "actions" / "ftspec" / "action.yml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows-examples").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-hooks.yaml"
PINNED = re.compile(r"[\w.-]+/[\w./-]+@(v\d+(\.\d+){0,2}|[0-9a-f]{40})")
# What a workflow may change at all.
WRITABLE = {"ftspec-plan.yml": {"pull-requests"}}


def _read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def _jobs() -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in _read(path)["jobs"].items():
            yield path, name, job


def _steps() -> list[tuple[str, dict[str, Any]]]:
    found = [(f"{path.name}:{name}", step) for path, name, job in _jobs() for step in job["steps"]]
    return [*found, *(("action.yml", step) for step in _read(ACTION)["runs"]["steps"])]


def test_the_examples_are_there() -> None:
    assert [path.name for path in WORKFLOWS] == [
        "ftspec-apply.yml", "ftspec-drift.yml", "ftspec-plan.yml", "ftspec-scheduled.yml"
    ]  # fmt: skip


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_do_little(path: Path) -> None:
    workflow = _read(path)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    assert workflow["on"]
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "pull_request_target" not in workflow["on"]
    assert "workflow_run" not in workflow["on"]
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 360
        writable = {key for key, value in job["permissions"].items() if value != "read"}
        assert writable == WRITABLE.get(path.name, set()), name
        assert job["permissions"]["contents"] == "read"
        assert all(value in ("read", "write") for value in job["permissions"].values())


def test_no_apply_is_broken_off_by_another() -> None:
    groups = {}
    for name in ("ftspec-apply.yml", "ftspec-scheduled.yml"):
        concurrency = _read(ACTION.parents[2] / "workflows-examples" / name)["concurrency"]
        assert concurrency["cancel-in-progress"] is False
        groups[name] = concurrency["group"]
    assert len(set(groups.values())) == 2, "of a group one waiting run stays: a merge would lose its place"


def test_the_weekly_run_leaves_the_way_to_a_merge(tmp_path: Path) -> None:
    workflow = _read(WORKFLOWS[-1])
    look, plan, apply = (workflow["jobs"][name] for name in ("look", "plan", "apply"))
    assert plan["needs"] == "look"
    assert "environment" not in look.keys() | plan.keys(), "reviewers see a plan"
    assert apply["environment"] == "training"
    (step,) = look["steps"]
    gh, out = tmp_path / "bin" / "gh", tmp_path / "out"
    gh.parent.mkdir()
    for says, free in (
        ("echo 0", True),
        ("echo 1", False),
        ("echo 2", False),
        ("exit 1", True),
        ("echo", True),
    ):
        gh.write_text(f"#!/bin/bash\n{says}\n")
        gh.chmod(0o755)
        out.write_text("")
        environment = {"PATH": f"{gh.parent}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(out)}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        assert out.read_text() == ("free=true\n" if free else ""), says
        assert done.stdout.startswith("::notice") != free


def test_caches_are_kept_whatever_a_gate_says_and_only_by_those_that_apply() -> None:
    """`actions/cache` alone saves after success only, and of a pull request it would save too."""
    for path, name, job in _jobs():
        steps = job["steps"]
        used = [step.get("uses", "").partition("@")[0] for step in steps]
        assert "actions/cache" not in used
        ours = [step for step in steps if step.get("uses", "").startswith("./")]
        if not ours:
            continue
        restore = used.index("actions/cache/restore")
        assert used.index("actions/checkout") < restore < steps.index(ours[0]), path.name
        applies = any(step["with"]["command"] == "apply" for step in ours)
        assert ("actions/cache/save" in used) == applies, (path.name, name)
        if not applies:
            continue
        save = steps[-1]
        assert save["uses"].startswith("actions/cache/save@")
        assert steps[-3] is ours[-1]
        assert steps[-2]["run"].startswith("ftspec gc --yes || ")
        assert steps[-2]["if"] == save["if"], "a cache that only grows is thrown away one day"
        assert save["if"].startswith("always() && steps.apply.outcome != 'skipped' && ")
        assert "runner.environment == 'github-hosted'" in save["if"]
        assert save["with"] == {
            key: value for key, value in steps[restore]["with"].items() if key != "restore-keys"
        }


def test_ftspec_is_pinned_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (WORKFLOWS[0].parent / "constraints-ftspec.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in pins if not line.startswith("#")] == [f"ftspec=={project['version']}"]
    for _, step in _steps():
        assert "==" not in step.get("with", {}).get("package", "")


@pytest.mark.parametrize(
    ("text", "code"),
    [("# all\nftspec==0.1.0\ntorch==2\n", 0), ("ftspec @ git+https://x/y@1\n", 0), ("torch==2\n", 1),
     ("# ftspec==0.1.0\nftspec-more==1\n", 1), (None, 1)],
)  # fmt: skip
def test_nothing_is_installed_unpinned(tmp_path: Path, text: str | None, code: int) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "bin" / "ftspec").rename(tmp_path / "bin" / "python")
    if text is not None:
        (machine.work / "constraints-ftspec.txt").write_text(text)
    done = machine.run("Install", package="ftspec[accelerate]\n\na model==2 ; x\n")
    assert done.returncode == code, done.stderr
    assert ("::error" in done.stdout) == bool(code)
    pip = "<-m><pip><install><--quiet><--disable-pip-version-check><--constraint=constraints-ftspec.txt><-->"
    assert machine.commands() == ([] if code else [f"{pip}<ftspec[accelerate]><a model==2 ; x>"])


def test_actions_are_pinned_and_called_with_inputs_that_they_have() -> None:
    inputs = _read(ACTION)["inputs"].keys()
    outputs = _read(ACTION)["outputs"].keys()
    for place, step in _steps():
        if "uses" not in step:
            continue
        if step["uses"].startswith("./"):
            assert (ROOT / step["uses"] / "action.yml").samefile(ACTION)
            assert step.get("with", {}).keys() <= inputs, place
        else:
            assert PINNED.fullmatch(step["uses"]), (place, step["uses"])
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, place
    for path in WORKFLOWS:
        used = set(re.findall(r"steps\.plan\.outputs\.([\w-]+)", path.read_text(encoding="utf-8")))
        assert used <= outputs


@pytest.mark.parametrize(("name", "of"), [("apply", "sha"), ("scheduled", "run_id")])
def test_the_plan_that_is_applied_is_the_one_that_was_kept(name: str, of: str) -> None:
    workflow = _read(ROOT / ".github" / "workflows-examples" / f"ftspec-{name}.yml")
    plan, apply = workflow["jobs"]["plan"], workflow["jobs"]["apply"]
    kept = next(step for step in plan["steps"] if "upload-artifact" in step.get("uses", ""))
    taken = next(step for step in apply["steps"] if "download-artifact" in step.get("uses", ""))
    assert kept["with"]["name"] == taken["with"]["name"] == f"ftspec-plans-${{{{ github.{of} }}}}"
    assert apply["needs"] == "plan"
    assert plan["outputs"]["digest"] == "${{ steps.plan.outputs.digest }}"
    assert apply["steps"][-3]["with"]["digest"] == "${{ needs.plan.outputs.digest }}"


def test_what_was_applied_last(tmp_path: Path, repository: Repository) -> None:
    """The last run that ended well, else what was before the push, else nothing, which means all."""
    steps = _read(WORKFLOWS[0])["jobs"]["plan"]["steps"]
    script = next(step["run"] for step in steps if step.get("id") == "last")
    repository.path("a").write_text("a")
    repository.commit()
    first, second = repository.git("rev-parse", "HEAD~1"), repository.git("rev-parse", "HEAD")
    (tmp_path / "bin").mkdir()
    gh, out = tmp_path / "bin" / "gh", tmp_path / "out"
    zeros = "0" * 40
    for says, before, expected in (
        (f"echo {first}", second, first), ("exit 4", second, second), ("echo", second, second),
        (f"echo {'1' * 40}", first, first), ("echo", zeros, ""), ("exit 1", "1" * 40, ""),
    ):  # fmt: skip
        gh.write_text(f"#!/bin/bash\n{says}\n")
        gh.chmod(0o755)
        out.write_text("")
        environment = {"PATH": f"{gh.parent}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(out), "BEFORE": before,
                       "WORKFLOW": "ftspec apply", "GITHUB_REF_NAME": "main"}  # fmt: skip
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        subprocess.run(command, cwd=repository.top, env=environment, check=True)
        assert out.read_text() == f"commit={expected}\n", says


@pytest.mark.parametrize(
    ("place", "script"), [(place, step["run"]) for place, step in _steps() if "run" in step]
)
def test_scripts_are_bash_and_hold_no_expression(place: str, script: str) -> None:
    assert "${{" not in script
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, (place, done.stderr)
    for step in (step for _, step in _steps() if step.get("run") == script):
        assert step["shell"] == "bash"  # with -e and pipefail


class Machine:
    """Runs a step of the action as GitHub would, with an `ftspec` that writes down what it was asked."""

    def __init__(self, folder: Path, ftspec: str = "") -> None:
        self.folder = folder
        self.asked = folder / "asked"
        self.output = folder / "output"
        self.summary = folder / "summary"
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "ftspec"
        program.write_text(
            f'#!/bin/bash\nprintf "<%s>" "$@" >> {self.asked}\necho >> {self.asked}\n{ftspec}\n'
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.work = folder / "work"
        self.work.mkdir()
        self.path = f"{programs}:{os.environ['PATH']}"

    def run(self, name: str, **given: str) -> subprocess.CompletedProcess[str]:
        action = _read(ACTION)
        step = next(step for step in action["runs"]["steps"] if step.get("name") == name)
        environment = {"PATH": self.path, "GITHUB_OUTPUT": str(self.output),
                       "GITHUB_STEP_SUMMARY": str(self.summary)}  # fmt: skip
        for variable, value in step["env"].items():
            found = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)
            if found:
                environment[variable] = (
                    given.get(found[1].replace("-", "_")) or action["inputs"][found[1]]["default"]
                )
        environment |= {key: value for key, value in given.items() if key.isupper()}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.work, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())

    def commands(self) -> list[str]:
        return self.asked.read_text().splitlines() if self.asked.exists() else []


MARKER = "<!-- ftspec:plan -->"
PLANS = f"""mkdir -p plans; echo one > plans/one.ftplan; echo two > plans/two.ftplan; echo '{MARKER}' > plans/comment.md
(cd plans && sha256sum *.ftplan > SHA256SUMS); exit 1"""


def test_plan_is_shown_although_a_spec_has_faults(tmp_path: Path) -> None:
    machine = Machine(tmp_path, PLANS)
    done = machine.run(
        "Run", GITHUB_BASE_REF="main", args="--hardware=$(touch pwned); `x`\n\n  --project=a b\n"
    )
    assert done.returncode == 0, done.stderr
    asked = (
        "<plan><--all><--format><github><--out-dir=plans><--hardware=$(touch pwned); `x`><  --project=a b>"
    )
    assert machine.commands() == [asked + "<--since=origin/main>"]
    assert machine.outputs()["plans"] == "2"
    assert machine.outputs()["exit-code"] == "1"
    assert machine.summary.read_text() == f"{MARKER}\n"
    assert not (machine.work / "pwned").exists()
    assert machine.run("Verdict", FTSPEC_EXIT_CODE="1").returncode == 1
    assert machine.run("Verdict", FTSPEC_EXIT_CODE="0").returncode == 0
    assert machine.run("Verdict").returncode == 1


def test_the_step_and_ftspec_itself_understand_each_other(tmp_path: Path, repository: Repository) -> None:
    repository.replace("specs/pairs.yaml", "recall@5]", "recall@5, recall@10]")
    machine = Machine(tmp_path)
    (tmp_path / "bin" / "ftspec").unlink()
    (tmp_path / "bin" / "ftspec").symlink_to(Path(sys.executable).with_name("ftspec"))
    machine.work = repository.top
    done = machine.run("Run", since="main")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("::warning file=specs/pairs.yaml,")
    assert machine.outputs()["plans"] == "1"
    assert machine.outputs()["exit-code"] == "0"
    assert machine.summary.read_text(encoding="utf-8").startswith("<!-- ftspec:plan -->\n")


@pytest.mark.parametrize(("since", "shown"), [("", ""), ("0" * 40, ""), ("v1", "<--since=v1>")])
def test_since(tmp_path: Path, since: str, shown: str) -> None:
    machine = Machine(tmp_path)
    assert machine.run("Run", since=since).returncode == 0
    assert machine.commands() == [f"<plan><--all><--format><github><--out-dir=plans>{shown}"]


def test_a_plan_that_lay_there_is_not_this_one(tmp_path: Path) -> None:
    """Where a runner keeps its folders and nothing could be planned, nothing is said of plans or applied."""
    machine = Machine(tmp_path, f"{PLANS.rpartition(';')[0]}")
    machine.run("Run")
    machine.output.unlink()
    machine.summary.unlink()
    (tmp_path / "bin" / "ftspec").write_text("#!/bin/bash\nexit 64\n")
    assert machine.run("Run", args="--no-such-option").returncode == 0
    assert machine.outputs() == {"exit-code": "64"}
    assert not machine.summary.exists()


def test_a_comment_of_somebody_else_is_neither_removed_nor_shown(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "exit 1")
    comment = machine.work / "plans" / "comment.md"
    comment.parent.mkdir()
    comment.write_text("# Words of a person\n")
    machine.run("Run")
    assert comment.read_text() == "# Words of a person\n"
    assert machine.outputs() == {"exit-code": "1"}
    assert not machine.summary.exists()


def test_apply_takes_only_what_was_planned(tmp_path: Path) -> None:
    machine = Machine(tmp_path, PLANS)
    machine.run("Run")
    digest = machine.outputs()["digest"]
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    (tmp_path / "bin" / "ftspec").write_text(
        f'#!/bin/bash\nprintf "<%s>" "$@" >> {machine.asked}\necho >> {machine.asked}\n[[ $2 != *one* ]] || exit 5\n'
    )
    machine.asked.unlink()
    done = machine.run("Run", command="apply", digest=digest)
    assert machine.commands() == ["<apply><plans/one.ftplan><--yes>", "<apply><plans/two.ftplan><--yes>"]
    assert machine.outputs()["exit-code"] == "5"  # the other one ran all the same
    assert "::error" in done.stdout
    machine.asked.unlink()
    assert machine.run("Run", command="apply", digest="0" * 64).returncode == 3
    (machine.work / "plans" / "two.ftplan").write_text("changed")
    assert machine.run("Run", command="apply", digest=digest).returncode == 3
    assert machine.run("Run", command="apply").returncode == 3
    assert machine.commands() == []


def test_nothing_planned_is_nothing_to_apply(tmp_path: Path) -> None:
    machine = Machine(tmp_path, f"mkdir -p plans; : > plans/SHA256SUMS; echo '{MARKER}' > plans/comment.md")
    assert machine.run("Run").returncode == 0
    outputs = machine.outputs()
    assert outputs["plans"] == "0"
    machine.asked.unlink()
    assert machine.run("Run", command="apply", digest=outputs["digest"]).returncode == 0
    assert machine.commands() == []
    assert machine.outputs()["exit-code"] == "0"


def test_other_commands(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "exit 2")
    for command in ("validate", "drift", "lock"):
        assert machine.run("Run", command=command, args="specs/a.yaml").returncode == 0
    assert machine.commands() == [
        "<validate><specs/a.yaml>", "<drift><--format><markdown><specs/a.yaml>", "<lock><specs/a.yaml>",
    ]  # fmt: skip
    assert machine.outputs()["exit-code"] == "2"
    machine.run("Run", command="rm -rf")
    assert machine.outputs()["exit-code"] == "64"
    machine.run("Run", command="setup")
    assert machine.outputs()["exit-code"] == "0"
    assert len(machine.commands()) == 3


def test_a_comment_that_cannot_be_posted_fails_no_plan(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "exit 1")
    (machine.work / "plans").mkdir()
    given = {"GITHUB_REPOSITORY": "acme/search", "FTSPEC_PR": "7"}
    (machine.work / "plans" / "comment.md").write_text("x")
    done = machine.run("Comment", **given)
    assert done.returncode == 0
    assert "::warning" in done.stdout
    assert machine.commands() == ["<comment><plans/comment.md><--repo><acme/search><--pr><7>"]


def test_commands_of_the_action_exist() -> None:
    from ftspec.cli.main import COMMANDS

    assert {"validate", "plan", "apply", "lock", "drift", "comment"} <= COMMANDS.keys()


def test_comments_are_for_pull_requests_of_the_repository_itself() -> None:
    step = next(step for step in _read(ACTION)["runs"]["steps"] if step.get("name") == "Comment")
    assert "github.event.pull_request.head.repo.full_name == github.repository" in step["if"]
    assert "steps.run.outputs.digest != ''" in step["if"], "there is one"


# --- hooks of pre-commit ----------------------------------------------------------------------


def test_hooks_name_commands_that_there_are() -> None:
    from ftspec.cli.main import COMMANDS

    hooks = {hook["id"]: hook for hook in _read(HOOKS)}
    assert hooks.keys() == {"ftspec-fmt", "ftspec-validate"}
    for hook in hooks.values():
        assert hook["language"] == "python"
        assert hook["entry"].split()[1] in COMMANDS
        assert hook["types"] == ["yaml"]
        assert re.search(hook["files"], "specs/a.yaml")
        assert re.search(hook["files"], "team/specs/search/a.yml")
        assert not re.search(hook["files"], "k8s/deployment.yaml")
        assert not re.search(hook["exclude"], "team/specs/search/a.yml")
        assert not re.search(hook["exclude"], "data/specs/a.yaml")
        assert re.search(hook["exclude"], "team/specs/data/suite.yaml")
        assert re.search(hook["exclude"], "specs/search/data/deep/rows.yaml")


def test_hooks_run_in_a_repository(tmp_path: Path) -> None:
    """Through pre-commit itself, with the programs of this environment in place of a new one."""

    def git(folder: Path, *arguments: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    programs = Path(sys.executable).parent
    if not (programs / "pre-commit").exists():
        pytest.skip("pre-commit is not installed here")
    hooks, users = tmp_path / "hooks", tmp_path / "users"
    for folder in (hooks, users):
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
    (hooks / HOOKS.name).write_bytes(HOOKS.read_bytes())
    git(hooks, "add", ".")
    git(hooks, "commit", "-qm", "hooks")
    (users / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {hooks}\n    rev: {git(hooks, 'rev-parse', 'HEAD')}\n    hooks:\n"
        "      - {id: ftspec-fmt, language: system}\n      - {id: ftspec-validate, language: system}\n"
    )
    (users / "specs" / "data").mkdir(parents=True)
    (users / "specs" / "data" / "rows.yaml").write_text("- {rows:   1}\n")
    (users / "other.yaml").write_text("not: [a spec]\n")
    spec = (ROOT / "specs" / "pairs.yaml").read_text(encoding="utf-8")
    (users / "specs" / "pairs.yaml").write_text(spec.replace("\nmodel:\n  base", "\nmodel:\n    base").replace(
        "\n  max_seq_length", "\n    max_seq_length"), encoding="utf-8")  # fmt: skip
    (users / "specs" / "bad.yaml").write_text(
        spec.replace("learning", "").replace("kind: Embedding", "kind: X")
    )
    git(users, "add", ".")
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        [str(programs / "pre-commit"), "run", "--all-files", "--color", "never"],
        cwd=users, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "files were modified by this hook" in done.stdout
    assert "FTS201" in done.stdout
    assert "other.yaml" not in done.stdout
    assert "rows.yaml" not in done.stdout
    assert (users / "specs" / "pairs.yaml").read_text(encoding="utf-8") == spec
