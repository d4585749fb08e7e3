import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ftspec.plan.embedding import EmbeddingPlan
from ftspec.plan.extension import with_extension
from ftspec.plan.fields import leaves
from ftspec.plan.model import Action, Extension
from ftspec.plan.reasons import Reason
from ftspec.plan.stages import nothing_stored, with_stages
from ftspec.view.amounts import count_text, seconds_text
from ftspec.view.explain import UnknownField, render_explanation
from ftspec.view.plan_human import render_plan
from ftspec.view.plan_json import plan_json
from ftspec.view.plan_markdown import escape, plan_markdown
from ftspec.view.reasons import PROSE
from ftspec.view.safe_text import cell_width
from tests.passes.test_optimise import plan_of
from tests.resolve.make import cpu, data_facts, gpu, hardware, lengths, spec_tree

NASTY = 'a "quote" [bold]no[/bold] {{x}} $(rm) <script>\x1b[31m\nnew line | 検索 `code` @team https://x.y #12'


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingPlan:
    tree = spec_tree(
        metadata={"name": "support-search", "description": NASTY},
        train={"matryoshka": {"dimensions": [128, 64]}, "global_batch_size": 512},
        gates={"ndcg@10": {"min_gain": 0.0}, "latency_ms": {"p95_max": 10.0}},
        evaluation={"slices": ["group"]},
    )
    data = data_facts(document_lengths=lengths(share_above_limit=0.4), test_queries=60)
    machine = hardware(memory_gib=6, cpu=cpu(flags=()))
    made = plan_of(tmp_path_factory.mktemp("plan"), machine, tree=tree, data=data)
    return with_stages(made, nothing_stored)


