"""What a change of a spec costs: categories in the order of their cost, and one rule for every key.

From `extend` on other weights come out; below it the weights are the same, whichever stages run again. A key
without a rule counts as `retrain`, and a test fails on it. A rule says the usual case; its exceptions are
conditions on the two plans, which `plan.conditions` decides. Paths are those of the spec: `*` stands for the
index of a source or the name of a metric, `#content` for what lies at the place that the value names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """Cheapest first."""

    METADATA = "metadata"
    REALISATION = "realisation"
    EVALUATION = "evaluation"
    EXPORT = "export"
    EXTEND = "extend"
    WARM_START = "warm-start"
    RETRAIN = "retrain"
    SPACE_BREAK = "space-break"


MEANING = {
    Category.METADATA: "Words for people, or another name for the same thing: nothing runs.",
    Category.REALISATION: "The same model, by other settings of the machine.",
    Category.EVALUATION: "The same model is measured or judged otherwise.",
    Category.EXPORT: "The same model in another form, under another name, or at another place.",
    Category.EXTEND: "The same training, longer: the old run is a prefix of the new one.",
    Category.WARM_START: "A new training that starts from a model of this project.",
    Category.RETRAIN: "Other weights: training runs from the base model.",
    Category.SPACE_BREAK: "Other embeddings by design: indexes and thresholds made before are invalid.",
}


def cost(category: Category) -> int:
    """The place in the order; more is costlier."""
    return tuple(Category).index(category)


class Condition(StrEnum):
    """What has to be known of both plans; without them the usual case holds."""

    SAME_MODEL = "same_model"  # both names lead to the same files
    SAME_DATA = "same_data"  # both paths lead to the same content
    OF_THIS_PROJECT = "of_this_project"  # the new base is a registered model, of the same form
    PREFIX = "prefix"  # the old training is a prefix of the new one
    PREFIXES_KEPT = "prefixes_kept"  # every dimension that indexes may hold is still trained
    PICKS_CHECKPOINT = "picks_checkpoint"  # the primary metric chooses the weights, and is another one
    VALIDATED = "validated"  # the validation side is drawn by the same limits, and chooses the weights
    DROPS_TRAIN = "drops_train"  # training rows that share a text with the evaluation are dropped
    SCORED_HERE = "scored_here"  # scores belong to the machine or the backend that made them


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An exception of a rule: where `condition` holds, the change is of this category instead."""

    condition: Condition
    category: Category
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    path: str
    category: Category
    why: str
    kinds: tuple[str, ...]
    cases: tuple[Case, ...] = ()


METADATA, REALISATION, EVALUATION, EXPORT = Category.METADATA, Category.REALISATION, Category.EVALUATION, Category.EXPORT  # fmt: skip
RETRAIN, SPACE_BREAK = Category.RETRAIN, Category.SPACE_BREAK

_E, _L = ("Embedding",), ("LLM",)
_BOTH = (*_E, *_L)

_SAME_MODEL = Case(
    condition=Condition.SAME_MODEL, category=METADATA, why="Another name for the very same model files."
)
_SAME_DATA = Case(
    condition=Condition.SAME_DATA, category=METADATA, why="Another path to the very same content."
)
_WARM = Case(
    condition=Condition.OF_THIS_PROJECT,
    category=Category.WARM_START,
    why="The new base is a model of this project, of the same form: training starts from its weights.",
)
_PREFIX = Case(
    condition=Condition.PREFIX,
    category=Category.EXTEND,
    why="Same learning-rate curve, sample order, batch, optimizer and data up to the end of the shorter run.",
)
_KEPT = Case(
    condition=Condition.PREFIXES_KEPT,
    category=RETRAIN,
    why="Every dimension that an index may hold is still trained.",
)
_PICKS = Case(
    condition=Condition.PICKS_CHECKPOINT,
    category=RETRAIN,
    why="The first metric picks the checkpoint that is kept.",
)
_VALIDATED = Case(
    condition=Condition.VALIDATED,
    category=RETRAIN,
    why="The validation side is drawn by the same limits, and it picks the checkpoint.",
)
_DROPS = Case(
    condition=Condition.DROPS_TRAIN,
    category=RETRAIN,
    why="With `leakage: drop_train` the evaluation data decides which training rows are left.",
)
_HERE = Case(
    condition=Condition.SCORED_HERE,
    category=EVALUATION,
    why="The same model; what was measured belongs to the machine and the backend that measured it, and is measured again.",
)  # fmt: skip


