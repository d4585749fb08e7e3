"""FTS1xx source · 2xx schema."""

from ftspec.diagnostics.code import define

# --- 1xx source ------------------------------------------------------------------------------
FILE_NOT_READABLE = define(
    "FTS101",
    "error",
    "file cannot be read",
    "The path does not exist, is a folder, or may not be read. Paths in a spec are relative to the\n"
    "folder of that spec.",
)
NOT_YAML = define(
    "FTS102",
    "error",
    "not valid YAML",
    "The text could not be parsed as YAML 1.2. Tabs cannot indent; a value with `: ` or ` #` in it\n"
    "needs quotes.",
)
DUPLICATE_KEY = define(
    "FTS103",
    "error",
    "duplicate key",
    "The same key stands twice in one mapping. Most YAML readers keep the last one in silence;\n"
    "here it is an error, because one of the two values would be ignored.",
)
NOT_A_MAPPING = define(
    "FTS104",
    "error",
    "a spec is one mapping of keys to values",
    "The document is empty, a list, a scalar, or there is more than one document in the file.",
)
BAD_OVERLAY = define(
    "FTS105",
    "error",
    "`extends` cannot be followed",
    "`extends` names one file or a list of files, relative to the spec, without cycles. Mappings are\n"
    "merged key by key, lists and scalars are replaced, and `null` removes an inherited value.\n"
    "Relative paths of data, models and exports, also inherited ones, start at the folder of the spec\n"
    "that is given to the command.",
)
BAD_OVERRIDE = define(
    "FTS106",
    "error",
    "`--set` is not of the form path=value",
    "Write `--set train.learning_rate=2e-5`. The value is read as YAML and replaces what stands there;\n"
    "`null` removes it. A list item is named by its index, from 0: `data.train.0.path=rows.jsonl`.",
)
UNSUPPORTED_YAML = define(
    "FTS107",
    "error",
    "this YAML feature is not used in specs",
    "Anchors, aliases, merge keys and tags are refused: a reviewed file should read as it runs.\n"
    "Use `extends` to share parts between specs.",
)
MERGE_CONFLICT = define(
    "FTS108",
    "error",
    "a merge conflict was left in the file",
    "Git marks what it could not merge with lines of `<<<<<<<`, `=======` and `>>>>>>>`. Decide what stays.",
)

# --- 2xx schema ------------------------------------------------------------------------------
UNKNOWN_KIND = define(
    "FTS201",
    "error",
    "unknown apiVersion or kind",
    "A spec starts with `apiVersion: ftspec/v1` and a `kind` that this version knows.",
)
MISSING_KEY = define("FTS202", "error", "a required key is missing", "The schema names this key as required.")
UNKNOWN_KEY = define(
    "FTS203",
    "error",
    "unknown key",
    "Nothing is ignored in silence: a key that is not in the schema is an error.",
)
WRONG_TYPE = define("FTS204", "error", "wrong type", "The value has another type than the schema asks for.")
BAD_VALUE = define(
    "FTS205", "error", "value is not allowed here", "The value lies outside what the schema allows."
)
CONFLICTING_KEYS = define(
    "FTS206",
    "error",
    "these keys exclude each other",
    "Each of them decides the same thing; keep one.",
)
UNKNOWN_METRIC = define(
    "FTS207",
    "error",
    "unknown metric",
    "Metrics are `ndcg@k`, `recall@k`, `mrr@k`, `success@k`, `precision@k` and `map@k`, with k at most `evaluation.top_k`.",
)
GATE_WITHOUT_METRIC = define(
    "FTS208",
    "error",
    "gate on a metric that is not computed",
    "A gate reads what `evaluation.metrics` computes; add the metric there or remove the gate.",
)
NOT_FORMATTED = define("FTS209", "error", "file is not formatted", "Run `ftspec fmt FILE`.")
KEY_NEEDS_ANOTHER = define(
    "FTS210",
    "error",
    "this key needs another one",
    "On its own it would have no effect: what it acts on is switched off or left away.",
)
KEY_NOT_READ = define(
    "FTS211",
    "error",
    "this key is not read here",
    "Another setting of the spec makes it meaningless, and nothing is ignored in silence. Remove it, or\n"
    "change the other setting.",
)
REFERENCE_KEPT = define(
    "FTS212",
    "warning",
    "the environment reference stays text here",
    "`${env:NAME}` is a reference to a secret. It is never resolved into a spec or a plan, and nothing\n"
    "that reads this key resolves it later.",
)
NAME_TAKEN = define(
    "FTS213",
    "error",
    "another spec of the project has this name",
    "`metadata.name` is the name of the model. Two specs with one name make versions of one model, and whichever\n"
    "was applied last is current. Give one of them another name, or delete it; variants of a spec, too, are\n"
    "models of their own.",
)
