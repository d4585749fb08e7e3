"""Split of text rows: training, validation and test, by whole units, drawn by hash.

A unit is a group, or the rows that are connected by what they ask and by their oracle. No prompt and no
oracle of a held-out row is left among the training rows. Distractors are no oracles: they come from all
documents of their source, on every side.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ftspec.data.holdout import draw_units
from ftspec.data.llm_collect import LlmDataset
from ftspec.data.llm_rows import LlmRow
from ftspec.data.parts import Leakage
from ftspec.data.rows import order_hash
from ftspec.diagnostics.codes import SPLIT_EMPTY
from ftspec.diagnostics.model import Diagnostics
from ftspec.plan.llm_data import LlmLimit
from ftspec.plan.model import Split

_EXAMPLES = 5
_EXAMPLE_CHARS = 80
_HELP = "give more data, another `data.split.by`, or another share"
_ABOUT = ("data", "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmParts:
    """Held-out rows stand in the order of their hashes, so the first n are a fair sample."""

    train: tuple[LlmRow, ...]  # sampled to the limit, in the order in which they were read
    available: int  # training rows before the limit
    test: tuple[LlmRow, ...]
    validation: tuple[LlmRow, ...] | None
    mode: str  # given | group | document | random
    dropped: int
    leakage: Leakage  # queries: prompts; positives: oracles


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeldOut:
    kept: tuple[LlmRow, ...]
    held: tuple[LlmRow, ...]
    dropped: int


def divide_text(dataset: LlmDataset, split: Split, limit: LlmLimit) -> tuple[LlmParts | None, Diagnostics]:
    """Limits apply after the split. With `leakage: fail`, training rows that given evaluation data also
    holds stay, and `LlmParts.leakage` counts them; with `drop_train` they go, and `dropped` counts them."""
    found = Diagnostics()
    rows, dropped = dataset.rows, 0
    leakage = Leakage()
    by = _mode_of(rows) if split.by == "auto" else split.by
    drawn = dataset.evaluation is None or split.validation > 0
    if drawn and by == "document" and not any(row.raft for row in rows):
        found.add(SPLIT_EMPTY, "`by: document` splits RAFT rows; there is none", help=_HELP, about=_ABOUT)
        return None, found
    if dataset.evaluation is not None:
        mode, test = "given", dataset.evaluation
        if split.leakage == "drop_train":
            rows, gone = _drop_shared(rows, test)
            dropped += gone
        else:
            leakage = _leakage(rows, test)
    else:
        mode = by
        held = _hold_out(rows, by, split.test, split.seed, "test")
        rows, test, dropped = held.kept, held.held, held.dropped
    validation = None
    if split.validation > 0 and rows:
        held = _hold_out(rows, by, split.validation, split.seed, "validation")
        rows, dropped = held.kept, dropped + held.dropped
        validation = _drawn(held.held, limit.test, split.seed, "validation")
        if not validation:
            found.add(SPLIT_EMPTY, "validation: no row", help=_HELP, about=_ABOUT)
    if not test:
        found.add(SPLIT_EMPTY, "test: no row", help=_HELP, about=_ABOUT)
    if not rows:
        found.add(
            SPLIT_EMPTY,
            f"train: no row is left, {dropped} dropped for shared prompts or oracles",
            help=_HELP,
            about=_ABOUT,
        )
    if found.has_errors:
        if dataset.duplicates_removed:
            kept = len(dataset.rows) + len(dataset.evaluation or ())
            found = Diagnostics(
                [
                    replace(
                        item,
                        detail=f"{item.detail}; of {kept + dataset.duplicates_removed} rows "
                        f"{dataset.duplicates_removed} are duplicates of others, {kept} stay",
                    )
                    for item in found
                ]
            )
        return None, found
    chosen = {row.id for row in _drawn(rows, limit.train, split.seed, "train")}
    return (
        LlmParts(
            train=tuple(row for row in rows if row.id in chosen),
            available=len(rows),
            test=_drawn(test, limit.test, split.seed, "test"),
            validation=validation,
            mode=mode,
            dropped=dropped,
            leakage=leakage,
        ),
        found,
    )


def _mode_of(rows: tuple[LlmRow, ...]) -> str:
    """What `auto` means: groups where every row has one and there are two, else oracles where there are
    some, else prompts."""
    groups = {row.group for row in rows}
    if None not in groups and len(groups) > 1:
        return "group"
    return "document" if any(row.raft for row in rows) else "random"


def _drawn(rows: Iterable[LlmRow], count: int | None, seed: int, purpose: str) -> tuple[LlmRow, ...]:
    """At most `count` rows in the order of their hashes."""
    order = sorted(rows, key=lambda row: (order_hash(seed, f"{purpose} rows", row.content_key), row.id))
    return tuple(order if count is None else order[:count])


def _hold_out(rows: tuple[LlmRow, ...], mode: str, share: float, seed: int, purpose: str) -> _HeldOut:
    units = _units(rows, mode)
    sizes: dict[str, int] = {}
    for unit in units:
        sizes[unit] = sizes.get(unit, 0) + 1
    taken = draw_units(sizes, share * len(rows), seed, purpose)
    held = tuple(row for row, unit in zip(rows, units, strict=True) if unit in taken)
    kept, dropped = _drop_shared(
        tuple(row for row, unit in zip(rows, units, strict=True) if unit not in taken), held
    )
    return _HeldOut(kept=kept, held=held, dropped=dropped)


def _drop_shared(rows: tuple[LlmRow, ...], held: tuple[LlmRow, ...]) -> tuple[tuple[LlmRow, ...], int]:
    """Rows in which nothing of `held` is asked or is the oracle; and how many others there were."""
    shared = _Shared(held)
    kept = tuple(row for row in rows if not shared.prompts(row) and not shared.oracle(row))
    return kept, len(rows) - len(kept)


class _Shared:
    """What rows share with held-out ones. Of chats: what is asked last on one side and anywhere on the other,
    for earlier answers may be trained and scored too. Two chats that only begin alike share nothing."""

    def __init__(self, held: tuple[LlmRow, ...]) -> None:
        self._last = {row.prompt_key for row in held}
        self._any = {key for row in held for key in row.asked_keys}
        self._oracles = {row.document_key for row in held} - {None}

    def prompts(self, row: LlmRow) -> set[str]:
        return self._last.intersection(row.asked_keys) | self._any.intersection((row.prompt_key,))

    def oracle(self, row: LlmRow) -> bool:
        return row.document_key in self._oracles


def _units(rows: tuple[LlmRow, ...], mode: str) -> list[str]:
    """The unit of each row, named by content. Rows without a group are drawn by component."""
    components = _components(rows, by_document=mode != "random")
    if mode != "group":
        return components
    return [
        component if row.group is None else "group " + row.group
        for row, component in zip(rows, components, strict=True)
    ]


def _components(rows: tuple[LlmRow, ...], *, by_document: bool) -> list[str]:
    """Union-find over prompts, oracles, and chats that another chat goes on from; a component is named by
    the least of its members. A chat is joined to a longer one only if it is a row itself: many chats begin
    with the same greeting."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    own = [row.prompt_key for row in rows]
    known = set(own)
    for row, key in zip(rows, own, strict=True):
        joined = [each for each in row.asked_keys if each in known]
        if by_document and row.document_key is not None:
            joined.append(row.document_key)
        for other in joined:
            one, two = root(key), root(other)
            parent[max(one, two)] = min(one, two)
    return [root(key) for key in own]


def _leakage(rows: tuple[LlmRow, ...], test: tuple[LlmRow, ...]) -> Leakage:
    shared = _Shared(test)
    shared_prompts: dict[str, str] = {}
    shared_oracles: dict[str, str] = {}
    for row in rows:
        for key in sorted(shared.prompts(row), key=row.asked_keys.index):
            shared_prompts.setdefault(key, row.asked_text(key))
        if row.raft is not None and shared.oracle(row):
            shared_oracles.setdefault(str(row.document_key), row.raft.oracle)
    first = [f"prompt: {_short(text)}" for text in shared_prompts.values()][: _EXAMPLES - 2]
    rest = [f"oracle: {_short(text)}" for text in shared_oracles.values()]
    return Leakage(
        queries=len(shared_prompts),
        positives=len(shared_oracles),
        examples=tuple((first + rest)[:_EXAMPLES]),
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXAMPLE_CHARS else line[: _EXAMPLE_CHARS - 1] + "…"