def test_every_reason_has_prose() -> None:
    assert set(PROSE) == set(Reason)
    assert all(text == text.strip() and not text.endswith(".") and text for text in PROSE.values())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_plan_keeps_to_its_width(plan: EmbeddingPlan, width: int) -> None:
    text = render_plan(plan, width=width)
    assert max(cell_width(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    assert text.endswith("\n")
    assert not any(line != line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("width", [60, 120])
def test_an_extended_training_says_which_one_it_goes_on_from(plan: EmbeddingPlan, width: int) -> None:
    plan = replace(plan, train=replace(plan.train, total_steps=30))
    longer = with_extension(plan, Extension(run_id="support_search-1a2b3c4d", step=20))
    text = render_plan(longer, width=width)
    assert max(cell_width(line) for line in text.splitlines()) <= width
    assert "goes on from step 20 of run support_search-1a2b3c4d (extend)" in " ".join(text.split())
    assert "goes on from step 20 of run support&#95;search-1a2b3c4d (extend)" in plan_markdown(longer)
    document = plan_json(longer)
    assert document["extends"] == {"run_id": "support_search-1a2b3c4d", "step": 20}
    assert document["digest"] == plan_json(plan)["digest"]


def test_plan_says_what_matters(plan: EmbeddingPlan) -> None:
    text = render_plan(plan, width=120)
    for part in (
        "support-search",
        "all-MiniLM-L6-v2",
        "60 queries over 420 documents",
        "512, cached by",
        "keeps all in-batch negatives",
        "ndcg@10: gain above 0 at 95 % confidence",
        "FTS803",
        "FTS709",
        "nothing is stored yet",
        "Matryoshka 384/128/64",
        "of 5.4 GiB",
    ):
        assert part in text, part


def test_text_of_a_user_is_never_markup(plan: EmbeddingPlan) -> None:
    for color in (False, True):
        text = render_plan(plan, width=120, color=color)
        assert "[bold]no[/bold]" in text
        assert "\x1b[31m" not in text
        assert "\\x1b[31m\\x0anew" in text or "\\x1b[31m\\nnew" in text


def test_colour_only_when_asked(plan: EmbeddingPlan) -> None:
    plain = render_plan(plan, width=80)
    painted = render_plan(plan, width=80, color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == plain
    assert painted != plain


def test_reused_stages_cost_nothing(plan: EmbeddingPlan) -> None:
    stages = tuple(
        replace(stage, action=Action.REUSE, reason=Reason.ARTIFACT_MATCHES) for stage in plan.stages
    )
    text = render_plan(replace(plan, stages=stages), width=100)
    assert "everything is stored" in text
    assert "stored, and its inputs are the same" in text
    assert "Nothing to do" in plan_markdown(replace(plan, stages=stages))


def test_json_is_the_contract(plan: EmbeddingPlan) -> None:
    document = json.loads(json.dumps(plan_json(plan)))
    assert list(document)[:6] == [
        "format_version",
        "digest",
        "spec_hash",
        "semantic_fingerprint",
        "realisation_fingerprint",
        "backend",
    ]
    assert set(document["stages"][0]) >= {"name", "key", "action", "reason"}
    assert set(document["decisions"][0]) >= {"field", "before", "after", "reason", "facts", "by"}
    assert document["estimates"]["peak_memory_bytes"] > 0
    assert document["estimates"]["wall_seconds"] > 0
    assert document["execution"]["device"] == "cpu"


def test_explanation_of_one_field(plan: EmbeddingPlan) -> None:
    text = render_explanation(plan, "execution.precision")
    assert "value     fp32" in text
    assert "bf16: Test CPU has neither avx512_bf16 nor amx_bf16" in " ".join(text.split())
    assert "by        pick_precision" in text
    text = render_explanation(plan, "train.global_batch_size")
    assert re.search(r"given in the spec\s+\(.*spec\.yaml:\d+:\d+\)", text)
    assert "default of the spec language" in render_explanation(plan, "train.learning_rate")


def test_explanation_of_all_and_of_a_section(plan: EmbeddingPlan) -> None:
    text = render_explanation(plan)
    for field, _ in leaves(plan):
        assert f"\n{field}\n" in f"\n{text}"
    assert len(render_explanation(plan, "execution")) < len(text)
    wide = render_explanation(plan, width=80)
    assert max(cell_width(line) for line in wide.splitlines()) <= 80


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ("precision", "execution.precision"),
        ("execution.presicion", "execution.precision"),
        ("train.warmup", "train.warmup_steps"),
        ("zzz", "lists all fields"),
        ("[red]\x1b", "no field"),
    ],
)
def test_unknown_fields_get_suggestions(plan: EmbeddingPlan, asked: str, offered: str) -> None:
    with pytest.raises(UnknownField) as caught:
        render_explanation(plan, asked)
    assert offered in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_markdown_escapes(plan: EmbeddingPlan, tmp_path: Path) -> None:
    text = plan_markdown(plan_of(tmp_path, hardware(gpu())))
    assert "| model | all-MiniLM-L6-v2" in text
    assert escape("<b>|`x`|</b>") == "&#60;b&#62;&#124;&#96;x&#96;&#124;&#60;/b&#62;"
    assert escape("cc @team, see #12") == "cc @<!-- -->team, see #<!-- -->12"
    assert "://" not in escape("https://x.y")
    assert "\n" not in escape("a\nb")
    assert escape("ndcg@10 at 95 %") == "ndcg@10 at 95 %"
    for line in plan_markdown(plan).splitlines():
        if line.startswith("|"):
            assert line.count("|") in (3, 4)


def test_amounts() -> None:
    assert [seconds_text(seconds) for seconds in (0.2, 59.6, 61, 3600, 7500)] == [
        "1 s",
        "1 min",
        "1 min 1 s",
        "1 h",
        "2 h 5 min",
    ]
    assert [count_text(1, "query"), count_text(2, "query"), count_text(1024, "row")] == [
        "1 query",
        "2 queries",
        "1,024 rows",
    ]


def test_idle_devices_are_shown(tmp_path: Path) -> None:
    text = render_plan(plan_of(tmp_path, hardware(*[gpu()] * 8)), width=100)
    assert "processes    1 " in text
    assert "8 × NVIDIA L4" in text
    assert "processes" not in render_plan(plan_of(tmp_path, hardware(gpu())), width=100)
