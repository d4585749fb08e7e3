"""Fine-tune the base as config.json says; `folder` receives model/, adapter/, curve.jsonl and info.json."""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import last_state
import llm_checkpoints
import parity
import torch
from datasets import Dataset
from events import CheckFailedError, InterruptedRunError, StageEvents
from llm_checkpoints import RunState
from llm_export import save_adapter, save_model
from llm_follow import Follower, write_curve, write_json
from llm_rows import TokenRow, read_token_rows
from llm_settings import Settings
from llm_torch import check_device, check_trainable, padding_token, sample_logits, training_batch
from llm_trainer import PlannedTrainer, Record, load_weights, validator
from memory import peak_bytes, start_peak
from models import adapters_in_fp32, add_adapter, load_adapter, load_model, load_tokenizer, place
from native import trainer_options
from order import training_order
from ranks import Ranks
from transformers import PrinterCallback, set_seed
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer
from watch import StopRequest


class Trainer(PlannedTrainer, SFTTrainer):  # type: ignore[misc] # its base is of type Any
    """trl's trainer on the plan's tokens, targets and order."""


def load_to_train(root: Path, settings: Settings) -> Any:
    """The base in the planned precision with fresh adapters, or all of it in fp32 to be trained itself:
    what is trained has fp32 weights, and autocast does the arithmetic."""
    adapter = settings.adapter
    dtype = "fp32" if adapter is None else settings.machine.precision
    device = place(settings.machine.device)
    model = load_model(root / settings.model.folder, settings, dtype=dtype, quantized=True, device=device)
    return model if adapter is None else add_adapter(model, adapter)


def export(root: Path, settings: Settings, model: Any, folder: Path) -> dict[str, Any] | None:
    """Write model/ and adapter/; how near the merged model is to base and adapter."""
    base, precision = root / settings.model.folder, settings.machine.precision
    if settings.adapter is None:
        save_model(model, base, folder / "model", dtype=settings.export.dtype)
        return None
    save_adapter(model, folder / "adapter")
    if not settings.export.merge:
        return None
    device = place(settings.machine.device)
    if settings.model.quantization_bits is not None:
        # Adapters go into the base as it was before it was quantised, on the CPU: it may not fit elsewhere.
        del model
        _free()
        device = "cpu"
        unquantized = load_model(base, settings, dtype=precision, quantized=False, device=device)
        model = load_adapter(unquantized, folder / "adapter")
    last = [model]
    del model
    return merge(root, settings, last.pop(), folder, device)


def merge(root: Path, settings: Settings, model: Any, folder: Path, device: str) -> dict[str, Any]:
    """Write model/ from a base with its adapter; how near it is to the two."""
    base, dtype, precision = root / settings.model.folder, settings.export.dtype, settings.machine.precision
    rows = read_token_rows(root / settings.data.folder / "train.jsonl", settings.model.max_seq_length)
    filler = padding_token(load_tokenizer(base, settings))
    model.eval()
    before = sample_logits(model, rows, filler=filler, device=device)
    if dtype == "fp32":
        model.to(torch.float32)  # or the sum of base and adapter would be rounded to the base's dtype
    save_model(model.merge_and_unload(), base, folder / "model", dtype=dtype)
    del model
    _free()
    merged = load_model(folder / "model", settings, dtype=precision, quantized=False, device=device)
    merged.eval()
    after = sample_logits(merged, rows, filler=filler, device=device)
    return parity.judge(before, after, dtypes=(dtype, precision), rows=min(len(rows), parity.ROWS))


