"""A difference in its three forms: the costliest first, nothing of a user's text read as markup."""

import json
import re
from dataclasses import replace

import pytest

from ftspec.plan.changes import Category
from ftspec.plan.continuation import Continuation, Form, Obstacle, Refusal, WarmStart
from ftspec.plan.difference import (
    Change,
    Costs,
    DecisionChange,
    Difference,
    FidelityChange,
    RowChange,
    Shift,
    SideName,
    SourceChange,
    SpecChanges,
    StageChange,
    StageReason,
)
from ftspec.plan.model import Extension
from ftspec.view.diff_human import render_diff, render_rules, render_spec_changes
from ftspec.view.diff_json import diff_json, rules_json, spec_changes_json
from ftspec.view.diff_markdown import diff_markdown, spec_changes_markdown
from ftspec.view.safe_text import cell_width

NASTY = 'a "quote" [bold]no[/bold] {{x}} <script>\x1b[31m\nnew line | 検索 ```diff\n` @team https://x.y #12'


def _side(label: str) -> SideName:
    return SideName(
        label=label, form="spec", name="pairs", kind="Embedding", machine="m", backend="accelerate",
        spec_hash="sha256:" + "a" * 64, plan_digest="sha256:" + "b" * 64,
    )  # fmt: skip


def _change(path: str, category: Category, old: object = 1, new: object = 2) -> Change:
    return Change(
        path=path, old=old, new=new, category=category, why="For a reason.", rule=path, place="a.yaml:1:2"
    )


def _difference(label: str = "b.yaml", text: str = "plain") -> Difference:
    return Difference(
        old=_side("a.yaml"),
        new=_side(label),
        category=Category.RETRAIN,
        changes=(
            _change("train.learning_rate", Category.RETRAIN, 2e-05, 3e-05),
            _change("metadata.description", Category.METADATA, text, None),
            _change(f"metadata.labels.{text}", Category.METADATA, None, {"a": text, "b": None}),
        ),
        stages=(
            StageChange(name="ingest", action="reuse", reason=StageReason.UNCHANGED, seconds=0.5),
            StageChange(name="train", action="run", reason=StageReason.CHANGED, seconds=90.0),
        ),
        decisions=(
            DecisionChange(field="execution.per_device_train_batch_size", old=32, new=8,
                           reason="batch_exceeds_memory", by="fit_memory"),
        ),
        fidelity=(FidelityChange(field="train.packing", old="exact", new="impossible", difference=text),),
        data=(
            SourceChange(path="data.train.0", label=text, old_digest="sha256:" + "1" * 64, new_digest="sha256:" + "2" * 64,
                         old_rows=1000, new_rows=1010, rows=RowChange(added=10, removed=0, changed=2, examples=(f"+ {text}",)),
                         share_new=0.0119),
            SourceChange(path="data.train.1", label="gone.jsonl", old_digest="sha256:" + "1" * 64, new_digest=None,
                         old_rows=7, new_rows=None, rows=None, share_new=None),
        ),
        shifts=(Shift(name="leaked_queries", old=0, new=3), Shift(name="query_tokens_p95", old=20, new=31)),
        estimates=Costs(seconds=95.0, seconds_all=95.0, factor=2.0, old_peak_memory_bytes=2**30,
                        new_peak_memory_bytes=2**31, memory_limit_bytes=2**33),
        continuation=Continuation(
            form=Form.NONE,
            refused=(Refusal(obstacle=Obstacle.CURVE, field="step 1", old=2e-05, new=3e-05),),
            steps=(10, 10),
        ),
        notes=("a.yaml was saved without its spec",),
    )  # fmt: skip


def _empty() -> Difference:
    return Difference(old=_side("a"), new=_side("a"), category=None, changes=())


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("text", ["plain", NASTY])
def test_human(width: int, text: str) -> None:
    found = render_diff(_difference(text=text), width=width)
    assert max(cell_width(line) for line in found.splitlines()) <= width
    assert "\x1b" not in found
    plain = " ".join(found.split())
    assert plain.startswith("a.yaml → b.yaml retrain: Other weights")
    assert "train runs again: about 1 min 35 s (48 s to 3 min 10 s), peak memory 2.0 GiB." in plain
    assert plain.index("train.learning_rate: 2e-05 → 3e-05") < plain.index("metadata.description")
    assert "execution.per_device_train_batch_size 32 → 8" in plain
    assert "new leakage: leaked queries: 0 → 3" in plain
    assert "10 added, 0 removed, 2 changed; 1.2% of the rows are new" in plain
    assert "extend is refused: step 1 2e-05 → 3e-05 (the learning rate differs)" in plain
    assert "peak 1.0 GiB → 2.0 GiB of 8.0 GiB" in plain


