"""A stand-in for GitHub and its hosted runners: the jobs of an example workflow, each in a fresh clone, with what
conditions, outputs, caches and artefacts mean there. `ftspec` is the one of this environment."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e.harness import environment

Steps = list[dict[str, Any]]
Context = dict[str, Any]
_PATH = re.compile(r"'[^']*'|\b[a-z][\w-]*(?:\.[\w-]+)+")
_STATUS = re.compile(r"\b(always|cancelled|success|failure)\(\)")
_TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


class _Text(str):
    """What an expression compares: with a number, as a number."""

    def __gt__(self, other: Any) -> bool:
        return bool(float(self or 0) > other)


@dataclass
class JobResult:
    result: str  # success | failure | skipped
    outputs: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)  # of steps, by id or by what they use
    summary: str = ""
    said: str = ""


@dataclass
class Hosted:
    """GitHub, as far as one repository with a branch `main` knows it."""

    repository: Path
    folder: Path
    succeeded: str = ""  # the commit of the last run that ended well
    unfinished: str = "0"  # runs that wait or go on
    runs: int = 0
    caches: dict[str, Path] = field(default_factory=dict)  # the newest last
    artefacts: dict[str, Path] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)  # of every script

    def __post_init__(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir(parents=True)
        (programs / "ftspec").symlink_to(Path(sys.executable).with_name("ftspec"))

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def run(self, workflow: str, **event: Any) -> dict[str, JobResult]:
        """All jobs of a workflow file, in their order; `event` goes to the context `github`."""
        self.runs += 1
        document = YAML(typ="safe", pure=True).load(Path(workflow).read_text(encoding="utf-8"))
        sha = _git(self.repository, "rev-parse", "main")
        github = {
            "sha": sha, "run_attempt": 1, "run_id": self.runs, "token": "t", "workflow": document["name"],
            "event_name": "push", "repository": "acme/search", "event": {"before": "0" * 40}, **event,
        }  # fmt: skip
        done: dict[str, JobResult] = {}
        for name, job in document["jobs"].items():
            needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            context = {
                "github": github,
                "runner": {"environment": "github-hosted"},
                "vars": {},
                "needs": {each: {"outputs": done[each].outputs} for each in needs},
                "steps": {},
            }
            ok = all(done[each].result == "success" for each in needs)
            done[name] = (
                self._job(job, context) if _is_met(job.get("if"), context, ok) else JobResult("skipped")
            )
        if all(each.result != "failure" for each in done.values()):
            self.succeeded = github["sha"]
        return done

    def _job(self, job: dict[str, Any], context: Context) -> JobResult:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        job_result = JobResult("success")
        job_result.result = self._steps(job["steps"], context, job_result)
        job_result.outputs = {
            key: _filled(value, context, True) for key, value in job.get("outputs", {}).items()
        }
        return job_result

    def _steps(self, steps: Steps, context: Context, result: JobResult) -> str:
        ok = True
        for step in steps:
            name = step.get("id") or step.get("name") or step["uses"].partition("@")[0]
            outcome = "skipped"
            outputs: dict[str, str] = {}
            if _is_met(step.get("if"), context, ok):
                outcome, outputs = self._step(step, context, result)
            ok = ok and outcome != "failure"
            result.outcomes[name] = outcome
            context["steps"][name] = {"outputs": outputs, "outcome": outcome}
        return "success" if ok else "failure"

    def _step(self, step: dict[str, Any], context: Context, result: JobResult) -> tuple[str, dict[str, str]]:
        given = {key: _filled(value, context, True) for key, value in step.get("with", {}).items()}
        if "run" in step:
            variables = {key: _filled(value, context, True) for key, value in step.get("env", {}).items()}
            return self._script(step, variables, result)
        if step["uses"].startswith("./"):
            return self._composite(step["uses"], given, context, result)
        act: Callable[[Mapping[str, str], str], None] = {
            "actions/checkout": self._checkout,
            "actions/cache/restore": self._restore,
            "actions/cache/save": self._save,
            "actions/upload-artifact": self._upload,
            "actions/download-artifact": self._download,
            "actions/setup-python": lambda given, sha: None,
        }[step["uses"].partition("@")[0]]
        act(given, context["github"]["sha"])
        return "success", {}

    def _composite(
        self, place: str, given: Mapping[str, str], context: Context, result: JobResult
    ) -> tuple[str, dict[str, str]]:
        text = (self.work / place / "action.yml").read_text(encoding="utf-8")
        action = YAML(typ="safe", pure=True).load(text)
        assert given.keys() <= action["inputs"].keys()
        inputs = {key: _filled(each["default"], context, True) for key, each in action["inputs"].items()}
        inner = {**context, "inputs": {**inputs, **given}, "steps": {}}
        outcome = self._steps(action["runs"]["steps"], inner, result)
        return outcome, {key: _filled(each["value"], inner, True) for key, each in action["outputs"].items()}

    def _script(
        self, step: dict[str, Any], variables: Mapping[str, str], result: JobResult
    ) -> tuple[str, dict[str, str]]:
        output, summary = self.folder / "output", self.folder / "summary"
        for path in (output, summary):
            path.write_text("")
        programs = self.folder / "bin"
        asked = '[[ "$*" == *"--status success"* ]]'
        gh = f"if {asked}; then echo {self.succeeded}; else echo {self.unfinished}; fi"
        fakes = {"gh": gh, "python": ":" if step.get("name") == "Install" else None}
        for name, says in fakes.items():
            (programs / name).unlink(missing_ok=True)
            if says is not None:
                (programs / name).write_text(f"#!/bin/bash\n{says}\n")
                (programs / name).chmod(0o755)
        variables = {
            "CI": "true", "GITHUB_REF_NAME": "main", "GITHUB_OUTPUT": str(output), "GITHUB_REPOSITORY": "acme/search",
            "GITHUB_STEP_SUMMARY": str(summary), "PATH": f"{programs}:{os.environ['PATH']}", **self.variables, **variables,
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.work, env=environment(variables), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        result.said += done.stdout + done.stderr
        result.summary += summary.read_text(encoding="utf-8")
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return "failure" if done.returncode else "success", outputs

    def _checkout(self, given: Mapping[str, str], sha: str) -> None:
        _git(self.folder, "clone", "--quiet", str(self.repository), str(self.work))
        _git(self.work, "checkout", "--quiet", sha)

    def _restore(self, given: Mapping[str, str], sha: str) -> None:
        found = [key for key in self.caches if key.startswith(given["restore-keys"])]
        key = given["key"] if given["key"] in self.caches else found[-1] if found else None
        if key is not None:
            shutil.copytree(self.caches[key], self.work / given["path"])

    def _save(self, given: Mapping[str, str], sha: str) -> None:
        assert given["key"] not in self.caches, "a cache never changes"
        self.caches[given["key"]] = self.folder / "caches" / given["key"]
        shutil.copytree(self.work / given["path"], self.caches[given["key"]])

    def _upload(self, given: Mapping[str, str], sha: str) -> None:
        self.artefacts[given["name"]] = self.folder / "artefacts" / f"{self.runs}" / given["name"]
        shutil.copytree(self.work / given["path"], self.artefacts[given["name"]])

    def _download(self, given: Mapping[str, str], sha: str) -> None:
        shutil.copytree(self.artefacts[given["name"]], self.work / given["path"], dirs_exist_ok=True)


def _is_met(condition: str | None, context: Context, ok: bool) -> bool:
    """Without a word about the status, only after success."""
    text = str(condition or "success()")
    whole = _TEMPLATE.fullmatch(text.strip())
    text = whole[1] if whole else text
    if not _STATUS.search(text):
        text = f"success() && ({text})"
    return bool(_value(text, context, ok))


def _filled(text: Any, context: Context, ok: bool) -> str:
    written = str(text).lower() if isinstance(text, bool) else str(text)
    return _TEMPLATE.sub(lambda found: str(_value(found[1], context, ok)), written)


def _value(text: str, context: Context, ok: bool) -> Any:
    def path(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith("'") else f"at({found[0]!r})"

    def at(path: str) -> _Text:
        value: Any = context
        for name in path.split("."):
            value = value.get(name, "") if isinstance(value, Mapping) else ""
        return _Text(value)

    status = {"always": True, "cancelled": False, "success": ok, "failure": not ok}
    python = re.sub(r"!(?!=)", " not ", _PATH.sub(path, text).replace("&&", " and ").replace("||", " or "))
    python = _STATUS.sub(lambda found: str(status[found[1]]), python)
    return eval(" ".join(python.split()), {"__builtins__": {}}, {"at": at})


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
