"""What is emitted for axolotl: its config file from data, rows with our tokens, and the commands.

Where FTSPEC_AXOLOTL names a folder with axolotl in it, every file is read by axolotl's own schema:

    pip install --no-deps --target FOLDER axolotl==0.19.0 pillow
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ftspec.lower.emit import emitted_commands, emitted_options, unemitted_fields
from ftspec.lower.lower import LowerInputs, lower, render_files
from ftspec.passes.judge_fidelity import fidelity_on
from ftspec.paths import shared_folder
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.target.load import load_targets
from ftspec.target.model import Target
from tests.golden import FOLDER, check_files
from tests.llm_plan import FULL, make_llm_plan

GOLDEN = FOLDER / "axolotl"
OWN = "FTSPEC_AXOLOTL"
GPU = {"backend": "axolotl", "device": "cuda", "precision": "bf16"}
QLORA = AdapterPlan(type="qlora", r=8, alpha=16, dropout=0.1, target_modules=("q_proj", "v_proj"), layers=1)
DORA = AdapterPlan(type="dora", r=4, alpha=8, dropout=0.0, target_modules=("q_proj",))

PLANS = {
    "lora": lambda: make_llm_plan(execution=GPU),
    "qlora-4": lambda: make_llm_plan(
        model={"quantization_bits": 4},
        adapter=QLORA,
        train={"packing": True, "eval_steps": 5, "learning_rate": 1e-5},
        execution={**GPU, "gradient_checkpointing": True, "attn_implementation": "flash_attention_2"},
    ),
    "qlora-8": lambda: make_llm_plan(
        model={"quantization_bits": 8}, adapter=QLORA, execution={**GPU, "precision": "fp16"}
    ),
    "dora": lambda: make_llm_plan(
        adapter=DORA,
        export={"merge": False},
        train={"lr_scheduler_type": "cosine_with_restarts", "lr_num_cycles": 2, "optim": "adafactor"},
        execution={**GPU, "precision": "fp32"},
    ),
    "full": lambda: make_llm_plan(
        adapter=FULL,
        train={"optim": "sgd", "max_grad_norm": 0.0, "warmup_steps": 3},
        execution={**GPU, "num_processes": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def target() -> Target:
    targets, found = load_targets((shared_folder("backends"),))
    assert not found.has_errors, [*found]
    return next(item for item in targets if item.name == "axolotl")


@pytest.mark.parametrize("name", PLANS)
def test_golden(name: str, target: Target) -> None:
    files = render_files(PLANS[name](), target)
    check_files(GOLDEN / name, {file: files[file] for file in ("axolotl.yml", "launch.sh")})


def test_no_golden_is_an_orphan() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(PLANS)


@pytest.mark.parametrize("name", PLANS)
def test_readers_of_both_yamls_agree(name: str, target: Target) -> None:
    yaml = pytest.importorskip("yaml")  # axolotl reads YAML 1.1 by it
    plan = PLANS[name]()
    text = render_files(plan, target)["axolotl.yml"]
    assert yaml.safe_load(text) == YAML(typ="safe", pure=True).load(text) == emitted_options(plan, target)


def test_words_that_yaml_1_1_takes_for_others_are_quoted(target: Target) -> None:
    yaml = pytest.importorskip("yaml")
    odd = ("off", "1e-5", "12:30:00", "null", "a: b # c", "{{ x }} $(id)\n- y")
    plan = make_llm_plan(adapter=AdapterPlan(type="lora", r=1, alpha=1, dropout=0.0, target_modules=odd))
    assert yaml.safe_load(render_files(plan, target)["axolotl.yml"])["lora_target_modules"] == list(odd)


def test_the_quantised_base_is_never_passed_over(target: Target) -> None:
    """axolotl reads load_in_4bit with `adapter: qlora` alone, and load_in_8bit with `adapter: lora`."""
    four, eight = (emitted_options(PLANS[name](), target) for name in ("qlora-4", "qlora-8"))
    assert (four["adapter"], four["load_in_4bit"], four.get("load_in_8bit")) == ("qlora", True, None)
    assert (eight["adapter"], eight["load_in_8bit"], eight.get("load_in_4bit")) == ("lora", True, None)
    dora = emitted_options(PLANS["dora"](), target)
    assert (dora["adapter"], dora["peft_use_dora"]) == ("lora", True)
    assert not {"adapter", "lora_r", "peft_use_dora"} & emitted_options(PLANS["full"](), target).keys()


def test_last_layers_are_numbered(target: Target) -> None:
    plan = make_llm_plan(adapter=QLORA, model={"quantization_bits": 4})
    assert plan.model.facts.num_layers == 2
    assert emitted_options(plan, target)["peft_layers_to_transform"] == [1]


def test_rows_are_neither_shuffled_nor_cut(target: Target) -> None:
    options = emitted_options(PLANS["lora"](), target)
    assert options["curriculum_sampling"] is True
    assert options["shuffle_merged_datasets"] is options["shuffle_before_merging_datasets"] is False
    assert (options["excess_length_strategy"], options["num_epochs"], options["val_set_size"]) == (
        "raise",
        1,
        0,
    )
    assert "test_datasets" not in options
    assert "test_datasets" in emitted_options(PLANS["qlora-4"](), target)


def test_commands_depend_on_the_plan(target: Target) -> None:
    commands = {
        name: [words[1] for words in emitted_commands(make(), target)] for name, make in PLANS.items()
    }
    assert commands["lora"] == commands["qlora-4"] == ["preprocess", "train", "merge-lora"]
    assert commands["dora"] == commands["full"] == ["preprocess", "train"]
    assert emitted_commands(PLANS["full"](), target)[1][-1] == "--nproc_per_node=2"


def told(plan: LlmPlan, target: Target) -> dict[str, str]:
    return {row.field: str(row.support) for row in fidelity_on(target, plan, "cuda")}


def test_fidelity_follows_the_values(target: Target) -> None:
    one, two = told(PLANS["lora"](), target), told(PLANS["full"](), target)
    assert (one["train.warmup_steps"], two["train.warmup_steps"]) == ("approximated", "exact")
    assert (one["execution.num_processes"], two["execution.num_processes"]) == ("exact", "approximated")
    assert (one["execution.precision"], two["execution.precision"]) == ("exact", "approximated")
    assert one["train.checks.divergence"] == "impossible"
    checks = {
        "checks": PLANS["lora"]().train.checks.__class__(
            rising_loss="off", divergence="off", divergence_factor=3.0
        )
    }
    quiet = told(make_llm_plan(train=checks, execution=GPU), target)
    assert {quiet[f"train.checks.{name}"] for name in ("rising_loss", "divergence", "divergence_factor")} == {
        "exact"
    }
    assert told(PLANS["qlora-4"](), target)["train.packing"] == "approximated"
    half = told(make_llm_plan(adapter=FULL, execution={**GPU, "precision": "fp16"}), target)
    assert half["execution.precision"] == "impossible"


def test_a_value_that_it_has_no_word_for_is_refused(target: Target, tmp_path: Path) -> None:
    plan = make_llm_plan(train={"optim": "lion"})
    assert unemitted_fields(plan, target) == ["train.optim"]
    made, found = lower(plan, target, LowerInputs(base_model=tmp_path, data=tmp_path), tmp_path / "run")
    assert made is None
    assert [item.code.id for item in found] == ["FTS502"]


@pytest.fixture
def program() -> Iterator[Any]:
    folders = [str(shared_folder("backends") / place) for place in ("axolotl/programs", "common")]
    names = ("prepare", "llm_rows", "llm_settings", "strict", "order", "events")
    hidden = {name: sys.modules.pop(name, None) for name in names}
    sys.path[:0] = folders
    import prepare

    yield prepare
    for folder in folders:
        sys.path.remove(folder)
    for name, module in hidden.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


def test_packed_rows_are_taken_apart(program: Any) -> None:
    row = program.TokenRow(
        id="a", input_ids=(5, 6, 7, 8, 9), mask=(0, 1, 0, 0, 1), prompt_length=1, segments=(0, 2)
    )
    assert list(program.lines_of(row)) == [
        {"input_ids": [5, 6], "attention_mask": [1, 1], "labels": [-100, 6]},
        {"input_ids": [7, 8, 9], "attention_mask": [1, 1, 1], "labels": [-100, -100, 9]},
    ]


def test_rows_that_are_none_end_the_script(target: Target, tmp_path: Path) -> None:
    for name, text in render_files(PLANS["lora"](), target).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "data").mkdir()
    bad = {"id": "a", "input_ids": [1, 2], "mask": [0, 0], "prompt_length": 1}
    (tmp_path / "data" / "train.jsonl").write_text(json.dumps(bad) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, tmp_path / "prepare.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 20
    assert done.stderr == "prepare.py: FTS606: row a of train.jsonl has no token to train\n"
    assert not (tmp_path / "prepared" / "train.jsonl").exists()


# Every option is one of axolotl's, and none of them is changed when its schema reads it for an RTX 4090.
CHECK = """
import json, sys, yaml
from axolotl.utils.schemas.config import AxolotlConfigWCapabilities as Schema

gpu = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": 1, "n_node": 1, "compute_capability": "sm_89"}
given = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
read = Schema(**given, capabilities=gpu, env_capabilities={"torch_version": "2.11.0"}).model_dump(exclude_none=True)
lists = ("datasets", "test_datasets")
changed = {key: read.get(key) for key in given if key not in lists and read.get(key) != given[key]}
rows = [dict(entry.items() & read[key][0].items()) == entry for key in lists for entry in given.get(key, [])]
print(json.dumps({"unknown": sorted(set(given) - set(Schema.model_fields)), "changed": changed, "rows": rows}))
"""


@pytest.mark.parametrize("name", PLANS)
def test_its_own_schema_reads_it(name: str, tmp_path: Path) -> None:
    folder = os.environ.get(OWN)
    if folder is None:
        pytest.skip(f"not checked against axolotl's schema: {OWN} names no folder; see the head of this file")
    done = subprocess.run(
        [sys.executable, "-c", CHECK, GOLDEN / name / "axolotl.yml"],
        env={**os.environ, "PYTHONPATH": folder, "AXOLOTL_DO_NOT_TRACK": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["unknown"] == []
    assert said["changed"] == {}
    assert all(said["rows"])
