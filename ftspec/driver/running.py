"""A run in progress: what its stages share."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftspec.diagnostics.model import Diagnostic, Diagnostics, FtspecError
from ftspec.driver.inputs import MovedInput
from ftspec.plan.codec import HASH_VERSION
from ftspec.plan.facts import Machine, Scalar
from ftspec.plan.model import Action, Plan, Stage
from ftspec.run.events import Event
from ftspec.store.artifacts import Artifacts
from ftspec.store.files import write_atomically
from ftspec.store.leases import HeldLease
from ftspec.store.project import Project
from ftspec.store.run_record import RunRecord, all_records
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
class Run:
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
    machine: Machine  # that it runs on
    environment: BackendEnvironment | None = None  # once a program needs it
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    tainted: tuple[str, ...] = ()  # inputs that moved since the run began, in words
    spoiled: tuple[str, ...] = ()  # those of them that stages may have read: what they made is not reused

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.plan.stages if stage.name == name)

    def runs(self, name: str) -> bool:
        return self.stage(name).action is Action.RUN

    def output(self, name: str) -> Path:
        return self.artifacts.path(name, self.stage(name).key)

    def publish(self, name: str, folder: Path, *, tainted: tuple[str, ...] = ()) -> None:
        self.lease.require()
        self.artifacts.publish(
            name,
            self.stage(name).key,
            folder,
            self.documents[name],
            algorithm=HASH_VERSION,
            tainted=tainted or self.spoiled,
        )

    def note_moved(self, moved: Iterable[MovedInput], *, spoils: bool = False) -> None:
        """Taint the run; `spoils`: what its stages publish from now on is tainted as well."""
        named = tuple(str(each) for each in moved)
        self.tainted = tuple(dict.fromkeys((*self.tainted, *named)))
        self.spoiled = tuple(dict.fromkeys((*self.spoiled, *named))) if spoils else self.spoiled

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


@contextmanager
def timed(run: Run, name: str, *, tainted: tuple[str, ...] = ()) -> Iterator[Path]:
    """A scratch folder for the output of one in-process stage, which is published when the block ends."""
    run.emit(name, "start")
    started = time.monotonic()
    scratch = run.folder / "scratch" / name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    yield scratch
    run.publish(name, scratch, tainted=tainted)
    run.took(name, time.monotonic() - started)
    run.emit(name, "end", seconds=run.seconds[name])


def environment_of(run: Run) -> BackendEnvironment:
    """Where the programs run; asked once. FTS605 where their packages are not."""
    if run.environment is None and run.interpreter is not None:
        run.environment = examine(run.target, run.interpreter, EnvironmentKind.NAMED)
        if not run.environment.usable:
            raise FtspecError(not_installed(run.target, run.environment))
    run.environment = run.environment or require_environment(run.project.state, run.target)
    return run.environment


def versions_of(run: Run) -> dict[str, str]:
    """Versions of everything that affects numbers: Python, ftspec, and the backend's packages. Where no
    program had to run, those that made what is reused: what is installed by now did not."""
    import platform
    from importlib.metadata import version

    made = _made_by(run) if run.environment is None else None
    if made is not None:
        return dict(made.versions)
    environment = run.environment or find_environment(run.project.state, run.target)
    return {
        "python": (environment and environment.python) or platform.python_version(),
        "ftspec": version("ftspec"),
        **({} if environment is None else environment.versions),
    }


def _made_by(run: Run) -> RunRecord | None:
    """The last run that made what this one registers again, or else the last that trained its model."""
    records, _ = all_records(run.project)
    for key, made in (
        ("register", lambda stage: stage != "register"),
        ("train", lambda stage: stage == "train"),
    ):
        for record in reversed(records):
            ran = [stage.name for stage in record.stages if stage.action == Action.RUN.value]
            if record.stage_key(key) == run.stage(key).key and any(map(made, ran)):
                return record
    return None


def raise_errors(diagnostics: Diagnostics | tuple[Diagnostic, ...]) -> None:
    errors = [item for item in diagnostics if item.is_error]
    if errors:
        raise FtspecError(*errors)


def earlier_seconds(folder: Path) -> dict[str, float]:
    """What earlier attempts of a run took, by stage."""
    path = folder / _SECONDS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
