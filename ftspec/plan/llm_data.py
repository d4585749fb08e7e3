"""The data section of an LLM plan, and the facts that a survey finds out about it.

A leaf module: `plan.llm` builds on it. Keys named `path` are cosmetic at every depth, as for the sources
of an embedding plan: what lies there enters by the digests of `LlmDataFacts.sources`.
"""

from dataclasses import dataclass

from ftspec.plan.facts import DataFacts, TextLengths
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import DataPlan
from ftspec.plan.synth import SynthSettings

# What a refusing answer says, in training rows and for the metric `refused`.
REFUSAL = "The documents do not answer this."
QUOTE_BEGIN, QUOTE_END, ANSWER_MARK = "##begin_quote##", "##end_quote##", "<ANSWER>:"

NO_LENGTHS = TextLengths(count=0, mean=0.0, p50=0, p95=0, max=0, share_above_limit=0.0, padded_mean=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftFile:
    """A table file of a RAFT source; roles map to columns.

    Documents: id, text (required), title. Questions: question, answers, document (required), id, group.
    """

    path: str
    format: str | None = None  # jsonl | json | csv | parquet; None: by the ending
    roles: FrozenMap[str] = FrozenMap()


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftPlan:
    """Without `questions`, `synthesize` has them written; with `answers: written`, the answers too."""

    documents: RaftFile
    questions: RaftFile | None
    synthesize: (
        SynthSettings | None
    )  # which model wrote questions, or answers; its `COSMETIC` enters no digest
    distractors: int  # k: with the oracle k of them, without it k + 1
    oracle_probability: float  # P: share of rows that show their oracle
    retriever: str  # bm25 | random
    when_absent: str  # answer | refuse
    answers: str  # extractive | written
    prompt: str | None  # own instruction; None: the default one
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSource:
    """One source of rows. `roles` of chat: messages, tools, group, id; of completion: prompt, completion,
    answers, group, id. Both: `answers` is what a generated answer is compared with."""

    type: str  # chat | completion | raft
    path: str = ""  # raft: "", its files are named in `raft`
    format: str | None = None  # jsonl | json | csv | parquet; None: by the ending
    roles: FrozenMap[str] = FrozenMap()
    render: str = "auto"  # auto | chat | text; resolved in LlmDataFacts.render
    raft: RaftPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmFilters:
    deduplicate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmLimit:
    train: int | None = None
    test: int | None = None  # of the validation side too


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftFacts:
    """Of all rows made from RAFT sources, before they are split."""

    documents: int
    questions: int  # rows made of them
    oracle_present: int
    refusals: int  # rows whose trained answer is a refusal
    distractors: int  # k; the largest, where sources differ
    retriever: str  # bm25 | random | "bm25, random" where sources differ
    answers: str  # extractive | written
    not_written: int = 0  # questions left out: the model wrote no usable answer (`answers: written`)
    answers_not_found: int  # questions left out: no answer of theirs is a span of its document
    random_distractors: int  # distractors drawn at random because the retriever found too few
    mean_overlap: float  # mean share of the question's words that a distractor holds: how hard they are
    examples: tuple[str, ...]  # two or three, each "question → completion", shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmDataFacts(DataFacts):
    """What ingest, split and tokenize make of the sources. The same sources, settings and base tokenizer
    give the same facts. `split_by`: given | group | document | random. Rows are counted after all drops;
    lengths are taken before any truncation, over the training rows as they leave the split.
    """

    render: tuple[str, ...]  # chat | text, one for each source
    tokenizer_digest: str  # of the files that decide tokens: tokenizer.json, its config, the chat template
    validation_rows: int
    test_rows: int
    sequences: int  # lines of tokenize/train.jsonl: packed rows, or train_rows
    leaked_prompts: int  # distinct prompts of training rows that given evaluation rows hold too
    leaked_documents: int  # the same of oracles
    dropped_too_long: int  # rows of all sides, for `too_long: drop`; those of prompt_too_long apart
    truncated: int  # rows of all sides whose completion was cut, for `too_long: truncate`
    prompt_too_long: int  # rows of all sides dropped because nothing of the completion would be left
    test_dropped: int  # how many of the dropped ones were test rows
    lengths: TextLengths  # whole training rows
    prompt_lengths: TextLengths  # tokens before the last completion, of training rows
    completion_lengths: TextLengths
    train_tokens: int  # of one epoch
    trained_tokens: int  # those of them that are masked in
    test_tokens: int
    tested_tokens: int  # tokens that test loss is a mean over
    # What is trained: after drops, cuts and packing; `padded_mean` in batches of global_batch_size.
    sequence_lengths: TextLengths = NO_LENGTHS
    longest_prompt: int = 0  # of the test rows, in tokens: what answers are generated from
    template_refused: int = 0  # rows of all sides that the chat template refused (on_error: skip)
    run_together: int = 0  # text rows of all sides without white space between prompt and completion
    test_with_answers: int = 0  # test rows that generated answers can be compared on
    test_raft: int = 0  # test rows made from documents and questions
    raft: RaftFacts | None
    # Of RAFT rows: what is left on all sides after the split, its limits and the limit of length.
    raft_rows: int = 0
    raft_oracle_present: int = 0
    raft_refusals: int = 0
    control_rows: int = 0  # rows of all sides whose own texts hold a control token of the base
    control_examples: tuple[str, ...] = ()  # at most three, each "file:line: token and place"


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmDataPlan(DataPlan):
    train: tuple[LlmSource, ...]
    evaluation: tuple[LlmSource, ...]  # empty: held out from train by `split`
    filters: LlmFilters
    limit: LlmLimit
    facts: LlmDataFacts
