"""Environments of backends: a list, and one that was just made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ftspec.target.environments import BackendEnvironment, EnvironmentKind, install_command, not_installed
from ftspec.target.model import Target
from ftspec.view.safe_text import safe


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendEnvironments:
    """`environments` in the order in which they are taken; the present interpreter is always the last."""

    target: Target
    environments: tuple[BackendEnvironment, ...]
    chosen: BackendEnvironment | None


def environment_document(environment: BackendEnvironment) -> dict[str, Any]:
    """An environment as JSON values."""
    return {
        "kind": environment.kind.value,
        "interpreter": str(environment.interpreter),
        "python": environment.python,
        "usable": environment.usable,
        "versions": dict(environment.versions),
        "packages": [asdict(status) for status in environment.packages],
    }


def backend_document(backend: BackendEnvironments) -> dict[str, Any]:
    """A backend and its environments as JSON values."""
    target = backend.target
    chosen = backend.chosen
    return {
        "name": target.name,
        "kinds": list(target.kinds),
        "emit_only": target.emit_only,
        "installable": target.requirements is not None,
        "install": install_command(target),
        "usable": chosen is not None and chosen.usable,
        "used": None if chosen is None else chosen.kind.value,
        "environments": [environment_document(each) for each in backend.environments],
    }


def where(environment: BackendEnvironment) -> str:
    """One phrase: `installed for this project: Python 3.11.7, /…/bin/python`."""
    origin = {
        EnvironmentKind.NAMED: "named by you",
        EnvironmentKind.INSTALLED: "installed for this project",
        EnvironmentKind.PRESENT: "this interpreter",
    }[environment.kind]
    version = "cannot be started" if environment.python is None else f"Python {environment.python}"
    return f"{origin}: {version}, {environment.interpreter}"


def render_backends(backends: Sequence[BackendEnvironments]) -> str:
    """A paragraph for each backend: where it runs, with which versions, or how to get it."""
    return "\n".join(_paragraph(backend) for backend in backends)


def _paragraph(backend: BackendEnvironments) -> str:
    target, chosen = backend.target, backend.chosen
    if target.emit_only is not None:
        return safe(f"{target.name}  writes run folders for you to run  ({', '.join(target.kinds)})") + "\n"
    state = "ready" if chosen is not None and chosen.usable else "not installed"
    lines = [f"{target.name}  {state}  ({', '.join(target.kinds)})"]
    if chosen is not None:
        lines.append(f"  {where(chosen)}")
        lines.append(f"  {', '.join(f'{name} {version}' for name, version in chosen.versions.items())}")
    if chosen is not None and not chosen.usable:
        fault = not_installed(target, chosen)
        lines += [f"  lacks {fault.detail}", f"  {fault.help}"]
    if chosen is None:
        lines.append(f"  {install_command(target)}")
    return "\n".join(safe(line).rstrip() for line in lines if line.strip()) + "\n"
