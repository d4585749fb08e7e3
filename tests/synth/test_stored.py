"""The offline reader, as the data room uses it."""

import subprocess
import sys
from pathlib import Path

from ftspec.synth.stored import missing_diagnostic, stored_questions
from tests.synth.conftest import DOCUMENTS, make_request


def test_what_is_missing_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    rows, missing = stored_questions(make_request(), DOCUMENTS, tmp_path / "none")
    assert (rows, missing) == ((), 4)
    found = missing_diagnostic("specs/raft.yaml", missing, about=("data", "train", 0, "synthesize"))
    assert found.code.id == "FTS750"
    assert found.detail == "4 requests to the model not made yet"
    assert found.help == "ftspec synth specs/raft.yaml"
    assert not (tmp_path / "none").exists(), "reading writes nothing"


def test_reading_loads_no_client_and_no_training_stack(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ftspec.synth.stored import stored_questions;"
        "from tests.synth.conftest import DOCUMENTS, make_request;"
        f"stored_questions(make_request(), DOCUMENTS, Path({str(tmp_path)!r}));"
        "print([name for name in ('httpx2', 'asyncio', 'scipy', 'bm25s', 'torch') if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root, timeout=60
    )
    assert done.stdout.strip() == "[]"
