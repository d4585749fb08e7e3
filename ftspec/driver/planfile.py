"""Plans that were made before: in a file, or in the folder of a run."""

from collections.abc import Sequence
from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.model import Plan
from ftspec.plan.text import plan_from_json
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
    found = Diagnostics()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found.add(
            codes.PLAN_NOT_READABLE, f"{path}: {error}", help="make it with `ftspec plan SPEC --out FILE`"
        )
        return None, found
    return plan_from_json(text, name=str(path))


def read_plan_of(
    subject: str,
    project: Project,
    *,
    overrides: Sequence[str] = (),
    hardware_name: str | None = None,
) -> tuple[Plan | None, Diagnostics]:
    """The plan behind a plan file, a run's name, or a spec, which is then compiled."""
    path = Path(subject)
    if is_plan_file(path):
        return read_plan_file(path)
    run = project.runs / subject / "plan.json"
    if "/" not in subject and run.is_file():
        return read_plan_file(run)
    if not is_spec_name(path):
        found = Diagnostics()
        found.add(
            codes.PLAN_NOT_READABLE,
            f"{subject!r} is no plan file, no spec (.yaml) and no run of this project",
            help="`ftspec runs` lists runs; `ftspec plan SPEC --out FILE` makes a plan file",
        )
        return None, found
    from ftspec.driver.compile import compile_spec

    compiled, found = compile_spec(path, project=project, overrides=overrides, hardware_name=hardware_name)
    return (None if compiled is None else compiled.plan), found
