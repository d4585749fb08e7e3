import os
import signal
import subprocess
import sys

import pytest

from ftspec.diagnostics.model import FtspecError
from ftspec.store.locks import current_holder, project_lock
from ftspec.store.project import Project


def test_second_holder_is_told_who_the_first_is(project: Project) -> None:
    assert current_holder(project) is None
    with project_lock(project, "ftspec apply a.yaml") as holder:
        assert current_holder(project) == holder
        with pytest.raises(FtspecError) as raised, project_lock(project, "other"):
            pass
        (finding,) = raised.value.diagnostics
        assert finding.code.id == "FTS601"
        for fact in ("ftspec apply a.yaml", str(os.getpid()), holder.host, holder.since):
            assert fact in finding.detail
        assert current_holder(project) == holder
    assert current_holder(project) is None
    with project_lock(project, "again"):
        pass


def test_kill_frees_the_lock(project: Project) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom ftspec.store.locks import project_lock\n"
        "from ftspec.store.project import Project\n"
        "with project_lock(Project(Path(sys.argv[1])), 'child'):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(project.root)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(FtspecError, match=f"FTS601.*process {child.pid}"), project_lock(project, "me"):
            pass
        child.send_signal(signal.SIGKILL)
    assert current_holder(project) is None
    with project_lock(project, "me") as holder:
        assert current_holder(project) == holder
