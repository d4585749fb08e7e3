"""The train stage on a tiny model: every objective, what is trained, what is saved, what stops a run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.backends.run_folder import ROWS, read_events, train_rows
from tests.tiny_model import tiny_texts

NewRun = Callable[..., Path]
Train = Callable[[Path], Path]
Load = Callable[[str], Any]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return found


def info(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "info.json").read_text())
    return found


def points(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "curve.jsonl").read_text().splitlines()]


CONTRASTIVE: dict[str, Any] = {"objective": "contrastive"}
NONE = {"temperature": None, "symmetric": None, "mask_positives": None}
OBJECTIVES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "contrastive": (["query", "positive"], CONTRASTIVE),
    "negatives": (["query", "positive", "negatives"], CONTRASTIVE),
    "symmetric": (["query", "positive"], {**CONTRASTIVE, "symmetric": True}),
    "cached": (["query", "positive", "negatives"], {**CONTRASTIVE, "cached": True, "mini_batch_size": 3}),
    "matryoshka": (["query", "positive"], {**CONTRASTIVE, "matryoshka_dims": [32, 8], "matryoshka_weights": [1.0, 0.5]}),
    "cached-matryoshka": (
        ["query", "positive"],
        {**CONTRASTIVE, "cached": True, "matryoshka_dims": [32, 8], "matryoshka_weights": [1.0, 0.5]},
    ),
    "triplet": (["query", "positive", "negatives"], {**NONE, "objective": "triplet", "margin": 0.3, "distance": "cosine"}),
    "euclidean": (
        ["query", "positive", "negatives"],
        {**NONE, "objective": "triplet", "margin": 0.3, "distance": "euclidean"},
    ),
    **{
        name: (["query", "positive", "score"], {**NONE, "objective": "scored_pairs", "variant": name})
        for name in ("cosent", "angle", "cosine")
    },
    **{
        f"binary-{name}": (
            ["query", "positive", "label"],
            {**NONE, "objective": "binary_pairs", "variant": name, "margin": 0.5},
        )
        for name in ("contrastive", "online_contrastive")
    },
    **{
        name: (
            ["query", "label"],
            {
                **NONE,
                "objective": "labelled_classes",
                "variant": name,
                "margin": None if name == "batch_hard_soft_margin" else 0.3,
            },
        )
        for name in ("batch_all", "batch_hard", "batch_semi_hard", "batch_hard_soft_margin")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains(new_run: NewRun, train: Train, tiny_base: Path, name: str) -> None:
    roles, loss = OBJECTIVES[name]
    rows = train_rows()
    for index, row in enumerate(rows):
        row["score"] = index / ROWS
        row["label"] = f"class {index % 4}" if loss["objective"] == "labelled_classes" else index % 2
    folder = new_run(
        rows=rows,
        data={"roles": roles, "num_negatives": 2 if "negatives" in roles else 0},
        loss=loss,
        arguments={"max_steps": 4, "per_device_train_batch_size": 8},
    )
    output = train(folder)
    before, after = weights(tiny_base), weights(output / "model")
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    report = info(output)
    assert report["steps"] == 4
    assert report["resumed_from_step"] is None
    assert report["trainable_parameters"] == report["total_parameters"]
    assert not (output / "checkpoints").exists()
    assert all(np.isfinite(point["loss"]) for point in points(output))


def test_the_loss_gets_exactly_the_roles(load: Load) -> None:
    data = load("data")
    rows = [{**row, "label": 1, "score": 0.5, "group": "g", "source": 0} for row in train_rows()]
    made = data.training_data(rows, "contrastive", ["query", "positive", "negatives"], 1)
    assert made.dataset.column_names == ["query", "positive", "negative_1", "label"]
    made = data.training_data(rows, "triplet", ["query", "positive", "negatives"], 2)
    assert made.dataset.column_names == ["query", "positive", "negative_1", "negative_2"]
    made = data.training_data(rows, "labelled_classes", ["query", "label"], 0)
    assert made.dataset.column_names == ["query", "label"]


def test_events_and_curve(new_run: NewRun, train: Train) -> None:
    folder = new_run()
    output = train(folder)
    events = read_events(folder)
    logs = [event for event in events if event["event"] == "log"]
    assert [event["step"] for event in logs] == [2, 4, 6]
    assert all(event["total_steps"] == 6 and event["grad_norm"] > 0 for event in logs)
    assert [event["step"] for event in events if event["event"] == "checkpoint"] == [3, 6]
    assert [point["step"] for point in points(output)] == [2, 4, 6]
    assert next(e for e in reversed(events) if e["event"] == "progress")["done"] == 6


def test_frozen_parts_do_not_move(new_run: NewRun, train: Train, tiny_base: Path) -> None:
    base = weights(tiny_base)
    moving = {key for key in base if key.startswith(("encoder.layer.1.", "pooler."))}
    folder = new_run(
        model={
            "freeze": {"embeddings": True, "layers": 1},
            "trainable_parameters": sum(base[key].numel() for key in moving),
        }
    )
    after = weights(train(folder) / "model")
    changed = {key for key in base if not torch.equal(base[key], after[key])}
    assert changed
    assert changed <= moving


def test_another_number_of_trainable_parameters_stops_the_run(
    load: Load, new_run: NewRun, train: Train
) -> None:
    folder = new_run(model={"freeze": {"embeddings": False, "layers": 1}})
    with pytest.raises(load("events").CheckFailedError, match="FTS618"):
        train(folder)


@pytest.mark.parametrize("merge", [True, False])
def test_lora_is_merged_and_loads_without_peft(
    new_run: NewRun, train: Train, tiny_base: Path, merge: bool
) -> None:
    lora = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": ["query", "value"]}
    folder = new_run(
        model={"lora": lora, "trainable_parameters": 2 * 2 * 4 * (32 + 32)}, export={"merge_lora": merge}
    )
    output = train(folder)
    before, after = weights(tiny_base), weights(output / "model")
    assert before.keys() == after.keys()
    changed = {key for key in before if not torch.allclose(before[key], after[key], atol=1e-7)}
    assert changed == {key for key in before if key.endswith(("query.weight", "value.weight"))}
    assert (output / "model" / "adapter" / "adapter_model.safetensors").is_file() is not merge


def test_prompts_reach_training_and_the_saved_model(load: Load, new_run: NewRun, train: Train) -> None:
    from sentence_transformers import SentenceTransformer

    wishes = {"prompts": {"query": "find ", "document": "read "}, "max_seq_length": 16, "pooling": "cls"}
    folder = new_run(model=wishes)
    plain = new_run(name="plain", model={**wishes, "prompts": {"query": "", "document": ""}})
    output, without = train(folder), train(plain)
    assert points(output) != points(without)
    model = SentenceTransformer(str(output / "model"), device="cpu")
    assert model.prompts == {"query": "find ", "document": "read "}
    assert model.max_seq_length == 16
    assert model[1].pooling_mode == "cls"
    assert load("data").column_prompts(["query", "positive", "negative_1"], "a ", "") == {"query": "a "}


def test_accumulated_micro_batches_report_their_mean(new_run: NewRun, train: Train) -> None:
    roles, loss = OBJECTIVES["triplet"]
    same = {"rows": train_rows(), "data": {"roles": roles, "num_negatives": 2}, "loss": loss}
    whole = new_run(
        name="whole", **same, arguments={"max_steps": 1, "logging_steps": 1, "dataloader_drop_last": False}
    )
    parts = new_run(
        name="parts",
        **same,
        arguments={
            "max_steps": 1,
            "logging_steps": 1,
            "dataloader_drop_last": False,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
        },
    )
    one, two = points(train(whole))[0], points(train(parts))[0]
    assert one["loss"] == pytest.approx(two["loss"], rel=0.1)  # dropout draws differ


def test_half_precision_export_and_checkpointing(new_run: NewRun, train: Train) -> None:
    folder = new_run(
        arguments={
            "bf16": True,
            "gradient_checkpointing": True,
            "gradient_checkpointing_kwargs": {"use_reentrant": False},
            "lr_scheduler_type": "cosine_with_restarts",
            "lr_scheduler_kwargs": {"num_cycles": 2},
        },
        export={"dtype": "bf16"},
    )
    after = weights(train(folder) / "model")
    assert {item.dtype for item in after.values()} == {torch.bfloat16}


def test_validation_keeps_the_best_and_stops_early(new_run: NewRun, train: Train) -> None:
    folder = new_run(
        arguments={"max_steps": 40, "learning_rate": 0.05},
        validation={"eval_steps": 2, "metric": "ndcg@10", "patience": 2, "min_delta": 0.0, "keep_best": True},
    )
    output = train(folder)
    evals = [event for event in read_events(folder) if event["event"] == "eval"]
    values = [event["metrics"]["ndcg@10"] for event in evals]
    best = values.index(max(values))
    report = info(output)
    assert report["best_step"] == evals[best]["step"]
    assert report["steps"] == evals[-1]["step"] == evals[best + 2]["step"] < 40
    assert all("loss" in event["metrics"] for event in evals)


def test_validation_by_loss_prefers_less(new_run: NewRun, train: Train) -> None:
    folder = new_run(
        validation={"eval_steps": 3, "metric": "loss", "patience": None, "min_delta": 0.0, "keep_best": True}
    )
    output = train(folder)
    values = {point["step"]: point["eval"]["loss"] for point in points(output) if "eval" in point}
    assert info(output)["best_step"] == min(values, key=lambda step: values[step])


def test_a_loss_that_is_no_number_stops_at_once(load: Load, new_run: NewRun, train: Train) -> None:
    from safetensors.torch import save_file

    folder = new_run()
    path = folder / "base" / "model.safetensors"
    damaged = weights(folder / "base")
    damaged["encoder.layer.0.output.dense.weight"][:] = float("nan")
    path.unlink()
    save_file(damaged, path, metadata={"format": "pt"})
    with pytest.raises(load("events").CheckFailedError, match="FTS607: the loss of step 1 is nan"):
        train(folder)


def test_rising_loss_and_collapse_are_judged(load: Load, tmp_path: Path) -> None:
    checks, losses, events = load("checks"), load("loss_checks"), load("events")
    with events.Events(tmp_path / "events.jsonl") as stream:
        said = events.StageEvents(stream, "train")
        rising = [1.0] * 8 + [1.2] * 8
        assert losses.judge_losses(rising[::-1], "fail", said) == "passed"
        assert losses.judge_losses([1.0] * 7, "fail", said) == "too few steps"
        scatter = [0.2, 0.5, 0.3, 0.4]  # the mean of the last quarter is higher, by chance
        assert losses.judge_losses([*scatter, *[0.3] * 8, 0.3, 0.5, 0.25, 0.45], "fail", said) == "passed"
        assert losses.judge_losses(rising, "off", said) == "off"
        assert losses.judge_losses(rising, "warn", said) == "warned"
        with pytest.raises(events.CheckFailedError, match="FTS608"):
            losses.judge_losses(rising, "fail", said)
        assert checks.judge_spread(0.5, 0.95, "fail", said) == "passed"
        with pytest.raises(events.CheckFailedError, match="FTS609"):
            checks.judge_spread(0.99, 0.95, "fail", said)
    assert [event["code"] for event in read_events(tmp_path)] == ["FTS608"]


def test_mean_cosine(load: Load) -> None:
    checks = load("checks")
    rows = np.random.default_rng(0).normal(size=(20, 8))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = units @ units.T
    expected = cosines[~np.eye(20, dtype=bool)].mean()
    assert checks.mean_cosine(rows) == pytest.approx(expected)
    assert checks.mean_cosine(rows[:1]) == 0.0


def test_batches_follow_the_seed(new_run: NewRun, train: Train) -> None:
    first, second = train(new_run(name="a")), train(new_run(name="b"))
    other = train(new_run(name="c", arguments={"seed": 2}))
    assert points(first) == points(second)
    assert points(first) != points(other)
    one, two = weights(first / "model"), weights(second / "model")
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_encoding_is_fp32_and_repeatable(load: Load, new_run: NewRun, tiny_base: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = new_run(model={"prompts": {"query": "find ", "document": ""}})
    settings = load("settings").read_settings(folder / "config.json")
    events = load("events")
    outputs = []
    with events.Events(folder / "events.jsonl") as stream:
        for name in ("one", "two"):
            output = folder / name
            output.mkdir()
            said = events.StageEvents(stream, "encode_base")
            load("encode").run_encode(
                folder, settings, output, None, events=said, stop=load("watch").StopRequest()
            )
            outputs.append((output / "queries.npy").read_bytes() + (output / "corpus.npy").read_bytes())
    assert outputs[0] == outputs[1]
    queries = np.load(folder / "one" / "queries.npy")
    assert queries.dtype == np.float32
    assert np.allclose(np.linalg.norm(queries, axis=1), 1)
    model = SentenceTransformer(str(tiny_base), device="cpu")
    model.max_seq_length = 32
    expected = model.encode(["find " + text for text in tiny_texts(8, 4)], normalize_embeddings=True)
    assert np.allclose(queries, expected, atol=1e-6)
    latency = json.loads((folder / "one" / "latency.json").read_text())
    assert len(latency["latency_ms"]) == 3
    assert set(json.loads((folder / "one" / "info.json").read_text())) == {
        "seconds", "peak_memory_bytes", "precision", "mean_cosine",
    }  # fmt: skip


def test_unknown_and_missing_keys_of_the_config(load: Load, new_run: NewRun) -> None:
    settings = load("settings")
    path = new_run() / "config.json"
    good = json.loads(path.read_text())
    assert settings.read_settings(path).loss.temperature == 0.05
    for place, key, message in (
        (good["loss"], "scale", "config.loss has an unknown key 'scale'"),
        (good, "extra", "config has an unknown key 'extra'"),
    ):
        place[key] = 1
        path.write_text(json.dumps(good))
        with pytest.raises(settings.BadConfigError, match=message):
            settings.read_settings(path)
        del place[key]
    del good["model"]["pooling"]
    path.write_text(json.dumps(good))
    with pytest.raises(settings.BadConfigError, match=r"config\.model lacks 'pooling'"):
        settings.read_settings(path)
