"""Who may write to a project, and what becomes of the leases of those who are gone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.diagnostics.model import Diagnostic, FtspecError, Severity
from ftspec.store import leases, processes
from ftspec.store.leases import Lease, Standing, Timing, current_holder, find_leases, project_lease, unlock
from ftspec.store.project import Project

FAST = Timing(beat=0.05, expires_after=60.0, watch=0.3, guard=5.0)

HOLD = """
import sys, time
from pathlib import Path
from ftspec.store.leases import Timing, project_lease
from ftspec.store.project import Project
timing = Timing(beat=0.05, expires_after=60, watch=0.5, guard=10)
with project_lease(Project(Path(sys.argv[1])), "child", timing=timing):
    print("held", flush=True)
    sys.stdin.read()
"""

# Waits for a common moment, takes the lease, notes that it is alone, and lets go.
RACE = """
import sys, time
from pathlib import Path
from ftspec.diagnostics.model import FtspecError
from ftspec.store.leases import project_lease
from ftspec.store.project import Project
project, start = Project(Path(sys.argv[1])), float(sys.argv[2])
while time.time() < start:
    time.sleep(0.001)
try:
    with project_lease(project, "race"):
        (project.root / "alone").touch(exist_ok=False)
        time.sleep(0.3)
        (project.root / "alone").unlink()
        print("won")
except FtspecError as error:
    print(error.diagnostics[0].code.id)
