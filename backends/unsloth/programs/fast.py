"""The model that is trained, loaded by unsloth, and its export by the libraries as they are."""

import unsloth  # before all libraries that it changes  # isort: skip

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from events import CheckFailedError
from llm_export import save_adapter, save_model
from llm_settings import Settings
from llm_torch import DTYPES
from models import adapters_in_fp32
from options import adapter_options, model_options

CHECK_FAILED = 20


def load_to_train(root: Path, settings: Settings) -> Any:
    """The base in the planned precision with fresh adapters, or all of it in fp32 to be trained itself.

    Raises CheckFailedError where unsloth would train something else than was planned, which it does after
    a printed line: FTS606 for another precision or quantisation, FTS652 for adapters without a place,
    FTS653 for a context that it would stretch.
    """
    _check_planned(root, settings)
    adapter = settings.adapter
    dtype = DTYPES["fp32" if adapter is None else settings.machine.precision]
    model, _ = unsloth.FastLanguageModel.from_pretrained(
        str(root / settings.model.folder), dtype=dtype, **model_options(settings)
    )
    _check_loaded(model, settings, dtype)
    if adapter is None:
        return adapters_in_fp32(model)
    depth = model.config.get_text_config().num_hidden_layers
    if adapter.layers is not None and not 0 < adapter.layers <= depth:
        raise CheckFailedError("FTS652", f"adapters on the last {adapter.layers} of {depth} layers")
    try:
        made = unsloth.FastLanguageModel.get_peft_model(model, **adapter_options(settings, adapter, depth))
    except (AssertionError, RuntimeError, TypeError, ValueError) as fault:
        raise CheckFailedError("FTS652", (str(fault).splitlines() or [type(fault).__name__])[0]) from fault
    return adapters_in_fp32(made)


def _check_planned(root: Path, settings: Settings) -> None:
    device = "cuda" if unsloth.DEVICE_TYPE in {"cuda", "hip"} else unsloth.DEVICE_TYPE
    if device != settings.machine.device:
        raise CheckFailedError(
            "FTS606", f"unsloth would train on {device}, planned is {settings.machine.device}"
        )
    if settings.data.packing:
        raise CheckFailedError("FTS606", "unsloth lets packed rows see each other; plan without packing")
    config = json.loads((root / settings.model.folder / "config.json").read_text(encoding="utf-8"))
    limit = config.get("max_position_embeddings")
    if isinstance(limit, int) and settings.model.max_seq_length > limit:
        raise CheckFailedError(
            "FTS653",
            f"max_seq_length is {settings.model.max_seq_length}, the base knows {limit} positions: "
            "unsloth would stretch them",
        )


def _check_loaded(model: Any, settings: Settings, dtype: torch.dtype) -> None:
    quantized = any(type(item).__name__ in {"Params4bit", "Int8Params"} for item in model.parameters())
    if quantized != (settings.model.quantization_bits is not None):
        raise CheckFailedError(
            "FTS606", f"unsloth loaded the base {'' if quantized else 'not '}quantised, which is not the plan"
        )
    if not quantized and model.dtype != dtype:
        raise CheckFailedError("FTS606", f"unsloth loaded the base in {model.dtype}, planned is {dtype}")


def export(root: Path, settings: Settings, model: Any, folder: Path) -> dict[str, Any] | None:
    """Write model/ and adapter/; how near the merged model is to base and adapter.

    Merging is left to merge.py in another interpreter, where transformers and peft are as they are.
    """
    if settings.adapter is None:
        save_model(model, root / settings.model.folder, folder / "model", dtype=settings.export.dtype)
        return None
    save_adapter(model, folder / "adapter")
    if not settings.export.merge:
        return None
    if settings.machine.device == "cuda":
        if settings.model.quantization_bits is None:
            model.to("cpu")  # the merge wants the memory
        torch.cuda.empty_cache()
    return _merge_elsewhere(root, folder)


def _merge_elsewhere(root: Path, folder: Path) -> dict[str, Any]:
    """It ends with this process, whose end closes its standard input."""
    child = subprocess.Popen(
        [sys.executable, str(root / "merge.py"), str(folder)],
        env={**os.environ, "FTSPEC_WATCH_STDIN": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        answer = child.stdout.read()
        code = child.wait()
    finally:
        child.kill()
    if code not in {0, CHECK_FAILED}:
        raise RuntimeError(f"merge.py ended with exit code {code}")
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    if code == CHECK_FAILED:
        raise CheckFailedError(found["code"], found["detail"])
    return found
