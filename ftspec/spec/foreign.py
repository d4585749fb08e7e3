"""Names that users know from other trainers, and what they are here.

From the argument lists of Hugging Face `TrainingArguments` and peft, sentence-transformers, axolotl,
LLaMA-Factory, unsloth and mlx-lm.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Foreign:
    """`here` is the key to write; without one, `note` says why there is none."""

    here: str = ""
    note: str = ""

    def sentence(self, name: str) -> str:
        told = f"`{name}` is another tool's name; "
        told += f"here it is `{self.here}`" if self.here else "there is no such key here"
        return f"{told}: {self.note}" if self.note else told


_PLANNED = "the plan decides it from the hardware"
_BATCH = "the rows of one optimizer step over all devices; the plan splits it by memory"

FOREIGN: dict[str, Foreign] = {
    # texts and model
    "cutoff_len": Foreign("model.max_seq_length"),
    "sequence_len": Foreign("model.max_seq_length"),
    "max_length": Foreign("model.max_seq_length"),
    "max_seq_len": Foreign("model.max_seq_length"),
    "model_max_length": Foreign("model.max_seq_length"),
    "max_tokens": Foreign("model.max_seq_length"),
    "base_model": Foreign("model.base"),
    "model_name": Foreign("model.base"),
    "model_name_or_path": Foreign("model.base"),
    "pretrained_model_name_or_path": Foreign("model.base"),
    "model_id": Foreign("model.base"),
    "pooling_mode": Foreign("model.pooling"),
    "pooling_type": Foreign("model.pooling"),
    "similarity_fn_name": Foreign("model.similarity"),
    "query_prompt": Foreign("model.prompts.query"),
    "query_prefix": Foreign("model.prompts.query"),
    "passage_prefix": Foreign("model.prompts.document"),
    "document_prefix": Foreign("model.prompts.document"),
    "freeze_layers": Foreign("model.freeze.layers"),
    "unfrozen_parameters": Foreign("model.freeze", "it names what is frozen"),
    "num_layers": Foreign("model.freeze.layers", "it counts frozen layers, from the input"),
    # LoRA
    "adapter": Foreign("model.lora", "a mapping with r, alpha, dropout and target_modules"),
    "peft_config": Foreign("model.lora"),
    "lora_parameters": Foreign("model.lora"),
    "finetuning_type": Foreign("model.lora", "leave it away for full fine-tuning"),
    "lora_r": Foreign("model.lora.r"),
    "lora_rank": Foreign("model.lora.r"),
    "rank": Foreign("model.lora.r"),
    "lora_alpha": Foreign("model.lora.alpha"),
    "lora_dropout": Foreign("model.lora.dropout"),
    "lora_target": Foreign("model.lora.target_modules"),
    "lora_target_modules": Foreign("model.lora.target_modules"),
    "lora_target_linear": Foreign("model.lora.target_modules", "write `all-linear`"),
    # batch
    "per_device_train_batch_size": Foreign("train.global_batch_size", _BATCH),
    "per_device_eval_batch_size": Foreign("", _PLANNED),
    "per_gpu_train_batch_size": Foreign("train.global_batch_size", _BATCH),
    "train_batch_size": Foreign("train.global_batch_size", _BATCH),
    "batch_size": Foreign("train.global_batch_size", _BATCH),
    "micro_batch_size": Foreign("train.global_batch_size", _BATCH),
    "mini_batch_size": Foreign("train.global_batch_size", _BATCH),
    "gradient_accumulation_steps": Foreign("", "it is decided by the plan; write `train.global_batch_size`"),
    "grad_accumulation_steps": Foreign("", "it is decided by the plan; write `train.global_batch_size`"),
    "auto_find_batch_size": Foreign("", "the plan fits the micro-batch, and never changes the optimisation"),
    # duration and learning rate
    "num_epochs": Foreign("train.num_train_epochs"),
    "epochs": Foreign("train.num_train_epochs"),
    "n_epochs": Foreign("train.num_train_epochs"),
    "iters": Foreign("train.max_steps", "it counts optimizer steps, not micro-batches"),
    "num_train_steps": Foreign("train.max_steps"),
    "steps": Foreign("train.max_steps"),
    "lr": Foreign("train.learning_rate"),
    "lr_scheduler": Foreign("train.lr_scheduler_type"),
    "scheduler": Foreign("train.lr_scheduler_type"),
    "lr_schedule": Foreign("train.lr_scheduler_type"),
    "num_cycles": Foreign("train.lr_num_cycles"),
    "lr_scheduler_kwargs": Foreign("train.lr_num_cycles"),
    "warmup": Foreign("train.warmup_ratio", "or `train.warmup_steps`"),
    "num_warmup_steps": Foreign("train.warmup_steps"),
    "optimizer": Foreign("train.optim"),
    "optimizer_type": Foreign("train.optim"),
    "decay": Foreign("train.weight_decay"),
    "max_norm": Foreign("train.max_grad_norm"),
    "gradient_clipping": Foreign("train.max_grad_norm"),
    "grad_clip": Foreign("train.max_grad_norm"),
    "random_state": Foreign("train.seed"),
    "data_seed": Foreign("train.seed"),
    # objective
    "loss": Foreign("train.objective", "its `type` says what is learned"),
    "loss_type": Foreign("train.objective.type"),
    "loss_function": Foreign("train.objective.type"),
    "scale": Foreign("train.objective.temperature", "the inverse: scale 20 is temperature 0.05"),
    "triplet_margin": Foreign("train.objective.margin"),
    "distance_metric": Foreign("train.objective.distance"),
    "matryoshka_dims": Foreign("train.matryoshka.dimensions"),
    "matryoshka_weights": Foreign("train.matryoshka.weights"),
    "dims": Foreign("train.matryoshka.dimensions"),
    # data
    "dataset": Foreign("data.train"),
    "datasets": Foreign("data.train"),
    "train_dataset": Foreign("data.train"),
    "train_file": Foreign("data.train"),
    "training_data": Foreign("data.train"),
    "eval_dataset": Foreign("data.evaluation"),
    "test_datasets": Foreign("data.evaluation"),
    "validation_file": Foreign("data.evaluation"),
    "val_set_size": Foreign("data.split.validation"),
    "val_size": Foreign("data.split.validation"),
    "validation_split": Foreign("data.split.validation"),
    "test_size": Foreign("data.split.test"),
    "max_samples": Foreign("data.limit.train"),
    "max_train_samples": Foreign("data.limit.train"),
    "anchor": Foreign("roles.query"),
    "columns": Foreign("roles", "it names the column of each role"),
    "column_mapping": Foreign("roles"),
    "negative": Foreign("roles.negatives", "a list column, or a list of columns"),
    # evaluation and checkpoints
    "metric_for_best_model": Foreign("train.early_stopping.metric"),
    "load_best_model_at_end": Foreign("train.keep_best"),
    "early_stopping_patience": Foreign("train.early_stopping.patience"),
    "early_stopping_threshold": Foreign("train.early_stopping.min_delta"),
    "eval_strategy": Foreign("train.eval_steps"),
    "evaluation_strategy": Foreign("train.eval_steps"),
    "evals_per_epoch": Foreign("train.eval_steps"),
    "steps_per_eval": Foreign("train.eval_steps"),
    "save_strategy": Foreign("train.save_steps"),
    "save_every": Foreign("train.save_steps"),
    "saves_per_epoch": Foreign("train.save_steps"),
    "save_total_limit": Foreign("", "the best and the last checkpoint are kept while a run lasts"),
    "steps_per_report": Foreign("train.logging_steps"),
    "ndcg_at_k": Foreign("evaluation.metrics", "write `ndcg@10`"),
    "mrr_at_k": Foreign("evaluation.metrics", "write `mrr@10`"),
    "accuracy_at_k": Foreign("evaluation.metrics", "write `success@1`"),
    # machine
    "fp16": Foreign("resources.precision", "or leave it to the plan"),
    "bf16": Foreign("resources.precision", "or leave it to the plan"),
    "tf32": Foreign("", _PLANNED),
    "dtype": Foreign("resources.precision"),
    "mixed_precision": Foreign("resources.precision"),
    "use_cpu": Foreign("resources.device", "write `cpu`"),
    "no_cuda": Foreign("resources.device", "write `cpu`"),
    "num_gpus": Foreign("resources.num_processes"),
    "nproc_per_node": Foreign("resources.num_processes"),
    "gradient_checkpointing": Foreign("", _PLANNED),
    "deepspeed": Foreign("", _PLANNED),
    "fsdp": Foreign("", _PLANNED),
    "flash_attention": Foreign("", _PLANNED),
    "attn_implementation": Foreign("", _PLANNED),
    "dataloader_num_workers": Foreign("", _PLANNED),
    "num_proc": Foreign("", _PLANNED),
    "torch_compile": Foreign("", _PLANNED),
    "batch_sampler": Foreign("", "the objective decides it; judged positives are masked in the batch"),
    # results
    "output_dir": Foreign(
        "export.path", "runs and models live in the project; this copies the result elsewhere"
    ),
    "output_path": Foreign("export.path"),
    "overwrite_output_dir": Foreign("", "every run has its own folder, and finished stages are reused"),
    "run_name": Foreign("metadata.name"),
    "hub_model_id": Foreign("metadata.name", "the name of the model that the spec makes"),
    "name": Foreign("metadata.name"),
    "report_to": Foreign("", "curves and scores are rows of the ledger: `ftspec sql`"),
    "logging_dir": Foreign("", "curves and scores are rows of the ledger: `ftspec sql`"),
    "wandb_project": Foreign("", "curves and scores are rows of the ledger: `ftspec sql`"),
    "resume_from_checkpoint": Foreign("", "`ftspec apply` resumes by itself"),
    "push_to_hub": Foreign("", "nothing is uploaded"),
}


# Where kind LLM has another key for it, or a key of its own.
FOREIGN_LLM: dict[str, Foreign] = {
    **dict.fromkeys(("lora", "peft", "lora_config", "fine_tune_type"), Foreign("adapter")),
    **dict.fromkeys(("lora_r", "lora_rank", "rank"), Foreign("adapter.r")),
    "lora_alpha": Foreign("adapter.alpha"),
    "lora_dropout": Foreign("adapter.dropout"),
    **dict.fromkeys(
        ("lora_target_modules", "lora_target", "lora_modules"), Foreign("adapter.target_modules")
    ),
    "lora_target_linear": Foreign("adapter.target_modules", "write `all-linear`"),
    **dict.fromkeys(("num_layers", "lora_layers", "layers_to_transform"), Foreign("adapter.layers")),
    **dict.fromkeys(("load_in_4bit", "load_in_8bit", "q_bits"), Foreign("adapter.type", "write `qlora`")),
    **dict.fromkeys(("use_dora", "peft_use_dora"), Foreign("adapter.type", "write `dora`")),
    **dict.fromkeys(("sample_packing", "neat_packing"), Foreign("train.packing")),
    **dict.fromkeys(
        ("mask_prompt", "train_on_inputs", "completion_only_loss", "assistant_only_loss", "roles_to_train"),
        Foreign("train.train_on"),
    ),
    **dict.fromkeys(("attn_implementation", "flash_attention"), Foreign("model.attention")),
    "loss": Foreign("evaluation.metrics", "the loss is that of the next token; `loss` is also a metric"),
    **dict.fromkeys(("conversations", "conversation"), Foreign("roles.messages")),
    **dict.fromkeys(("instruction", "input"), Foreign("roles.prompt")),
    **dict.fromkeys(("output", "response"), Foreign("roles.completion")),
    "test_queries": Foreign("data.limit.test"),
    "max_new_token": Foreign("evaluation.max_new_tokens"),
    "max_completion_length": Foreign("evaluation.max_new_tokens"),
    "merge_lora": Foreign("export.merge"),
}


def find_foreign(name: str, kind: str = "Embedding") -> Foreign | None:
    """Also for dashes and capitals: `Base-Model`."""
    word = name.strip().lower().replace("-", "_")
    return (FOREIGN_LLM.get(word) if kind == "LLM" else None) or FOREIGN.get(word)
