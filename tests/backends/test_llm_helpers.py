"""What the programs of all LLM backends share: settings, rows, order, judgements, losses, answers."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.backends.llm_common import (
    backend_programs,
    llm_config,
    llm_rows,
    read_lines,
    tokenize_row,
    write_rows,
)
from tests.tiny_llm import make_tiny_llm

Load = Callable[[str], Any]
LIMIT = 64


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with backend_programs("trl") as importer:
        yield importer


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / request.param, architecture=request.param)


@pytest.fixture(scope="module")
def model(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(base)).eval()


@pytest.fixture(scope="module")
def rows(load: Load, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Rows of several lengths, the second with two answers."""
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    made = [llm_rows(base, 1, offset=words, words=words)[0] for words in (3, 9, 5, 14)]
    made[1]["mask"][4] = 1
    write_rows(path, made)
    return load("llm_rows").read_token_rows(path, LIMIT)


def test_settings_are_read_strictly(load: Load, base: Path, tmp_path: Path) -> None:
    module = load("llm_settings")
    path = tmp_path / "config.json"

    def read(**changes: Any) -> Any:
        config = llm_config(base)
        for place, value in changes.items():
            *sections, name = place.split("__")
            section = config
            for part in sections:
                section = section[part]
            if value is KeyError:
                del section[name]
            else:
                section[name] = value
        path.write_text(json.dumps(config))
        return module.read_settings(path)

    settings = read()
    assert settings.adapter.target_modules[0] == "q_proj"
    assert settings.ships_model
    assert not read(export__merge=False).ships_model
    assert read(adapter=None, export__merge=False).ships_model
    for changes, message in (
        ({"train__extra": 1}, r"config\.train has an unknown key 'extra'"),
        ({"adapter__r": KeyError}, r"config\.adapter lacks 'r'"),
        ({"model__quantization_bits": 5}, r"config\.model\.quantization_bits is 5, not one of 4, 8"),
        ({"model__quantization_bits": "4"}, r"config\.model\.quantization_bits is '4', not one of 4, 8"),
        ({"train__optim": "adam"}, r"config\.train\.optim is 'adam', not one of adamw"),
        ({"train__seed": True}, r"config\.train\.seed is True, not of type int"),
        ({"kind": "Embedding"}, r"config\.kind is 'Embedding', not one of LLM"),
        ({"format": 2}, r"config\.format is 2; these programs read 1"),
        ({"train__global_batch_size": 5}, r"is 5, not 2 rows × 2 accumulated × 1 processes"),
        ({"adapter": None, "model__quantization_bits": 4}, r"cannot be trained themselves"),
    ):
        with pytest.raises(load("strict").BadConfigError, match=message):
            read(**changes)


