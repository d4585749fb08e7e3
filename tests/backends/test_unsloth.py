"""The unsloth backend on a tiny decoder: trained by unsloth in its own environment, compared with trl.

The interpreter comes from FTSPEC_UNSLOTH_PYTHON, or is the one that `ftspec backends` has for this checkout.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ftspec.cli.main import cli
from ftspec.paths import shared_folder
from ftspec.store.project import Project
from ftspec.target.environments import EnvironmentKind, find_environment
from ftspec.target.load import load_targets
from tests.backends.llm_common import (
    backend_programs,
    finish_run,
    llm_config,
    make_llm_run_folder,
    mean_loss,
    merged,
    read_info,
    read_lines,
    start_run,
)
from tests.tiny_llm import make_tiny_llm

Load = Callable[[str], Any]
Row = dict[str, Any]
EVERY_STEP = {"logging_steps": 1}
CHECK_FAILED, INTERRUPTED = 20, 130


def unsloth_python() -> Path | None:
    named = os.environ.get("FTSPEC_UNSLOTH_PYTHON")
    if named:
        return Path(named)
    target = next(each for each in load_targets([shared_folder("backends")])[0] if each.name == "unsloth")
    found = find_environment(Project.find(Path(__file__)).state, target)
    usable = found is not None and found.usable and found.kind is not EnvironmentKind.PRESENT
    return found.interpreter if found is not None and usable else None


@pytest.fixture(scope="session")
def python() -> str:
    found = unsloth_python()
    if found is None:
        pytest.skip(
            "unsloth has its own environment: `ftspec backends install unsloth`, or FTSPEC_UNSLOTH_PYTHON"
        )
    return str(found)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")


@pytest.fixture(scope="module")
def new_run(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Callable[..., Path]:
    def make(backend: str = "unsloth", **options: Any) -> Path:
        return make_llm_run_folder(tmp_path_factory.mktemp(backend) / "run", backend, base, **options)

    return make


@pytest.fixture(scope="module")
def tuned(new_run: Callable[..., Path], python: str) -> Path:
    """A finished run of all stages."""
    folder = new_run(train=EVERY_STEP)
    assert finish_run(folder, python=python) == 0, (folder / "trainer.log").read_text()
    return folder


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with backend_programs("unsloth") as importer:
        yield importer


def losses(folder: Path) -> list[float]:
    return [
        point["loss"] for point in read_lines(folder / "out" / "train" / "curve.jsonl") if "loss" in point
    ]


def test_it_trains_and_answers_better_than_the_base(tuned: Path) -> None:
    assert mean_loss(tuned, "score_tuned") < mean_loss(tuned, "score_base") - 0.5
    info = read_info(tuned, "train")
    assert (info["steps"], info["warm_started"], info["trainable_parameters"]) == (8, False, 16384)
    assert info["parity"]["argmax_agreement"] == 1.0
    answered = [line["id"] for line in read_lines(tuned / "out/score_tuned/answers.jsonl")]
    assert answered == [row["id"] for row in read_lines(tuned / "data/test.jsonl")][:2]
    starts = [line["stage"] for line in read_lines(tuned / "events.jsonl") if line["event"] == "start"]
    assert starts == ["score_base", "train", "score_tuned"]  # a new interpreter for each tells no stage twice


def test_its_losses_are_those_of_trl(tuned: Path, new_run: Callable[..., Path]) -> None:
    """The same seed, rows and order; other versions of trl and transformers."""
    other = new_run("trl", train=EVERY_STEP)
    assert finish_run(other) == 0, (other / "trainer.log").read_text()
    ours, theirs = losses(tuned), losses(other)
    assert len(ours) == len(theirs) == 8
    assert ours[:4] == pytest.approx(theirs[:4], rel=5e-5)  # four digits
    assert ours == pytest.approx(theirs, rel=1e-3)
    for stage in ("score_base", "score_tuned"):
        assert mean_loss(tuned, stage) == pytest.approx(mean_loss(other, stage), rel=1e-3)


LOADS = """
import json, os, sys
os.environ["UNSLOTH_AUTO_INSTALL"] = "0"
from unsloth import FastLanguageModel
import torch
rows = [json.loads(line) for line in open(sys.argv[2])]
for folder in sys.argv[3:]:
    model, _ = FastLanguageModel.from_pretrained(folder, dtype=torch.float32, load_in_4bit=False,
                                                 max_seq_length=64, local_files_only=True)
    FastLanguageModel.for_inference(model)
    found = []
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            scores = model(input_ids=ids).logits[0].float().log_softmax(-1)
            found.append(-sum(float(scores[at - 1, ids[0, at]]) for at, on in enumerate(row["mask"]) if on))
    print("LOSSES", json.dumps(found))
