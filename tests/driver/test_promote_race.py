"""Two promotions at once, as two processes: one moves the pointer, the other is refused or comes after it."""

import subprocess
import sys
import time
from pathlib import Path

from ftspec.driver.promote import Allowed, promote, propose
from ftspec.store.environments import pointer
from ftspec.store.history import history
from ftspec.store.project import Project
from ftspec.store.rebuild import verify
from tests.driver.promote_case import MEANS, make_version

# Weighs, says so, and waits for a line before it moves the pointer: as a person does who is asked.
_ONE = """
import sys
from pathlib import Path
from ftspec.cli.exits import exit_code
from ftspec.diagnostics.model import FtspecError
from ftspec.driver.promote import Allowed, promote, propose
from ftspec.store.project import Project
from ftspec.store.registry import find_model_version
from tests.driver.promote_case import MEANS
project = Project(Path(sys.argv[1]))
model = find_model_version(project, "example", sys.argv[2])[0]
proposal = propose(project, model, "production", allowed=Allowed(space_break=True), means=MEANS)
assert not proposal.refused, proposal.problems.items
print("weighed", flush=True)
sys.stdin.readline()
try:
    promote(project, proposal)
except FtspecError as error:
    sys.exit(exit_code(error.diagnostics))
"""


def test_one_of_two_moves_the_pointer(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.root.mkdir()
    project.create()
    models = [make_version(project, seed, noise) for seed, noise in ((1, 4.0), (2, 1.0), (3, 1.0))]
    promote(project, propose(project, models[0], "production", allowed=Allowed(), means=MEANS))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _ONE, str(project.root), version],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for version in ("v2", "v3")
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "weighed\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    deadline = time.monotonic() + 60
    codes = [child.wait(deadline - time.monotonic()) for child in children]
    for child in children:
        child.communicate()
    assert sorted(codes) == [0, 4]
    winner = ("v2", "v3")[codes.index(0)]
    place = pointer(project, "example", "production")
    assert place is not None
    assert place.version == winner
    assert [each.version for each in history(project)[0]] == ["v1", winner]
    assert not verify(project).items
