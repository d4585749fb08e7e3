"""FTS6xx store and run."""

from ftspec.diagnostics.code import define

LOCKED = define(
    "FTS601",
    "error",
    "the project is locked by another run",
    "Wait for it, or stop it. The holder stands in the detail.",
)
STALE_PLAN = define(
    "FTS602",
    "error",
    "the plan no longer matches its inputs",
    "Something that the plan was made from has moved; make a new plan and review it.",
)
PLAN_EDITED = define(
    "FTS603", "error", "the plan file was changed after it was made", "Its digest does not match its content."
)
PLAN_VERSION = define(
    "FTS604", "error", "the plan file has a version that cannot be read", "Make it again with this ftspec."
)
BACKEND_NOT_INSTALLED = define(
    "FTS605",
    "error",
    "the backend's packages are not installed",
    "`ftspec doctor` shows what is missing and the command that mends it.",
)
TRAINING_FAILED = define(
    "FTS606", "error", "training failed", "The last lines of the log stand in the detail."
)
LOSS_NAN = define("FTS607", "error", "the loss is not a number", "Lower the learning rate, or use fp32.")
LOSS_RISING = define(
    "FTS608",
    "error",
    "the loss rose during training",
    "The mean loss of the last quarter of the steps is above that of the first, by more than the scatter\n"
    "of single batches explains (Welch's test, one-sided 1 %): the run diverges. Lower the learning rate.",
)
EMBEDDING_COLLAPSE = define(
    "FTS609",
    "error",
    "the embeddings collapsed",
    "All texts have nearly the same embedding, so every ranking is noise. Lower the learning rate, and look\n"
    "whether the training pairs differ at all.",
)
INTERRUPTED = define(
    "FTS610", "error", "the run was interrupted", "`ftspec apply` again resumes from the last checkpoint."
)
LEDGER_UNREADABLE = define(
    "FTS611",
    "error",
    "the ledger cannot be opened",
    "`ftspec state rebuild` makes it again from the run records.",
)
ARTIFACT_DAMAGED = define(
    "FTS612", "error", "an artefact is missing or was changed", "`ftspec apply` makes it again."
)
SQL_FAILED = define(
    "FTS613", "error", "the query failed", "`ftspec sql` runs read-only DuckDB SQL over the ledger."
)
RUN_NOT_FOUND = define("FTS614", "error", "no such run", "`ftspec runs` lists them.")
REGISTERED_MODEL_NOT_FOUND = define("FTS615", "error", "no such model", "`ftspec models list` lists them.")
PLAN_NOT_READABLE = define(
    "FTS616", "error", "not a plan file", "A plan file is made by `ftspec plan --out FILE`."
)
NOT_ENOUGH_DISK = define("FTS617", "error", "not enough disk space", "Free some space, or move the project.")
FREEZE_INEFFECTIVE = define(
    "FTS618",
    "error",
    "frozen parameters do not match the plan",
    "The trainer counted another number of trainable parameters than was planned.",
)
LEDGER_DIFFERS = define(
    "FTS621",
    "error",
    "the ledger and the run records differ",
    "`ftspec state rebuild` makes the ledger again from the run records and artefacts.",
)
EVENTS_DAMAGED = define(
    "FTS623",
    "error",
    "events.jsonl has a line that cannot be read",
    "The programs of a run append one JSON object a line. Only an unfinished last line is expected.",
)
LEASE_TAKEN_OVER = define(
    "FTS624",
    "warning",
    "the lease of another process has expired",
    "Whoever writes to a project holds a lease, and renews it while it lives. This one's holder is gone, so the\n"
    "project was taken over from it. A holder on another machine is watched for a while before, as a note says.",
)
LEASE_LOST = define(
    "FTS625",
    "error",
    "the lease of the project was lost",
    "This process was silent for so long, for instance while the computer slept, that another one took the\n"
    "project over, or somebody removed its lease with `ftspec unlock`. It stopped, so that not two write.",
)
LEASE_NOT_FOUND = define("FTS626", "error", "no such lease", "`ftspec unlock` lists them.")
LOCK_DISAGREES = define(
    "FTS630",
    "error",
    "ftspec.lock and the project disagree",
    "The lock states the revision and digest of each model, the digest, rows and columns of each data source,\n"
    "and the versions of the packages that numbers depend on. `plan --locked`, which CI implies, refuses when\n"
    "one of them differs or is missing; otherwise it is a note. `ftspec lock` writes what is there now.",
)
LOCK_NOT_READABLE = define(
    "FTS631",
    "error",
    "ftspec.lock cannot be used",
    "It is written by `ftspec lock` and not by hand. A conflict of git in it is settled by taking either side\n"
    "and writing it anew: git checkout --ours ftspec.lock && ftspec lock",
)
LOCK_VERSION = define(
    "FTS632",
    "error",
    "ftspec.lock has a version that cannot be read",
    "A newer ftspec wrote it. Update ftspec, or write it again with this one: delete it, and `ftspec lock`.",
)
LOCK_MISSING = define(
    "FTS633",
    "error",
    "there is no ftspec.lock",
    "`plan --locked` compares with a lock that stands at the root of the project. `ftspec lock` writes it.\n"
    "Without the option, CI compares only where there is one.",
)
OTHER_HARDWARE = define(
    "FTS634",
    "note",
    "the plan was made on other hardware, which this machine can stand in for",
    "A saved plan runs exactly as it was planned wherever its device, processes, threads, precision and memory\n"
    "are there. Its predicted time is that of the machine that it was planned for.",
)
PLAN_ELSEWHEN = define(
    "FTS635",
    "note",
    "the plan was made in another state, which changes nothing in it",
    "What the plan rests on is bound by content and has not moved. The commit, or packages of another machine,\n"
    "are told for information.",
)
NO_CONTRACT = define(
    "FTS636",
    "note",
    "the plan file does not say what state it was made in",
    "`ftspec plan --out FILE` writes package versions, production and commit beside the plan. Output of\n"
    "`--format json`, plans of runs and files of older versions lack them: spec, models and data are compared,\n"
    "and these are not.",
)
EXPORT_REFUSED = define(
    "FTS640",
    "error",
    "the model cannot be copied there",
    "`ftspec models export` writes into a new or empty folder; `export.path` of a spec may also hold an\n"
    "earlier export, which is replaced. Other files are never written over.",
)

