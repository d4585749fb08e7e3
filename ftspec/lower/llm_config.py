"""`config.json` of an LLM run folder, in the plan's own words: one layout for every backend.

What a backend's library calls these things is known to its program (`native.py` there), not here. The
programs refuse unknown keys.
"""

from typing import Any

from ftspec.lower.config import BASE, DATA, FORMAT, program_entries
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.target.model import Target

_TRAIN = (
    "global_batch_size",
    "total_steps",
    "learning_rate",
    "lr_scheduler_type",
    "lr_num_cycles",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "optim",
    "seed",
    "eval_steps",
    "save_steps",
    "logging_steps",
)
_MACHINE = (
    "device",
    "num_processes",
    "num_threads",
    "precision",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
)


def build_llm_config(plan: LlmPlan, target: Target, reused: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The config of a complete plan; stages as `build_config` chooses them."""
    model, run, checks = plan.model, plan.execution, plan.train.checks
    return {
        "format": FORMAT,
        "kind": plan.kind,
        "name": plan.name,
        "stages": program_entries(plan, reused),
        "model": {
            "folder": BASE,
            "max_seq_length": model.max_seq_length,
            "trust_remote_code": model.trust_remote_code,
            "attn_implementation": run.attn_implementation,
            "quantization_bits": model.quantization_bits,
            "trainable_parameters": model.trainable_parameters,
            "keeps_window": target.models is None or target.models.keeps_window(model.facts.model_type),
        },
        "adapter": _adapter(plan.adapter),
        "data": {"folder": DATA, "packing": plan.train.packing},
        "train": {name: getattr(plan.train, name) for name in _TRAIN},
        "checks": {
            "rising_loss": checks.rising_loss,
            "divergence": checks.divergence,
            "divergence_factor": checks.divergence_factor,
        },
        "score": {
            "batch_size": run.score_batch_size,
            "generate_rows": plan.evaluation.generate_rows,
            "max_new_tokens": plan.evaluation.max_new_tokens,
        },
        "machine": {name: getattr(run, name) for name in _MACHINE},
        "export": {"merge": plan.export.merge, "dtype": plan.export.dtype},
    }


def _adapter(adapter: AdapterPlan) -> dict[str, Any] | None:
    if adapter.type == "full":
        return None
    return {
        "type": adapter.type,
        "r": adapter.r,
        "alpha": adapter.alpha,
        "dropout": adapter.dropout,
        "target_modules": list(adapter.target_modules),
        "layers": adapter.layers,
    }