def _rule(path: str, category: Category, why: str, kinds: tuple[str, ...] = _BOTH, *cases: Case) -> Rule:
    return Rule(path=path, category=category, why=why, kinds=kinds, cases=cases)


_SPEC = (
    _rule("kind", SPACE_BREAK, "Another kind of model."),
    _rule("metadata.name", EXPORT, "The model is registered under another name; versions of the old name stay."),
    _rule("metadata.description", METADATA, "A sentence for people."),
    _rule("metadata.labels", METADATA, "Labels are for people and lists."),
    _rule("model.base", SPACE_BREAK, "Another base model has other embeddings.", _E, _SAME_MODEL, _WARM),
    _rule("model.base", RETRAIN, "Training starts from other weights.", _L, _SAME_MODEL, _WARM),
    _rule("model.base#content", SPACE_BREAK, "The files of the base model changed under the same name.", _E),
    _rule("model.base#content", RETRAIN, "The files of the base model changed under the same name.", _L),
    _rule("model.revision", SPACE_BREAK, "Another revision is another base model.", _E, _SAME_MODEL),
    _rule("model.revision", RETRAIN, "Another revision is another base model.", _L, _SAME_MODEL),
    _rule("model.max_seq_length", SPACE_BREAK, "Longer texts are cut elsewhere, so their embeddings change.", _E),
    _rule("model.max_seq_length", RETRAIN, "Rows are cut, dropped or packed otherwise.", _L),
    _rule("model.prompts.query", SPACE_BREAK, "Every query is embedded with another text before it.", _E),
    _rule("model.prompts.document", SPACE_BREAK, "Every document is embedded with another text before it.", _E),
    _rule("model.pooling", SPACE_BREAK, "Embeddings are made from token vectors in another way.", _E),
    _rule("model.similarity", SPACE_BREAK, "Scores of stored vectors are computed, and normalised, otherwise.", _E),
    _rule("model.freeze", RETRAIN, "Other weights are trained.", _E),
    _rule("model.freeze.embeddings", RETRAIN, "Other weights are trained.", _E),
    _rule("model.freeze.layers", RETRAIN, "Other weights are trained.", _E),
    _rule("model.freeze.fraction", RETRAIN, "Other weights are trained.", _E),
    _rule("model.lora", RETRAIN, "Adapters are trained in place of the weights, or the weights again.", _E),
    _rule("model.lora.r", RETRAIN, "Adapters of another rank are other weights.", _E),
    _rule("model.lora.alpha", RETRAIN, "The scale of the adapters is part of what they learn.", _E),
    _rule("model.lora.dropout", RETRAIN, "Dropout changes every step.", _E),
    _rule("model.lora.target_modules", RETRAIN, "Other layers are trained.", _E),
    _rule("model.quantization", RETRAIN, "The frozen base computes with other weights.", _L),
    _rule("model.quantization.bits", RETRAIN, "The frozen base computes with other weights.", _L),
    _rule("model.attention", REALISATION, "Another kernel of the same attention.", _L),
    _rule("model.trust_remote_code", REALISATION, "Whether the model's code may run; its weights are told by their digest."),
    _rule("adapter.type", RETRAIN, "What is trained is of another form.", _L),
    _rule("adapter.r", RETRAIN, "Adapters of another rank are other weights.", _L),
    _rule("adapter.alpha", RETRAIN, "The scale of the adapters is part of what they learn.", _L),
    _rule("adapter.dropout", RETRAIN, "Dropout changes every step.", _L),
    _rule("adapter.target_modules", RETRAIN, "Other layers are trained.", _L),
    _rule("adapter.layers", RETRAIN, "Other layers are trained.", _L),
    _rule("data.evaluation", RETRAIN, "Evaluation rows are given, or held out of the training rows."),
    _rule("data.filters.min_query_chars", RETRAIN, "Other rows are left out of training.", _E),
    _rule("data.filters.max_query_chars", RETRAIN, "Other rows are left out of training.", _E),
    _rule("data.filters.min_document_chars", RETRAIN, "Other rows are left out of training.", _E),
    _rule("data.filters.max_document_chars", RETRAIN, "Other rows are left out of training.", _E),
    _rule("data.filters.deduplicate", RETRAIN, "Other rows are left out of training."),
    _rule("data.limit.train", RETRAIN, "Another sample of the training rows."),
    _rule("data.limit.test_queries", EVALUATION, "Another sample of the held-out queries.", _E, _VALIDATED),
    _rule("data.limit.test_documents", EVALUATION, "Another sample of the documents to rank.", _E, _VALIDATED),
    _rule("data.limit.test", EVALUATION, "Another sample of the held-out rows.", _L),
    _rule("data.split.by", RETRAIN, "Other rows are held out of training."),
    _rule("data.split.test", RETRAIN, "More or fewer rows are held out of training."),
    _rule("data.split.validation", RETRAIN, "More or fewer rows are held out of training."),
    _rule("data.split.seed", RETRAIN, "Other rows are held out of training, and samples are drawn anew."),
    _rule("data.split.leakage", RETRAIN, "Training rows that share a text with the evaluation are dropped, or refused."),
    _rule("data.on_error", RETRAIN, "Bad rows are left out, or refused."),
    _rule("train.objective.type", RETRAIN, "The model learns something else.", _E),
    _rule("train.objective.temperature", RETRAIN, "The loss is another one.", _E),
    _rule("train.objective.symmetric", RETRAIN, "The loss is another one.", _E),
    _rule("train.objective.mask_positives", RETRAIN, "The loss is another one.", _E),
    _rule("train.objective.margin", RETRAIN, "The loss is another one.", _E),
    _rule("train.objective.distance", RETRAIN, "The loss is another one.", _E),
    _rule("train.objective.loss", RETRAIN, "The loss is another one.", _E),
    _rule("train.matryoshka", SPACE_BREAK, "Prefixes of the embedding are no longer made to stand alone.", _E, _KEPT),
    _rule("train.matryoshka.dimensions", SPACE_BREAK, "An index of a dimension that is left out is invalid.", _E, _KEPT),
    _rule("train.matryoshka.weights", RETRAIN, "The loss is another one.", _E),
    _rule("train.train_on", RETRAIN, "Other tokens are learned.", _L),
    _rule("train.packing", RETRAIN, "Rows are put into batches otherwise.", _L),
    _rule("train.too_long", RETRAIN, "Long rows are dropped, cut, or refused.", _L),
    _rule("train.global_batch_size", RETRAIN, "Every step sees other rows."),
    _rule("train.num_train_epochs", RETRAIN, "The learning-rate curve is stretched over another number of steps.", _BOTH, _PREFIX),
    _rule("train.max_steps", RETRAIN, "The learning-rate curve is stretched over another number of steps.", _BOTH, _PREFIX),
    _rule("train.learning_rate", RETRAIN, "Every step has another size."),
    _rule("train.lr_scheduler_type", RETRAIN, "The learning rate takes another course.", _BOTH, _PREFIX),
    _rule("train.lr_num_cycles", RETRAIN, "The learning rate takes another course."),
    _rule("train.warmup_ratio", RETRAIN, "The learning rate rises for another number of steps.", _BOTH, _PREFIX),
    _rule("train.warmup_steps", RETRAIN, "The learning rate rises for another number of steps.", _BOTH, _PREFIX),
    _rule("train.weight_decay", RETRAIN, "The optimizer takes other steps."),
    _rule("train.max_grad_norm", RETRAIN, "The optimizer takes other steps."),
    _rule("train.optim", RETRAIN, "The optimizer takes other steps."),
    _rule("train.seed", RETRAIN, "Another sample order, and other random numbers."),
    _rule("train.early_stopping", RETRAIN, "When training stops, and at which weights.", _E),
    _rule("train.early_stopping.metric", RETRAIN, "When training stops, and at which weights.", _E),
    _rule("train.early_stopping.patience", RETRAIN, "When training stops, and at which weights.", _E),
    _rule("train.early_stopping.min_delta", RETRAIN, "When training stops, and at which weights.", _E),
    _rule("train.keep_best", RETRAIN, "Another checkpoint is kept.", _E),
    _rule("train.eval_steps", RETRAIN, "Other checkpoints are looked at, and they are part of what identifies a training."),
    _rule("train.save_steps", REALISATION, "How often the state is saved; the last weights are the same."),
    _rule("train.logging_steps", REALISATION, "How often the loss is written down."),
    _rule("train.checks.rising_loss", EVALUATION, "The same training is judged otherwise; the stage that judges it trains, too."),
    _rule("train.checks.collapse", EVALUATION, "The same training is judged otherwise; the stage that judges it trains, too.", _E),
    _rule("train.checks.max_mean_cosine", EVALUATION, "The same training is judged otherwise; the stage that judges it trains, too.", _E),
    _rule("train.checks.divergence", EVALUATION, "The same training is judged otherwise; the stage that judges it trains, too.", _L),
    _rule("train.checks.divergence_factor", EVALUATION, "The same training is judged otherwise; the stage that judges it trains, too.", _L),
    _rule("evaluation.metrics", EVALUATION, "Stored rankings and answers are scored otherwise.", _BOTH, _PICKS),
    _rule("evaluation.top_k", EVALUATION, "Rankings of another depth.", _E),
    _rule("evaluation.slices", EVALUATION, "Results are reported by other columns; the training rows stay the same."),
    _rule("evaluation.baseline", EVALUATION, "The result is compared with another model.", _E),
    _rule("evaluation.baseline#content", EVALUATION, "The files of the baseline changed under the same name.", _E),
    _rule("evaluation.bootstrap.resamples", EVALUATION, "Intervals are computed otherwise."),
    _rule("evaluation.bootstrap.confidence", EVALUATION, "Intervals are computed otherwise."),
    _rule("evaluation.bootstrap.seed", EVALUATION, "Intervals are computed otherwise."),
    _rule("evaluation.latency_queries", EVALUATION, "Latency is measured otherwise.", _E),
    _rule("evaluation.generate_rows", EVALUATION, "Both models write answers for other rows.", _L),
    _rule("evaluation.max_new_tokens", EVALUATION, "Answers end elsewhere.", _L),
    _rule("gates.*", EVALUATION, "The same numbers are judged otherwise."),
    _rule("gates.*.min", EVALUATION, "The same numbers are judged otherwise."),
    _rule("gates.*.max", EVALUATION, "The same numbers are judged otherwise."),
    _rule("gates.*.min_gain", EVALUATION, "The same numbers are judged otherwise."),
    _rule("gates.*.confidence", EVALUATION, "The same numbers are judged otherwise."),
    _rule("gates.*.p50_max", EVALUATION, "The same numbers are judged otherwise."),
    _rule("gates.*.p95_max", EVALUATION, "The same numbers are judged otherwise."),
    _rule("resources.backend", REALISATION, "Another backend makes the same model.", _BOTH, _HERE),
    _rule("resources.precision", REALISATION, "Other arithmetic of the same steps.", _BOTH, _HERE),
    _rule("resources.device", REALISATION, "The same steps on another device.", _BOTH, _HERE),
    _rule("resources.num_processes", REALISATION, "The same batch, shared by other processes."),
    _rule("resources.limits.memory", REALISATION, "The same batch, in other parts."),
    _rule("resources.limits.threads", REALISATION, "The same steps at another speed.", _BOTH, _HERE),
    _rule("export.dtype", EXPORT, "The same weights in another number format; the stage that writes them trains, too."),
    _rule("export.merge_lora", EXPORT, "The same weights, merged or apart; the stage that writes them trains, too.", _E),
    _rule("export.merge", EXPORT, "The same weights, merged or apart; the stage that writes them trains, too.", _L),
    _rule("export.path", EXPORT, "The model is copied to another place."),
    # Of the world, not of the spec.
    _rule("machine", REALISATION, "The plan is made for another machine.", _BOTH, _HERE),
    _rule("packages.*", REALISATION, "The same plan, computed by other versions of the backend's packages."),
    _rule("lock.models.*", SPACE_BREAK, "A name leads to other model files: whatever starts from it is another model."),
    _rule("lock.data.*", RETRAIN, "A path leads to other rows; where it is evaluation data, nothing is retrained."),
    _rule("lock.packages.*", REALISATION, "The same plan, computed by other versions of the backend's packages."),
    _rule("ftspec", RETRAIN, "This version of ftspec trains otherwise, or one of the plans was made by another one."),
)  # fmt: skip

