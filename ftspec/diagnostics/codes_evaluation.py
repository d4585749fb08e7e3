"""FTS8xx evaluation."""

from ftspec.diagnostics.code import define

GATE_FAILED = define("FTS801", "error", "a gate failed", "The base model stays in place.")
GATE_INCONCLUSIVE = define(
    "FTS802",
    "error",
    "a gate is inconclusive",
    "The interval holds both outcomes: more held-out queries would decide.",
)
FEW_QUERIES = define(
    "FTS803", "warning", "few held-out queries", "Only large gains can be told from noise with so few."
)
METRIC_WITHOUT_ROWS = define(
    "FTS804",
    "error",
    "no held-out row defines this metric",
    "Exact match needs rows with `answers`; citations need rows made from documents, refusals such rows\n"
    "without their document; all of them need generated answers (`evaluation.generate_rows`).",
)
PRESENT_TRAINED_ON_TEST = define(
    "FTS805",
    "warning",
    "the present model was trained on held-out rows",
    "A promotion is judged on the held-out side of the promoted model. Where the split was another one before,\n"
    "the present model saw some of these rows in its training, and would look better than it is: they are left\n"
    "out. A fixed evaluation set (`data.evaluation`) or the same split leaves all rows to compare on.",
)
