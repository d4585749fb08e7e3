"""Plans that were made before: in a file, or in the folder of a run."""

from collections.abc import Sequence
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.model import Plan
from ftspec.plan.text import SavedPlan, saved_from_json
from ftspec.store.project import Project

_YAML_ENDINGS = (".yaml", ".yml")


def is_spec_name(path: Path) -> bool:
    """A spec is YAML by its ending."""
    return path.suffix.lower() in _YAML_ENDINGS


def is_plan_file(path: Path) -> bool:
    """Everything that exists and is no spec is taken for a plan file."""
    return path.is_file() and not is_spec_name(path)


def read_plan_file(path: Path) -> tuple[Plan | None, Diagnostics]:
    """Read and verify a plan file. Faults: not readable, edited, other version."""
    saved, found = read_saved_plan(path)
    return (None if saved is None else saved.plan), found


def read_saved_plan(path: Path, *, lenient: bool = False) -> tuple[SavedPlan | None, Diagnostics]:
    """The same with its contract; `lenient` as for `saved_from_json`."""
    text, found = read_text_of(path)
    return (None, found) if text is None else saved_from_json(text, name=str(path), lenient=lenient)


def read_text_of(path: Path) -> tuple[str | None, Diagnostics]:
    """FTS616 for what is no text."""
    found = Diagnostics()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found.add(
            codes.PLAN_NOT_READABLE, f"{path}: {error}", help="make it with `ftspec plan SPEC --out FILE`"
        )
        return None, found
    return text, found


def plan_file_of(subject: str, project: Project) -> tuple[Path | None, Diagnostics]:
    """The file behind the name of a plan file or of a run. FTS616 where there is none."""
    found = Diagnostics()
    path, run = Path(subject), project.runs / subject / "plan.json"
    if is_plan_file(path):
        return path, found
    if "/" not in subject and run.is_file():
        return run, found
    found.add(
        codes.PLAN_NOT_READABLE,
        f"{subject!r} is no plan file, no spec (.yaml) and no run of this project",
        help="`ftspec runs` lists runs; `ftspec plan SPEC --out FILE` makes a plan file",
    )
    return None, found


def read_plan_of(
    subject: str,
    project: Project,
    *,
    overrides: Sequence[str] = (),
    hardware_name: str | None = None,
) -> tuple[Plan | None, Diagnostics]:
    """The plan behind a plan file, a run's name, or a spec, which is then compiled."""
    path, found = plan_file_of(subject, project)
    if path is not None:
        return read_plan_file(path)
    path = Path(subject)
    if not is_spec_name(path):
        return None, found
    from ftspec.driver.compile import compile_spec

    compiled, found = compile_spec(path, project=project, overrides=overrides, hardware_name=hardware_name)
    return (None if compiled is None else compiled.plan), found