def test_nothing_changed() -> None:
    assert render_diff(_empty()) == "a → a\nNo change: both mean the same.\n"
    assert "**No change: both mean the same.**" in diff_markdown(_empty())
    assert diff_json(_empty())["category"] is None


def test_several_are_shown_costliest_first() -> None:
    text = render_spec_changes(SpecChanges(differences=(_empty(), _difference())), "main")
    assert text.index("retrain") < text.index("No change")


def test_specs_of_one_side_are_told() -> None:
    found = SpecChanges(
        differences=(_difference(),),
        new=("n|<b>\x1b.yaml",),
        deleted=("gone.yaml",),
        renamed=(("was.yaml", "is.yaml"),),
    )
    human, markdown = render_spec_changes(found, "main"), spec_changes_markdown(found, "main")
    for text in (human, markdown):
        assert "\x1b" not in text
        assert "gone.yaml is deleted" in text.replace("&#46;", ".")
        assert "is.yaml now" in text
    assert "<b>" not in markdown
    document = spec_changes_json(found)
    assert (document["deleted"], document["category"]) == (["gone.yaml"], "retrain")
    assert not SpecChanges(deleted=("gone.yaml",)).is_empty
    assert SpecChanges(renamed=(("a", "b"),)).is_empty
    assert "No spec changed since main." in render_spec_changes(SpecChanges(), "main")


def test_json_is_the_contract() -> None:
    document = diff_json(_difference())
    assert list(document)[:5] == ["format_version", "category", "changes", "stages", "decisions"]
    assert {"path", "old", "new", "category"} <= document["changes"][0].keys()
    assert {"name", "action", "reason"} <= document["stages"][0].keys()
    assert json.loads(json.dumps(document)) == document
    assert rules_json()["categories"][0]["name"] == "metadata"


def test_markdown_cannot_be_broken_out_of() -> None:
    text = diff_markdown(_difference(text=NASTY))
    assert "\x1b" not in text
    assert "<script>" not in re.sub(r"(`{3,})diff\n.*?\n\1", "", text, flags=re.DOTALL)
    (mark,) = re.findall(r"^(`+)diff$", text, flags=re.MULTILINE)
    inside = text.split(f"{mark}diff\n")[1].split(f"\n{mark}")[0]
    assert mark not in inside
    assert len(mark) == 4
    for line in inside.splitlines():
        assert line.startswith(("- ", "+ ", "#"))
    tables = [line for line in text.replace(inside, "").splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} <= {3, 4, 5, 6}
    assert text.count("<details>") == text.count("</details>") == 4


def test_a_warm_start_and_an_extension_are_said() -> None:
    kept = Continuation(form=Form.EXTEND, steps=(10, 30), warm_start=WarmStart(name="search", version="v3"))
    text = " ".join(render_diff(replace(_difference(), continuation=kept, stages=()), width=100).split())
    assert "extend is safe: the first 10 of 30 steps are the same" in text
    assert "warm start from search v3: its weights only" in text
    assert "apply" not in text.partition("extend is safe")[2], "nothing trains"
    trains = StageChange(name="train", action="run", reason=StageReason.CHANGED, seconds=1.0)
    found = replace(_difference(), continuation=kept, stages=(trains,))
    assert "apply trains from the start all the same" in " ".join(render_diff(found, width=100).split())
    extends = Extension(run_id="search-1a2b3c4d", step=10)
    found = replace(found, continuation=replace(kept, extends=extends))
    text = " ".join(render_diff(found, width=100).split())
    assert "apply goes on from step 10 of run search-1a2b3c4d" in text
    assert "from the start" not in text


def test_another_space_is_shown() -> None:
    one, other = (replace(_side("a"), space_id="sha256:" + digit * 64) for digit in "12")
    found = replace(_difference(), old=one, new=other)
    assert f"{'1' * 12} → {'2' * 12} (of the base, read as planned)" in render_diff(found, width=100)
    assert "embedding space" in diff_markdown(found)
    assert "space" not in render_diff(_difference(), width=100)


def test_the_rules_fit() -> None:
    text = render_rules(width=80)
    assert "where prefix:" in text
    assert max(cell_width(line) for line in text.splitlines()) <= 80
