"""The stages of the trl backend on a tiny decoder: what is trained, what is saved, what stops a run."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends.llm_common import (
    LINEAR,
    backend_programs,
    llm_rows,
    make_llm_run_folder,
    mean_loss,
    read_info,
    read_lines,
    write_rows,
)
from tests.tiny_llm import make_tiny_llm

Load = Callable[[str], Any]
NewRun = Callable[..., Path]
Stage = Callable[..., Path]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with backend_programs("trl") as importer:
        yield importer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")


@pytest.fixture(scope="module")
def uneven(base: Path) -> list[dict[str, Any]]:
    """Rows whose lengths and numbers of targets differ much."""
    rows = []
    for index in range(16):
        (row,) = llm_rows(base, 1, offset=index, words=3 + (index * 5) % 17)
        row["mask"][row["prompt_length"] - index % 5 : row["prompt_length"]] = [1] * (index % 5)
        rows.append(row)
    return rows


@pytest.fixture
def new_run(tmp_path: Path, base: Path) -> NewRun:
    def make(name: str = "run", /, origin: Path = base, **options: Any) -> Path:
        return make_llm_run_folder(tmp_path / name, "trl", origin, **options)

    return make


@pytest.fixture
def stage(load: Load) -> Stage:
    """Run one stage of a folder in this process; returns its output."""

    def run(folder: Path, name: str = "train") -> Path:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        output = folder / "out" / name
        output.mkdir(parents=True, exist_ok=True)
        settings = load("llm_settings").read_settings(folder / "config.json")
        events, stop = load("events"), load("watch").StopRequest()
        with events.Events(folder / "events.jsonl") as stream:
            said = events.StageEvents(stream, name)
            try:
                if name == "train":
                    load("train").run_train(folder, settings, output, events=said, stop=stop)
                else:
                    trained = None if name == "score_base" else folder / "out" / "train"
                    load("score").run_score(folder, settings, output, trained, events=said, stop=stop)
            finally:
                torch.set_num_threads(before)
        return output

    return run


def losses(folder: Path) -> list[float]:
    return [
        point["loss"] for point in read_lines(folder / "out" / "train" / "curve.jsonl") if "loss" in point
    ]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found


FORMS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"adapter": {"type": "dora"}},
    "last-layer": {
        "adapter": {"layers": 1, "target_modules": ["q_proj", "down_proj"]},
        "train": {"learning_rate": 5e-2},
    },
    "full": {"adapter": None},
    "bf16": {"machine": {"precision": "bf16"}, "export": {"dtype": "bf16"}},
    "bf16-to-fp32": {"machine": {"precision": "bf16"}},
    "full-bf16": {"adapter": None, "machine": {"precision": "bf16"}, "export": {"dtype": "bf16"}},
    "eager-checkpointed": {
        "model": {"attn_implementation": "eager"},
        "machine": {"gradient_checkpointing": True},
        "adapter": {"dropout": 0.1},
    },
    "adafactor": {"train": {"optim": "adafactor", "weight_decay": 0.1}},
}


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_trains_and_loads_again(
    new_run: NewRun, stage: Stage, tmp_path: Path, form: str, architecture: str
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = make_tiny_llm(tmp_path / architecture, architecture=architecture)
    changes = {**FORMS[form], "train": {"learning_rate": 5e-3, **FORMS[form].get("train", {})}}
    folder = new_run(origin=model, **changes)
    for name in ("score_base", "train", "score_tuned"):
        stage(folder, name)
    assert mean_loss(folder, "score_tuned") < mean_loss(folder, "score_base") - 0.2

    output, info = folder / "out" / "train", read_info(folder, "train")
    bf16 = form.endswith("bf16")
    loaded, report = AutoModelForCausalLM.from_pretrained(str(output / "model"), output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert loaded.dtype == (torch.bfloat16 if bf16 else torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(str(output / "model"))
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(str(model)).chat_template
    assert not (output / "checkpoints").exists()
    assert info["steps"] == 8
    assert info["tokens"] == 8 * 4 * 17
    if FORMS[form].get("adapter", True) is None:
        assert not (output / "adapter").exists()
        assert info["parity"] is None
        assert info["trainable_parameters"] == info["total_parameters"]
        return
    assert info["parity"]["max_abs_logit_difference"] <= info["parity"]["tolerance"]
    assert info["parity"]["rows"] == 4
    before = AutoModelForCausalLM.from_pretrained(str(folder / "base"), dtype=loaded.dtype)
    tuned = PeftModel.from_pretrained(before, str(output / "adapter"))
    assert str(tmp_path) not in (output / "adapter" / "adapter_config.json").read_text()
    assert all(item.dtype == torch.float32 for item in weights(output / "adapter").values())
    ids = torch.tensor([llm_rows(model, 1)[0]["input_ids"]])
    difference = (tuned(ids).logits.float() - loaded(ids).logits.float()).abs().max()
    assert float(difference.detach()) < (0.3 if "bf16" in form else 1e-4)


def test_a_steps_loss_is_the_mean_over_its_tokens(
    load: Load, new_run: NewRun, stage: Stage, base: Path, uneven: list[dict[str, Any]]
) -> None:
    """Of all rows of the global batch, whatever the micro-batches; with and without recomputation."""
    from transformers import AutoModelForCausalLM

    curves = []
    for per_device, accumulated, again in ((4, 1, False), (2, 2, False), (1, 4, True)):
        folder = new_run(
            f"{per_device}x{accumulated}",
            rows=uneven,
            train={"logging_steps": 1},
            machine={
                "per_device_train_batch_size": per_device,
                "gradient_accumulation_steps": accumulated,
                "gradient_checkpointing": again,
            },
        )
        stage(folder)
        curves.append(losses(folder))
    assert curves[1] == pytest.approx(curves[0], abs=2e-5)
    assert curves[2] == pytest.approx(curves[0], abs=2e-5)

    first = load("order").training_order(16, 7, 4)
    rows = load("llm_rows").read_token_rows(folder / "data" / "train.jsonl", 64)
    model = AutoModelForCausalLM.from_pretrained(str(base)).eval()
    found = load("llm_torch").row_losses(model, [rows[number] for number in first], filler=0, device="cpu")
    expected = sum(nll for nll, _ in found) / sum(tokens for _, tokens in found)
    assert curves[0][0] == pytest.approx(expected, rel=1e-6)
    rates = [point["learning_rate"] for point in read_lines(folder / "out" / "train" / "curve.jsonl")]
    assert rates == pytest.approx([0.0, *(1e-2 * (8 - step) / 7 for step in range(1, 8))])


def test_packed_rows_train_like_unpacked_ones(
    new_run: NewRun, stage: Stage, uneven: list[dict[str, Any]]
) -> None:
    """Every step sees all rows, so that the order does not matter."""
    rows = uneven[:12]
    packed = []
    for part in (rows[:3], rows[3:6], rows[6:9], rows[9:]):
        starts = [sum(len(row["input_ids"]) for row in part[:count]) for count in range(len(part))]
        packed.append(
            {
                "id": part[0]["id"],
                "input_ids": [token for row in part for token in row["input_ids"]],
                "mask": [value for row in part for value in row["mask"]],
                "prompt_length": part[0]["prompt_length"],
                "segments": starts,
            }
        )
    settings = {"total_steps": 4, "logging_steps": 1}
    plain = new_run(
        "plain",
        rows=rows,
        train={**settings, "global_batch_size": 12},
        machine={"per_device_train_batch_size": 6},
    )
    dense = new_run(
        "dense", rows=packed, model={"max_seq_length": 128}, data={"packing": True}, train=settings
    )
    stage(plain)
    stage(dense)
    assert losses(dense) == pytest.approx(losses(plain), abs=2e-5)
    assert read_info(dense, "train")["tokens"] == read_info(plain, "train")["tokens"]


def test_an_adapter_without_merge(new_run: NewRun, stage: Stage, load: Load) -> None:
    """It is scored over the base, like the merged model; without it there is nothing to score."""
    apart, merged = new_run("apart", export={"merge": False}), new_run("merged")
    for folder in (apart, merged):
        stage(folder)
        stage(folder, "score_tuned")
    assert not (apart / "out" / "train" / "model").exists()
    assert read_info(apart, "train")["parity"] is None
    assert mean_loss(apart, "score_tuned") == pytest.approx(mean_loss(merged, "score_tuned"), abs=1e-5)
    answers = [read_lines(folder / "out" / "score_tuned" / "answers.jsonl") for folder in (apart, merged)]
    assert answers[0] == answers[1]
    (apart / "out" / "train" / "adapter").rename(apart / "out" / "train" / "elsewhere")
    with pytest.raises(load("events").CheckFailedError, match="FTS606: there is no adapter in train/adapter"):
        stage(apart, "score_tuned")


def test_a_merge_that_goes_wrong_is_seen(
    new_run: NewRun, stage: Stage, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora import LoraModel

    monkeypatch.setattr(LoraModel, "merge_and_unload", LoraModel.unload)  # the adapter is left out
    with pytest.raises(load("events").CheckFailedError, match="FTS651: logits of the merged model"):
        stage(new_run())


def test_scores_of_the_base(new_run: NewRun, stage: Stage, load: Load, base: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = new_run(score={"generate_rows": 3, "batch_size": 3})
    output = stage(folder, "score_base")
    rows = load("llm_rows").read_token_rows(folder / "data" / "test.jsonl", 64)
    found = read_lines(output / "losses.jsonl")
    assert [line["id"] for line in found] == [row.id for row in rows]
    model = AutoModelForCausalLM.from_pretrained(str(base)).eval()
    expected = load("llm_torch").row_losses(model, rows, filler=0, device="cpu")
    assert [line["nll"] for line in found] == pytest.approx([nll for nll, _ in expected], rel=1e-6)
    assert [line["tokens"] for line in found] == [tokens for _, tokens in expected]
    assert [line["id"] for line in read_lines(output / "answers.jsonl")] == [row.id for row in rows[:3]]
    info = read_info(folder, "score_base")
    assert set(info) == {"seconds", "peak_memory_bytes", "tokens_per_second", "device"}
    quiet = new_run("quiet", score={"generate_rows": 0})
    assert read_lines(stage(quiet, "score_base") / "answers.jsonl") == []


def test_validation_is_the_loss_of_the_model_so_far(new_run: NewRun, stage: Stage, base: Path) -> None:
    rows = llm_rows(base, 6, offset=300)
    folder = new_run(validation=rows, test=rows, train={"eval_steps": 4})
    stage(folder)
    stage(folder, "score_tuned")
    points = read_lines(folder / "out" / "train" / "curve.jsonl")
    evals = {point["step"]: point["eval"]["loss"] for point in points if "eval" in point}
    assert sorted(evals) == [4, 8]
    assert evals[8] == pytest.approx(mean_loss(folder, "score_tuned"), rel=1e-5)
    said = [event for event in read_lines(folder / "events.jsonl") if event["event"] == "eval"]
    assert [event["metrics"]["loss"] for event in said] == [evals[4], evals[8]]
    quiet = new_run("quiet")
    stage(quiet)
    assert losses(quiet) == losses(folder)  # looking does not disturb


def test_the_seed_decides(new_run: NewRun, stage: Stage) -> None:
    import torch

    runs = [new_run("a"), new_run("b"), new_run("c", train={"seed": 8})]
    one, two, other = (weights(stage(run) / "model") for run in runs)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_bases_settings_survive(new_run: NewRun, stage: Stage, tmp_path: Path) -> None:
    """transformers would drop the top-level rope_theta that other libraries read."""
    model = make_tiny_llm(tmp_path / "old")
    config = json.loads((model / "config.json").read_text())
    del config["rope_parameters"]
    config |= {"rope_theta": 5000.0, "torch_dtype": "float32"}
    (model / "config.json").write_text(json.dumps(config))
    answers = {"eos_token_id": 3, "do_sample": False, "temperature": 0.6}  # the library refuses to write it
    (model / "generation_config.json").write_text(json.dumps(answers))
    output = stage(new_run(origin=model, export={"dtype": "fp16"}))
    saved = json.loads((output / "model" / "config.json").read_text())
    assert saved == {**config, "dtype": "float16", "torch_dtype": "float16"}
    assert json.loads((output / "model" / "generation_config.json").read_text()) == answers


def damaged(model: Path, name: str, change: Callable[[dict[str, Any], str], None]) -> None:
    from safetensors.torch import load_file, save_file

    path = model / "model.safetensors"
    found = {key: item.clone() for key, item in load_file(path).items()}
    change(found, name)
    path.unlink()
    save_file(found, path, metadata={"format": "pt"})


NORM = "model.layers.1.input_layernorm.weight"


def test_a_loss_that_is_no_number_stops_at_once(new_run: NewRun, stage: Stage, load: Load) -> None:
    folder = new_run()
    damaged(folder / "base", NORM, lambda found, name: found[name].fill_(float("nan")))
    with pytest.raises(load("events").CheckFailedError, match="FTS607: the loss of step 1 is nan"):
        stage(folder)


def test_a_base_that_transformers_does_not_know_is_told_before_training(
    new_run: NewRun, stage: Stage, load: Load
) -> None:
    folder = new_run()
    file = folder / "base" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()  # may be a link
    file.write_text(json.dumps({**config, "model_type": "unheard_of"}), encoding="utf-8")
    for name in ("score_base", "train"):
        with pytest.raises(load("events").CheckFailedError, match=r"FTS653: .* cannot load this unheard_of"):
            stage(folder, name)


def test_weights_that_are_missing_are_not_made_up(new_run: NewRun, stage: Stage, load: Load) -> None:
    folder = new_run()
    damaged(folder / "base", NORM, lambda found, name: found.pop(name))
    for name in ("train", "score_base"):
        with pytest.raises(load("events").CheckFailedError, match=f"FTS653: missing keys in base: {NORM}"):
            stage(folder, name)


WILD: dict[str, Any] = {"learning_rate": 30.0, "total_steps": 30, "lr_scheduler_type": "constant", "max_grad_norm": 100.0}  # fmt: skip


@pytest.mark.parametrize("mode", ["fail", "warn", "off"])
def test_divergence_ends_the_run(new_run: NewRun, stage: Stage, load: Load, mode: str) -> None:
    folder = new_run(
        train=WILD,
        adapter=None,
        checks={"divergence": mode, "divergence_factor": 1.5},
        export={"merge": False},
    )
    said = folder / "events.jsonl"
    if mode == "fail":
        with pytest.raises(load("events").CheckFailedError, match="FTS650: mean loss"):
            stage(folder)
        return
    stage(folder)
    codes = [event["code"] for event in read_lines(said) if event["event"] == "warning"]
    assert codes == (["FTS650"] if mode == "warn" else [])
    checks = read_info(folder, "train")["checks"]
    assert checks["divergence"] == ("warned" if mode == "warn" else "off")


def test_a_rising_loss_is_judged(new_run: NewRun, stage: Stage, load: Load) -> None:
    folder = new_run(train=WILD, adapter=None, checks={"rising_loss": "fail"})
    with pytest.raises(load("events").CheckFailedError, match="FTS608"):
        stage(folder)
    assert not (folder / "out" / "train" / "model").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {"trainable_parameters": 5}},
            "FTS652: 16,384 of 152,896 parameters are trainable, planned",
        ),
        ({"adapter": {"target_modules": ["c_attn"]}}, "FTS652: .*c_attn"),
        ({"adapter": {"target_modules": [*LINEAR, "lm_head"]}}, "FTS652: trl trains no adapter on .*lm_head"),
        ({"adapter": {"layers": 3}}, "FTS652: adapters on the last 3 of 2 layers"),
        ({"machine": {"device": "cuda"}}, "FTS606: planned is cuda, and torch finds no such device here"),
        (
            {"model": {"max_seq_length": 16}},
            "FTS606: row row-0 of train.jsonl has 17 tokens, the limit is 16",
        ),
    ],
)
def test_what_differs_from_the_plan_is_refused(
    new_run: NewRun, stage: Stage, load: Load, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(load("events").CheckFailedError, match=message):
        stage(new_run(**changes))


def test_quantised_bases_ask_for_their_library(
    new_run: NewRun, stage: Stage, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    missing = {"bitsandbytes"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in missing else find(name, *rest)
    )
    folder = new_run(model={"quantization_bits": 4}, adapter={"type": "qlora"})
    with pytest.raises(load("events").CheckFailedError, match="FTS605: a quantised base needs bitsandbytes"):
        stage(folder)


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("name", ["score_base", "score_tuned"])
def test_both_sides_are_scored_in_the_form_that_is_shipped(
    new_run: NewRun, stage: Stage, load: Load, monkeypatch: pytest.MonkeyPatch, name: str, merge: bool
) -> None:
    """A merged model is not quantised, however it was trained; nor is the base then that it has to beat."""

    class LoadedError(Exception):
        pass

    def load_model(*args: Any, quantized: bool, **options: Any) -> None:
        raise LoadedError(quantized)

    folder = new_run(
        model={"quantization_bits": 4}, adapter={"type": "qlora"}, export={"merge": merge, "dtype": "fp32"}
    )
    (folder / "out" / "train" / "model").mkdir(parents=True)
    monkeypatch.setattr(load("score"), "load_model", load_model)
    with pytest.raises(LoadedError) as loaded:
        stage(folder, name)
    assert loaded.value.args == (not merge,)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"quantization_bits": 4}, "adapter": {"type": "qlora"}, "machine": {"precision": "bf16"}},
        {"model": {"quantization_bits": 8}, "export": {"merge": False, "dtype": "fp32"}},
    ],
    ids=["4-bit-merged", "8-bit"],
)
def test_a_quantised_base_trains(new_run: NewRun, stage: Stage, changes: dict[str, Any]) -> None:
    """bitsandbytes also works on a CPU, slowly; it is no requirement of these tests."""
    pytest.importorskip("bitsandbytes")
    folder = new_run(train={"learning_rate": 5e-3}, **changes)
    for name in ("score_base", "train", "score_tuned"):
        stage(folder, name)
    assert mean_loss(folder, "score_tuned") < mean_loss(folder, "score_base") - 0.2
    info = read_info(folder, "train")
    assert info["total_parameters"] == 136_512 + 16_384
    assert (info["parity"] is not None) == (folder / "out" / "train" / "model").exists()
    adapter = weights(folder / "out" / "train" / "adapter")
    assert {str(item.dtype) for item in adapter.values()} == {"torch.float32"}


def test_a_row_is_trained_only_where_its_mask_says(new_run: NewRun, stage: Stage, base: Path) -> None:
    """Other tokens after the last target change nothing."""
    rows = llm_rows(base, 8)
    longer = [{**row, "input_ids": [*row["input_ids"], 9, 9], "mask": [*row["mask"], 0, 0]} for row in rows]
    one, two = new_run("one", rows=rows), new_run("two")
    write_rows(two / "data" / "train.jsonl", longer)
    stage(one)
    stage(two)
    assert losses(one) == pytest.approx(losses(two), abs=2e-5)
