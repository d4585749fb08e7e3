"""FTS7xx data."""

from ftspec.diagnostics.code import define

SOURCE_NOT_FOUND = define(
    "FTS701", "error", "data source cannot be read", "Paths are relative to the folder of the spec."
)
SOURCE_EMPTY = define(
    "FTS702", "error", "data source has no usable rows", "Nothing is left to train or evaluate on."
)
BAD_ROW = define(
    "FTS703", "error", "bad row", "`data.on_error: skip` leaves such rows out and counts them in the plan."
)
MISSING_COLUMN = define(
    "FTS704", "error", "column is not in the data", "A role names a column that the file does not have."
)
LEAKAGE = define(
    "FTS705",
    "error",
    "train and test share queries or positives",
    "A model is only better if it is better on what it never saw. Remove the shared rows, let ftspec\n"
    "drop them (`data.split.leakage: drop_train`), or let it hold out a split: leave `data.evaluation` away.",
)
SPLIT_EMPTY = define(
    "FTS706",
    "error",
    "a split is empty",
    "There are too few groups, queries or rows for the split asked for.",
)
LOW_DIVERSITY = define(
    "FTS707",
    "warning",
    "few distinct positives",
    "Many queries share few positives: the model learns those documents, not the task.",
)
ROWS_SKIPPED = define("FTS708", "warning", "rows were skipped", "`data.on_error: skip` leaves bad rows out.")
TRUNCATED_TEXTS = define(
    "FTS709", "warning", "texts are longer than max_seq_length", "The rest of them is not seen by the model."
)
CHAT_TEMPLATE_MISSING = define(
    "FTS710",
    "error",
    "the base has no chat template",
    "Chat rows become tokens by the template of the base: `chat_template.jinja`, or `chat_template` in\n"
    "tokenizer_config.json. Use the instruction-tuned version of the base, or prompt and completion rows.",
)
CHAT_TEMPLATE_FAILED = define(
    "FTS711",
    "error",
    "the chat template refuses a row",
    "The template of the base is a program of its own: many refuse a system message, or roles that do not\n"
    "alternate. Change the rows, or `data.on_error: skip` leaves those out and counts them.",
)
TEMPLATE_REWRITES = define(
    "FTS712",
    "error",
    "the chat template rewrites earlier turns",
    "What stands before an answer must be the same with and without what follows it, or tokens cannot be\n"
    "told apart by turn. `train.train_on: completions` trains the last answer only.",
)
ROW_TOO_LONG = define(
    "FTS713",
    "error",
    "a row is longer than max_seq_length",
    "`train.too_long: drop` leaves such rows out, `truncate` cuts their answers; both are counted.",
)
ROWS_TOO_LONG = define(
    "FTS714",
    "warning",
    "rows are left out, longer than max_seq_length",
    "A row that is too long is dropped (`train.too_long: drop`), and always when its prompt alone is.",
)
FEW_DOCUMENTS = define(
    "FTS715",
    "error",
    "too few documents for the distractors",
    "A RAFT row shows its oracle and `distractors` others, or one more of the others in its place.",
)
NO_END_TOKEN = define(
    "FTS716",
    "error",
    "the base has no end token",
    "Without one a model never learns to stop: `eos_token` in tokenizer_config.json names it.",
)
ANSWERS_NOT_FOUND = define(
    "FTS717",
    "warning",
    "answers are no span of their document",
    "An extractive answer quotes its document, so such questions are left out and counted.",
)
RUN_TOGETHER = define(
    "FTS718",
    "warning",
    "prompts and completions run together",
    "Without a chat template the completion is put behind the prompt as both are written: nothing is added\n"
    "between them, in training and when the model is asked.",
)
CONTROL_TOKENS = define(
    "FTS719",
    "warning",
    "texts hold control tokens of the base",
    "A tokenizer reads them as what they stand for: a text can end its own turn in mid-sentence, or begin another\n"
    "one. Prompts and completions that no chat template renders are taken as they are written.",
)

# Synthetic text (75x): what an endpoint does, and what it has not yet written.
SYNTH_MISSING = define(
    "FTS750",
    "error",
    "synthetic text is not made yet",
    "Plans never use the network. `ftspec synth SPEC` asks the endpoint, and stores every answer under\n"
    "`.ftspec/synth`; a run that was stopped goes on where it was.",
)
ENDPOINT_NOT_RUNNING = define(
    "FTS751",
    "error",
    "nothing answers at the endpoint",
    "The connection was refused, or the host is not known. Ollama is started by `ollama serve`, and listens\n"
    "at localhost:11434 unless OLLAMA_HOST says otherwise.",
)
ENDPOINT_NO_MODEL = define(
    "FTS752",
    "error",
    "the endpoint does not have this model",
    "`ftspec synth --check SPEC` lists the models it has; `ollama pull MODEL` adds one to Ollama.",
)
ENDPOINT_REFUSED = define(
    "FTS753",
    "error",
    "no valid key for the endpoint",
    "The server answered 401 or 403, or the environment variable that `api_key` refers to is not set. Keys\n"
    "are named by `${env:NAME}`; they are never written into a spec, a plan, a cache or a message.",
)
ENDPOINT_TIMED_OUT = define(
    "FTS754",
    "error",
    "the endpoint did not answer in time",
    "`timeout_seconds` is the longest wait for one reply. What was finished is kept.",
)
SYNTH_GARBAGE = define(
    "FTS755",
    "error",
    "the model's replies cannot be used",
    "Every reply is checked: the JSON asked for, quotes and answers word for word in the document. A reply\n"
    "that fails goes back to the model with the fault, and is left out after the third. Where none passes,\n"
    "the run stops: the model is too small for the task, or the server ignores the schema.",
)
ENDPOINT_FAILED = define(
    "FTS756",
    "error",
    "the endpoint reports an error",
    "Busy servers (429, 5xx) are asked again after a while, as Retry-After says; other errors end the run.\n"
    "What was finished is kept.",
)
ENDPOINT_LOST = define(
    "FTS757",
    "error",
    "the endpoint went away",
    "It answered before, and then broke off or refused to connect. What was finished is kept: run the same\n"
    "command again when the server is back.",
)
ENDPOINT_NOT_API = define(
    "FTS758",
    "error",
    "this URL is not the API asked for",
    "`endpoint` is the address of the server, with or without `/v1`; `api` says which language it speaks,\n"
    "`ollama` or `openai`.",
)
ENDPOINT_TLS = define(
    "FTS759",
    "error",
    "no trusted connection to the endpoint",
    "The certificate is not trusted, is for another name, or the server does not speak TLS. Certificates of\n"
    "your own authority are trusted when the system trusts them, or by SSL_CERT_FILE.",
)