"""


def test_unsloth_loads_the_model_and_the_adapter_again(tuned: Path, python: str, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for file in (tuned / "out/train/adapter").iterdir():
        (adapter / file.name).write_bytes(file.read_bytes())
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None  # it names no place of this machine
    config["base_model_name_or_path"] = str(tuned / "base")
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    words = [python, "-c", LOADS, "x", tuned / "data/test.jsonl", tuned / "out/train/model", adapter]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = [
        json.loads(line.removeprefix("LOSSES"))
        for line in done.stdout.splitlines()
        if line.startswith("LOSSES")
    ]
    assert len(told) == 2
    wanted = [line["nll"] for line in read_lines(tuned / "out/score_tuned/losses.jsonl")]
    for found in told:
        assert found == pytest.approx(wanted, rel=1e-4)


def test_transformers_loads_the_model_again(tuned: Path) -> None:
    """In this environment, whose transformers is newer."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(tuned / "out/train/model"), dtype=torch.float32)
    rows = read_lines(tuned / "data/test.jsonl")
    wanted = [line["nll"] for line in read_lines(tuned / "out/score_tuned/losses.jsonl")]
    for row, nll in zip(rows, wanted, strict=True):
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            scores = model(input_ids=ids).logits[0].float().log_softmax(-1)
        found = -sum(float(scores[at - 1, ids[0, at]]) for at, on in enumerate(row["mask"]) if on)
        assert found == pytest.approx(nll, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"adapter": {"type": "dora", "r": 4, "dropout": 0.1}},
        {"adapter": {"layers": 1, "target_modules": ["q_proj", "down_proj"]},
         "machine": {"gradient_checkpointing": True}},
        {"adapter": None, "train": {"learning_rate": 3e-3, "optim": "adafactor", "lr_scheduler_type": "cosine"}},
    ],
    ids=["dora", "last layer, checkpointed", "full"],
)  # fmt: skip
def test_what_else_can_be_trained(new_run: Callable[..., Path], python: str, changes: dict[str, Any]) -> None:
    """check_trainable compares the number of parameters with the plan's."""
    folder = new_run(export={"merge": False}, **changes)
    assert finish_run(folder, "--stages", "train", python=python) == 0, (folder / "trainer.log").read_text()
    found = losses(folder)
    assert found[-1] < found[0]
    shipped = "model" if changes["adapter"] is None else "adapter"
    assert [path.name for path in (folder / "out/train").iterdir() if path.is_dir()] == [shipped]


