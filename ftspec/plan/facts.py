"""Facts read off the world before anything is decided: a model's header, a data set, a machine.

Leaf types, so that the rooms which read the world and those which decide share one vocabulary.
"""

from dataclasses import dataclass

from ftspec.plan.frozen import FrozenMap

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A base model, from config.json and the safetensors header; no weight is loaded."""

    id: str  # as the spec names it
    origin: str  # path | store | hub-cache | package | hub
    location: str  # absolute folder; cosmetic: it enters no digest
    digest: str  # sha256 over (relative name, sha256) of the files that define the model
    weights_sha256: str
    architecture: str  # config.json architectures[0]
    model_type: str
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    vocab_size: int
    max_positions: int
    max_seq_length: int  # sentence_bert_config.json, else max_positions
    pooling: str  # mean | cls | max | lasttoken | ...
    normalizes: bool  # the model ends in a Normalize module
    embedding_dimension: int
    attention_dropout: float
    hidden_dropout: float
    total_parameters: int
    embedding_parameters: int
    layer_parameters: int  # of one layer
    linear_modules: tuple[str, ...]  # last name parts of linear layers: query, key, value, dense
    weights_bytes: int
    weights_dtype: str  # F32 | F16 | BF16
    needs_remote_code: bool
    prompts: FrozenMap[str]
    # last name part -> sum of (inputs + outputs) over all linear layers that end in it; a LoRA of
    # rank r on them has r times as many parameters
    linear_widths: FrozenMap[int] = FrozenMap()


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderFacts(ModelFacts):
    """A base model that generates text. Its output matrix is among `total_parameters`: once, where it is
    tied to the embeddings. `linear_modules` are those of the layers, without the output matrix."""

    num_key_value_heads: int
    head_dim: int
    tied_embeddings: bool  # the output matrix is the table of the embeddings
    # last name part -> sum of outputs over all linear layers that end in it: what DoRA scales one by one
    linear_outputs: FrozenMap[int] = FrozenMap()
    linear_parameters: int  # of all `linear_modules`: what adapters sit on, and what is quantised
    chat_template: bool  # the tokenizer brings one
    eos_token_ids: tuple[int, ...]  # each of them ends an answer
    rope_type: str  # default | linear | dynamic | yarn | llama3 | ...; "": config.json does not say
    rope_theta: float | None
    rope_by_layer: bool = False  # layers differ in their rotary positions
    sliding_window: int | None = None  # tokens that some layer looks back at most


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLengths:
    """Lengths of a column in tokens of the base model's tokenizer, special tokens included."""

    count: int
    mean: float
    p50: int
    p95: int
    max: int
    share_above_limit: float  # share of texts longer than max_seq_length
    padded_mean: float  # mean of batch-wise padded lengths, truncated at max_seq_length


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    label: str  # as the spec writes its path
    type: str
    digest: str  # content: sha256 over the files' sha256
    files: int
    rows: int
    skipped: int
    skip_examples: tuple[str, ...]  # "file:line: reason", at most three
    columns: tuple[str, ...] = ()  # of a table, sorted; those that the spec does not read too


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What ingest and split make of the sources. The same sources and settings give the same facts."""

    digest: str  # over all sources' digests
    sources: tuple[SourceFacts, ...]  # those of training, then those of the evaluation
    train_rows: int
    split_by: str  # given | group | …
    train_groups: int
    test_groups: int
    duplicates_removed: int
    leak_examples: tuple[str, ...]  # of what training rows share with given evaluation data
    slices: tuple[str, ...]  # slice columns that the test side carries
    train_rows_available: int = 0  # before `limit.train`
    overlap_dropped: int = 0  # training rows that shared a text with a held-out side


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingDataFacts(DataFacts):
    """`split_by`: given | group | positive | random."""

    roles: tuple[str, ...]  # roles present in the training rows
    filtered_out: int
    num_negatives: int  # negatives that every training row has (the minimum over rows)
    validation_queries: int
    test_queries: int
    test_documents: int
    distinct_queries: int
    distinct_positives: int
    leaked_queries: int  # train queries that are also test queries (given splits only)
    leaked_positives: int
    query_lengths: TextLengths
    document_lengths: TextLengths
    relevance: str = ""  # how relevance was read off labels or scores; "" where it is judged
    validation_documents: int = 0
    exclude_self: bool = False  # test queries are documents too: none is answered by itself
    classes: int = 0  # labelled classes only: those with at least two training rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The part of the hardware that decisions depend on; free memory and disk stay out."""

    name: str
    digest: str
    summary: str  # "2 CPU cores (AMD EPYC), 24.0 GiB"
    facts: FrozenMap[Scalar]
