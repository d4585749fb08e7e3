import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.backends.run_folder import BACKENDS, PROGRAMS, base_config, make_run, merged, train_rows
from tests.tiny_model import make_tiny_model

os.environ.setdefault("OMP_NUM_THREADS", "1")
FOLDERS = [str(BACKENDS / "common"), str(BACKENDS / "accelerate" / "programs")]
NAMES = [path.stem for path in PROGRAMS]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def tiny_parameters(tiny_base: Path) -> int:
    from sentence_transformers import SentenceTransformer

    return sum(item.numel() for item in SentenceTransformer(str(tiny_base), device="cpu").parameters())


@pytest.fixture
def load() -> Iterator[Callable[[str], Any]]:
    """Import a program by its flat name. The names are common ones, so they leave with the test."""
    hidden = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    sys.path[:0] = FOLDERS

    def import_program(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield import_program
    for folder in FOLDERS:
        sys.path.remove(folder)
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(hidden)


@pytest.fixture
def new_run(tmp_path: Path, tiny_base: Path, tiny_parameters: int) -> Callable[..., Path]:
    """Make a run folder: sections of the config to change, then the rows."""

    def make(name: str = "run", rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
        config = merged(base_config(tiny_parameters), changes)
        return make_run(tmp_path / name, tiny_base, config, train_rows() if rows is None else rows)

    return make


@pytest.fixture
def train(load: Callable[[str], Any]) -> Callable[[Path], Path]:
    """Run the train stage of a folder in this process; returns its output."""

    def run(folder: Path) -> Path:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        output = folder / "out" / "train.partial"
        output.mkdir(parents=True, exist_ok=True)
        settings = load("settings").read_settings(folder / "config.json")
        events = load("events")
        with events.Events(folder / "events.jsonl") as stream:
            try:
                load("train").run_train(
                    folder,
                    settings,
                    output,
                    events=events.StageEvents(stream, "train"),
                    stop=load("watch").StopRequest(),
                )
            finally:
                torch.set_num_threads(before)
        return output

    return run
