"""From two specs, and their plans where they could be made, to what a change costs. Pure: reads no file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ftspec.plan.changes import Category, Rule, cost, find_rule
from ftspec.plan.conditions import holds
from ftspec.plan.continuation import Form, continuation, same_weights
from ftspec.plan.difference import (
    Change,
    Costs,
    DecisionChange,
    FidelityChange,
    Shift,
    StageChange,
    StageReason,
)
from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.facts import SourceFacts, TextLengths
from ftspec.plan.fields import leaves
from ftspec.plan.fingerprints import realisation_fingerprint
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm import LlmPlan
from ftspec.plan.model import Action, Decision, Fidelity, OriginKind, Plan
from ftspec.plan.stages import Lookup, predicted_seconds, stage_documents
from ftspec.plan.trees import TreeChange, TreePath, matched, path_text, tree_changes

Place = Callable[[TreePath], str]

SPELLED_OUT = "Says what was the case anyway: nothing that runs reads the difference."
# Keys of a source that name what its content is read from; a change of one explains other content.
_NAMING = {"path", "include", "exclude", "split", "documents", "questions", "synthesize", "type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One side of a comparison. `plan`: None where it could not be made."""

    kind: str
    spec: Mapping[str, Any]  # canonical, or what the plan says of it
    plan: Plan | None
    packages: Mapping[str, str]  # empty: not known
    place: Place


def changes_of(old: Half, new: Half) -> tuple[Change, ...]:
    """All changes, the costliest first, else in the order of the spec. Empty only if the plans agree, too."""
    if old.kind != new.kind:
        found = [
            _change(TreeChange(path=("kind",), old_path=("kind",), old=old.kind, new=new.kind), old, new)
        ]
        return tuple(found)
    changes = [_change(each, old, new) for each in tree_changes(old.spec, new.spec)]
    changes += _of_packages(old, new)
    if old.plan is not None and new.plan is not None:
        changes += _of_world(old, new, old.plan, new.plan, {each.path for each in changes})
        changes = _true_to_stages(changes, old.plan, new.plan)
    return tuple(sorted(changes, key=lambda each: -cost(each.category)))


def costliest(changes: Iterable[Change]) -> Category | None:
    return max((each.category for each in changes), key=cost, default=None)


def _change(found: TreeChange, old: Half, new: Half) -> Change:
    rule = find_rule(found.path, new.kind)
    category, why = _judge(rule, found.path, old.plan, new.plan, old_path=found.old_path)
    return Change(
        path=path_text(found.path),
        old=found.old,
        new=found.new,
        category=category,
        why=why,
        rule=rule.path,
        place=(found.new is not None and new.place(found.path)) or old.place(found.old_path),
    )


def _judge(
    rule: Rule, path: TreePath, old: Plan | None, new: Plan | None, *, old_path: TreePath | None = None
) -> tuple[Category, str]:
    """Of the exceptions that hold, the first; the usual case without plans."""
    if old is not None and new is not None and old.kind == new.kind:
        for case in rule.cases:
            if holds(case.condition, path, old, new, old_path=old_path):
                return case.category, case.why
    return rule.category, rule.why


def _of_packages(old: Half, new: Half) -> Iterator[Change]:
    """Versions of packages, where both sides know theirs."""
    if not old.packages or not new.packages:
        return
    for name in sorted(old.packages.keys() | new.packages.keys()):
        one, other = old.packages.get(name), new.packages.get(name)
        if one != other:
            path: TreePath = ("packages", name)
            yield _world(path, one, other, find_rule(path, new.kind), old, new, text=f"packages.{name}")


def _of_world(old: Half, new: Half, before: Plan, after: Plan, known: set[str]) -> Iterator[Change]:
    """What moved under names that stayed: files of models, rows of sources, the machine."""
    one, other = before.model.facts, after.model.facts
    if one.digest != other.digest and not known & {"model.base", "model.revision"}:
        rule = find_rule(("model", "base"), new.kind, content=True)
        yield _world(("model", "base"), one.digest, other.digest, rule, old, new, text="model.base#content")
    bases = [plan.evaluation.baseline_facts for plan in (before, after)]
    digests = [facts.digest for facts in bases if facts is not None]
    if "evaluation.baseline" not in known and len(digests) == 2 and digests[0] != digests[1]:
        path: TreePath = ("evaluation", "baseline")
        rule = find_rule(path, new.kind, content=True)
        yield _world(path, digests[0], digests[1], rule, old, new, text="evaluation.baseline#content")
    for pair in paired_sources(old, new, before, after):
        source, target = pair.old, pair.new
        if source is None or target is None or source.digest == target.digest:
            continue
        path = ("data", pair.side, pair.index)
        if any(f"{path_text(path)}.{name}" in _heads(known, path) for name in _NAMING):
            continue
        rule = find_rule(path, new.kind, content=True)
        yield _world(path, source.digest, target.digest, rule, old, new, text=f"{path_text(path)}#content")
    if before.machine.digest != after.machine.digest:
        rule = find_rule(("machine",), new.kind)
        yield _world(("machine",), _machine(before), _machine(after), rule, old, new, text="machine")


