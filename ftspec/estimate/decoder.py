"""Peak memory of fine-tuning and scoring a decoder, in closed form; nothing is loaded or traced.

T = rows × length tokens of a micro-batch, V vocabulary, L layers; widths h hidden, q = heads × head size,
k = key-value heads × head size, f feed-forward. P parameters of the base, A of the adapters.

How it was checked. The bytes that a layer keeps equal what torch saves for the backward pass of a Llama layer
(transformers 5.23, peft 0.21, torch 2.13 on a CPU; saved tensors counted within 1 %, with and without a padding
mask, dropout, DoRA, autocast and eager attention). Peaks of whole runs of the reference backend on a CPU were
predicted from 3 % below to 6 % above (tests/estimate/test_measured_decoder.py). The rules of `mps` were fitted
to mlx on a CPU: 2 to 13 % above for LoRA in bf16, up to twice as much for DoRA, quantised bases and full training.
Not checked: every number on CUDA (kernels there keep the same tensors, their workspaces are not counted), bases
quantised by bitsandbytes, and Metal itself.
"""

from dataclasses import dataclass, field

from ftspec.estimate.memory import (
    CPU_PROCESS_BYTES,
    CUDA_ALLOCATOR_FACTOR,
    CUDA_CONTEXT_BYTES,
    GLIBC_FACTOR,
)
from ftspec.plan.facts import DecoderFacts
from ftspec.plan.llm import AdapterPlan, LlmPlan
from ftspec.plan.model import MemoryEstimate
from ftspec.target.model import MemoryCosts

