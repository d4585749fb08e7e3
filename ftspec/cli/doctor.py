"""`ftspec doctor`: what this machine is, which backends can run on it, and what is missing."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftspec.cli.common import (
    fail,
    find_project,
    format_option,
    project_option,
    report,
    terminal_width,
    wants_color,
)
from ftspec.cli.exits import DONE, ERROR

if TYPE_CHECKING:
    from ftspec.hardware.model import Hardware
    from ftspec.synth.detect import EndpointState
    from ftspec.target.model import Target
    from ftspec.view.doctor import BackendReport, ModelSources, NamedMachine

EPILOG = """\b
Examples:
  ftspec doctor                       this machine, backends, and what is missing
  ftspec doctor --save build-box.yaml write this machine down, to plan for it elsewhere
  ftspec doctor --hardware h100x8     a named machine instead of this one
  ftspec doctor --endpoints           also which language models answer, for `ftspec synth`
  ftspec doctor --format json | jq '.backends[] | select(.usable)'"""

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_FALSE = {"", "0", "false", "no", "off"}


@click.command("doctor", epilog=EPILOG)
@click.option(
    "--save",
    "save_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the machine as a profile for `--hardware`.",
)
@click.option("--hardware", metavar="FILE|NAME", help="Show a named or saved machine instead of this one.")
@click.option("--endpoints", is_flag=True, help="Also ask for language models: Ollama, OPENAI_BASE_URL.")
@format_option("human", "json")
@project_option
def doctor_command(
    save_path: Path | None,
    hardware: str | None,
    endpoints: bool,
    format_: str,
    project_folder: Path | None,
) -> int:
    """Show machine, backends with the versions they need, and the command that mends each gap.

    Uses no network, unless `--endpoints` asks who serves language models for `ftspec synth`. Exits with 1
    when no backend is usable.
    """
    from ftspec.cli.output import write_message, write_result
    from ftspec.target.load import load_targets
    from ftspec.view.doctor import DoctorReport, render_doctor

    machine = _machine(hardware)
    targets, found = load_targets()
    report(found)
    state = find_project(project_folder).state
    backends = tuple(_backend(target, machine, state) for target in targets)
    result = DoctorReport(
        hardware=machine,
        python_version=sys.version.split()[0],
        python_path=sys.executable,
        backends=backends,
        models=_model_sources(),
        machines=_named_machines(),
        endpoints=_endpoints() if endpoints else None,
    )
    if save_path is not None:
        _save(machine, save_path)
    color, width = wants_color(sys.stdout), terminal_width()
    write_result(render_doctor(result, format=format_, color=color, width=width))
    if save_path is not None:
        write_message(f"saved: ftspec plan SPEC --hardware {save_path}")
    return DONE if any(backend.usable for backend in backends) else ERROR


def _machine(name: str | None) -> "Hardware":
    if name is None:
        from ftspec.hardware.detect import detect

        return detect()
    from ftspec.hardware.profiles import load_hardware

    hardware, found = load_hardware(name)
    if hardware is None:
        fail(found)
    report(found)
    return hardware


def _backend(target: "Target", hardware: "Hardware", state: Path) -> "BackendReport":
    from ftspec.target.environments import find_environment, list_environments
    from ftspec.view.doctor import BackendReport

    here = {"cpu", *(accelerator.kind for accelerator in hardware.accelerators)}
    environment = find_environment(state, target) or list_environments(state, target)[-1]
    return BackendReport(
        target=target,
        environment=environment,
        devices=tuple(device.value for device in target.devices if device in here),
    )


def _model_sources() -> "ModelSources":
    from ftspec.models.cache import cache_folder, cached_ids
    from ftspec.models.packages import PACKAGES, locate
    from ftspec.view.doctor import ModelSources

    offline = [name for name in _OFFLINE if os.environ.get(name, "").lower() not in _FALSE]
    return ModelSources(
        hub_cache=str(cache_folder()),
        cached=tuple(cached_ids(cache_folder())),
        packaged={
            package.ids[0]: package.distribution for package in PACKAGES if locate(package) is not None
        },
        offline_by=f"{offline[0]}={os.environ[offline[0]]}" if offline else None,
    )


def _endpoints() -> "tuple[EndpointState, ...]":
    from ftspec.synth.detect import detect_endpoints

    return detect_endpoints()


def _named_machines() -> "tuple[NamedMachine, ...]":
    from ftspec.hardware.profiles import shipped_profiles
    from ftspec.view.doctor import NamedMachine

    return tuple(
        NamedMachine(name=profile.name, description=profile.description, summary=profile.hardware().summary())
        for profile in shipped_profiles()
    )


def _save(hardware: "Hardware", path: Path) -> None:
    from ftspec.hardware.profiles import save_profile

    try:
        save_profile(hardware, path)
    except OSError as error:
        raise click.FileError(str(path), hint=error.strerror or str(error)) from error
