"""The one table of diagnostic codes. Codes are stable and never reused.

FTS1xx source · 2xx schema · 3xx resolve · 4xx passes · 5xx lowering · 6xx store and run ·
7xx data · 8xx evaluation
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """`summary` is a constant sentence; `explanation` is what `ftspec explain CODE` prints."""

    id: str
    severity: str
    summary: str
    explanation: str


_TABLE: dict[str, Code] = {}


def _code(id: str, severity: str, summary: str, explanation: str) -> Code:
    assert id not in _TABLE, f"{id} is defined twice"
    code = Code(id, severity, summary, explanation)
    _TABLE[id] = code
    return code


def find_code(id: str) -> Code | None:
    return _TABLE.get(id.upper())


def all_codes() -> tuple[Code, ...]:
    return tuple(_TABLE[id] for id in sorted(_TABLE))


# --- 1xx source -------------------------------------------------------------------------------
FILE_NOT_READABLE = _code(
    "FTS101",
    "error",
    "file cannot be read",
    "The path does not exist, is a folder, or may not be read. Paths in a spec are relative to the\n"
    "folder of that spec.",
)
NOT_YAML = _code(
    "FTS102",
    "error",
    "not valid YAML",
    "The text could not be parsed as YAML 1.2. Tabs cannot indent; a value with `: ` or ` #` in it\n"
    "needs quotes.",
)
DUPLICATE_KEY = _code(
    "FTS103",
    "error",
    "duplicate key",
    "The same key stands twice in one mapping. Most YAML readers keep the last one in silence;\n"
    "here it is an error, because one of the two values would be ignored.",
)
NOT_A_MAPPING = _code(
    "FTS104",
    "error",
    "a spec is one mapping of keys to values",
    "The document is empty, a list, a scalar, or there is more than one document in the file.",
)
BAD_OVERLAY = _code(
    "FTS105",
    "error",
    "`extends` cannot be followed",
    "`extends` names one file or a list of files, relative to the spec, without cycles. Mappings are\n"
    "merged key by key, lists and scalars are replaced, and `null` removes an inherited value.\n"
    "Relative paths of data, models and exports, also inherited ones, start at the folder of the spec\n"
    "that is given to the command.",
)
BAD_OVERRIDE = _code(
    "FTS106",
    "error",
    "`--set` is not of the form path=value",
    "Write `--set train.learning_rate=2e-5`. The value is read as YAML and replaces what stands there;\n"
    "`null` removes it. A list item is named by its index, from 0: `data.train.0.path=rows.jsonl`.",
)
UNSUPPORTED_YAML = _code(
    "FTS107",
    "error",
    "this YAML feature is not used in specs",
    "Anchors, aliases, merge keys and tags are refused: a reviewed file should read as it runs.\n"
    "Use `extends` to share parts between specs.",
)

# --- 2xx schema -------------------------------------------------------------------------------
UNKNOWN_KIND = _code(
    "FTS201",
    "error",
    "unknown apiVersion or kind",
    "A spec starts with `apiVersion: ftspec/v1` and a `kind` that this version knows.",
)
MISSING_KEY = _code("FTS202", "error", "a required key is missing", "The schema names this key as required.")
UNKNOWN_KEY = _code(
    "FTS203",
    "error",
    "unknown key",
    "Nothing is ignored in silence: a key that is not in the schema is an error.",
)
WRONG_TYPE = _code("FTS204", "error", "wrong type", "The value has another type than the schema asks for.")
BAD_VALUE = _code(
    "FTS205", "error", "value is not allowed here", "The value lies outside what the schema allows."
)
CONFLICTING_KEYS = _code(
    "FTS206",
    "error",
    "these keys exclude each other",
    "Each of them decides the same thing; keep one.",
)
UNKNOWN_METRIC = _code(
    "FTS207",
    "error",
    "unknown metric",
    "Metrics are `ndcg@k`, `recall@k`, `mrr@k`, `success@k`, `precision@k` and `map@k`, with k at most `evaluation.top_k`.",
)
GATE_WITHOUT_METRIC = _code(
    "FTS208",
    "error",
    "gate on a metric that is not computed",
    "A gate reads what `evaluation.metrics` computes; add the metric there or remove the gate.",
)
NOT_FORMATTED = _code("FTS209", "error", "file is not formatted", "Run `ftspec fmt FILE`.")
KEY_NEEDS_ANOTHER = _code(
    "FTS210",
    "error",
    "this key needs another one",
    "On its own it would have no effect: what it acts on is switched off or left away.",
)
KEY_NOT_READ = _code(
    "FTS211",
    "error",
    "this key is not read here",
    "Another setting of the spec makes it meaningless, and nothing is ignored in silence. Remove it, or\n"
    "change the other setting.",
)
REFERENCE_KEPT = _code(
    "FTS212",
    "warning",
    "the environment reference stays text here",
    "`${env:NAME}` is a reference to a secret. It is never resolved into a spec or a plan, and nothing\n"
    "that reads this key resolves it later.",
)

# --- 3xx resolve ------------------------------------------------------------------------------
MODEL_NOT_FOUND = _code(
    "FTS301",
    "error",
    "base model cannot be found",
    "A base model is looked for in: a local path, the project's store, the hub cache, and installed\n"
    "Python packages that carry a model. `plan` never downloads; `ftspec models pull ID` does, from the hub.",
)
MODEL_NOT_READABLE = _code(
    "FTS302",
    "error",
    "base model cannot be used",
    "The folder lacks config.json or safetensors weights, or they are damaged. Only safetensors are loaded.",
)
MODEL_DIGEST_MISMATCH = _code(
    "FTS303",
    "error",
    "model weights are not the expected ones",
    "The digest of the weights differs from the one that this model is known by.",
)
SEQUENCE_TOO_LONG = _code(
    "FTS304",
    "error",
    "max_seq_length is above the model's positions",
    "The model has no embedding for later positions, and crashes when the first long text comes.",
)
FREEZE_TOO_MANY = _code(
    "FTS305",
    "error",
    "freezing leaves no layer to train",
    "Freezing all layers, or more than there are, trains nothing.",
)
DIMENSION_TOO_LARGE = _code(
    "FTS306",
    "error",
    "Matryoshka dimension is above the embedding width",
    "Matryoshka dimensions are prefixes of the embedding, so none can be longer than it.",
)
OBJECTIVE_LACKS_ROLE = _code(
    "FTS307",
    "error",
    "the objective needs a column that the data does not have",
    "contrastive reads query and positive; triplet also negatives; scored_pairs a score; binary_pairs a\n"
    "label; labelled_classes a text (query) and a label.",
)
OBJECTIVE_IGNORES_ROLE = _code(
    "FTS308",
    "error",
    "the data has a column that the objective does not read",
    "A label that the loss ignores would train negatives as positives. Remove the role, or choose an\n"
    "objective that reads it.",
)
UNKNOWN_HARDWARE = _code(
    "FTS309",
    "error",
    "unknown hardware profile",
    "`--hardware` takes the name of a shipped profile or a file written by `ftspec doctor --save`.",
)
BAD_HARDWARE = _code("FTS310", "error", "hardware profile cannot be used", "The profile file has faults.")
UNKNOWN_MODULE = _code(
    "FTS311",
    "error",
    "LoRA target module is not in the model",
    "A name in `lora.target_modules` matches no linear layer of the base model; the adapter would be empty.",
)
REMOTE_CODE = _code(
    "FTS312",
    "error",
    "the model needs remote code",
    "config.json maps to Python code that comes with the model. It runs only when the spec says\n"
    "`model.trust_remote_code: true`.",
)
NO_LANGUAGE_MODEL = _code(
    "FTS313",
    "error",
    "the base model cannot be fine-tuned as an LLM",
    "`kind: LLM` trains a decoder with full weights: one network of layers whose architecture ends in\n"
    "ForCausalLM. Encoders, mixtures of experts and weights that are quantised already are refused.",
)
MORE_LAYERS_THAN_MODEL = _code(
    "FTS314",
    "error",
    "the model has fewer layers",
    "`adapter.layers` counts from the last layer of the base model back.",
)

# --- 4xx passes -------------------------------------------------------------------------------
NO_BACKEND = _code(
    "FTS401", "error", "no backend can run this plan", "Each candidate and its reason stand in the detail."
)
UNSUPPORTED_FEATURE = _code(
    "FTS402",
    "error",
    "the chosen backend does not support this",
    "Every accepted key is lowered, or refused here.",
)
DOES_NOT_FIT = _code(
    "FTS403",
    "error",
    "the run does not fit into memory",
    "The smallest micro-batch that keeps the effective batch still needs more than the machine has.",
)
PRECISION_UNSUPPORTED = _code(
    "FTS404",
    "error",
    "precision is not supported by this hardware",
    "bf16 needs avx512_bf16 or amx_bf16 on a CPU, compute capability 8.0 on NVIDIA; fp16 needs a GPU.",
)
DEVICE_MISSING = _code(
    "FTS405", "error", "the device asked for is not on this machine", "See `ftspec doctor`."
)
BATCH_TOO_LARGE = _code(
    "FTS406",
    "error",
    "fewer training rows than one batch",
    "An in-batch objective needs at least one full batch.",
)
APPROXIMATED = _code(
    "FTS407", "warning", "the backend can only approximate this", "The plan says in which way."
)
MEMORY_UNKNOWN = _code(
    "FTS408",
    "error",
    "the memory of the device is unknown",
    "Some devices that share the machine's memory do not say how much of it they may use. Write\n"
    "`resources.limits.memory` into the spec.",
)

# --- 5xx lowering -----------------------------------------------------------------------------
BAD_TARGET = _code(
    "FTS501",
    "error",
    "backend description has faults",
    "`target.yaml` of a backend does not match its schema.",
)
NOT_LOWERED = _code(
    "FTS502",
    "error",
    "a plan field is neither lowered nor declared ignored",
    "The backend's target.yaml must name it.",
)
EJECT_REFUSED = _code(
    "FTS503",
    "error",
    "the run folder cannot be written there",
    "`ftspec eject` writes into a new or empty folder; files of yours are never written over.",
)
EMIT_ONLY = _code(
    "FTS504",
    "error",
    "runs of this backend are written, not run",
    "`ftspec eject` writes the run folder; its launch script runs it where the backend is installed.",
)

# --- 6xx store and run ------------------------------------------------------------------------
LOCKED = _code(
    "FTS601",
    "error",
    "the project is locked by another run",
    "Wait for it, or stop it. The holder stands in the detail.",
)
STALE_PLAN = _code(
    "FTS602",
    "error",
    "the plan no longer matches its inputs",
    "Something that the plan was made from has moved; make a new plan and review it.",
)
PLAN_EDITED = _code(
    "FTS603", "error", "the plan file was changed after it was made", "Its digest does not match its content."
)
PLAN_VERSION = _code(
    "FTS604", "error", "the plan file has a version that cannot be read", "Make it again with this ftspec."
)
BACKEND_NOT_INSTALLED = _code(
    "FTS605",
    "error",
    "the backend's packages are not installed",
    "`ftspec doctor` shows what is missing and the command that mends it.",
)
TRAINING_FAILED = _code(
    "FTS606", "error", "training failed", "The last lines of the log stand in the detail."
)
LOSS_NAN = _code("FTS607", "error", "the loss is not a number", "Lower the learning rate, or use fp32.")
LOSS_RISING = _code(
    "FTS608",
    "error",
    "the loss rose during training",
    "The mean loss of the last quarter of the steps is above that of the first, by more than the scatter\n"
    "of single batches explains (Welch's test, one-sided 1 %): the run diverges. Lower the learning rate.",
)
EMBEDDING_COLLAPSE = _code(
    "FTS609",
    "error",
    "the embeddings collapsed",
    "All texts have nearly the same embedding, so every ranking is noise.",
)
INTERRUPTED = _code(
    "FTS610", "error", "the run was interrupted", "`ftspec apply` again resumes from the last checkpoint."
)
LEDGER_UNREADABLE = _code(
    "FTS611",
    "error",
    "the ledger cannot be opened",
    "`ftspec state rebuild` makes it again from the run records.",
)
ARTIFACT_DAMAGED = _code(
    "FTS612", "error", "an artefact is missing or was changed", "`ftspec apply` makes it again."
)
SQL_FAILED = _code(
    "FTS613", "error", "the query failed", "`ftspec sql` runs read-only DuckDB SQL over the ledger."
)
RUN_NOT_FOUND = _code("FTS614", "error", "no such run", "`ftspec runs` lists them.")
REGISTERED_MODEL_NOT_FOUND = _code("FTS615", "error", "no such model", "`ftspec models list` lists them.")
PLAN_NOT_READABLE = _code(
    "FTS616", "error", "not a plan file", "A plan file is made by `ftspec plan --out FILE`."
)
NOT_ENOUGH_DISK = _code("FTS617", "error", "not enough disk space", "Free some space, or move the project.")
FREEZE_INEFFECTIVE = _code(
    "FTS618",
    "error",
    "frozen parameters do not match the plan",
    "The trainer counted another number of trainable parameters than was planned.",
)
LEDGER_DIFFERS = _code(
    "FTS621",
    "error",
    "the ledger and the run records differ",
    "`ftspec state rebuild` makes the ledger again from the run records and artefacts.",
)
EVENTS_DAMAGED = _code(
    "FTS623",
    "error",
    "events.jsonl has a line that cannot be read",
    "The programs of a run append one JSON object a line. Only an unfinished last line is expected.",
)
EXPORT_REFUSED = _code(
    "FTS640",
    "error",
    "the model cannot be copied there",
    "`ftspec models export` writes into a new or empty folder; `export.path` of a spec may also hold an\n"
    "earlier export, which is replaced. Other files are never written over.",
)

NOT_SEARCHABLE = _code(
    "FTS641",
    "error",
    "this model does not search",
    "`ftspec query` asks models of kind Embedding; other kinds are loaded by their own libraries.",
)
MODEL_FORM = _code(
    "FTS642",
    "error",
    "the model does not have this form",
    "A version of an LLM holds all weights (merged), an adapter, or both; `ftspec models show` tells.\n"
    "`ftspec models merge` makes the merged form of an adapter, where its backend can.",
)
OTHER_BASE = _code(
    "FTS643",
    "error",
    "the adapter belongs to another base",
    "An adapter is the difference to the very weights that it was trained on; on others it is noise.",
)
LOSS_DIVERGED = _code(
    "FTS650",
    "error",
    "the training diverged",
    "The mean loss of the last steps is above `train.checks.divergence_factor` times that of the first ones.\n"
    "The run ends at once, as such a model is of no use. Lower the learning rate, or warm up for longer.",
)
MERGE_DIFFERS = _code(
    "FTS651",
    "error",
    "the merged model differs from base and adapter",
    "After a merge the written model is loaded again, and its logits on some training rows are compared with\n"
    "those of base and adapter. They are further apart than the rounding of the export's dtype explains.\n"
    "`export.merge: false` ships the adapter alone; `export.dtype: fp32` rounds least.",
)
TRAINABLE_DIFFERS = _code(
    "FTS652",
    "error",
    "trainable parameters do not match the plan",
    "The backend would train another number of parameters than was planned, or `adapter.target_modules`\n"
    "name no layer of the model.",
)
BASE_MISREAD = _code(
    "FTS653",
    "error",
    "the backend reads the base model differently",
    "Weights that the architecture needs are missing (they would be random), or a setting of config.json,\n"
    "such as the base of rotary positions, does not reach the backend's model. Its results would be those of\n"
    "another model.",
)
MERGE_FAILED = _code(
    "FTS654",
    "error",
    "merging failed",
    "The program of the backend ended without a merged model; its last lines stand in the detail. Nothing\n"
    "was registered.",
)
BACKEND_NOT_INSTALLABLE = _code(
    "FTS660",
    "error",
    "the environment of a backend cannot be made",
    "`ftspec backends install` makes an environment below .ftspec/ from the exact versions that the backend\n"
    "names. The last lines of pip stand in the detail, and all of them in the log. Where pip cannot reach an\n"
    "index, `ftspec backends use NAME --python PATH` names an interpreter that has the packages.",
)

# --- 7xx data ---------------------------------------------------------------------------------
SOURCE_NOT_FOUND = _code(
    "FTS701", "error", "data source cannot be read", "Paths are relative to the folder of the spec."
)
SOURCE_EMPTY = _code(
    "FTS702", "error", "data source has no usable rows", "Nothing is left to train or evaluate on."
)
BAD_ROW = _code(
    "FTS703", "error", "bad row", "`data.on_error: skip` leaves such rows out and counts them in the plan."
)
MISSING_COLUMN = _code(
    "FTS704", "error", "column is not in the data", "A role names a column that the file does not have."
)
LEAKAGE = _code(
    "FTS705",
    "error",
    "train and test share queries or positives",
    "A model is only better if it is better on what it never saw. Remove the shared rows, let ftspec\n"
    "drop them (`data.split.leakage: drop_train`), or let it hold out a split: leave `data.evaluation` away.",
)
SPLIT_EMPTY = _code(
    "FTS706",
    "error",
    "a split is empty",
    "There are too few groups, queries or rows for the split asked for.",
)
LOW_DIVERSITY = _code(
    "FTS707",
    "warning",
    "few distinct positives",
    "Many queries share few positives: the model learns those documents, not the task.",
)
ROWS_SKIPPED = _code("FTS708", "warning", "rows were skipped", "`data.on_error: skip` leaves bad rows out.")
TRUNCATED_TEXTS = _code(
    "FTS709", "warning", "texts are longer than max_seq_length", "The rest of them is not seen by the model."
)
CHAT_TEMPLATE_MISSING = _code(
    "FTS710",
    "error",
    "the base has no chat template",
    "Chat rows become tokens by the template of the base: `chat_template.jinja`, or `chat_template` in\n"
    "tokenizer_config.json. Use the instruction-tuned version of the base, or prompt and completion rows.",
)
CHAT_TEMPLATE_FAILED = _code(
    "FTS711",
    "error",
    "the chat template refuses a row",
    "The template of the base is a program of its own: many refuse a system message, or roles that do not\n"
    "alternate. Change the rows, or `data.on_error: skip` leaves those out and counts them.",
)
TEMPLATE_REWRITES = _code(
    "FTS712",
    "error",
    "the chat template rewrites earlier turns",
    "What stands before an answer must be the same with and without what follows it, or tokens cannot be\n"
    "told apart by turn. `train.train_on: completions` trains the last answer only.",
)
ROW_TOO_LONG = _code(
    "FTS713",
    "error",
    "a row is longer than max_seq_length",
    "`train.too_long: drop` leaves such rows out, `truncate` cuts their answers; both are counted.",
)
ROWS_TOO_LONG = _code(
    "FTS714",
    "warning",
    "rows are left out, longer than max_seq_length",
    "A row that is too long is dropped (`train.too_long: drop`), and always when its prompt alone is.",
)
FEW_DOCUMENTS = _code(
    "FTS715",
    "error",
    "too few documents for the distractors",
    "A RAFT row shows its oracle and `distractors` others, or one more of the others in its place.",
)
NO_END_TOKEN = _code(
    "FTS716",
    "error",
    "the base has no end token",
    "Without one a model never learns to stop: `eos_token` in tokenizer_config.json names it.",
)
ANSWERS_NOT_FOUND = _code(
    "FTS717",
    "warning",
    "answers are no span of their document",
    "An extractive answer quotes its document, so such questions are left out and counted.",
)
RUN_TOGETHER = _code(
    "FTS718",
    "warning",
    "prompts and completions run together",
    "Without a chat template the completion is put behind the prompt as both are written: nothing is added\n"
    "between them, in training and when the model is asked.",
)

# Synthetic text (75x): what an endpoint does, and what it has not yet written.
SYNTH_MISSING = _code(
    "FTS750",
    "error",
    "synthetic text is not made yet",
    "Plans never use the network. `ftspec synth SPEC` asks the endpoint, and stores every answer under\n"
    "`.ftspec/synth`; a run that was stopped goes on where it was.",
)
ENDPOINT_NOT_RUNNING = _code(
    "FTS751",
    "error",
    "nothing answers at the endpoint",
    "The connection was refused, or the host is not known. Ollama is started by `ollama serve`, and listens\n"
    "at localhost:11434 unless OLLAMA_HOST says otherwise.",
)
ENDPOINT_NO_MODEL = _code(
    "FTS752",
    "error",
    "the endpoint does not have this model",
    "`ftspec synth --check SPEC` lists the models it has; `ollama pull MODEL` adds one to Ollama.",
)
ENDPOINT_REFUSED = _code(
    "FTS753",
    "error",
    "no valid key for the endpoint",
    "The server answered 401 or 403, or the environment variable that `api_key` refers to is not set. Keys\n"
    "are named by `${env:NAME}`; they are never written into a spec, a plan, a cache or a message.",
)
ENDPOINT_TIMED_OUT = _code(
    "FTS754",
    "error",
    "the endpoint did not answer in time",
    "`timeout_seconds` is the longest wait for one reply. What was finished is kept.",
)
SYNTH_GARBAGE = _code(
    "FTS755",
    "error",
    "the model's replies cannot be used",
    "Every reply is checked: the JSON asked for, quotes and answers word for word in the document. A reply\n"
    "that fails goes back to the model with the fault, and is left out after the third. Where none passes,\n"
    "the run stops: the model is too small for the task, or the server ignores the schema.",
)
ENDPOINT_FAILED = _code(
    "FTS756",
    "error",
    "the endpoint reports an error",
    "Busy servers (429, 5xx) are asked again after a while, as Retry-After says; other errors end the run.\n"
    "What was finished is kept.",
)
ENDPOINT_LOST = _code(
    "FTS757",
    "error",
    "the endpoint went away",
    "It answered before, and then broke off or refused to connect. What was finished is kept: run the same\n"
    "command again when the server is back.",
)
ENDPOINT_NOT_API = _code(
    "FTS758",
    "error",
    "this URL is not the API asked for",
    "`endpoint` is the address of the server, with or without `/v1`; `api` says which language it speaks,\n"
    "`ollama` or `openai`.",
)
ENDPOINT_TLS = _code(
    "FTS759",
    "error",
    "no trusted connection to the endpoint",
    "The certificate is not trusted, is for another name, or the server does not speak TLS. Certificates of\n"
    "your own authority are trusted when the system trusts them, or by SSL_CERT_FILE.",
)

# --- 8xx evaluation ---------------------------------------------------------------------------
GATE_FAILED = _code("FTS801", "error", "a gate failed", "The base model stays in place.")
GATE_INCONCLUSIVE = _code(
    "FTS802",
    "error",
    "a gate is inconclusive",
    "The interval holds both outcomes: more held-out queries would decide.",
)
FEW_QUERIES = _code(
    "FTS803", "warning", "few held-out queries", "Only large gains can be told from noise with so few."
)
METRIC_WITHOUT_ROWS = _code(
    "FTS804",
    "error",
    "no held-out row defines this metric",
    "Exact match needs rows with `answers`; citations need rows made from documents, refusals such rows\n"
    "without their document; all of them need generated answers (`evaluation.generate_rows`).",
)