def _heads(known: set[str], path: TreePath) -> set[str]:
    """Changed keys right below `path`."""
    above = path_text(path) + "."
    return {above + each.removeprefix(above).partition(".")[0] for each in known if each.startswith(above)}


def _machine(plan: Plan) -> str:
    return f"{plan.machine.name}: {plan.machine.summary}"


def _world(path: TreePath, before: Any, after: Any, rule: Rule, old: Half, new: Half, *, text: str) -> Change:
    category, why = _judge(rule, path, old.plan, new.plan)
    return Change(
        path=text, old=before, new=after, category=category, why=why, rule=rule.path, place=new.place(path)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePair:
    """One data source on both sides; None: it is not there."""

    side: str  # train | evaluation
    old_index: int | None
    new_index: int | None
    old: SourceFacts | None
    new: SourceFacts | None

    @property
    def index(self) -> int:
        """On the new side, or where it was."""
        index = self.new_index if self.new_index is not None else self.old_index
        assert index is not None
        return index


def paired_sources(old: Half, new: Half, before: Plan, after: Plan) -> Iterator[SourcePair]:
    for side in ("train", "evaluation"):
        for one, other in matched(old.spec["data"][side], new.spec["data"][side]):
            yield SourcePair(
                side=side,
                old_index=one,
                new_index=other,
                old=_facts(before, side, one),
                new=_facts(after, side, other),
            )


def _facts(plan: Plan, side: str, index: int | None) -> SourceFacts | None:
    if index is None:
        return None
    start = 0 if side == "train" else len(plan.data.train)
    return plan.data.facts.sources[start + index]


def _true_to_stages(changes: list[Change], old: Plan, new: Plan) -> list[Change]:
    """Rules know the usual case; the keys of the stages know this one. What says that training changes, where
    it does not, only spelled out a default; and what the keys say and no rule does is put down to ftspec."""
    same = same_weights(old, new)
    if same:
        changes = [
            replace(each, category=Category.METADATA, why=SPELLED_OUT)
            if cost(each.category) >= cost(Category.EXTEND)
            else each
            for each in changes
        ]
    least = _least(old, new, same=same)
    most = costliest(changes)
    if least is not None and (most is None or cost(most) < cost(min(least, Category.EXTEND, key=cost))):
        rule = find_rule(("ftspec",), new.kind)
        changes.append(
            Change(path="ftspec", old=None, new=None, category=least, why=rule.why, rule=rule.path, place="")
        )
    return changes


def _least(old: Plan, new: Plan, *, same: bool) -> Category | None:
    """What the plans alone say that it costs."""
    if not same:
        extends = continuation(old, new).form is Form.EXTEND
        return Category.EXTEND if extends else Category.RETRAIN
    one, other = stage_documents(old), stage_documents(new)
    if one["gate"] != other["gate"]:
        return Category.EVALUATION
    return Category.REALISATION if realisation_fingerprint(old) != realisation_fingerprint(new) else None


def stages_of(old: Plan, new: Plan, lookup: Lookup) -> tuple[StageChange, ...]:
    """What `apply` of the new side would do now, and which of it is because of the changes."""
    before = {stage.name: stage.key for stage in old.stages} if old.kind == new.kind else {}
    seconds = {} if new.estimates is None else new.estimates.stage_seconds
    found = []
    for stage in new.stages:
        action, _ = lookup(stage.name, stage.key)
        is_same, is_stored = before.get(stage.name) == stage.key, action is Action.REUSE
        if is_same:
            reason = StageReason.UNCHANGED if is_stored else StageReason.NOT_STORED
        else:
            reason = StageReason.STORED if is_stored else StageReason.CHANGED
        found.append(
            StageChange(name=stage.name, action=str(action), reason=reason, seconds=seconds.get(stage.name))
        )
    return tuple(found)


def costs_of(old: Plan, new: Plan, stages: tuple[StageChange, ...]) -> Costs | None:
    if new.estimates is None:
        return None
    changed = {each.name for each in stages if each.reason is StageReason.CHANGED}
    runs = {each.name for each in stages if each.action == "run"}
    return Costs(
        seconds=_seconds(new, changed),
        seconds_all=_seconds(new, runs),
        factor=new.estimates.wall_factor,
        old_peak_memory_bytes=None
        if old is None or old.estimates is None
        else old.estimates.peak_memory_bytes,
        new_peak_memory_bytes=new.estimates.peak_memory_bytes,
        memory_limit_bytes=new.execution.memory_limit_bytes,
    )


def _seconds(plan: Plan, names: set[str]) -> float:
    """As the plan predicts them; the start of the programs counts when any of them is among `names`."""
    stages = tuple(
        replace(stage, action=Action.RUN if stage.name in names else Action.REUSE) for stage in plan.stages
    )
    return predicted_seconds(replace(plan, stages=stages))


def decisions_of(old: Plan, new: Plan) -> tuple[DecisionChange, ...]:
    """Leaves that ftspec settled, and settled otherwise. What the new spec gives is a change, and follows from none."""
    before, after = dict(leaves(old)), dict(leaves(new))
    found = []
    for path, value in after.items():
        if path not in before or before[path] == value:
            continue
        settled = [plan.origins.get(path) for plan in (old, new)]
        if not any(origin is not None and origin.kind is OriginKind.DECIDED for origin in settled):
            continue
        if settled[1] is not None and settled[1].kind is OriginKind.GIVEN:
            continue
        last = _last_decision(new, path)
        found.append(
            DecisionChange(
                field=path,
                old=before[path],
                new=value,
                reason=None if last is None else str(last.reason),
                by=None if last is None else last.by,
                facts=FrozenMap() if last is None else last.facts,
            )
        )
    return tuple(found)


def _last_decision(plan: Plan, path: str) -> Decision | None:
    chosen = [each for each in plan.decisions if each.field == path and "rejected" not in each.facts]
    return chosen[-1] if chosen else None


def fidelity_of(old: Plan, new: Plan) -> tuple[FidelityChange, ...]:
    """What another backend does better or worse; impossible first."""
    before = {row.field: row for row in old.fidelity}
    after = {row.field: row for row in new.fidelity}
    found = []
    for field in dict.fromkeys((*after, *before)):
        one, other = before.get(field), after.get(field)
        if one is not None and other is not None and one.support is other.support:
            if one.difference == other.difference:
                continue
        elif {each.support for each in (one, other) if each is not None} == {Fidelity.EXACT}:
            continue  # handed to one of them only, and exact there
        words = [each.difference for each in (other, one) if each is not None and each.difference]
        found.append(
            FidelityChange(
                field=field,
                old=None if one is None else str(one.support),
                new=None if other is None else str(other.support),
                difference=words[0] if words else "",
            )
        )
    order = {"impossible": 0, "approximated": 1}
    return tuple(sorted(found, key=lambda each: order.get(each.new or "", 2)))


def shifts_of(old: Plan, new: Plan) -> tuple[Shift, ...]:
    """Numbers of the data that moved."""
    found = []
    before = dict(_numbers(old))
    for name, value in _numbers(new):
        if name in before and before[name] != value:
            found.append(Shift(name=name, old=before[name], new=value))
    return tuple(found)


def _numbers(plan: Plan) -> Iterator[tuple[str, float]]:
    facts = plan.data.facts
    yield "train_rows", facts.train_rows
    yield "train_groups", facts.train_groups
    yield "duplicates_removed", facts.duplicates_removed
    yield "overlap_dropped", facts.overlap_dropped
    if isinstance(plan, EmbeddingPlan):
        own = plan.data.facts
        yield "test_queries", own.test_queries
        yield "test_documents", own.test_documents
        yield "leaked_queries", own.leaked_queries
        yield "leaked_positives", own.leaked_positives
        yield from _lengths("query", own.query_lengths)
        yield from _lengths("document", own.document_lengths)
    elif isinstance(plan, LlmPlan):
        text = plan.data.facts
        yield "test_rows", text.test_rows
        yield "leaked_prompts", text.leaked_prompts
        yield "leaked_documents", text.leaked_documents
        yield "dropped_too_long", text.dropped_too_long
        yield "truncated", text.truncated
        yield "train_tokens", text.train_tokens
        yield from _lengths("prompt", text.prompt_lengths)
        yield from _lengths("completion", text.completion_lengths)


def _lengths(name: str, lengths: TextLengths) -> Iterator[tuple[str, float]]:
    for part in ("p50", "p95", "max"):
        yield f"{name}_tokens_{part}", getattr(lengths, part)
    yield f"{name}_share_above_limit", lengths.share_above_limit
