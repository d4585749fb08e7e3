"""`ftspec doctor`: the machine, the backends, where models come from, and named machines."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ftspec.hardware.model import Hardware, accelerator_lines, format_bytes
from ftspec.target.environments import BackendEnvironment, EnvironmentKind, install_command
from ftspec.target.model import Target
from ftspec.target.packages import PackageState, PackageStatus
from ftspec.view.backends import environment_document, where
from ftspec.view.lines import new_console
from ftspec.view.safe_text import safe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from ftspec.synth.detect import EndpointState

FORMAT_VERSION = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReport:
    target: Target
    environment: BackendEnvironment  # where a run would happen, or would fail to
    devices: tuple[str, ...]  # of the machine that the backend runs on, best first

    @property
    def packages(self) -> tuple[PackageStatus, ...]:
        return self.environment.packages

    @property
    def usable(self) -> bool:
        return self.environment.usable and bool(self.devices) and self.target.emit_only is None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMachine:
    name: str
    description: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSources:
    hub_cache: str
    cached: tuple[str, ...]  # ids with a snapshot in the hub's cache
    packaged: Mapping[str, str]  # id -> installed package that carries it
    offline_by: str | None  # the variable that forbids the hub, e.g. "HF_HUB_OFFLINE=1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    hardware: Hardware
    python_version: str
    python_path: str
    backends: tuple[BackendReport, ...]
    models: ModelSources
    machines: tuple[NamedMachine, ...]
    endpoints: "tuple[EndpointState, ...] | None" = None  # of language models; None: not asked


def mend_command(status: PackageStatus) -> str | None:
    """The command that puts one package right; None where nothing is wrong."""
    if status.state is PackageState.OK:
        return None
    return f"pip install '{status.name}{status.required}'"


def render_doctor(report: DoctorReport, *, format: str, color: bool = False, width: int = 80) -> str:
    """human: sections that fit `width` columns; json: one object with everything."""
    return render_json(report) if format == "json" else _render_human(report, color=color, width=width)


def render_json(report: DoctorReport) -> str:
    hardware = report.hardware
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "python": {"version": report.python_version, "path": report.python_path},
        "hardware": {
            **asdict(hardware),
            "digest": hardware.digest(),
            "summary": hardware.summary(),
            "cpu_gflops_fp32_estimate": round(hardware.cpu_gflops_fp32, 1),
        },
        "backends": [_backend_json(backend) for backend in report.backends],
        "models": {**asdict(report.models), "offline": report.models.offline_by is not None},
        "profiles": [asdict(machine) for machine in report.machines],
    }
    if report.endpoints is not None:
        from ftspec.view.synth import endpoint_document

        document["endpoints"] = [endpoint_document(state) for state in report.endpoints]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _backend_json(backend: BackendReport) -> dict[str, Any]:
    target = backend.target
    return {
        "name": target.name,
        "description": target.description,
        "usable": backend.usable,
        "emit_only": target.emit_only,
        "kinds": list(target.kinds),
        "devices": list(target.devices),
        "devices_here": list(backend.devices),
        "install": install_command(target),
        "environment": environment_document(backend.environment),
        "packages": [{**asdict(status), "mend": mend_command(status)} for status in backend.packages],
    }


def _render_human(report: DoctorReport, *, color: bool, width: int) -> str:
    out = io.StringIO()
    console = new_console(out, width=width, color=color)
    _section(console, "Machine", _machine_rows(report))
    console.print("Backends", style="bold")
    for backend in report.backends:
        _print_backend(console, backend)
    if not report.backends:
        console.print("  none found", style="yellow")
    console.print()
    _section(console, "Models", _model_rows(report.models))
    if report.endpoints is not None:
        from ftspec.view.synth import endpoint_rows

        _section(console, "Endpoints of language models, for ftspec synth", endpoint_rows(report.endpoints))
    _section(
        console,
        "Named machines, for --hardware NAME",
        [(machine.name, machine.description or machine.summary) for machine in report.machines],
    )
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _section(console: "Console", title: str, rows: Sequence[tuple[str, str]]) -> None:
    console.print(title, style="bold")
    table = _table()
    for name, value in rows:
        table.add_row(_text(name, "dim"), _text(value))
    console.print(_indented(table, 2))
    console.print()


def _machine_rows(report: DoctorReport) -> list[tuple[str, str]]:
    hardware, cpu = report.hardware, report.hardware.cpu
    cores = f"{cpu.usable_cores} usable"
    if cpu.physical_cores is not None and cpu.physical_cores != cpu.usable_cores:
        cores += f" ({cpu.physical_cores} without hardware threads)"
    memory = f"{format_bytes(hardware.memory_bytes)} usable"
    if hardware.memory_free_bytes is not None:
        memory += f", {format_bytes(hardware.memory_free_bytes)} free"
    rows = [
        ("name", hardware.name),
        ("system", f"{hardware.os}, {cpu.architecture}"),
        ("processor", cpu.model or "not told by the system"),
        ("cores", cores),
        ("instructions", " ".join(cpu.flags) or "not told by the system"),
        ("speed", f"about {cpu.gflops_fp32:,.0f} GFLOPS in fp32 (estimated peak)"),
        ("bf16", "native on the CPU" if cpu.bf16 else "not native on the CPU: slower than fp32"),
        ("memory", memory),
    ]
    if hardware.disk_free_bytes is not None:
        rows.append(("disk", f"{format_bytes(hardware.disk_free_bytes)} free here"))
    gpus = accelerator_lines(hardware.accelerators)
    rows += [("accelerator", line) for line in gpus] or [("accelerator", "none")]
    rows.append(("python", f"{report.python_version}, {report.python_path}"))
    return rows


def _print_backend(console: "Console", backend: BackendReport) -> None:
    from rich.text import Text

    target = backend.target
    state, style = ("ready", "green") if backend.usable else ("not usable", "yellow")
    if target.emit_only is not None:
        state, style = "writes run folders for you to run", "dim"
    console.print(Text.assemble("  ", (target.name, "bold"), "  ", (state, style)))
    devices = f"on {', '.join(backend.devices)}" if backend.devices else "no device here that it runs on"
    console.print(_indented(_text(f"{', '.join(target.kinds)}, {devices}. {target.description}", "dim"), 4))
    if target.emit_only is not None:
        return
    if backend.environment.kind is not EnvironmentKind.PRESENT:
        console.print(_indented(_text(where(backend.environment), "dim"), 4))
    table = _table()
    for status in backend.packages:
        good = status.state is PackageState.OK
        table.add_row(
            _text("✓" if good else "✗", "green" if good else "red"),
            _text(status.name),
            _text(status.installed or "missing"),
            _text(_remark(status), "dim" if good else "yellow"),
        )
    console.print(_indented(table, 4))
    if not backend.environment.usable:
        # On a line of its own, unwrapped, so that it can be copied.
        console.print(Text("    mend it with"))
        console.print(_text(f"      {install_command(target)}", "bold"), soft_wrap=True)


def _remark(status: PackageStatus) -> str:
    wanted = status.required or "any version"
    return {
        PackageState.OK: wanted,
        PackageState.MISSING: f"needs {wanted}",
        PackageState.TOO_OLD: f"too old, needs {wanted}",
        PackageState.OUT_OF_RANGE: f"not in the tested range {wanted}",
    }[status.state]


def _model_rows(models: ModelSources) -> list[tuple[str, str]]:
    count = len(models.cached)
    cached = (
        f"{count} model{'' if count == 1 else 's'} in {models.hub_cache}"
        if count
        else f"empty ({models.hub_cache})"
    )
    rows = [("hub cache", cached)]
    rows += [("package", f"{package} carries {id}") for id, package in models.packaged.items()]
    rows.append(
        (
            "hub",
            f"not asked: {models.offline_by}" if models.offline_by else "asked by `ftspec models pull` only",
        )
    )
    return rows


def _text(value: str, style: str = "") -> "Text":
    """Text that cannot steer the terminal: names come from files of the user."""
    from rich.text import Text

    return Text(safe(value), style=style, overflow="fold")


def _table() -> "Table":
    from rich.table import Table

    return Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)


def _indented(part: "Table | Text", columns: int) -> "Padding":
    from rich.padding import Padding

    return Padding(part, (0, 0, 0, columns))