# Below a source. What decides its rows decides the weights, where the source is one of training.
_ROWS = "Other rows, or other texts in them."
_WRITTEN = "The model that writes is asked otherwise, so other rows come back."
_ASKED = "Where, how fast and at what price the model that writes is asked: the text is the same."
_SOURCE_ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("", _BOTH), (".format", _BOTH), ("#content", _BOTH),
    (".include", _E), (".exclude", _E), (".split", _E),
    (".roles.query", _E), (".roles.positive", _E), (".roles.negatives", _E), (".roles.label", _E),
    (".roles.score", _E), (".roles.text", _E), (".roles.group", _BOTH), (".roles.id", _BOTH),
    (".roles.messages", _L), (".roles.tools", _L), (".roles.answers", _L), (".roles.prompt", _L),
    (".roles.completion", _L), (".render", _L),
    (".documents.format", _L), (".documents.roles.id", _L), (".documents.roles.text", _L),
    (".documents.roles.title", _L),
    (".questions", _L), (".questions.format", _L), (".questions.roles.question", _L),
    (".questions.roles.answers", _L), (".questions.roles.document", _L), (".questions.roles.group", _L),
    (".questions.roles.id", _L),
    (".distractors", _L), (".oracle_probability", _L), (".retriever", _L), (".when_absent", _L),
    (".answers", _L), (".prompt", _L), (".seed", _L),
)  # fmt: skip
_SOURCE_PATHS = ((".path", _BOTH), (".documents.path", _L), (".questions.path", _L))
_SYNTH_WRITTEN = (
    "", ".model", ".per_document", ".limit", ".instruction", ".examples", ".temperature", ".seed", ".max_tokens",
    ".max_document_chars", ".judge", ".judge.model", ".judge.min_score", ".round_trip",
)  # fmt: skip
_SYNTH_ASKED = (
    ".endpoint", ".api", ".api_key", ".timeout_seconds", ".concurrency", ".prices", ".prices.input", ".prices.output",
)  # fmt: skip