_STATE_BYTES = {"adamw": 8, "adafactor": 0, "sgd": 0}  # as `estimate.memory` has them
_ATTENTION = ("q_proj", "k_proj", "v_proj")
_FEED_IN = ("gate_proj", "up_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderInputs:
    """One training step of a micro-batch of `rows` rows of `length` tokens, as one device sees it."""

    facts: DecoderFacts
    adapter: AdapterPlan
    rows: int
    length: int
    trainable_parameters: int
    quantization_bits: int | None = None
    device: str = "cpu"  # cpu | cuda | rocm | mps
    precision: str = "fp32"  # of the frozen weights and the arithmetic; full training keeps fp32 weights
    attn_implementation: str = "sdpa"
    optim: str = "adamw"
    gradient_checkpointing: bool = False
    accumulates: bool = False  # more than one micro-batch in a step
    packed: bool = False  # rows are packed, with a mask that keeps them apart
    num_processes: int = 1
    widths: int = 1  # different lengths that micro-batches are padded to
    malloc_tuned: bool = False
    costs: MemoryCosts = field(default_factory=MemoryCosts)

    @property
    def trains_all(self) -> bool:
        return self.adapter.type == "full"

    @property
    def trained_layers(self) -> int:
        """Layers that a gradient passes through: those above the lowest adapter."""
        layers = self.facts.num_layers
        return layers if self.adapter.layers is None else min(self.adapter.layers, layers)

    @property
    def element_bytes(self) -> int:
        """Of the arithmetic, and of frozen weights that are not quantised."""
        return 4 if self.precision == "fp32" else 2


def decoder_inputs(plan: LlmPlan, costs: MemoryCosts) -> DecoderInputs:
    """Inputs of a plan. What its execution leaves open is taken as: CPU, fp32, one process, the whole
    batch at once, no checkpointing."""
    run, train, model = plan.execution, plan.train, plan.model
    processes = run.num_processes or 1
    return DecoderInputs(
        facts=model.facts,
        adapter=plan.adapter,
        rows=run.per_device_train_batch_size or -(-train.global_batch_size // processes),
        length=longest_row(plan),
        trainable_parameters=model.trainable_parameters,
        quantization_bits=model.quantization_bits,
        device=run.device or "cpu",
        precision=run.precision or "fp32",
        attn_implementation=run.attn_implementation or "sdpa",
        optim=train.optim,
        gradient_checkpointing=bool(run.gradient_checkpointing),
        accumulates=(run.gradient_accumulation_steps or 1) > 1,
        packed=train.packing,
        num_processes=processes,
        widths=batch_widths(plan),
        malloc_tuned="MALLOC_TRIM_THRESHOLD_" in (run.environment or {}),
        costs=costs,
    )


def batch_widths(plan: LlmPlan) -> int:
    """Different widths of micro-batches, at most: the longest of several rows is mostly above the median, a row
    alone has any."""
    facts, limit = plan.data.facts, plan.model.max_seq_length
    lengths = facts.sequence_lengths if facts.sequence_lengths.count else facts.lengths
    least = 1 if plan.execution.per_device_train_batch_size == 1 else lengths.p50
    spread = min(lengths.max, limit) - min(least, limit) + 1
    return min(spread, plan.train.total_steps * (plan.execution.gradient_accumulation_steps or 1))


def longest_row(plan: LlmPlan) -> int:
    """Tokens of the longest training row as it is trained: the worst batch is full of such rows."""
    limit = plan.model.max_seq_length
    return limit if plan.train.packing else min(plan.data.facts.lengths.max, limit)


def longest_scored_row(plan: LlmPlan) -> int:
    """Tokens of the longest held-out row. Rows that are split off are as long as those of training; of given
    ones the prompts are known, and answers are taken to be as long as those of training."""
    if not plan.data.evaluation:
        return longest_row(plan)
    facts = plan.data.facts
    given = facts.longest_prompt + facts.completion_lengths.max
    return max(longest_row(plan), min(given, plan.model.max_seq_length))


# --- states ------------------------------------------------------------------------------------


def base_weight_bytes(
    facts: DecoderFacts, precision: str, quantization_bits: int | None, costs: MemoryCosts
) -> int:
    """Frozen weights: e·P, or packed linear layers with what is left in e bytes (2 in half precision, else 4).

    4 bits with double quantisation take 0.516 bytes a parameter; what a backend packs differs, and stands in
    its `memory` section.
    """
    element = 4 if precision == "fp32" else 2
    if quantization_bits is None:
        return element * facts.total_parameters
    packed = facts.linear_parameters
    if costs.quantizes_embeddings:
        packed += facts.vocab_size * facts.hidden_size * (1 if facts.tied_embeddings else 2)
    rest = facts.total_parameters - packed
    return round(costs.quantized_bytes(quantization_bits) * packed) + element * rest


def weight_bytes(inputs: DecoderInputs) -> int:
    """Full: 4 P, and under autocast 2 bytes for each parameter of a linear layer and the output matrix:
    the casts it keeps. Adapters: the frozen base, 4 A, and their casts."""
    facts, half = inputs.facts, inputs.precision != "fp32"
    if inputs.trains_all:
        cast = facts.linear_parameters + facts.vocab_size * facts.hidden_size
        return 4 * facts.total_parameters + (2 * cast if half else 0)
    base = base_weight_bytes(facts, inputs.precision, inputs.quantization_bits, inputs.costs)
    return base + (6 if half else 4) * inputs.trainable_parameters


def gradient_bytes(inputs: DecoderInputs) -> int:
    """4 bytes per trained parameter; data-parallel processes hold one copy more (its buckets)."""
    return 4 * inputs.trainable_parameters * (2 if inputs.num_processes > 1 else 1)


def optimizer_state_bytes(inputs: DecoderInputs) -> int:
    """AdamW: 8 bytes per trained parameter; Adafactor's factors and SGD count as nothing."""
    return _STATE_BYTES.get(inputs.optim, 8) * inputs.trainable_parameters


# --- activations -------------------------------------------------------------------------------


def layer_bytes_per_token(inputs: DecoderInputs) -> float:
    """What one layer keeps for the backward pass, per token; `layer_constant_bytes` comes on top.

    fp32: both norms keep their input (and, trained, what they scaled), the attention q, k, v and its output
    (keys and values repeated to q where a mask is given), the gate three tensors of f. A linear layer keeps
    its input where it is adapted or trained: once for all that read the same tensor in fp32; in half
    precision each adapter has a copy of its own. Llama with q = k = h, all linear layers adapted: 32 + 16·f/h
    in fp32, 28 + 8·f/h in bf16, × h.
    """
    facts, size = inputs.facts, inputs.element_bytes
    h, f = facts.hidden_size, facts.intermediate_size
    q = facts.num_attention_heads * facts.head_dim
    k = facts.num_key_value_heads * facts.head_dim
    masked = inputs.rows > 1 or inputs.packed
    if inputs.attn_implementation == "eager":
        scores = facts.num_attention_heads * inputs.length * (4 if size == 4 else 6)
        attention = size * 3 * q + scores
    else:
        attention = size * (2 * q + 2 * (q if masked else k)) + 4 * facts.num_attention_heads
        attention += size * inputs.length if masked else 0
    if inputs.trains_all:
        # The residual stream stays fp32 under autocast, and every linear layer casts its own input.
        norms = 4 * 4 * h
        inputs_kept = 4 * (2 * h + f) if size == 4 else 2 * (5 * h + f)
        eager_copy = size * q if inputs.attn_implementation == "eager" else 0
        return norms + attention + eager_copy + inputs_kept + size * 3 * f
    return 4 * 2 * h + attention + size * 3 * f + _adapter_bytes_per_token(inputs, h, q, f)


def _adapter_bytes_per_token(inputs: DecoderInputs, h: int, q: int, f: int) -> float:
    """What adapters keep: their inputs, the product with A, with dropout the dropped input and its mask,
    with DoRA both results before they are scaled."""
    facts, size = inputs.facts, inputs.element_bytes
    names = set(inputs.adapter.target_modules) or set(facts.linear_modules)
    widths = {"o_proj": q, "down_proj": f}
    adapted = {name: widths.get(name, h) for name in names}
    rank = inputs.adapter.r or 0
    kept = float(size * rank * len(adapted))
    if inputs.adapter.dropout:
        mask = 4 if inputs.device == "cpu" else 1
        kept += sum((size + mask) * width for width in adapted.values())
    elif inputs.device == "mps":
        kept += sum(4 * width for width in adapted.values())  # mlx adapters are fp32, their inputs with them
    elif size == 2:
        kept += sum(2 * width for width in adapted.values())
    else:
        # Shared inputs are kept once; that of o_proj is the attention's output, which is kept anyway.
        groups = (_ATTENTION, _FEED_IN, ("down_proj",))
        kept += sum(4 * (f if group == ("down_proj",) else h) for group in groups if names & set(group))
        if inputs.attn_implementation == "eager" and "o_proj" in names:
            kept += 4 * q
    if inputs.adapter.type == "dora":
        outputs = {
            "q_proj": q,
            "k_proj": _narrow(facts),
            "v_proj": _narrow(facts),
            "o_proj": h,
            "down_proj": h,
        }
        kept += sum(2 * size * outputs.get(name, f) for name in names)
    return kept


def layer_constant_bytes(inputs: DecoderInputs) -> int:
    """Of one layer, however many tokens: DoRA multiplies an identity matrix as wide as each adapted layer's
    input to get its weight, and keeps it for the backward pass: e·Σ(w² + 2·r·w)."""
    if inputs.adapter.type != "dora" or inputs.device == "mps":
        return 0
    facts = inputs.facts
    special = {"o_proj": facts.num_attention_heads * facts.head_dim, "down_proj": facts.intermediate_size}
    names = set(inputs.adapter.target_modules) or set(facts.linear_modules)
    rank = inputs.adapter.r or 0
    return sum(
        inputs.element_bytes * (width * width + 2 * rank * width)
        for width in (special.get(name, facts.hidden_size) for name in names)
    )


def _narrow(facts: DecoderFacts) -> int:
    return facts.num_key_value_heads * facts.head_dim


def loss_bytes(inputs: DecoderInputs) -> int:
    """Logits, their logarithms and two gradients of them, 12·T·V, unless the backend's loss works in parts;
    where all weights are trained, the gradient of the output matrix at the same time."""
    facts = inputs.facts
    logits = inputs.costs.loss_bytes(inputs.device, inputs.rows * inputs.length, facts.vocab_size)
    return logits + (4 * facts.vocab_size * facts.hidden_size if inputs.trains_all else 0)


def working_bytes(inputs: DecoderInputs) -> int:
    """Tensors in flight where one layer runs backward: the gradients of its gate, three of f and two of h,
    and with a quantised base the largest matrix unpacked. mlx holds more: fitted as 1.6 layers."""
    facts, size, tokens = inputs.facts, inputs.element_bytes, inputs.rows * inputs.length
    unpacked = 2 * facts.hidden_size * facts.intermediate_size if inputs.quantization_bits else 0
    if inputs.device == "mps":
        return round(1.6 * tokens * layer_bytes_per_token(inputs)) + unpacked
    return size * tokens * (3 * facts.intermediate_size + 2 * facts.hidden_size) + unpacked


def activation_bytes(inputs: DecoderInputs) -> int:
    """Activations of a step at their peak, gradients of the weights not included.

    The peak is where the loss is differentiated, and all layers are held; with checkpointing, which keeps
    the inputs of the layers only, it may be where one layer is computed again. In mlx both were seen to be
    held together. 12·T·h come on top for the embeddings and the last norm.
    """
    facts, tokens = inputs.facts, inputs.rows * inputs.length
    layer = round(layer_bytes_per_token(inputs) * tokens) + layer_constant_bytes(inputs)
    ends = 12 * tokens * facts.hidden_size
    loss, working = loss_bytes(inputs), working_bytes(inputs)
    together = inputs.device == "mps"
    if inputs.gradient_checkpointing:
        residual = 4 if inputs.trains_all else inputs.element_bytes
        kept = residual * tokens * facts.hidden_size * (inputs.trained_layers + 1)
        return kept + ends + (loss + layer + working if together else max(loss, layer + working))
    return inputs.trained_layers * layer + ends + (loss + working if together else max(loss, working))


# --- totals ------------------------------------------------------------------------------------


def decoder_training_memory(inputs: DecoderInputs) -> MemoryEstimate:
    """Peak of the training process: host memory on a CPU and on mps, device memory on a GPU.

    Gradients of the weights fill the place that activations leave during the backward pass, unless they
    already stand when a forward pass runs: with gradient accumulation.
    """
    assert inputs.rows > 0, "a step has rows"
    assert inputs.length > 0, "a row has tokens"
    gradients, activations = gradient_bytes(inputs), activation_bytes(inputs)
    if not inputs.accumulates:
        activations = max(activations - gradients, 0)
    weights = weight_bytes(inputs)
    optimizer = gradients + optimizer_state_bytes(inputs)
    return MemoryEstimate(
        weights_bytes=weights,
        optimizer_bytes=optimizer,
        activation_bytes=activations,
        overhead_bytes=_overhead(inputs.device, inputs.malloc_tuned, weights + optimizer + activations)
        + _kernel_bytes(inputs),
    )


def scoring_memory(plan: LlmPlan, costs: MemoryCosts, rows: int) -> MemoryEstimate:
    """Peak of scoring `rows` held-out rows at once, and of generating answers to as many.

    The weights as they are shipped: merged ones are not quantised. And the larger of: a forward pass, one
    layer at work and the logits; a cache of keys and values, 2·L·k·e per token of prompt and answer, with
    one layer's copied as it grows, and logits of the last tokens. Not measured.
    """
    run, facts = plan.execution, plan.model.facts
    precision = run.precision or "fp32"
    element = 4 if precision == "fp32" else 2
    whole = plan.adapter.type == "full" or plan.export.merge
    weights = base_weight_bytes(facts, precision, None if whole else plan.model.quantization_bits, costs)
    if not whole:
        weights += 4 * plan.model.trainable_parameters
    longest = longest_scored_row(plan)
    tokens = rows * longest
    layer = element * tokens * (4 * facts.hidden_size + 3 * facts.intermediate_size)
    working = layer + round(costs.score_bytes_per_logit * tokens * facts.vocab_size)
    if plan.evaluation.generate_rows:
        length = longest + plan.evaluation.max_new_tokens
        cache = 2 * element * _narrow(facts) * length * rows
        generating = cache * (facts.num_layers + 1) + layer + 8 * rows * facts.vocab_size
        working = max(working, generating)
    malloc_tuned = "MALLOC_TRIM_THRESHOLD_" in (run.environment or {})
    return MemoryEstimate(
        weights_bytes=weights,
        optimizer_bytes=0,
        activation_bytes=working,
        overhead_bytes=_overhead(run.device or "cpu", malloc_tuned, weights + working),
    )


def _overhead(device: str, malloc_tuned: bool, states: int) -> int:
    """The process itself and what its allocator wastes. CPU measured; the others not."""
    if device == "cpu":
        kept = 0.0 if malloc_tuned else GLIBC_FACTOR - 1
        return CPU_PROCESS_BYTES + round(kept * (CPU_PROCESS_BYTES + states))
    return CUDA_CONTEXT_BYTES + round((CUDA_ALLOCATOR_FACTOR - 1) * states)


def _kernel_bytes(inputs: DecoderInputs) -> int:
    """Kernels that are compiled for each width of a batch and kept, up to a limit: on a CPU in half precision."""
    costs = inputs.costs
    if inputs.device != "cpu" or inputs.precision == "fp32":
        return 0
    return costs.cpu_half_bytes_per_width * min(inputs.widths, costs.cpu_half_widths)
