"""Peak memory of training and encoding, in closed form; nothing is loaded or traced.

s tokens of a padded text, b texts resident, h hidden size, a attention heads, L layers, r = ffn / h,
P parameters. "Checked" means compared with measured resident memory of real training steps on a CPU,
within 2 %; what was not is named so at its function.
"""

from dataclasses import dataclass

from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.facts import ModelFacts
from ftspec.plan.model import MemoryEstimate
from ftspec.plan.objectives import text_columns

MIB = 1024**2

CPU_PROCESS_BYTES = 550 * MIB  # interpreter, torch, transformers and their threads; measured
CUDA_CONTEXT_BYTES = 700 * MIB  # context and allocator; not measured
CUDA_ALLOCATOR_FACTOR = 1.08  # fragmentation of the caching allocator; not measured
GLIBC_FACTOR = 1.24  # freed blocks that glibc keeps, of the whole: 16 to 30 % measured unless tuned
_GATED = frozenset({"gate_proj", "Wi", "fc11"})  # gate and value projections: twice the ffn tensors
_TRIPLES_OF_BATCH = ("batch_all", "batch_semi_hard")
_STATE_BYTES = {"adamw": 8, "adafactor": 0, "sgd": 0}  # two moments; factored; none without momentum


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryInputs:
    """One training step as one device sees it.

    `rows`: rows whose activations are held at once: the micro-batch, or the mini-batch of a cached loss.
    `loss_rows`: rows that the loss compares with each other: the batch on this device.
    `column_lengths`: longest padded length of each text column, in tokens.
    """

    facts: ModelFacts
    column_lengths: tuple[int, ...]
    rows: int
    loss_rows: int
    trainable_parameters: int
    device: str = "cpu"  # cpu | cuda | rocm | mps
    precision: str = "fp32"  # bf16 and fp16 are autocast over fp32 weights
    attn_implementation: str = "sdpa"
    optim: str = "adamw"
    cached_loss: bool = False
    gradient_checkpointing: bool = False
    accumulates: bool = False  # more than one micro-batch in a step
    frozen_layers: int = 0
    frozen_embeddings: bool = False
    lora_parameters: int = 0
    num_processes: int = 1
    compares_triplets: bool = False  # the loss forms all triples of a batch
    malloc_tuned: bool = False  # MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ are set