def _of_sources(side: str, category: Category, *cases: Case) -> tuple[Rule, ...]:
    """The rules below `data.train.*` or `data.evaluation.*`."""
    return (
        *(_rule(f"{side}{path}", category, _ROWS, kinds, *cases) for path, kinds in _SOURCE_ROWS),
        *(
            _rule(f"{side}{path}", category, "What lies there counts.", kinds, _SAME_DATA, *cases)
            for path, kinds in _SOURCE_PATHS
        ),
        *(
            _rule(f"{side}.synthesize{path}", category, _WRITTEN, _BOTH if path else _L, _SAME_DATA, *cases)
            for path in _SYNTH_WRITTEN
        ),
        *(_rule(f"{side}.synthesize{path}", METADATA, _ASKED) for path in _SYNTH_ASKED),
    )


RULES: tuple[Rule, ...] = (
    *_SPEC,
    *_of_sources("data.train.*", RETRAIN),
    *_of_sources("data.evaluation.*", EVALUATION, _DROPS),
)

UNMAPPED = "No rule is known for this key; it counts as costly until there is one."
_INDEX = {(kind, rule.path): rule for rule in RULES for kind in rule.kinds}


def rule_path(path: Sequence[str | int]) -> str:
    """The path of the rule for a place in the tree of a spec."""
    steps = ["*" if isinstance(step, int) else step for step in path]
    if steps[0] == "gates" and len(steps) > 1:
        steps[1] = "*"
    elif steps[0] == "packages" and len(steps) > 1:
        steps = ["packages", "*"]
    elif steps[0] == "lock":
        steps = [*steps[:2], "*"]
    elif steps[:2] == ["metadata", "labels"]:
        steps = steps[:2]
    return ".".join(steps)


def find_rule(path: Sequence[str | int], kind: str, *, content: bool = False) -> Rule:
    """The rule for a place in the tree of a spec of this kind; of what its value leads to, if asked."""
    name = rule_path(path) + ("#content" if content else "")
    found = _INDEX.get((kind, name))
    return found or Rule(path=name, category=RETRAIN, why=UNMAPPED, kinds=(kind,))


def is_mapped(rule: Rule) -> bool:
    return rule.why is not UNMAPPED
