"""The comment of a pull request: what stands first, what is left out, and that nobody's text gets out of it."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, Severity, Span
from ftspec.plan.changes import Category
from ftspec.plan.difference import (
    Change,
    Costs,
    DecisionChange,
    Difference,
    RowChange,
    SideName,
    SourceChange,
    StageChange,
    StageReason,
)
from ftspec.plan.model import Plan
from ftspec.plan.planset import PlannedSpec, PlanSet, SpecState
from ftspec.view.comment_details import length
from ftspec.view.comment_markdown import MAX_CHARACTERS, comment_markdown
from ftspec.view.diff_words import verdict
from ftspec.view.planset_human import render_planset
from ftspec.view.planset_json import planset_json
from tests.embedding_plan import complete_plan

SIDE = SideName(
    label="a", form="spec", name="n", kind="Embedding", machine="m", backend="b", spec_hash=None, plan_digest=None
)  # fmt: skip
HOSTILE = (
    "@team/all #12 acme/x#3 <b>|`x`|</b> </details> <!-- --> ````\n```\n- [x](http://e.vil) https://e.vil "
    "![i](x) $$ \u202e **bold** ::error::"
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return complete_plan()


def change(path: str, old: Any, new: Any, category: Category) -> Change:
    return Change(
        path=path, old=old, new=new, category=category, why="Because.", rule=path, place="specs/a.yaml:3:1"
    )


def spec(
    path: str, category: Category | None, plan: Plan, *changes: Change, seconds: float = 60.0
) -> PlannedSpec:
    made = changes or ((change("train.learning_rate", 2e-5, 3e-5, category),) if category else ())
    reason = StageReason.CHANGED if category is not None else StageReason.UNCHANGED
    return PlannedSpec(
        path=path,
        state=SpecState.CHANGED,
        name="n",
        plan=plan,
        digest="sha256:" + "a" * 64,
        file=f"plans/{path.rpartition('/')[2]}.ftplan",
        difference=Difference(
            old=SIDE,
            new=SIDE,
            category=category,
            changes=made,
            stages=(StageChange(name="train", action="run", reason=reason, seconds=seconds),),
            decisions=(
                DecisionChange(field="execution.per_device_train_batch_size", old=8, new=4, reason=None, by="x"),
            ),
            estimates=Costs(
                seconds=seconds, seconds_all=seconds, factor=2.0, old_peak_memory_bytes=2**30,
                new_peak_memory_bytes=2**31, memory_limit_bytes=2**34,
            ),
        ),
    )  # fmt: skip


def planset(*specs: PlannedSpec, unchanged: int = 0) -> PlanSet:
    ordered = tuple(sorted(specs, key=lambda each: each.order))
    return PlanSet(
        specs=ordered,
        unchanged=unchanged,
        revision="origin/main",
        base="1" * 40,
        head="2" * 40,
        folder="plans",
    )


def test_the_costliest_stands_first(plan: Plan) -> None:
    text = comment_markdown(
        planset(
            spec("specs/words.yaml", Category.METADATA, plan),
            spec("specs/rate.yaml", Category.RETRAIN, plan, seconds=7200),
            spec("specs/space.yaml", Category.SPACE_BREAK, plan),
            spec("specs/score.yaml", Category.EVALUATION, plan),
            PlannedSpec(
                path="specs/bad.yaml",
                state=SpecState.FAILED,
                found=(
                    Diagnostic(
                        code=codes.UNKNOWN_KEY, detail="`x` is no key", help="leave it out",
                        primary=Span(path="specs/bad.yaml", line=3, column=1, end_line=3, end_column=2),
                    ),
                ),
            ),
            PlannedSpec(path="specs/gone.yaml", state=SpecState.DELETED),
            unchanged=12,
        )
    )  # fmt: skip
    lines = text.splitlines()
    assert lines[0] == "<!-- ftspec:plan -->"
    order = [
        text.index(word) for word in ("cannot be planned", "Space break", "Retrain", "Re-score", "Metadata")
    ]
    assert order == sorted(order)
    rows = [re.search(r"specs/\w+", line)[0] for line in lines if line.startswith("| <code>specs/")]  # type: ignore[index]
    assert rows[:5] == ["specs/bad", "specs/space", "specs/rate", "specs/score", "specs/words"]
    assert "| <code>specs/rate.yaml</code> | **retrain** | train | 2 h | " in text
    assert "12 specs did not change" in text
    assert "ftspec plan --all --since origin/main --out-dir plans" in text
    assert "ftspec apply plans/rate.yaml.ftplan" in text
    assert "- train.learning_rate: 2e-05\n+ train.learning_rate: 3e-05" in text
    assert "| <code>execution.per&#95;device&#95;train&#95;batch&#95;size</code> | 8 | 4 |" in text
    assert "Peak memory: 1.0 GiB → 2.0 GiB" in text
    assert "FTS203" in text
    assert "specs/bad.yaml:3:1" in text
    assert "aaaaaaaaaaaa" in text
    assert "Left out" not in text


def test_nothing_to_say() -> None:
    text = comment_markdown(planset(unchanged=3))
    assert "**Nothing would run.**" in text
    assert "3 specs did not change" in text
    assert "| spec |" not in text


@pytest.mark.parametrize("count", [1, 300])
def test_it_stays_below_githubs_limit_and_says_what_it_left_out(plan: Plan, count: int) -> None:
    many = [change(f"data.train.{index}", "🙂" * 400, HOSTILE * 9, Category.RETRAIN) for index in range(400)]
    specs = [
        spec(f"specs/{'long-' * 20}{index:03}.yaml", Category.RETRAIN, plan, *many, seconds=1000 - index)
        for index in range(count)
    ]
    specs += [
        spec("specs/space.yaml", Category.SPACE_BREAK, plan),
        spec("specs/score.yaml", Category.EVALUATION, plan),
    ]
    text = comment_markdown(planset(*specs))
    assert length(text) <= MAX_CHARACTERS
    assert length(text) > MAX_CHARACTERS * 0.5
    assert text.index("specs/space.yaml") < 1000
    if count > 1:
        said = re.search(r"\*\*Left out[^\n]*", text)
        assert said is not None
        rows = sum(line.startswith("| <code>specs/") for line in text.splitlines())
        details = text.count("<details>")
        missing_rows = re.search(r"([\d,]+) rows? of the table", said[0])
        missing = re.search(r"the details of ([\d,]+) specs?", said[0])
        assert missing is not None
        assert rows + (int(missing_rows[1]) if missing_rows else 0) == count + 2
        assert details + int(missing[1]) == count + 2
        assert "specs/space.yaml</b>" in text  # the costliest kept its details
    outside = outside_fences(text)
    assert outside.count("<details>") == outside.count("</details>")
    assert "lines within details" in text


def test_names_without_end_leave_room_for_what_they_name(plan: Plan) -> None:
    """Of every category and state, with names of markup that takes ten characters for one."""
    long = "@a/" * 200
    specs = [
        replace(
            spec(f"{long}{category}{index}", category, plan, change(f"{long}{index}", 1, 2, category)),
            old_path=long,
            state=SpecState.RENAMED,
        )
        for category in Category
        for index in range(40)
    ]
    specs += [
        PlannedSpec(path=f"{long}{state}{index}", state=state, notes=(long * 9,))
        for state in SpecState
        for index in range(40)
    ]
    plans = planset(*specs)
    machine = replace(plan.machine, summary=long * 100)
    slow = replace(specs[0], plan=replace(plan, machine=machine))
    text = comment_markdown(replace(plans, specs=(slow, *plans.specs), notes=(long * 100,), revision=long))
    assert length(text) <= MAX_CHARACTERS
    assert "of 40 specs" in text
    assert text.count("<details>") > 3
    assert length(text.partition("| spec |")[0]) <= MAX_CHARACTERS * 0.3
    few = comment_markdown(planset(*(spec(f"specs/{n}.yaml", Category.RETRAIN, plan) for n in range(8))))
    assert ", and 2 more" in few


def test_what_the_lock_does_not_state_stands_first(plan: Plan) -> None:
    moved = Diagnostic(code=codes.LOCK_DISAGREES, detail="rows.jsonl moved", severity=Severity.NOTE)
    text = comment_markdown(planset(replace(spec("specs/a.yaml", None, plan), found=(moved,))))
    assert text.splitlines()[3] == "🔓 **1 spec not as ftspec.lock states:** <code>specs/a.yaml</code>"
    assert "**note FTS630**" in text


@pytest.mark.parametrize("limit", [4_000, 10_000, 65_536])
def test_any_limit_is_kept(plan: Plan, limit: int) -> None:
    specs = [spec(f"specs/{index}.yaml", Category.EVALUATION, plan) for index in range(120)]
    assert length(comment_markdown(planset(*specs), limit=limit)) <= limit


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert not attrs
        self.tags.add(tag)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def outside_fences(text: str) -> str:
    """As GitHub reads it: a fence ends with a line of at least as many marks and nothing else."""
    kept, mark = [], ""
    for line in text.splitlines():
        found = re.match(r" {0,3}(`{3,})(.*)$", line)
        if mark:
            if found and len(found[1]) >= len(mark) and not found[2].strip():
                mark = ""
            continue
        if found:
            mark = found[1]
            continue
        kept.append(line)
    assert not mark, "a fence stays open"
    return "\n".join(kept)


def hostile_set(plan: Plan, text: str) -> PlanSet:
    made = spec(
        f"specs/{text}.yaml", Category.RETRAIN, plan, change(f"gates.{text}", text, [text], Category.RETRAIN)
    )
    assert made.difference is not None
    made = replace(
        made,
        old_path=text,
        because=(text,),
        notes=(text,),
        file=f"plans/{text}",
        difference=replace(
            made.difference,
            notes=(text,),
            data=(
                SourceChange(
                    path="data.train.0", label=text, old_digest=None, new_digest="x", old_rows=1, new_rows=2,
                    rows=RowChange(added=1, removed=0, changed=0, examples=(text,)), share_new=0.5,
                ),
            ),
            decisions=(DecisionChange(field=text, old=text, new=text, reason=text, by=text),),
        ),
    )  # fmt: skip
    place = Span(path=text, line=1, column=1, end_line=1, end_column=2)
    bad = PlannedSpec(
        path=text,
        state=SpecState.FAILED,
        found=(Diagnostic(code=codes.UNKNOWN_KEY, detail=text, help=text, primary=place),),
    )
    return replace(planset(made, bad), revision=text, notes=(text,))


def check_contained(text: str) -> None:
    assert text.count("<!-- ftspec:plan -->") == 1
    outside = outside_fences(text)
    tags = _Tags()
    tags.feed(outside)
    tags.close()
    assert tags.tags <= {"code", "details", "summary", "b"}
    assert set(tags.comments) <= {" ftspec:plan ", " "}
    assert outside.count("<details>") == outside.count("</details>")
    assert not re.search(r"(?<![A-Za-z0-9])@\w", outside), "a mention"
    assert not re.search(r"(?<!&)#\w", outside), "a reference"
    assert "://" not in outside
    assert "](" not in outside
    for line in outside.splitlines():
        if line.startswith("| <code>"):
            assert line.endswith(" |")


def test_texts_of_users_stay_texts(plan: Plan) -> None:
    check_contained(comment_markdown(hostile_set(plan, HOSTILE)))


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(
        alphabet=st.sampled_from("@#`<>|&[]()!*_~-+=:/\\\n\r\t \"'$aé1.wW\u202e🙂"), min_size=1, max_size=60
    )
)
def test_texts_of_users_stay_texts_whatever_they_are(plan: Plan, text: str) -> None:
    check_contained(comment_markdown(hostile_set(plan, text)))


def _reused(path: str, plan: Plan, category: Category, *running: str, moves: bool = False) -> PlannedSpec:
    made = spec(path, category, plan)
    assert made.difference is not None
    stages = (
        StageChange(name="train", action="reuse", reason=StageReason.STORED, seconds=None),
        *(StageChange(name=name, action="run", reason=StageReason.CHANGED, seconds=1.0) for name in running),
    )
    found = (Diagnostic(code=codes.CURRENT_MOVES, detail="n: current moves from v2 back to v1"),)
    return replace(
        made, difference=replace(made.difference, stages=stages), found=found if moves else (), file=None
    )


def test_what_is_stored_already_is_no_training(plan: Plan) -> None:
    """As after a revert: weights are other ones, and nothing makes them."""
    back = _reused("specs/a.yaml", plan, Category.RETRAIN, "register", moves=True)
    kept = _reused("specs/b.yaml", plan, Category.SPACE_BREAK, "gate")
    judged = _reused("specs/c.yaml", plan, Category.EVALUATION, "register", moves=True)
    plans = PlanSet(specs=(back, kept, judged), unchanged=0, revision="main", base="b", head="h")
    text = comment_markdown(plans)
    assert (
        "↩️ **Current moves back** for 2 specs (to a version that is registered; nothing is trained): <code>specs/a"
        in text
    )
    assert (
        "♻️ **Stored** for 1 spec (what it asks for was trained before; nothing is trained): <code>specs/b"
        in text
    )
    for wrong in ("🔁", "🛑", "📏", "training runs", "**retrain**"):
        assert wrong not in text
    assert "| retrain, moves back | register |" in text
    assert "| space-break, stored | gate |" in text
    human = render_planset(plans)
    assert "specs/a.yaml  retrain (current moves back)" in human
    assert "specs/b.yaml  space-break (stored: nothing is trained)" in human
    assert [each["stored"] for each in planset_json(plans)["specs"]] == [True, True, False]
    assert back.difference is not None
    assert verdict(back.difference).endswith("They are stored: nothing is trained.")
    trained = spec("specs/a.yaml", Category.RETRAIN, plan)
    assert trained.difference is not None
    assert "stored" not in verdict(trained.difference)