def memory_inputs(plan: EmbeddingPlan) -> MemoryInputs:
    """Inputs of a plan. What its execution leaves open is taken as: CPU, fp32, one process, the whole
    batch at once, no caching, no checkpointing."""
    run, train, model = plan.execution, plan.train, plan.model
    processes = run.num_processes or 1
    batch = run.per_device_train_batch_size or -(-train.global_batch_size // processes)
    cached = bool(run.cached_loss)
    return MemoryInputs(
        facts=model.facts,
        column_lengths=column_lengths(plan),
        rows=(run.mini_batch_size or batch) if cached else batch,
        loss_rows=batch,
        trainable_parameters=model.trainable_parameters,
        device=run.device or "cpu",
        precision=run.precision or "fp32",
        attn_implementation=run.attn_implementation or "sdpa",
        optim=train.optim,
        cached_loss=cached,
        gradient_checkpointing=bool(run.gradient_checkpointing),
        accumulates=(run.gradient_accumulation_steps or 1) > 1,
        frozen_layers=model.freeze.layers,
        frozen_embeddings=model.freeze.embeddings,
        lora_parameters=model.trainable_parameters if model.lora else 0,
        num_processes=processes,
        compares_triplets=train.objective.loss in _TRIPLES_OF_BATCH,
        malloc_tuned="MALLOC_TRIM_THRESHOLD_" in (run.environment or {}),
    )


def column_lengths(plan: EmbeddingPlan) -> tuple[int, ...]:
    """Longest text of each column that reaches the model, cut at max_seq_length: the worst batch."""
    facts, limit = plan.data.facts, plan.model.max_seq_length
    columns = text_columns(plan.train.roles, plan.train.objective.num_negatives)
    query = min(facts.query_lengths.max, limit)
    document = min(facts.document_lengths.max, limit)
    return tuple(query if index == 0 else document for index in range(max(columns, 1)))


# --- states ------------------------------------------------------------------------------------


def weight_bytes(inputs: MemoryInputs) -> int:
    """4 P, also under autocast; a frozen part costs no more. LoRA adapters come on top of P.

    Autocast adds 2 bytes for each parameter of a linear layer: the casts it keeps. Checked.
    """
    facts = inputs.facts
    total = 4 * (facts.total_parameters + inputs.lora_parameters)
    if inputs.precision != "fp32":
        total += 2 * (facts.total_parameters - facts.embedding_parameters)
    return total


def gradient_bytes(inputs: MemoryInputs) -> int:
    """4 bytes per trained parameter; data-parallel processes hold one copy more (its buckets). Checked."""
    return 4 * inputs.trainable_parameters * (2 if inputs.num_processes > 1 else 1)


def optimizer_state_bytes(inputs: MemoryInputs) -> int:
    """AdamW: 8 bytes per trained parameter, checked. Adafactor keeps factors (rows + columns), and SGD
    without momentum nothing: both counted as 0. Any other optimizer counts as AdamW."""
    return _STATE_BYTES.get(inputs.optim, 8) * inputs.trainable_parameters


# --- activations -------------------------------------------------------------------------------


def layer_activation_bytes(inputs: MemoryInputs, length: int) -> int:
    """What one layer keeps for the backward pass of one column of `rows` texts.

    CPU with attention dropout falls back to the quadratic kernel: fp32 (4(8+2r)+8)·s·b·h + 12·a·s²·b,
    autocast (36+4r)·s·b·h + 12·a·s²·b; without dropout fp32 4(8+2r)·s·b·h. CUDA with flash or
    memory-efficient attention: fp32 4(8+2r)+2, autocast 26+4r; eager adds κ·a·s²·b, κ = 5 autocast, 9 fp32.
    Checked, except: autocast on a CPU without dropout (taken as 28+4r), gated feed-forward layers (their
    four ffn-wide tensors instead of two, taken as 2r), and mps (taken as eager).
    """
    facts = inputs.facts
    ratio = facts.intermediate_size / facts.hidden_size * (2 if _GATED & set(facts.linear_modules) else 1)
    fp32 = inputs.precision == "fp32"
    tokens = length * inputs.rows
    quadratic = facts.num_attention_heads * length * length * inputs.rows
    eager = inputs.attn_implementation == "eager" or inputs.device == "mps"
    if inputs.device == "cpu":
        dropout = facts.attention_dropout > 0
        per_token = (4 * (8 + 2 * ratio) if fp32 else 28 + 4 * ratio) + (8 if dropout else 0)
        per_score = 12 if dropout or eager else 0
    else:
        per_token = 4 * (8 + 2 * ratio) + 2 if fp32 else 26 + 4 * ratio
        per_score = (9 if fp32 else 5) if eager else 0
    return round(per_token * tokens * facts.hidden_size + per_score * quadratic)


def column_activation_bytes(inputs: MemoryInputs, length: int) -> int:
    """All layers that a gradient passes through, plus 12·s·b·h for embeddings and pooling. Checked.

    Layers before the first trained parameter keep nothing. With gradient checkpointing only the inputs
    of the layers stay, 4·s·b·h·(L+2) (over-predicts a trace, 15 % below a real trainer).
    """
    facts = inputs.facts
    hidden = length * inputs.rows * facts.hidden_size
    layers = facts.num_layers
    if inputs.frozen_embeddings and not inputs.lora_parameters:
        layers -= min(inputs.frozen_layers, layers)
    if inputs.gradient_checkpointing:
        return 4 * hidden * (layers + 2)
    return layers * layer_activation_bytes(inputs, length) + 12 * hidden


def backward_working_bytes(inputs: MemoryInputs, length: int) -> int:
    """Gradients in flight where the backward pass starts: one ffn-wide and one hidden-wide tensor,
    (r+1)·e·s·b·h with e bytes per element. Within 1 % of the checked totals."""
    facts = inputs.facts
    element = 4 if inputs.precision == "fp32" else 2
    return element * length * inputs.rows * (facts.intermediate_size + facts.hidden_size)


def activation_bytes(inputs: MemoryInputs) -> int:
    """Activations of a step at their peak, gradients of the weights not included.

    Every column is held until the loss is known. A cached loss holds one column of a mini-batch at a
    time; checkpointing computes one full layer again. The scores of an in-batch loss and the embeddings
    that it compares come on top: four copies of rows × columns·rows in fp32; of rows³ three, where a
    loss forms all triples of a batch (not measured).
    """
    columns = [column_activation_bytes(inputs, length) for length in inputs.column_lengths]
    longest = max(inputs.column_lengths)
    held = max(columns) if inputs.cached_loss else sum(columns)
    if inputs.gradient_checkpointing:
        held += layer_activation_bytes(inputs, longest)
    return held + backward_working_bytes(inputs, longest) + _loss_bytes(inputs)


def _loss_bytes(inputs: MemoryInputs) -> int:
    compared = max(len(inputs.column_lengths) - 1, 1)
    scores = 16 * inputs.loss_rows * inputs.loss_rows * compared
    embeddings = 8 * inputs.loss_rows * len(inputs.column_lengths) * inputs.facts.embedding_dimension
    triples = 12 * inputs.loss_rows**3 if inputs.compares_triplets else 0
    return scores + embeddings + triples


# --- totals ------------------------------------------------------------------------------------


def training_memory(inputs: MemoryInputs) -> MemoryEstimate:
    """Peak of the training process: host memory on a CPU and on mps, device memory on a GPU.

    Gradients of the weights fill the place that activations leave during the backward pass, so the peak
    is the larger of the two, unless gradients already stand when a forward pass runs: with gradient
    accumulation, and in a cached loss.
    """
    assert inputs.rows > 0, "a step has rows"
    assert inputs.column_lengths, "a step has columns"
    gradients = gradient_bytes(inputs)
    activations = activation_bytes(inputs)
    if not (inputs.cached_loss or inputs.accumulates):
        activations = max(activations - gradients, 0)
    weights = weight_bytes(inputs)
    optimizer = gradients + optimizer_state_bytes(inputs)
    return MemoryEstimate(
        weights_bytes=weights,
        optimizer_bytes=optimizer,
        activation_bytes=activations,
        overhead_bytes=_overhead_bytes(inputs, weights + optimizer, activations),
    )


def encode_memory(
    facts: ModelFacts,
    *,
    sequence_length: int,
    batch_size: int,
    texts: int = 0,
    device: str = "cpu",
    malloc_tuned: bool = False,
) -> MemoryEstimate:
    """Peak of encoding in fp32: the weights, one layer at work, and `texts` embeddings.

    A layer without gradients holds about its input, query, key, value, context and two ffn-wide
    tensors, 4(5+2r)·s·b·h; attention without dropout is linear in memory. Not measured.
    """
    tokens = sequence_length * batch_size
    working = 4 * tokens * (5 * facts.hidden_size + 2 * facts.intermediate_size)
    working += 4 * texts * facts.embedding_dimension
    weights = 4 * facts.total_parameters
    inputs = MemoryInputs(
        facts=facts,
        column_lengths=(sequence_length,),
        rows=batch_size,
        loss_rows=0,
        trainable_parameters=0,
        device=device,
        malloc_tuned=malloc_tuned,
    )
    return MemoryEstimate(
        weights_bytes=weights,
        optimizer_bytes=0,
        activation_bytes=working,
        overhead_bytes=_overhead_bytes(inputs, weights, working),
    )


def _overhead_bytes(inputs: MemoryInputs, states: int, activations: int) -> int:
    """The process itself and what its allocator wastes. CPU measured; CUDA, ROCm and mps not."""
    if inputs.device == "cpu":
        kept = 0.0 if inputs.malloc_tuned else GLIBC_FACTOR - 1
        return CPU_PROCESS_BYTES + round(kept * (CPU_PROCESS_BYTES + states + activations))
    return CUDA_CONTEXT_BYTES + round((CUDA_ALLOCATOR_FACTOR - 1) * (states + activations))
