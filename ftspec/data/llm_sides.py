"""From split rows to the tokens of each side: limits of length, packing, and what became of every row."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ftspec.data.collect import EXAMPLES
from ftspec.data.llm_control import ControlTexts
from ftspec.data.llm_request import LlmRequest
from ftspec.data.llm_rows import LlmRow
from ftspec.data.llm_tokenizer import LlmTokenizer
from ftspec.data.llm_tokens import RowRefusal, TokenRow, tokenize_rows
from ftspec.data.packing import pack
from ftspec.diagnostics.code import Code
from ftspec.diagnostics.codes import (
    CHAT_TEMPLATE_FAILED,
    CHAT_TEMPLATE_MISSING,
    MODEL_NOT_READABLE,
    ROW_TOO_LONG,
    SPLIT_EMPTY,
)
from ftspec.diagnostics.model import Diagnostics, Span
from ftspec.plan.llm_data import LlmSource

_EXCERPT_CHARS = 160
MAX_SHOWN = 20  # rows that are told of one by one
_SKIP = "mend the rows; or `data.on_error: skip` leaves them out, and the plan counts them"
_LONG = "`train.too_long: drop` leaves such rows out; or raise `model.max_seq_length`"


@dataclass(slots=True, kw_only=True)
class Side:
    """One side of the split as tokens. `rows` is empty where only counts were asked for.

    `lengths`, `prompts` and `completions` are of all rows that became tokens, before any was dropped or cut.
    """

    rows: list[TokenRow] = field(default_factory=list)  # of train: packed
    kept: int = 0  # rows, before packing
    ids: list[str] = field(default_factory=list)  # of them
    sequence_lengths: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    completions: list[int] = field(default_factory=list)
    tokens: int = 0
    trained: int = 0
    longest_prompt: int = 0  # of the rows kept
    too_long: int = 0  # dropped
    truncated: int = 0
    prompt_too_long: int = 0  # dropped
    refused: int = 0  # dropped: by the chat template
    raft_rows: int = 0  # of those kept
    raft_present: int = 0
    raft_refusals: int = 0
    control_rows: int = 0  # with a control token in their own texts, whatever became of them
    control_examples: list[str] = field(default_factory=list)
    run_together: int = 0  # text rows with no white space between prompt and completion

    @property
    def dropped(self) -> int:
        return self.too_long + self.prompt_too_long + self.refused


def resolve_render(
    request: LlmRequest, tokenizer: LlmTokenizer
) -> tuple[tuple[str, ...] | None, Diagnostics]:
    """chat or text for each source; FTS710 where rows need a chat template that the base has not."""
    found = Diagnostics()
    render: list[str] = []
    for index, source in enumerate(request.sources):
        if tokenizer.template is None and (source.type == "chat" or source.render == "chat"):
            count = len(request.train)
            key = ("train", index) if index < count else ("evaluation", index - count)
            found.add(
                CHAT_TEMPLATE_MISSING,
                f"{_label(source)}: its rows are chats, and {request.base.name} has no chat template",
                help="name an instruction-tuned base; or `render: text` for prompts with completions"
                if source.type != "chat"
                else "name an instruction-tuned base; or give prompts with completions",
                about=("data", *key, "render" if source.type != "chat" else "type"),
            )
        as_chat = source.type == "chat" or source.render == "chat"
        render.append(
            "chat" if as_chat or (source.render == "auto" and tokenizer.template is not None) else "text"
        )
    return (None if found.has_errors else tuple(render)), found


def _label(source: LlmSource) -> str:
    if source.raft is None:
        return source.path
    return (source.raft.questions or source.raft.documents).path


class SideMaker:
    """Makes the sides of one request; `found` collects what is wrong with rows, `keep` their tokens."""

    def __init__(
        self,
        request: LlmRequest,
        tokenizer: LlmTokenizer,
        render: tuple[str, ...],
        *,
        keep: bool,
        on_row: Callable[[], None] | None = None,
    ) -> None:
        self._request = request
        self._tokenizer = tokenizer
        self._render = render
        self._keep = keep
        self._on_row = on_row
        self._control = ControlTexts(tokenizer.special_texts)
        self._faults = 0
        self._highest = 0  # token
        self._made = 0  # rows that became tokens
        self._reasons: dict[str, int] = {}  # of the template → rows that it refused
        self.found = Diagnostics()

    def make(self, name: str, rows: tuple[LlmRow, ...]) -> Side:
        """`name`: train, validation or test. A side that ends up empty is FTS706."""
        side = Side()
        request = self._request
        places = {row.id: row for row in rows}
        kept: list[TokenRow] = []
        for made in tokenize_rows(rows, self._tokenizer, render=self._render, train_on=request.train_on):
            if self._on_row is not None:
                self._on_row()
            if isinstance(made, RowRefusal):
                side.refused += 1
                self._refuse(made)
                continue
            self._made += 1
            row = places[made.id]
            side.run_together += self._runs_together(row)
            self._look_for_control(row, side)
            side.lengths.append(len(made.input_ids))
            side.prompts.append(made.prompt_length)
            side.completions.append(len(made.input_ids) - made.prompt_length)
            fitted = self._fit(made, side, row)
            if fitted is not None:
                highest = max(fitted.input_ids)
                self._highest = max(self._highest, highest)
                side.kept += 1
                if row.raft is not None:
                    side.raft_rows += 1
                    side.raft_present += row.raft.present
                    side.raft_refusals += row.raft.refuse
                side.ids.append(fitted.id)
                side.tokens += len(fitted.input_ids)
                side.trained += sum(fitted.mask)
                side.longest_prompt = max(side.longest_prompt, fitted.prompt_length)
                side.sequence_lengths.append(len(fitted.input_ids))
                if self._keep:
                    kept.append(fitted)
        if name == "train" and request.packing:
            self._pack(side, kept)
        else:
            side.rows = kept
        if not side.kept and not self.found.has_errors:
            self.found.add(
                SPLIT_EMPTY,
                f"{name}: {len(rows)} rows, none is left: {side.prompt_too_long} prompts and {side.too_long} "
                f"rows are longer than {request.max_seq_length} tokens, the template refused {side.refused}",
                help="raise `model.max_seq_length`, or shorten the rows",
                about=("model", "max_seq_length"),
            )
        return side

    def finish(self) -> None:
        """Say how many more faults there are than those told one by one; and whether the model knows all
        tokens (FTS302): a tokenizer with tokens added, and no embeddings for them, fails in training only."""
        if self._faults > 1 and not self._made and len(self._reasons) == 1:
            ((reason, count),) = self._reasons.items()
            if count == self._faults:  # then it is no matter of rows
                self.found = Diagnostics()
                self.found.add(
                    CHAT_TEMPLATE_FAILED,
                    f"{self._request.base.name}: its chat template refuses all {count:,} rows: {reason}",
                    help="name a base whose chat template works, or write rows in the form that it asks for",
                    about=("model", "base"),
                )
                return
        hidden = self._faults - MAX_SHOWN
        if hidden > 0:
            last = self.found.items[-1]
            self.found.add(last.code, f"{hidden} more rows, {self._faults} in all", help=last.help)
        known = self._tokenizer.model_tokens
        if known is not None and self._highest >= known:
            self.found.add(
                MODEL_NOT_READABLE,
                f"{self._request.base.name}: its tokenizer makes token {self._highest}, its config.json names "
                f"{known} tokens (0 to {known - 1})",
                help="save the model with resized embeddings (`resize_token_embeddings`), or its own tokenizer",
                about=("model", "base"),
            )

    def _runs_together(self, row: LlmRow) -> bool:
        if self._render[row.source] == "chat" or row.raft is not None:
            return False
        return not row.prompt[-1:].isspace() and not row.completion[:1].isspace()

    def _look_for_control(self, row: LlmRow, side: Side) -> None:
        held = self._control.first(row, as_chat=self._render[row.source] == "chat")
        if held:
            side.control_rows += 1
            if len(side.control_examples) < EXAMPLES:
                label = _label(self._request.sources[row.source])
                side.control_examples.append(f"{label}:{row.line}: {held}")

    def _fit(self, row: TokenRow, side: Side, source: LlmRow) -> TokenRow | None:
        """The row within the limit; None where it is dropped."""
        limit, length = self._request.max_seq_length, len(row.input_ids)
        if length <= limit:
            return row
        no_room = row.prompt_length >= limit
        if self._request.too_long == "fail":
            what = f"the prompt alone is {row.prompt_length}" if no_room else f"{length}"
            self._tell(ROW_TOO_LONG, f"row `{row.id}`: {what} tokens, the limit is {limit}", source, _LONG)
            return None
        if no_room:
            side.prompt_too_long += 1
            return None
        if self._request.too_long == "drop":
            side.too_long += 1
            return None
        side.truncated += 1
        return TokenRow(
            id=row.id,
            input_ids=row.input_ids[:limit],
            mask=row.mask[:limit],
            prompt_length=row.prompt_length,
        )

    def _refuse(self, refusal: RowRefusal) -> None:
        if self._request.on_error == "fail":
            if refusal.code is CHAT_TEMPLATE_FAILED:
                self._reasons[refusal.reason] = self._reasons.get(refusal.reason, 0) + 1
            self._tell(refusal.code, f"row `{refusal.row.id}`: {refusal.reason}", refusal.row, _SKIP)

    def _tell(self, code: Code, detail: str, row: LlmRow, help: str) -> None:
        self._faults += 1
        if self._faults > MAX_SHOWN:
            return
        source = self._request.sources[row.source]
        primary = None
        if row.line:
            path = _label(source)
            excerpt = " ".join(row.asked_text(row.prompt_key).split())[:_EXCERPT_CHARS]
            primary = Span(
                path=path,
                line=row.line,
                column=1,
                end_line=row.line,
                end_column=len(excerpt) + 1,
                excerpt=excerpt,
            )
        self.found.add(code, detail, primary=primary, help=help)

    def _pack(self, side: Side, kept: list[TokenRow]) -> None:
        lengths = list(zip(side.ids, side.sequence_lengths, strict=True))
        bins = pack(lengths, self._request.max_seq_length, self._request.split.seed)
        side.sequence_lengths = [sum(lengths[place][1] for place in each) for each in bins]
        if self._keep:
            side.rows = list(_packed(kept, bins))


def _packed(rows: list[TokenRow], bins: list[list[int]]) -> Iterator[TokenRow]:
    for places in bins:
        ids: array[int] = array("i")
        mask = bytearray()
        starts: list[int] = []
        for place in places:
            starts.append(len(ids))
            ids.extend(rows[place].input_ids)
            mask.extend(rows[place].mask)
        more = f"+{len(places) - 1}" if len(places) > 1 else ""
        yield TokenRow(
            id=rows[places[0]].id + more,
            input_ids=ids,
            mask=mask,
            prompt_length=rows[places[-1]].prompt_length + starts[-1],
            segments=tuple(starts),
        )