NOT_SEARCHABLE = define(
    "FTS641",
    "error",
    "this model does not search",
    "`ftspec query` asks models of kind Embedding; other kinds are loaded by their own libraries.",
)
MODEL_FORM = define(
    "FTS642",
    "error",
    "the model does not have this form",
    "A version of an LLM holds all weights (merged), an adapter, or both; `ftspec models show` tells.\n"
    "`ftspec models merge` makes the merged form of an adapter, where its backend can.",
)
OTHER_BASE = define(
    "FTS643",
    "error",
    "the adapter belongs to another base",
    "An adapter is the difference to the very weights that it was trained on; on others it is noise.",
)
LOSS_DIVERGED = define(
    "FTS650",
    "error",
    "the training diverged",
    "The mean loss of the last steps is above `train.checks.divergence_factor` times that of the first ones.\n"
    "The run ends at once, as such a model is of no use. Lower the learning rate, or warm up for longer.",
)
MERGE_DIFFERS = define(
    "FTS651",
    "error",
    "the merged model differs from base and adapter",
    "After a merge the written model is loaded again, and its logits on some training rows are compared with\n"
    "those of base and adapter. They are further apart than the rounding of the export's dtype explains.\n"
    "`export.merge: false` ships the adapter alone; `export.dtype: fp32` rounds least.",
)
TRAINABLE_DIFFERS = define(
    "FTS652",
    "error",
    "trainable parameters do not match the plan",
    "The backend would train another number of parameters than was planned, or `adapter.target_modules`\n"
    "name no layer of the model.",
)
BASE_MISREAD = define(
    "FTS653",
    "error",
    "the backend reads the base model differently",
    "Weights that the architecture needs are missing (they would be random), or a setting of config.json,\n"
    "such as the base of rotary positions, does not reach the backend's model. Its results would be those of\n"
    "another model.",
)
MERGE_FAILED = define(
    "FTS654",
    "error",
    "merging failed",
    "The program of the backend ended without a merged model; its last lines stand in the detail. Nothing\n"
    "was registered.",
)
CHECKPOINT_DROPPED = define(
    "FTS655",
    "warning",
    "training begins anew: its checkpoint is of another version",
    "The run was stopped under another version of ftspec, which wrote what it has to remember in another form.\n"
    "Its checkpoint is dropped, and all steps are done again.",
)
BACKEND_NOT_INSTALLABLE = define(
    "FTS660",
    "error",
    "the environment of a backend cannot be made",
    "`ftspec backends install` makes an environment below .ftspec/ from the exact versions that the backend\n"
    "names. The last lines of pip stand in the detail, and all of them in the log. Where pip cannot reach an\n"
    "index, `ftspec backends use NAME --python PATH` names an interpreter that has the packages.",
)
NO_REPOSITORY = define(
    "FTS670",
    "error",
    "no git repository",
    "A revision such as `HEAD~1:specs/x.yaml` or `--since origin/main` is read from the git repository that\n"
    "the files lie in. Nothing is ever written to it.",
)
UNKNOWN_REVISION = define(
    "FTS671",
    "error",
    "no such git revision",
    "A branch, a tag, a digest of a commit, or something like `HEAD~1` names a revision. A shallow clone\n"
    "holds only the last ones.",
)
NO_COMMON_COMMIT = define(
    "FTS675",
    "note",
    "two histories have no commit in common",
    "`--since REVISION` compares with the commit where the branch left the line of REVISION, so that what others\n"
    "did there since is no change of the branch. Where there is none, it compares with REVISION itself.",
)
NOT_COMPARABLE = define(
    "FTS673",
    "error",
    "these two cannot be compared",
    "`ftspec diff` compares specs, plan files, runs and revisions of them with each other, and a lock with a\n"
    "lock, or with the lock in a plan file.",
)
NOT_IN_REVISION = define(
    "FTS672",
    "error",
    "no such file in this git revision",
    "Paths after the colon of `REVISION:path` start at the top of the repository, as they do for git, or\n"
    "else at the folder that the command runs in.",
)
PLAN_FOLDER_TAKEN = define(
    "FTS674",
    "error",
    "a file in the folder for plan files is not ours",
    "`ftspec plan --all --out-dir DIR` replaces the plan files that SHA256SUMS in there lists, as long as they are\n"
    "as listed, SHA256SUMS itself and its own comment.md. Anything else that would be replaced stays, and nothing\n"
    "is written: give the plan files a folder of their own.",
)
NO_GITHUB_TOKEN = define(
    "FTS690",
    "error",
    "there is no token for GitHub",
    "`ftspec comment` reads it from the environment variable GITHUB_TOKEN and from nowhere else. In a\n"
    "workflow: `env: {GITHUB_TOKEN: ${{ github.token }}}`, with `permissions: {pull-requests: write}`.",
)
GITHUB_UNREACHABLE = define(
    "FTS691",
    "error",
    "GitHub cannot be reached",
    "The connection failed, or the service did not answer in time, also when it was asked again.",
)
COMMENT_REFUSED = define(
    "FTS692",
    "error",
    "GitHub refused the comment",
    "The token, its permissions, the repository, or the number of the pull request is not right; what GitHub\n"
    "said stands in the detail. Pull requests from forks get a token that cannot write.",
)
COMMENT_UNUSABLE = define(
    "FTS693",
    "error",
    "the text cannot be a comment",
    "A comment begins with a hidden marker in a line of its own, by which it is found and updated in place, and\n"
    "GitHub takes at most 65,536 characters. `ftspec plan --all --format markdown` keeps to both.",
)
ENVIRONMENTS_UNREADABLE = define(
    "FTS680",
    "error",
    "ftspec.environments.json cannot be used",
    "It says which version each environment points to, and moves by `ftspec promote` and `ftspec rollback`\n"
    "alone: every entry carries an id taken over its content. Restore it from git. Where git has none, delete it\n"
    "and run `ftspec state rebuild`, which writes it from the promotions that this clone recorded, and prints each\n"
    "pointer that this moves: promotions of other clones are known here only where the file once brought them.",
)
NOT_PROMOTED = define(
    "FTS681",
    "error",
    "the environment holds no such version",
    "`ftspec history NAME` lists what was promoted where.",
)
PROMOTED_DAMAGED = define(
    "FTS682",
    "error",
    "the files of a promoted model are missing or were changed",
    "They are not here, or no longer those that were promoted. A clone brings ftspec.environments.json, but no\n"
    "model: those stand in .ftspec where they were made. `ftspec rollback` goes back to the nearest earlier version\n"
    "that is whole, if there is one; it needs nothing of the damaged one.",
)
RUN_TAINTED = define(
    "FTS683",
    "error",
    "the run that made the model is tainted",
    "Its inputs changed while it ran, so nobody can say what the model was made from. Apply the spec again;\n"
    "`--allow-tainted` promotes it nevertheless, and that is recorded.",
)
SPACE_BREAK = define(
    "FTS684",
    "error",
    "the embedding space would change",
    "Vectors of two spaces (other weights, pooling, normalisation, prompts or dimension) cannot be compared:\n"
    "every index that was built with the present model must be built again, at the moment of the promotion.\n"
    "`--allow-space-break` says that this is taken care of, and is recorded.",
)
VERSION_PROMOTED = define(
    "FTS685",
    "error",
    "the version is promoted",
    "An environment points to it. Promote another version or roll back first, then delete it.",
)
ENVIRONMENT_MOVED = define(
    "FTS686",
    "error",
    "the environment moved meanwhile",
    "Another promotion or rollback came first, so the comparison is with a model that is no longer there.\n"
    "Nothing was changed; the same command again compares with the present one.",
)
HISTORY_ELSEWHERE = define(
    "FTS689",
    "note",
    "the history begins elsewhere",
    "ftspec.environments.json, which git brings, holds the present promotions. Those before are recorded in\n"
    ".ftspec/promotions where they were made; bring these files over, and they are known here too.",
)
POINTER_ELSEWHERE = define(
    "FTS695",
    "warning",
    "an environment is not where this clone last moved it",
    "The file can be used. git brought another one, with promotions of another clone or of another commit, or\n"
    "somebody put an older one in its place.",
)
CURRENT_MOVES = define(
    "FTS687",
    "note",
    "apply makes an earlier version current again",
    "The spec is one that was applied before, as after `git revert`, and its version is still registered. Nothing\n"
    "is trained: queries load that version again, and an export is made of it. Environments stay where they are.",
)
NOT_EXTENDED = define(
    "FTS688",
    "note",
    "training begins at its start, though a finished one is its beginning",
    "A training that is longer and else the same goes on from the last state of the shorter one, where that is\n"
    "stored and the rest is done on the same machine by the same packages and settings. On a CPU the weights are\n"
    "the same either way, to the last bit; on GPUs that was never compared. `ftspec gc` keeps the last state of the\n"
    "newest run of a spec.",
)
DRIFTED = define(
    "FTS694",
    "warning",
    "something moved under a model that is in use",
    "`ftspec drift` compares base model, data, files, packages, hardware and scores with those of the run that\n"
    "made the model. What is relevant is a warning; what is informational, a note.",
)
