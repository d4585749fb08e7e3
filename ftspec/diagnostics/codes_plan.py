"""FTS3xx resolve · 4xx passes · 5xx lowering."""

from ftspec.diagnostics.code import define

# --- 3xx resolve -----------------------------------------------------------------------------
MODEL_NOT_FOUND = define(
    "FTS301",
    "error",
    "base model cannot be found",
    "A base model is looked for in: a local path, the project's store, the hub cache, and installed\n"
    "Python packages that carry a model. `plan` never downloads; `ftspec models pull ID` does, from the hub.",
)
MODEL_NOT_READABLE = define(
    "FTS302",
    "error",
    "base model cannot be used",
    "The folder lacks config.json or safetensors weights, or they are damaged. Only safetensors are loaded.",
)
MODEL_DIGEST_MISMATCH = define(
    "FTS303",
    "error",
    "model weights are not the expected ones",
    "The digest of the weights differs from the one that this model is known by.",
)
SEQUENCE_TOO_LONG = define(
    "FTS304",
    "error",
    "max_seq_length is above the model's positions",
    "The model has no embedding for later positions, and crashes when the first long text comes.",
)
FREEZE_TOO_MANY = define(
    "FTS305",
    "error",
    "freezing leaves no layer to train",
    "Freezing all layers, or more than there are, trains nothing.",
)
DIMENSION_TOO_LARGE = define(
    "FTS306",
    "error",
    "Matryoshka dimension is above the embedding width",
    "Matryoshka dimensions are prefixes of the embedding, so none can be longer than it.",
)
OBJECTIVE_LACKS_ROLE = define(
    "FTS307",
    "error",
    "the objective needs a column that the data does not have",
    "contrastive reads query and positive; triplet also negatives; scored_pairs a score; binary_pairs a\n"
    "label; labelled_classes a text (query) and a label.",
)
OBJECTIVE_IGNORES_ROLE = define(
    "FTS308",
    "error",
    "the data has a column that the objective does not read",
    "A label that the loss ignores would train negatives as positives. Remove the role, or choose an\n"
    "objective that reads it.",
)
UNKNOWN_HARDWARE = define(
    "FTS309",
    "error",
    "unknown hardware profile",
    "`--hardware` takes the name of a shipped profile or a file written by `ftspec doctor --save`.",
)
BAD_HARDWARE = define("FTS310", "error", "hardware profile cannot be used", "The profile file has faults.")
UNKNOWN_MODULE = define(
    "FTS311",
    "error",
    "LoRA target module is not in the model",
    "A name in `lora.target_modules` matches no linear layer of the base model; the adapter would be empty.",
)
REMOTE_CODE = define(
    "FTS312",
    "error",
    "the model needs remote code",
    "config.json maps to Python code that comes with the model. It runs only when the spec says\n"
    "`model.trust_remote_code: true`.",
)
NO_LANGUAGE_MODEL = define(
    "FTS313",
    "error",
    "the base model cannot be fine-tuned as an LLM",
    "`kind: LLM` trains a decoder with full weights: one network of layers whose architecture ends in\n"
    "ForCausalLM. Encoders, mixtures of experts and weights that are quantised already are refused.",
)
MORE_LAYERS_THAN_MODEL = define(
    "FTS314",
    "error",
    "the model has fewer layers",
    "`adapter.layers` counts from the last layer of the base model back.",
)
WARM_START = define(
    "FTS315",
    "note",
    "training is a warm start",
    "The base is a model that was registered in this project. Training starts from its weights and from nothing\n"
    "else of it: not its learning-rate curve, its optimizer's state, or its place in the data. Rows that it was\n"
    "trained on count as seen where they come back in the evaluation. The model card says the same.",
)

# --- 4xx passes ------------------------------------------------------------------------------
NO_BACKEND = define(
    "FTS401", "error", "no backend can run this plan", "Each candidate and its reason stand in the detail."
)
UNSUPPORTED_FEATURE = define(
    "FTS402",
    "error",
    "the chosen backend does not support this",
    "Every accepted key is lowered, or refused here.",
)
DOES_NOT_FIT = define(
    "FTS403",
    "error",
    "the run does not fit into memory",
    "The smallest micro-batch that keeps the effective batch still needs more than the machine has.",
)
PRECISION_UNSUPPORTED = define(
    "FTS404",
    "error",
    "precision is not supported by this hardware",
    "bf16 needs avx512_bf16 or amx_bf16 on a CPU, compute capability 8.0 on NVIDIA; fp16 needs a GPU.",
)
DEVICE_MISSING = define(
    "FTS405", "error", "the device asked for is not on this machine", "See `ftspec doctor`."
)
BATCH_TOO_LARGE = define(
    "FTS406",
    "error",
    "fewer training rows than one batch",
    "An in-batch objective needs at least one full batch.",
)
APPROXIMATED = define(
    "FTS407", "warning", "the backend can only approximate this", "The plan says in which way."
)
MEMORY_UNKNOWN = define(
    "FTS408",
    "error",
    "the memory of the device is unknown",
    "Some devices that share the machine's memory do not say how much of it they may use. Write\n"
    "`resources.limits.memory` into the spec.",
)
BASE_NOT_READ = define(
    "FTS409",
    "error",
    "the backend does not read this base model",
    "Its library has no network for the `model_type` of config.json, or one that computes something else from\n"
    "the other settings there. `models` in the backend's target.yaml lists what it reads.",
)

# --- 5xx lowering ----------------------------------------------------------------------------
BAD_TARGET = define(
    "FTS501",
    "error",
    "backend description has faults",
    "`target.yaml` of a backend does not match its schema.",
)
NOT_LOWERED = define(
    "FTS502",
    "error",
    "a plan field is neither lowered nor declared ignored",
    "The backend's target.yaml must name it.",
)
EJECT_REFUSED = define(
    "FTS503",
    "error",
    "the run folder cannot be written there",
    "`ftspec eject` writes into a new or empty folder; files of yours are never written over.",
)
EMIT_ONLY = define(
    "FTS504",
    "error",
    "runs of this backend are written, not run",
    "`ftspec eject` writes the run folder; its launch script runs it where the backend is installed.",
)