def run_train(
    root: Path,
    settings: Settings,
    folder: Path,
    *,
    events: StageEvents,
    stop: StopRequest,
    load: Callable[[Path, Settings], Any] = load_to_train,
    export: Callable[[Path, Settings, Any, Path], dict[str, Any] | None] = export,
) -> None:
    """Train, judge, save. Resumes from the newest complete checkpoint below `folder`.

    `load` and `export` are those of a backend with the same trainer and other models.
    """
    device, ranks = settings.machine.device, Ranks.here()
    check_device(device)
    start_peak(device)
    set_seed(settings.train.seed)
    data, limit = root / settings.data.folder, settings.model.max_seq_length
    rows = read_token_rows(data / "train.jsonl", limit)
    order = training_order(
        len(rows), settings.train.seed, settings.train.total_steps * settings.train.global_batch_size
    )
    tokenizer = load_tokenizer(root / settings.model.folder, settings)
    model = load(root, settings)
    total, trainable = check_trainable(model, settings.model.trainable_parameters)

    saved = folder / "checkpoints"
    found = llm_checkpoints.newest(saved, events)
    run = RunState() if found is None else found[1]
    resumed = None if found is None else run.step
    if found is not None:
        events.emit(
            "resumed", step=run.step, restored="weights, optimizer, schedule, data order, random state"
        )
    follower = Follower(run, settings, len(rows), events)
    record = Record(follower, settings, events, stop, ranks, None)
    trainer = _build_trainer(model, tokenizer, rows, order, settings, saved, record)
    if settings.train.eval_steps is not None:
        held_out = read_token_rows(data / "validation.jsonl", limit)
        record.validate = validator(
            held_out,
            settings,
            filler=padding_token(tokenizer),
            device=place(device),
            ranks=ranks,
            autocast=trainer.compute_loss_context_manager,
        )
    if found is not None and run.step >= settings.train.total_steps:
        load_weights(model, found[0])
    else:
        trainer.train(resume_from_checkpoint=None if found is None else str(found[0]))
    follower.stop_clock()
    if record.stopped and run.step < settings.train.total_steps:
        raise InterruptedRunError
    judged = follower.judgements()
    peak = max(ranks.gather(peak_bytes(device)))
    trainer.accelerator.free_memory()
    del trainer, record
    if ranks.rank > 0:
        return
    last = [model]  # the only reference goes to the export, which has two models in memory otherwise
    del model
    agreement = export(root, settings, last.pop(), folder)
    write_curve(folder / "curve.jsonl", run.curve)
    info = {
        **follower.summary(rows, order),
        "peak_memory_bytes": peak,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "resumed_from_step": resumed,
        "warm_started": False,
        "world_size": ranks.size,
        "checks": judged,
        "parity": agreement,
    }
    write_json(folder / "info.json", info)
    last_state.clear(saved, run.step)


def _build_trainer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TokenRow],
    order: Sequence[int],
    settings: Settings,
    saved: Path,
    record: Record,
) -> Trainer:
    args = SFTConfig(**trainer_options(settings, saved))
    _check_machine(args, settings)
    filler, packing = padding_token(tokenizer), settings.data.packing
    flatten = packing and settings.model.attn_implementation == "flash_attention_2"

    def collate(examples: Sequence[dict[str, int]]) -> dict[str, torch.Tensor]:
        chosen = [rows[example["row"]] for example in examples]
        return training_batch(chosen, filler=filler, packing=packing, flatten=flatten)

    trainer = Trainer(
        model=model,
        args=args,
        data_collator=collate,
        train_dataset=Dataset.from_dict({"row": list(range(len(rows)))}),
        processing_class=tokenizer,
        callbacks=[record],
    )
    adapters_in_fp32(model)
    trainer.remove_callback(PrinterCallback)  # the events say it
    trainer.order = order
    record.trainer = trainer
    return trainer


def _check_machine(args: Any, settings: Settings) -> None:
    """The run happens where it was planned: launchers fall back to one process in silence."""
    planned = settings.machine
    if args.world_size != planned.num_processes:
        raise CheckFailedError(
            "FTS606", f"{args.world_size} processes train, planned are {planned.num_processes}"
        )
    if args.device.type != planned.device:
        raise CheckFailedError("FTS606", f"training would run on {args.device}, planned is {planned.device}")
    if (args.bf16, args.fp16) != (planned.precision == "bf16", planned.precision == "fp16"):
        raise CheckFailedError("FTS606", f"the trainer would not compute in {planned.precision}, as planned")
    if planned.num_processes == 1 and args.n_gpu > 1:
        args._n_gpu = 1  # or the trainer would spread the batch over every GPU that it sees


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