"""


@contextmanager
def child_that_holds(project: Project) -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(project.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.communicate(timeout=10)


def write_lease(project: Project, **changes: Any) -> dict[str, Any]:
    """A lease as another machine writes it."""
    document = {
        "version": 1,
        "id": "0badcafe",
        "user": "ana",
        "host": "elsewhere",
        "machine": "boot/pid",
        "pid": 4711,
        "process": "ticks:1",
        "since": "2026-01-01T10:00:00+00:00",
        "purpose": "ftspec apply far.yaml",
        "heartbeat": time.time(),
        "beats": 7,
        "expires_after_seconds": 60.0,
        **changes,
    }
    project.lease.write_text(json.dumps(document), encoding="utf-8")
    return document


def refused(project: Project, timing: Timing = FAST) -> Diagnostic:
    with pytest.raises(FtspecError) as raised, project_lease(project, "me", timing=timing):
        pass
    (finding,) = raised.value.diagnostics
    assert finding.code.id == "FTS601"
    return finding


def taken(project: Project, timing: Timing = FAST) -> list[Diagnostic]:
    """What is said while the lease is taken."""
    said: list[Diagnostic] = []
    with project_lease(project, "me", notify=said.append, timing=timing) as held:
        holder = current_holder(project)
        assert holder is not None
        assert holder.id == held.lease.id
    assert current_holder(project) is None
    assert not project.lease.exists()
    return said


def call(project: Project, *arguments: str) -> Any:
    return CliRunner().invoke(cli, [*arguments, "--project", str(project.root)])


def test_second_holder_is_told_who_the_first_is(project: Project) -> None:
    assert current_holder(project) is None
    with project_lease(project, "ftspec apply a.yaml") as held:
        lease = held.lease
        finding = refused(project)
        for fact in (
            "ftspec apply a.yaml",
            f"process {os.getpid()}",
            lease.host,
            lease.since,
            lease.id,
            lease.user,
        ):
            assert fact in finding.detail
        assert f"process {os.getpid()}" in finding.help
        assert current_holder(project) == lease
    assert taken(project) == []


def test_a_killed_holder_is_followed_at_once(project: Project) -> None:
    with child_that_holds(project) as child:
        assert f"process {child.pid}" in refused(project).detail
        child.send_signal(signal.SIGKILL)
        child.wait()
        ((lease, standing),) = find_leases(project)
        assert standing is Standing.ENDED
        started = time.monotonic()
        (said,) = taken(project, Timing(watch=60))
        assert time.monotonic() - started < 2
    assert said.code.id == "FTS624"
    assert said.level is Severity.WARNING
    for fact in (str(child.pid), lease.since, lease.user, "has ended"):
        assert fact in said.detail


def test_a_zombie_and_a_reused_pid_hold_nothing(project: Project) -> None:
    with child_that_holds(project) as child:
        child.send_signal(signal.SIGKILL)
        time.sleep(0.2)  # nobody waited for it yet
        assert taken(project)
    ours = {"host": processes.host_name(), "machine": processes.machine_id(), "pid": os.getpid()}
    write_lease(project, **ours, process="ticks:1")
    (said,) = taken(project)
    assert "has ended" in said.detail
    write_lease(project, **ours, process=processes.start_mark(os.getpid()))
    refused(project)


def test_a_halted_holder_keeps_its_lease(project: Project) -> None:
    """No beat comes, but the process is there."""
    with child_that_holds(project) as child:
        child.send_signal(signal.SIGSTOP)
        document = json.loads(project.lease.read_text())
        project.lease.write_text(json.dumps({**document, "heartbeat": time.time() - 3600}))
        finding = refused(project, Timing(guard=0.3, watch=0.1))
        assert str(child.pid) in finding.detail
        child.send_signal(signal.SIGCONT)


def test_the_heartbeat_goes_on_while_the_holder_works(project: Project) -> None:
    with project_lease(project, "work", timing=FAST) as held:
        first = held.lease
        deadline = time.monotonic() + 5
        while held.lease.beats < first.beats + 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        held.require()
        assert held.lease.id == first.id
        assert held.lease.since == first.since


def test_a_living_holder_on_another_machine_keeps_its_lease(project: Project) -> None:
    write_lease(project)
    finding = refused(project)
    assert "elsewhere" in finding.detail
    assert "ftspec unlock 0badcafe --yes" in finding.help
    write_lease(project, heartbeat=time.time() + 30)  # its clock is a little ahead
    refused(project)


def test_an_expired_lease_of_another_machine_is_watched_then_taken(project: Project) -> None:
    write_lease(project, heartbeat=time.time() - 600)
    assert current_holder(project) is None
    note, warning = taken(project)
    assert (note.level, warning.level) == (Severity.NOTE, Severity.WARNING)
    assert "watching it" in note.detail
    for fact in (
        "ana",
        "elsewhere",
        "4711",
        "2026-01-01T10:00:00+00:00",
        "ftspec apply far.yaml",
        "600 s old",
    ):
        assert fact in warning.detail


@pytest.mark.parametrize("offset", [-600.0, 86_400.0], ids=["late", "ahead"])
def test_one_that_moves_while_it_is_watched_lives_whatever_its_clock_says(
    project: Project, monkeypatch: pytest.MonkeyPatch, offset: float
) -> None:
    write_lease(project, heartbeat=time.time() + offset)
    pause = time.sleep

    def beat(seconds: float) -> None:
        write_lease(project, heartbeat=time.time() + offset, beats=8)
        pause(seconds)

    monkeypatch.setattr(leases.time, "sleep", beat)
    assert "elsewhere" in refused(project).detail


def test_a_clock_that_went_backwards_wedges_nothing(project: Project) -> None:
    write_lease(project, heartbeat=time.time() + 86_400)
    ((_, standing),) = find_leases(project)
    assert standing is Standing.AHEAD
    _, warning = taken(project)
    assert "in the future, so a clock was set back" in warning.detail
    # On this machine no clock is asked.
    with child_that_holds(project) as child:
        document = json.loads(project.lease.read_text())
        child.send_signal(signal.SIGKILL)
        child.wait()
        project.lease.write_text(json.dumps({**document, "heartbeat": time.time() + 86_400}))
        (said,) = taken(project, Timing(watch=60))
        assert "has ended" in said.detail


def test_a_lease_that_cannot_be_read_has_a_holder_who_is_not_known(project: Project) -> None:
    whole = json.dumps(write_lease(project, heartbeat=0.25))
    odd = [whole.replace("0.25", number) for number in ("1e300", "-1e300", "NaN", "1e400")]
    odd.append(whole.replace('seconds": 60.0', 'seconds": 1e300'))
    for text in ("{", '{"version": 2}', "[]", "\xff", *odd):
        project.lease.write_text(text, encoding="latin-1")
        assert "0" * 30 not in call(project, "unlock").stdout
        finding = refused(project)
        assert "cannot be read" in finding.detail
        os.utime(project.lease, (time.time() - 600, time.time() - 600))
        assert taken(project)[-1].code.id == "FTS624"


@pytest.mark.parametrize("changes", [{}, {"version": 2}, {"pid": "of a newer ftspec"}])
def test_a_displaced_holder_stops(project: Project, changes: dict[str, object]) -> None:
    with project_lease(project, "first", timing=FAST) as held:
        write_lease(project, **changes)
        time.sleep(0.5)  # several beats
        with pytest.raises(FtspecError, match=r"FTS625.*0badcafe"):
            held.require()
    assert json.loads(project.lease.read_text())["id"] == "0badcafe", "another's lease is not released"


def test_after_a_pause_the_holder_looks_before_it_writes(project: Project) -> None:
    slow = Timing(beat=3600, expires_after=60, watch=1)
    with project_lease(project, "laptop", timing=slow) as held:
        held.require()
        held.lease = leases.replace(held.lease, heartbeat=time.time() - 8000)
        project.lease.unlink()
        with pytest.raises(FtspecError, match=r"FTS625.*removed"):
            held.require()


@pytest.mark.parametrize("fault", ["_read", "_write"])
def test_a_disk_that_is_away_for_a_moment_costs_no_lease(
    project: Project, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    slow = Timing(beat=3600, expires_after=60, watch=1)
    clock = 0.0
    monkeypatch.setattr(leases.time, "monotonic", lambda: clock)

    def beat(held: leases.HeldLease) -> None:
        held.lease = leases.replace(held.lease, heartbeat=time.time() - 8000)
        held.require()

    def is_away(*_: object) -> Lease | None:
        if fault == "_write":
            raise OSError(5, "input/output error")
        return leases._unknown(project.lease)

    with project_lease(project, "apply", timing=slow) as held:
        for began in (0.0, 1000.0):  # every time anew
            clock = began
            with monkeypatch.context() as patch:
                patch.setattr(leases, fault, is_away)
                beat(held)
                clock += 50.0
                beat(held)
            clock += 50.0
            beat(held)
            assert find_leases(project)[0][0].beats == held.lease.beats
        monkeypatch.setattr(leases, fault, is_away)
        beat(held)
        clock += 61.0
        with pytest.raises(FtspecError, match=r"FTS625.*no sign of life could be given for 61 s"):
            beat(held)
        monkeypatch.undo()


@pytest.mark.parametrize("before", ["free", "killed"])
def test_of_many_at_once_one_is_alone(project: Project, before: str) -> None:
    if before == "killed":
        with child_that_holds(project) as child:
            child.kill()
            child.wait()
    start = str(time.time() + 1.5)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(project.root), start], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    results = sorted(racer.communicate(timeout=60)[0].strip() for racer in racers)
    assert results.count("won") >= 1
    assert set(results) <= {"won", "FTS601"}
    assert not (project.root / "alone").exists()
    assert find_leases(project) == ()


def test_unlock(project: Project) -> None:
    with pytest.raises(FtspecError, match=r"FTS626.*there is none"):
        unlock(project, "0badcafe", vouched=True)
    write_lease(project)
    with pytest.raises(FtspecError, match=r"FTS626.*there is 0badcafe"):
        unlock(project, "1badcafe", vouched=True)
    with pytest.raises(FtspecError, match="FTS601"):
        unlock(project, "0badcafe", vouched=False)
    assert unlock(project, "0badcafe", vouched=True).user == "ana"
    write_lease(project, heartbeat=time.time() - 600)
    unlock(project, "0badcafe", vouched=False)
    with project_lease(project, "mine") as held, pytest.raises(FtspecError, match="FTS601"):
        unlock(project, held.lease.id, vouched=True)


def test_unlock_command(project: Project) -> None:
    nothing = call(project, "unlock")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "nobody holds" in nothing.stderr
    write_lease(project, user="\x1b[31mana")
    listed = call(project, "unlock")
    assert "\x1b" not in listed.stdout
    assert "elsewhere" in listed.stdout
    (lease,) = json.loads(call(project, "unlock", "--format", "json").stdout)
    assert (lease["id"], lease["standing"], lease["pid"]) == ("0badcafe", "live", 4711)
    held = call(project, "unlock", "0badcafe")
    assert held.exit_code == 4
    assert "ftspec apply far.yaml" in held.stderr
    done = call(project, "unlock", "0badcafe", "--yes")
    assert done.exit_code == 0
    assert "removed the lease" in done.stdout
    assert call(project, "unlock", "0badcafe", "--yes").exit_code == 1


def test_state_lists_leases_too(project: Project) -> None:
    write_lease(project)
    place = ["state", "leases", "--project", str(project.root), "--format", "json"]
    result = CliRunner().invoke(cli, place)
    assert [each["id"] for each in json.loads(result.stdout)] == ["0badcafe"]


def test_start_marks_do_not_follow_the_clock() -> None:
    mark = processes.start_mark(os.getpid())
    assert mark is not None
    assert processes.is_alive(os.getpid(), mark) is True
    assert processes.is_alive(os.getpid(), mark + "0") is False
    if Path("/proc/self/stat").exists():
        assert mark.startswith("ticks:")


def test_leases_name_their_holder(project: Project) -> None:
    with project_lease(project, "x") as held:
        ((lease, standing),) = find_leases(project)
    assert isinstance(lease, Lease)
    assert (lease.id, standing) == (held.lease.id, Standing.LIVE)
    assert lease.is_here