def test_an_interrupted_run_goes_on_to_the_same_end(
    tuned: Path, new_run: Callable[..., Path], python: str
) -> None:
    folder = new_run(train={**EVERY_STEP, "save_steps": 1})
    child = start_run(folder, "--stages", "train", python=python)
    deadline = time.monotonic() + 120
    while not list(folder.glob("out/train.partial/checkpoints/checkpoint-*/COMPLETE")):
        assert child.poll() is None, (folder / "trainer.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    stopped = child.wait(timeout=60)
    assert stopped in {0, INTERRUPTED}  # eight steps may be done before the signal comes
    assert finish_run(folder, "--stages", "train", python=python) == 0, (folder / "trainer.log").read_text()
    if stopped == INTERRUPTED:
        assert 1 <= read_info(folder, "train")["resumed_from_step"] <= 8
    assert losses(folder) == pytest.approx(losses(tuned), rel=1e-6)
    weights = "out/train/adapter/adapter_model.safetensors"
    assert (folder / weights).read_bytes() == (tuned / weights).read_bytes()


REFUSALS = """
import json, sys
from pathlib import Path
root = Path(sys.argv[1])
sys.path.insert(0, str(root))
import fast
from events import CheckFailedError
from llm_settings import read_settings
for name in sys.argv[2:]:
    try:
        fast.load_to_train(root, read_settings(root / name))
        print("REFUSED", json.dumps([name, None, None]))
    except CheckFailedError as fault:
        print("REFUSED", json.dumps([name, fault.code, fault.detail]))
"""


def test_what_unsloth_would_change_in_silence_is_refused(
    new_run: Callable[..., Path], python: str, base: Path
) -> None:
    """One process for all of them: the import takes longer than the rest."""
    folder = new_run()
    cases = {
        "fine": {},
        "packed": {"data": {"packing": True}},
        "stretched": {"model": {"max_seq_length": 4096}},
        "quantised": {"model": {"quantization_bits": 4}},
        "nowhere": {"adapter": {"target_modules": ["no_such_proj"]}},
        "deeper": {"adapter": {"layers": 9}},
        "other device": {"machine": {"device": "cuda"}},
    }
    for name, changes in cases.items():
        (folder / f"{name}.json").write_text(json.dumps(merged(llm_config(base), changes)))
    words = [python, "-c", REFUSALS, str(folder), *(f"{name}.json" for name in cases)]
    # What bitsandbytes can do on this CPU must not matter.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "UNSLOTH_CPU_LOAD_IN_4BIT": "0"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.removeprefix("REFUSED") for line in done.stdout.splitlines() if line.startswith("REFUSED")]
    found = {name.removesuffix(".json"): (code, detail) for name, code, detail in map(json.loads, lines)}
    assert {name: code for name, (code, _) in found.items()} == {
        "fine": None,
        "packed": "FTS606",
        "stretched": "FTS653",
        "quantised": "FTS606",
        "nowhere": "FTS652",
        "deeper": "FTS652",
        "other device": "FTS606",
    }
    assert found["stretched"][1] is not None
    assert "512 positions" in found["stretched"][1]


def test_another_precision_than_planned_stops_the_run(new_run: Callable[..., Path], python: str) -> None:
    """Without native bf16, unsloth trains in fp32 and says so nowhere but in its own settings."""
    folder = new_run(machine={"precision": "bf16"})
    code = finish_run(folder, "--stages", "train", python=python, env={"UNSLOTH_CPU_BF16": "0"})
    assert code == CHECK_FAILED, (folder / "trainer.log").read_text()
    (fault,) = [line for line in read_lines(folder / "events.jsonl") if line["event"] == "error"]
    assert (fault["code"], "bf16" in fault["detail"]) == ("FTS606", True)


def test_apply_runs_it_in_its_environment(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the spec to evidence; what stands in the record are the versions of that environment."""
    shutil.copytree(shared_folder("specs"), tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    used = CliRunner().invoke(cli, ["backends", "use", "unsloth", "--python", python])
    assert used.exit_code == 0, used.output
    words = ["apply", "specs/llm-completion.yaml", "--yes", "--set", "resources.backend=unsloth"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    (record,) = tmp_path.glob(".ftspec/runs/*/record.json")
    document = json.loads(record.read_text())
    assert document["backend"] == "unsloth"
    asked = [python, "-c", "from importlib.metadata import version as v; print(v('unsloth'), v('trl'))"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    assert [document["versions"][name] for name in ("unsloth", "trl")] == told
    assert (record.parent / "launch.sh").read_text().count("export UNSLOTH_AUTO_INSTALL=0") == 1


def test_options(load: Load, base: Path, tmp_path: Path) -> None:
    """Needs no unsloth: what it is asked for."""

    def settings(**changes: Any) -> Any:
        (tmp_path / "config.json").write_text(json.dumps(merged(llm_config(base), changes)))
        return load("llm_settings").read_settings(tmp_path / "config.json")

    options = load("options")
    plain = settings()
    assert options.model_options(plain) == {
        "max_seq_length": 64,
        "load_in_4bit": False,  # its default is True
        "load_in_8bit": False,
        "full_finetuning": False,
        "use_gradient_checkpointing": False,
        "attn_implementation": "sdpa",
        "trust_remote_code": False,
        "random_state": 7,
        "use_exact_model_name": True,
        "local_files_only": True,
        "use_safetensors": True,
    }
    adapter = options.adapter_options(plain, plain.adapter, 2)
    assert (adapter["r"], adapter["lora_alpha"], adapter["random_state"]) == (8, 16, 7)
    assert "use_dora" not in adapter
    assert "layers_to_transform" not in adapter
    other = settings(
        adapter={"type": "qlora", "layers": 1},
        model={"quantization_bits": 4},
        machine={"gradient_checkpointing": True, "device": "cuda"},
    )
    assert options.model_options(other)["load_in_4bit"] is True
    assert options.model_options(other)["use_gradient_checkpointing"] == "unsloth"
    assert options.adapter_options(other, other.adapter, 2)["layers_to_transform"] == [1]
    assert options.model_options(settings(adapter=None))["full_finetuning"] is True


def test_nothing_is_installed_on_the_system(load: Load) -> None:
    """The variable that forbids it stands in the plan's environment and in the program itself."""
    target = next(each for each in load_targets([shared_folder("backends")])[0] if each.name == "unsloth")
    assert target.environment["UNSLOTH_AUTO_INSTALL"] == load("main").QUIET["UNSLOTH_AUTO_INSTALL"] == "0"
