"""`data` of kind LLM: chats, prompts with completions, and RAFT rows made of documents and questions."""

from typing import Annotated, Literal

from pydantic import Field

from ftspec.spec.base import Section
from ftspec.spec.synthesize import Synthesize

NonEmpty = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(gt=0)]
Format = Literal["auto", "jsonl", "json", "csv", "parquet"]


class ChatRoles(Section):
    """Which column plays which role."""

    messages: NonEmpty = "messages"
    """Column with a list of `{role, content}`; the last one is the assistant's."""
    tools: NonEmpty | None = None
    """Column with the tools that the model may call, as JSON Schemas."""
    answers: NonEmpty | None = None
    """Column with right answers, which generated ones are compared with; default: the answer that is trained."""
    group: NonEmpty | None = None
    """Column whose values stay on one side of a split, and that results are sliced by."""
    id: NonEmpty | None = None
    """Column with the row's identifier."""


class ChatSource(Section):
    """Conversations."""

    type: Literal["chat"]
    path: NonEmpty
    """File, relative to the spec's folder; JSONL may be gzipped."""
    format: Format = "auto"
    """File format; `auto` goes by the file's ending."""
    roles: ChatRoles = ChatRoles()
    """Which column plays which role."""


class CompletionRoles(Section):
    """Which column plays which role."""

    prompt: NonEmpty = "prompt"
    """Column with what is asked."""
    completion: NonEmpty = "completion"
    """Column with what the model should write."""
    answers: NonEmpty | None = None
    """Column with right answers, which generated ones are compared with; default: the answer that is trained."""
    group: NonEmpty | None = None
    """Column whose values stay on one side of a split, and that results are sliced by."""
    id: NonEmpty | None = None
    """Column with the row's identifier."""


class CompletionSource(Section):
    """Prompts, each with its completion."""

    type: Literal["completion"]
    path: NonEmpty
    """File, relative to the spec's folder; JSONL and CSV may be gzipped."""
    format: Format = "auto"
    """File format; `auto` goes by the file's ending."""
    roles: CompletionRoles = CompletionRoles()
    """Which column plays which role."""
    render: Literal["auto", "chat", "text"] = "auto"
    """`chat`: the prompt is a user's message; `auto`: where the base model has a chat template."""


class DocumentRoles(Section):
    """Which column plays which role."""

    id: NonEmpty = "id"
    """Column with the document's identifier."""
    text: NonEmpty = "text"
    """Column with its text."""
    title: NonEmpty | None = None
    """Column with its title, put before the text."""


class RaftDocuments(Section):
    """The documents that answers come from, and that distract."""

    path: NonEmpty
    """File, relative to the spec's folder."""
    format: Format = "auto"
    """File format; `auto` goes by the file's ending."""
    roles: DocumentRoles = DocumentRoles()
    """Which column plays which role."""


class QuestionRoles(Section):
    """Which column plays which role."""

    question: NonEmpty = "question"
    """Column with the question."""
    answers: NonEmpty = "answers"
    """Column with the answer or a list of them, each a span of its document."""
    document: NonEmpty = "document"
    """Column with the identifier of the document that answers it: the oracle."""
    group: NonEmpty | None = None
    """Column whose values stay on one side of a split, and that results are sliced by."""
    id: NonEmpty | None = None
    """Column with the row's identifier."""


class RaftQuestions(Section):
    """Questions with answers."""

    path: NonEmpty
    """File, relative to the spec's folder."""
    format: Format = "auto"
    """File format; `auto` goes by the file's ending."""
    roles: QuestionRoles = QuestionRoles()
    """Which column plays which role."""


class RaftSource(Section):
    """Questions among documents, of which at most one answers (RAFT, arXiv 2403.10131)."""

    type: Literal["raft"]
    documents: RaftDocuments
    """The documents."""
    questions: RaftQuestions | None = None
    """Questions about them; left away, `synthesize` writes them."""
    synthesize: Synthesize | None = None
    """Which model writes questions, or the answers of `answers: written`."""
    distractors: Count = 4
    """Other documents that are shown with the oracle; without the oracle one more."""
    oracle_probability: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Share of the rows that show their oracle."""
    retriever: Literal["bm25", "random"] = "bm25"
    """How distractors are found; `bm25`: those that a search would find."""
    when_absent: Literal["answer", "refuse"] = "answer"
    """What to learn where the oracle is not shown: its answer all the same, as the paper does, or a refusal."""
    answers: Literal["extractive", "written"] = "extractive"
    """`extractive`: the sentence that holds the answer is quoted; `written`: a model reasons, with quotes."""
    prompt: NonEmpty | None = None
    """Own instruction to the model, before the documents."""
    render: Literal["auto", "chat", "text"] = "auto"
    """`chat`: the prompt is a user's message; `auto`: where the base model has a chat template."""
    seed: int = 13
    """Decides which rows show their oracle, and the order of documents."""


LlmSource = Annotated[ChatSource | CompletionSource | RaftSource, Field(discriminator="type")]


class LlmFilters(Section):
    deduplicate: bool = True
    """Keep one of several rows with the same prompt and completion."""


class LlmLimit(Section):
    """Sample sizes, drawn by `split.seed`. The plan states them."""

    train: Count | None = None
    """At most this many training rows."""
    test: Count | None = None
    """At most this many held-out rows."""


class LlmSplit(Section):
    by: Literal["auto", "group", "document", "random"] = "auto"
    """What stays on one side: rows of one group, or questions about one document."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share held out for the evidence, where `data.evaluation` is left away."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the training rows held out to watch the loss."""
    seed: int = 13
    """Decides which groups go where."""
    leakage: Literal["fail", "drop_train"] = "fail"
    """What to do when training rows share a prompt or an oracle with `data.evaluation`: refuse, or drop them."""


class LlmData(Section):
    train: Annotated[list[LlmSource], Field(min_length=1)]
    """Sources of training rows."""
    evaluation: list[LlmSource] = Field(default_factory=list)
    """Sources of held-out rows; left away, they are split off `train`."""
    filters: LlmFilters = LlmFilters()
    """Rows to leave out."""
    limit: LlmLimit = LlmLimit()
    """Sample sizes."""
    split: LlmSplit = LlmSplit()
    """How rows are held out."""
    on_error: Literal["fail", "skip"] = "fail"
    """What to do with a bad row."""
