import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.run.events import Event
from ftspec.run.launch import RunOutcome, launch
from ftspec.run.logtext import clean_tail

HEAD = """
import json, os, signal, sys, time
def event(**values):
    with open("events.jsonl", "a") as file:
        file.write(json.dumps({"time": time.time(), "stage": "train", **values}) + "\\n")
"""


def run(folder: Path, program: str, **options: object) -> tuple[RunOutcome, list[Event]]:
    (folder / "main.py").write_text(HEAD + program)
    events: list[Event] = []
    return launch(folder, on_event=events.append, **options), events  # type: ignore[arg-type]


def in_time(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_success_and_events_of_this_launch_only(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"time": 1, "stage": "train", "event": "start"}\n{"time": 1, "to')
    outcome, events = run(tmp_path, "event(event='log', step=1); print('hello'); event(event='end')")
    assert outcome.succeeded
    assert outcome.exit_code == 0
    assert [event.event for event in events] == ["log", "end"]
    assert (tmp_path / "trainer.log").read_text() == "hello\n"


def test_launch_script_gets_the_interpreter_and_the_contract(tmp_path: Path) -> None:
    (tmp_path / "launch.sh").write_text('echo "$PYTHON $FTSPEC_WATCH_STDIN $EXTRA"; exec "$PYTHON" main.py')
    outcome, _ = run(tmp_path, "print(os.getpgrp() == os.getpid())", environment={"EXTRA": "e"})
    assert outcome.tail == (f"{sys.executable} 1 e", "True")


def test_a_failed_check_is_its_own_diagnostic(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, "event(event='error', code='FTS607', detail='at step 3'); sys.exit(20)")
    (finding,) = outcome.diagnostics
    assert (finding.code.id, finding.detail) == ("FTS607", "train: at step 3")
    assert outcome.error is not None


@pytest.mark.parametrize("code", ["FTS607", "FTS608", "FTS609", "FTS650", "FTS652"])
def test_a_failed_check_has_a_remedy(tmp_path: Path, code: str) -> None:
    outcome, _ = run(tmp_path, f"event(event='error', code='{code}', detail='it did'); sys.exit(20)")
    (finding,) = outcome.diagnostics
    assert finding.help


def test_a_crash_shows_the_end_of_the_log_without_colours_and_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    outcome, _ = run(
        tmp_path,
        "for n in range(30): print(f'\\x1b[31mline {n}\\x1b[0m')\n"
        "print('10%\\r100% done'); print('using', os.environ['HF_TOKEN']); sys.exit(3)",
    )
    (finding,) = outcome.diagnostics
    assert finding.code.id == "FTS606"
    lines = finding.detail.split("\n")
    assert lines[0] == "exit code 3"
    assert lines[1:3] == ["line 17", "line 18"]
    assert lines[-2:] == ["100% done", "using ***"]
    assert len(lines) == 16
    assert "secret" not in (tmp_path / "trainer.log").read_text()


def test_exit_20_without_an_event_is_a_crash(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, "sys.exit(20)")
    assert [item.code.id for item in outcome.diagnostics] == ["FTS606"]


def test_killed_by_the_system(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, "os.kill(os.getpid(), 9)")
    (finding,) = outcome.diagnostics
    assert finding.detail.startswith("signal SIGKILL")
    assert "memory" in finding.help


def test_interrupted_by_itself(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, "sys.exit(130)")
    assert [item.code.id for item in outcome.diagnostics] == ["FTS610"]


GRACEFUL = """
def stop(*_):
    event(event="checkpoint", step=1); sys.exit(130)
signal.signal(signal.SIGINT, stop)
event(event="start"); time.sleep(30)
"""


def signals(tmp_path: Path, *numbers: int) -> threading.Thread:
    def send() -> None:
        in_time((tmp_path / "events.jsonl").exists)
        for number in numbers:
            time.sleep(0.4)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_the_child_save(tmp_path: Path, number: int) -> None:
    before = signal.getsignal(signal.SIGINT)
    thread = signals(tmp_path, number)
    outcome, events = run(tmp_path, GRACEFUL)
    thread.join()
    assert [event.event for event in events] == ["start", "checkpoint"]
    assert outcome.exit_code == 130
    assert [item.code.id for item in outcome.diagnostics] == ["FTS610"]
    assert signal.getsignal(signal.SIGINT) is before


STUBBORN = "signal.signal(signal.SIGINT, signal.SIG_IGN); event(event='start'); time.sleep(30)"


def test_second_ctrl_c_kills(tmp_path: Path) -> None:
    thread = signals(tmp_path, signal.SIGINT, signal.SIGINT)
    outcome, _ = run(tmp_path, STUBBORN)
    thread.join()
    assert outcome.exit_code == -signal.SIGKILL
    assert [item.code.id for item in outcome.diagnostics] == ["FTS610"]


def test_a_child_that_does_not_stop_is_terminated(tmp_path: Path) -> None:
    thread = signals(tmp_path, signal.SIGINT)
    outcome, _ = run(tmp_path, STUBBORN, stop_seconds=0.3)
    thread.join()
    assert outcome.exit_code == -signal.SIGTERM
    assert [item.code.id for item in outcome.diagnostics] == ["FTS610"]


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    program = (
        "import subprocess\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "event(event='log', pid=worker.pid)"
    )
    outcome, events = run(tmp_path, program)
    assert outcome.succeeded
    in_time(lambda: not alive(events[0].values["pid"]))


def test_an_exception_in_the_callback_ends_the_child(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(HEAD + "event(event='log', pid=os.getpid()); time.sleep(60)")
    pids: list[int] = []

    def fail(event: Event) -> None:
        pids.append(event.values["pid"])
        raise ValueError("callback")

    with pytest.raises(ValueError, match="callback"):
        launch(tmp_path, on_event=fail)
    assert not alive(pids[0])


WATCHER = """
import threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(143)), daemon=True).start()
event(event="log", pid=os.getpid()); time.sleep(60)
"""


def test_child_sees_the_death_of_its_parent(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(HEAD + WATCHER)
    code = (
        "import sys; from pathlib import Path; from ftspec.run.launch import launch\n"
        "launch(Path(sys.argv[1]), on_event=lambda event: print(event.values['pid'], flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    in_time(lambda: not alive(pid))


def test_waits_for_an_orphan_and_gives_up(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FtspecError, match="FTS601"):
            run(tmp_path, "pass", orphan_seconds=0.2)
        threading.Timer(0.4, fcntl.flock, (lock, fcntl.LOCK_UN)).start()
        assert run(tmp_path, "pass", orphan_seconds=10.0)[0].succeeded


def test_the_tail_of_a_log_shows_what_failed_not_what_was_warned_of() -> None:
    warned = "/lib/a.py:3: FutureWarning: `x` is old\n  warnings.warn(\n"
    log = f"Traceback:\n  File a\nValueError: no\n{warned}/lib/b.py:12: UserWarning: slow\n  slow()\n"
    assert clean_tail(log.encode(), 2) == ("  File a", "ValueError: no")
    assert clean_tail(warned.encode(), 5) == tuple(warned.rstrip().split("\n"))