def test_the_order_is_the_seeds_alone(load: Load) -> None:
    order = load("order").training_order(5, 7, 12)
    assert len(order) == 12
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert order[:5] != order[5:10]
    assert load("order").training_order(5, 7, 20)[:12] == order
    assert load("order").training_order(5, 8, 12) != order
    assert order == [4, 2, 1, 3, 0, 2, 1, 3, 4, 0, 0, 3]  # as every backend and every later version trains it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": [1] * 65, "mask": [0] + [1] * 64}, "has 65 tokens, the limit is 64"),
        ({"mask": [0, 0, 0]}, "has no token to train"),
        ({"mask": [1, 0, 0]}, "trains a token that nothing stands before"),
        ({"mask": [0, 0, 1], "segments": [0, 2]}, "trains a token that nothing stands before"),
        ({"mask": [0, 1]}, "has 3 tokens and a mask of 2"),
    ],
)
def test_rows_that_no_tokenizer_stage_writes(
    load: Load, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    row = {"id": "r", "input_ids": [1, 2, 3], "mask": [0, 0, 1], "prompt_length": 2, **change}
    write_rows(tmp_path / "train.jsonl", [row])
    with pytest.raises(load("events").CheckFailedError, match=f"FTS606: row r of train.jsonl {message}"):
        load("llm_rows").read_token_rows(tmp_path / "train.jsonl", LIMIT)


def test_divergence(load: Load) -> None:
    divergence = load("loss_checks").divergence
    calm = [2.0, 2.2, 1.8, 2.1, 1.9]
    assert divergence([*calm, *[7.0] * 4], 3.0) is None  # the windows overlap
    assert divergence([*calm, 2.0, 9.0, 2.0, 2.0, 2.0], 3.0) is None  # one bad batch
    found = divergence([*calm, *[7.0] * 5], 3.0)
    assert found == (
        "mean loss 7.0000 in the 5 steps up to step 10, 2.0000 in the first 5; the bound is 3 times"
    )


def test_a_half_written_checkpoint_is_none(load: Load, tmp_path: Path) -> None:
    checkpoints = load("llm_checkpoints")
    said = SimpleNamespace(emit=lambda *args, **values: pytest.fail("nothing is to be told"))
    assert checkpoints.newest(tmp_path, said) is None
    for step in (5, 10, 15):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (5, 10):
        state = checkpoints.RunState(step=step, losses=[1.0] * step)
        checkpoints.complete(tmp_path / f"checkpoint-{step}", state)
    folder, state = checkpoints.newest(tmp_path, said)
    assert folder.name == "checkpoint-10"
    assert state.step == len(state.losses) == 10
    checkpoints.prune(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


def test_losses_are_those_of_the_library(load: Load, model: Any, rows: Any) -> None:
    """Of each row alone, and in a padded batch."""
    import torch

    module = load("llm_torch")
    together = module.row_losses(model, rows, filler=0, device="cpu")
    for row, (nll, tokens) in zip(rows, together, strict=True):
        batch = module.training_batch([row], filler=0, packing=False)
        with torch.no_grad():
            mean = float(model(**batch).loss)
        assert tokens == sum(row.mask)
        assert nll == pytest.approx(mean * tokens, rel=1e-5)
        (alone,) = module.row_losses(model, [row], filler=0, device="cpu")
        assert alone == (pytest.approx(nll, rel=1e-5), tokens)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("flatten", [False, True])
def test_packed_rows_do_not_see_each_other(
    load: Load, base: Path, rows: Any, attention: str, flatten: bool
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    module, kind = load("llm_torch"), load("llm_rows").TokenRow
    model = AutoModelForCausalLM.from_pretrained(str(base), attn_implementation=attention).eval()
    packed = [
        kind(
            id="packed",
            input_ids=tuple(token for row in rows[:3] for token in row.input_ids),
            mask=tuple(value for row in rows[:3] for value in row.mask),
            prompt_length=1,
            segments=(0, len(rows[0].input_ids), len(rows[0].input_ids) + len(rows[1].input_ids)),
        ),
        rows[3],
    ]
    batch = module.training_batch(packed, filler=0, packing=True, flatten=flatten)
    targets = batch["labels"][:, 1:].reshape(-1)
    assert batch["input_ids"].shape[0] == (1 if flatten else 2)
    with torch.no_grad():
        del batch["labels"]
        logits = model(**batch, use_cache=False).logits  # with a cache positions tell nothing of segments
    places = logits[:, :-1].reshape(-1, logits.shape[-1])
    total = float(torch.nn.functional.cross_entropy(places, targets, reduction="sum"))
    expected = sum(nll for nll, _ in module.row_losses(model, rows, filler=0, device="cpu"))
    assert total == pytest.approx(expected, rel=1e-5)


def test_answers_are_greedy(load: Load, model: Any, rows: Any, base: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    module = load("llm_torch")
    model.generation_config.do_sample = True  # what a base says of sampling does not matter
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    assert module.stop_tokens(model, tokenizer, rows) == (3,)
    expected = []
    for row in rows:
        ids = list(row.prompt)
        for _ in range(6):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        expected.append(ids[len(row.prompt) :])
    answers = module.greedy_answers(
        model, [row.prompt for row in rows], filler=0, stops=(3,), max_new_tokens=6, device="cpu"
    )
    assert [len(answer) for answer in answers] == [
        answer.index(3) if 3 in answer else 6 for answer in expected
    ]
    assert answers == [answer[: answer.index(3)] if 3 in answer else answer for answer in expected]
    stop = expected[0][2]
    cut = module.greedy_answers(
        model, [rows[0].prompt], filler=0, stops=(3, stop), max_new_tokens=6, device="cpu"
    )
    assert cut == [expected[0][: expected[0].index(stop)]]


def test_an_end_of_turn_that_is_not_the_end_of_text(load: Load, base: Path) -> None:
    from types import SimpleNamespace

    row = load("llm_rows").TokenRow(id="r", input_ids=(5, 6, 2, 9), mask=(0, 1, 1, 1), prompt_length=1)
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[3, 4]))
    tokenizer = SimpleNamespace(eos_token_id=3, all_special_ids=[0, 1, 2, 3])
    assert load("llm_torch").stop_tokens(model, tokenizer, [row]) == (2, 3, 4)
    cut = load("llm_rows").TokenRow(id="c", input_ids=(5, 6, 7, 9), mask=(0, 1, 1, 1), prompt_length=1)
    assert load("llm_torch").stop_tokens(model, tokenizer, [cut]) == (3, 4)
    assert load("llm_torch").stop_tokens(model, tokenizer, [cut, row]) == (2, 3, 4)


def test_parity_is_judged_by_the_coarser_dtype(load: Load) -> None:
    import numpy as np

    judge, failed = load("parity").judge, load("events").CheckFailedError
    logits = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    near = logits + np.float32(0.01)
    found = judge(logits, near, dtypes=("fp32", "bf16"), rows=2)
    assert found["argmax_agreement"] == 1.0
    assert found["max_abs_logit_difference"] == pytest.approx(0.01, rel=1e-3)
    for other in (near, np.full_like(logits, math.nan)):
        with pytest.raises(failed, match="FTS651"):
            judge(logits, other, dtypes=("fp32",), rows=2)


RANK = """
import os, pathlib, signal, sys, time
import watch
watch.watch_parent()
stop = watch.StopRequest()
stop.install()
rank = int(os.environ["RANK"])
assert os.environ["WORLD_SIZE"] == "2"
pathlib.Path(sys.argv[1], f"began-{rank}").write_text(str(os.getpid()))
if sys.argv[2] == "fail":
    sys.exit(20 if rank else 0)
while not stop.asked:
    time.sleep(0.01)
sys.exit(130)
"""


def test_processes_are_started_stopped_and_end_with_their_parent(tmp_path: Path) -> None:
    import os
    import signal
    import subprocess
    import sys
    import time

    from tests.backends.llm_common import BACKENDS

    environment = {**os.environ, "PYTHONPATH": str(BACKENDS / "common")}
    launch = (
        "import sys, ranks, watch; stop = watch.StopRequest(); stop.install(); "
        "sys.exit(ranks.launch_ranks(2, [sys.executable, '-c', *sys.argv[1:]], stop))"
    )

    def start(folder: Path, mode: str) -> "subprocess.Popen[bytes]":
        folder.mkdir()
        command = [sys.executable, "-c", launch, RANK, str(folder), mode]
        return subprocess.Popen(command, env=environment)

    def pids(folder: Path) -> list[int]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = [path.read_text() for path in folder.glob("began-*")]
            if len(found) == 2 and all(found):
                return [int(text) for text in found]
            time.sleep(0.01)
        raise AssertionError("they never began")

    assert start(tmp_path / "fail", "fail").wait(timeout=30) == 20
    asked = start(tmp_path / "ask", "wait")
    pids(tmp_path / "ask")
    asked.send_signal(signal.SIGINT)
    assert asked.wait(timeout=30) == 130
    killed = start(tmp_path / "kill", "wait")
    children = pids(tmp_path / "kill")
    killed.kill()
    killed.wait()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


ALOUD = """
import pathlib, sys, types
import events, stages
events.BETWEEN_SECONDS = 0.0
stage = types.SimpleNamespace(name="train", key="k")
def work(name, settings, stop):
    return lambda folder, events: events.progress(3, 9, "steps")
root = pathlib.Path(sys.argv.pop(1))
settings = lambda path: types.SimpleNamespace(stages=[stage])
sys.exit(stages.run_program(root, settings, work, num_processes=lambda found: 1))
"""


@pytest.mark.parametrize("watched", [False, True])
def test_who_starts_a_folder_by_hand_is_told_what_runs(tmp_path: Path, watched: bool) -> None:
    import os
    import subprocess
    import sys

    from tests.backends.llm_common import BACKENDS

    environment = {**os.environ, "PYTHONPATH": str(BACKENDS / "common")}
    for name in ("FTSPEC_ALOUD", "FTSPEC_WATCH_STDIN"):
        environment.pop(name, None)
    if watched:
        environment["FTSPEC_WATCH_STDIN"] = "1"
    (tmp_path / "run").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", ALOUD, str(tmp_path / "run")],
        env=environment,
        stdin=subprocess.PIPE,  # open until the end: its end would stop a watched process
        stderr=subprocess.PIPE,
        text=True,
    ) as done:
        assert done.stderr is not None
        lines = done.stderr.read().splitlines()
    assert done.returncode == 0, lines
    if watched:
        assert lines == []
        return
    assert lines[0].startswith(f"run runs with {sys.executable}; ")
    assert lines[1:3] == ["train: begins", "train: 3/9 steps"]
    assert lines[3].startswith("train: done in ")


def test_the_helpers_without_torch_do_without_it() -> None:
    """mlx has no torch: what it imports must not ask for it."""
    import subprocess
    import sys

    from tests.backends.llm_common import BACKENDS

    names = "order llm_settings llm_rows loss_checks llm_checkpoints llm_follow parity ranks stages memory"
    code = (
        f"import sys, {', '.join(names.split())}; assert not set(sys.modules) & {{'torch', 'transformers'}}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=BACKENDS / "common")


def test_tokens_of_the_test_rows_are_the_templates(base: Path, tmp_path: Path) -> None:
    """The rows of these tests look like those of the tokenize stage."""
    from transformers import AutoTokenizer

    row = tokenize_row(base, "r", "read file", "write")
    messages = [{"role": "user", "content": "read file"}, {"role": "assistant", "content": "write"}]
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.decode(row["input_ids"]) + "\n" == text
    write_rows(tmp_path / "rows.jsonl", [row])
    assert read_lines(tmp_path / "rows.jsonl") == [row]
