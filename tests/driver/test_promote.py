"""Promotions: what lets one through, what refuses it, and the way back."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftspec.cli.main import cli
from ftspec.diagnostics.model import FtspecError
from ftspec.driver import comparison
from ftspec.driver.comparison import promotion_gates
from ftspec.driver.gc import collect_garbage
from ftspec.driver.incumbent import CannotCompareError, Made
from ftspec.driver.promote import Allowed, Proposal, promote, propose
from ftspec.driver.rollback import rollback
from ftspec.evaluate.evaluate import evaluate
from ftspec.evaluate.gates import Outcome
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.model import Bootstrap, Gate
from ftspec.serve.served import find_promoted
from ftspec.store.environments import environments_lock, pointer
from ftspec.store.history import history, verify_environments
from ftspec.store.ledger import Ledger
from ftspec.store.project import Project
from ftspec.store.rebuild import rebuild, verify
from ftspec.store.registry import RegisteredModel, delete_model, find_model_version, list_models
from tests.driver.promote_case import MEANS, make_version, remove
from tests.embedding_plan import complete_plan
from tests.example_evidence import example_plan
from tests.store.test_environments import made

PLAIN = Allowed()
BREAK = Allowed(space_break=True)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.root.mkdir()
    project.create()
    return project


@pytest.fixture
def models(project: Project) -> list[RegisteredModel]:
    """v1 is worse than v2, and v3 hardly differs from v2."""
    return [make_version(project, seed, noise) for seed, noise in ((1, 2.5), (2, 1.0), (3, 1.0))]


def weigh(project: Project, model: RegisteredModel, allowed: Allowed = PLAIN, **to: str) -> Proposal:
    return propose(project, model, to.get("to", "production"), allowed=allowed, means=MEANS)


def put(project: Project, model: RegisteredModel, allowed: Allowed = BREAK, **to: str) -> None:
    proposal = weigh(project, model, allowed, **to)
    assert not proposal.refused, proposal.problems.items
    promote(project, proposal)


def codes(proposal: Proposal) -> list[tuple[str, bool]]:
    return [(each.code.id, each.is_error) for each in proposal.problems]


def version_in(project: Project, environment: str = "production") -> str | None:
    place = pointer(project, "example", environment)
    return None if place is None else place.version


def ftspec(project: Project, *arguments: str) -> Result:
    found = CliRunner().invoke(cli, [*arguments, "--project", str(project.root)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


# --- forward ----------------------------------------------------------------------------------


def test_into_an_empty_environment_the_verdict_of_the_run_counts(
    project: Project, models: list[RegisteredModel]
) -> None:
    proposal = weigh(project, models[0])
    assert (proposal.basis, proposal.verdict, proposal.comparison) == ("registered", Outcome.PASSED, None)
    assert codes(proposal) == []
    promotion, found = promote(project, proposal, note="the first")
    assert not found.items
    assert (promotion.version, promotion.from_version, promotion.note) == ("v1", None, "the first")
    assert promotion.space_id == models[0].space_id
    assert promotion.run_id == "example-00000001"


def test_a_better_one_moves_the_pointer(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    proposal = weigh(project, models[1], BREAK)
    assert (proposal.basis, proposal.verdict) == ("comparison", Outcome.PASSED)
    promotion, _ = promote(project, proposal)
    assert (promotion.from_version, promotion.flags) == ("v1", ("--allow-space-break",))
    assert promotion.measured is not None
    assert promotion.measured.metric == "ndcg@10"
    assert promotion.measured.low > 0
    rows = Ledger(project).query_readonly(
        "SELECT version, gain > 0, comparison_key FROM promotions ORDER BY number"
    )
    assert rows.rows == (("v1", None, None), ("v2", True, promotion.comparison))


def test_what_is_there_already_changes_nothing(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    before = project.environments.read_bytes()
    assert weigh(project, models[0]).unchanged
    found = ftspec(project, "promote", "example@v1", "--to", "production", "--yes")
    assert found.exit_code == 0
    assert "holds this model already" in found.stdout
    assert project.environments.read_bytes() == before
    assert len(history(project)[0]) == 1


def test_a_worse_one_fails_with_exit_code_5(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[1])
    everything = ("--allow-space-break", "--allow-inconclusive", "--allow-tainted")
    found = ftspec(project, "promote", "example@v1", "--to", "production", "--yes", *everything)
    assert found.exit_code == 5
    assert "error[FTS801]" in found.stderr
    assert "worse: nDCG@10" in found.stdout
    assert version_in(project) == "v2"


def test_inconclusive_is_exit_code_6_unless_allowed(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[1])
    arguments = ("promote", "example@v3", "--to", "production", "--yes", "--allow-space-break")
    found = ftspec(project, *arguments)
    assert found.exit_code == 6
    assert "error[FTS802]" in found.stderr
    assert version_in(project) == "v2"
    found = ftspec(project, *arguments, "--allow-inconclusive", "--format", "json")
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["promoted"]
    assert document["verdict"] == document["promotion"]["verdict"] == "inconclusive"
    assert document["promotion"]["flags"] == ["--allow-inconclusive", "--allow-space-break"]
    assert version_in(project) == "v3"


def test_another_space_is_refused_unless_allowed(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    proposal = weigh(project, models[1])
    assert proposal.breaks_space
    assert codes(proposal) == [("FTS684", True)]
    found = ftspec(project, "promote", "example@v2", "--to", "production", "--yes", "--format", "json")
    assert found.exit_code == 1
    document = json.loads(found.stdout)
    assert (document["promoted"], document["verdict"], document["breaks_space"]) == (False, "passed", True)
    assert [each["code"] for each in document["problems"]] == ["FTS684"]
    assert codes(weigh(project, models[1], BREAK)) == [("FTS684", False)]


def test_a_tainted_run_is_refused_unless_allowed(project: Project) -> None:
    model = make_version(project, 1, 1.0, tainted=("data/pairs.jsonl changed",))
    proposal = weigh(project, model)
    assert codes(proposal) == [("FTS683", True)]
    assert "data/pairs.jsonl changed" in proposal.problems.items[0].detail
    assert ftspec(project, "promote", "example", "--to", "production", "--yes").exit_code == 1
    put(project, model, Allowed(tainted=True))
    assert history(project)[0][0].flags == ("--allow-tainted",)


def test_the_same_question_is_answered_once(
    project: Project, models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, models[0])
    first = weigh(project, models[1])

    def never(*arguments: Any, **more: Any) -> None:
        raise AssertionError("it was evaluated again")

    monkeypatch.setattr(comparison, "evaluate", never)
    again = weigh(project, models[1])
    assert again.comparison == first.comparison
    promote(project, weigh(project, models[1], BREAK))
    with pytest.raises(AssertionError, match="evaluated again"):
        weigh(project, models[2])  # against v2 now: another question


def test_the_same_weights_need_no_comparison(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    from ftspec.store.registry import register_model

    folder = project.root / "again"
    import shutil

    shutil.copytree(models[0].path, folder)
    (folder / ".registration.json").unlink()
    (folder / "README.md").write_text("another card")
    again = register_model(project, "example", folder, {**models[0].meta, "key": "other"})
    proposal = weigh(project, again)
    assert (proposal.basis, codes(proposal)) == ("same", [])


@pytest.mark.parametrize(("noise", "verdict"), [(0.5, Outcome.PASSED), (9.0, Outcome.FAILED)])
def test_a_run_that_was_measured_against_the_present_model_needs_a_gain_too(
    project: Project,
    models: list[RegisteredModel],
    monkeypatch: pytest.MonkeyPatch,
    noise: float,
    verdict: Outcome,
) -> None:
    """Its gates passed, and never asked for one."""
    put(project, models[0])
    monkeypatch.setattr(comparison, "same_model_as_baseline", lambda *arguments: True)
    proposal = weigh(project, make_version(project, 4, noise), BREAK)
    assert (proposal.basis, proposal.verdict) == ("baseline", verdict)
    assert proposal.refused is (verdict is Outcome.FAILED)


def test_a_present_model_that_knows_the_held_out_rows_is_told(
    project: Project, models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FTS805: its split was another one, and some of these rows were among its training rows."""
    put(project, models[0])
    plan = complete_plan()
    plan = replace(plan, data=replace(plan.data, split=replace(plan.data.split, seed=8)))
    other = make_version(project, 4, 1.0, plan=plan, known=3)
    stored = Made(folder=_encoded(project, models[0]), similarity=None)
    monkeypatch.setattr(comparison, "find_stored", lambda *arguments: stored)
    proposal = weigh(project, other, BREAK)
    assert ("FTS805", False) in codes(proposal)
    detail = next(each.detail for each in proposal.problems if each.code.id == "FTS805")
    assert "example v1 was trained on 3 of them, which are left out; 37 are left to compare on" in detail
    assert proposal.comparison is not None
    assert proposal.comparison.summary.queries == 37
    assert proposal.comparison.summary.primary_metric.rows == 37


def test_no_program_runs_for_a_handful_of_rows(
    project: Project, models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, models[0])
    known = frozenset(f"q{number}" for number in range(36))
    monkeypatch.setattr(comparison, "trained_split", lambda project, plan, split, present: split)
    monkeypatch.setattr(comparison, "known_rows", lambda plan, split, trained: known)
    monkeypatch.setattr(comparison, "find_stored", lambda *arguments: pytest.fail("it is asked for"))
    (found,) = weigh(project, models[1], BREAK).problems.items[-1:]
    assert "4 held-out rows are left to compare on" in found.detail


@pytest.mark.parametrize(
    ("rows", "confidence", "enough"), [(5, 0.95, False), (6, 0.95, True), (4, 0.8, True)]
)
def test_a_handful_of_rows_tells_nothing(rows: int, confidence: float, enough: bool) -> None:
    """With 5 rows that all gain, one sign pattern in 16 is as extreme: more than one in 20."""
    plan = example_plan(bootstrap=Bootstrap(resamples=100, confidence=confidence, seed=1))
    present = made(version="v1", name="search")
    if enough:
        comparison._check_enough(plan, rows, 35, present)
        return
    with pytest.raises(
        CannotCompareError, match=r"search v1 was trained on the other 35, too few .* at 95 %"
    ):
        comparison._check_enough(plan, rows, 35, present)


def test_what_moved_meanwhile_is_not_overwritten(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    late = weigh(project, models[2], BREAK)
    put(project, models[1])
    with pytest.raises(FtspecError, match="FTS686"):
        promote(project, late)
    assert version_in(project) == "v2"


def test_a_version_that_was_deleted_meanwhile(project: Project, models: list[RegisteredModel]) -> None:
    proposal = weigh(project, models[0])
    delete_model(project, "example", "v1")
    with pytest.raises(FtspecError, match="FTS615"):
        promote(project, proposal)
    assert version_in(project) is None


def test_a_candidate_with_other_files_is_refused(project: Project, models: list[RegisteredModel]) -> None:
    (models[0].path / "model.safetensors").write_text("others")
    with pytest.raises(FtspecError, match="FTS682"):
        weigh(project, models[0])


def test_without_its_run_nothing_can_be_said(project: Project, models: list[RegisteredModel]) -> None:
    remove(project.runs / "example-00000001")
    with pytest.raises(FtspecError, match="FTS614"):
        weigh(project, models[0])


def test_staging_is_an_environment_of_its_own(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    put(project, models[1], PLAIN, to="staging")
    assert (version_in(project), version_in(project, "staging")) == ("v1", "v2")


@pytest.mark.parametrize("name", ["Production", "../x", "", "a b"])
def test_names_of_environments(project: Project, models: list[RegisteredModel], name: str) -> None:
    found = ftspec(project, "promote", "example", "--to", name, "--yes")
    assert found.exit_code == 64
    assert not project.environments.exists()


def test_without_a_terminal_yes_is_asked_for(project: Project, models: list[RegisteredModel]) -> None:
    found = ftspec(project, "promote", "example", "--to", "production")
    assert (found.exit_code, "pass --yes" in found.stderr) == (64, True)
    assert not project.environments.exists()
    assert ftspec(project, "promote", "nothing", "--to", "production", "--yes").exit_code == 1
    assert ftspec(project, "promote", "example@", "--to", "production", "--yes").exit_code == 64
    assert ftspec(project, "promote", "example@v9", "--to", "production", "--yes").exit_code == 1


# --- gates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"ndcg@10": Gate(min_gain=0.05)}, {"ndcg@10": Gate(min_gain=0.0)}),
        ({"ndcg@10": Gate(min_gain=-0.01)}, {"ndcg@10": Gate(min_gain=-0.01)}),
        (
            {"ndcg@10": Gate(min=0.5, confidence=0.9)},
            {"ndcg@10": Gate(min=0.5, confidence=0.9, min_gain=0.0)},
        ),
        (
            {"recall@1": Gate(min_gain=0.1), "latency_ms": Gate(p95_max=9.0)},
            {
                "recall@1": Gate(min_gain=0.0),
                "latency_ms": Gate(p95_max=9.0),
                "ndcg@10": Gate(min_gain=0.0),
            },
        ),
    ],
)
def test_gates_of_a_promotion(given: Mapping[str, Gate], asked: Mapping[str, Gate]) -> None:
    assert promotion_gates(example_plan(gates=given)) == FrozenMap(asked)


def test_a_gate_of_another_metric_counts_too(project: Project) -> None:
    plan = complete_plan()
    strict = replace(plan, gates=FrozenMap({**plan.gates, "ndcg@10": Gate(min_gain=0.0, min=0.999)}))
    put(project, make_version(project, 1, 2.5))
    proposal = weigh(project, make_version(project, 2, 1.0, plan=strict), BREAK)
    assert proposal.verdict is Outcome.FAILED
    assert "at least 0.999" in proposal.problems.items[-1].detail


# --- when files are gone ----------------------------------------------------------------------


def test_a_damaged_present_model_is_told_and_still_compared(
    project: Project, models: list[RegisteredModel]
) -> None:
    put(project, models[0])
    remove(models[0].path)
    proposal = weigh(project, models[1], BREAK)
    assert proposal.verdict is Outcome.PASSED  # what it makes of these texts is stored
    assert ("FTS682", False) in codes(proposal)
    promote(project, proposal)
    assert version_in(project) == "v2"


def test_without_its_embeddings_nothing_can_be_told(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    remove(models[0].path)
    for folder in (project.artifacts / "encode_tuned").iterdir():
        if folder != _encoded(project, models[1]):
            remove(folder)
    proposal = weigh(project, models[1], BREAK)
    assert (proposal.verdict, proposal.comparison) == (Outcome.INCONCLUSIVE, None)
    assert ("FTS802", True) in codes(proposal)
    put(project, models[1], Allowed(space_break=True, inconclusive=True))
    assert history(project)[0][-1].verdict == "inconclusive"


def test_a_backend_that_is_not_here(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    remove(_encoded(project, models[0]))
    proposal = weigh(project, models[1], BREAK)
    assert proposal.verdict is Outcome.INCONCLUSIVE
    assert "not among the backends here" in proposal.problems.items[-1].detail


def test_queries_ask_for_the_promoted_version(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[1])
    assert find_promoted(project, "example", "production").version == "v2"
    found = ftspec(project, "query", "example", "x", "--environment", "staging")
    assert (found.exit_code, "FTS681" in found.stderr) == (1, True)
    found = ftspec(project, "query", "example", "x", "--environment", "production", "--version", "v1")
    assert found.exit_code == 64
    (models[1].path / "model.safetensors").write_text("others")
    found = ftspec(project, "query", "example", "x", "--environment", "production")
    assert (found.exit_code, "FTS682" in found.stderr) == (1, True)
    assert "ftspec rollback" not in found.stderr  # nothing was there before
    assert "ftspec models delete example --version v2" in found.stderr
    delete_model(project, "example", "v2")  # as it says; whole ones that are promoted stay


def test_a_damaged_model_has_the_remedy_that_works(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    put(project, models[1])
    (models[1].path / "model.safetensors").write_text("others")
    found = ftspec(project, "query", "example", "x", "--environment", "production")
    assert "`ftspec rollback example --to production` goes back to v1" in " ".join(found.stderr.split())


def test_gc_takes_nothing_away_from_a_comparison(
    project: Project, models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may run at any moment: a comparison waits for no lease, and holds none."""
    put(project, models[0])

    def evaluate_late(*arguments: Any, **options: Any) -> Any:
        shutil.rmtree(project.artifacts)
        return evaluate(*arguments, **options)

    monkeypatch.setattr("ftspec.driver.comparison.evaluate", evaluate_late)
    proposal = weigh(project, models[1], BREAK)
    assert proposal.verdict is Outcome.PASSED
    assert not any((project.state / "promote").iterdir())
    promote(project, proposal)
    assert version_in(project) == "v2"


def test_a_comparison_that_was_removed_meanwhile(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    proposals = [weigh(project, model, BREAK) for model in models[1:]]
    collect_garbage(project, purpose="ftspec gc")  # nothing was promoted by it yet; v3 is current
    for proposal, code in zip(proposals, ("FTS615", "FTS612"), strict=True):
        with pytest.raises(FtspecError, match=code):
            promote(project, proposal)
    assert version_in(project) == "v1"
    put(project, models[2])


def test_gc_waits_for_a_promotion(
    project: Project, models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftspec.driver.gc.environments_lock", partial(environments_lock, wait_seconds=0.1))
    with environments_lock(project), pytest.raises(FtspecError, match="FTS601"):
        collect_garbage(project, purpose="ftspec gc")
    assert len(list_models(project)) == 3


# --- back -------------------------------------------------------------------------------------


def test_rollbacks_go_back_step_by_step(project: Project, models: list[RegisteredModel]) -> None:
    everything = Allowed(space_break=True, inconclusive=True)
    for model in models:
        put(project, model, everything)
    found = ftspec(project, "rollback", "example", "--to", "production", "--yes", "--note", "slow")
    assert found.exit_code == 0, found.stderr
    assert "production rolled back to example v2" in found.stdout
    assert "indexes that were built with v3 do not fit v2" in found.stderr
    moved, left, _ = rollback(project, "example", "production")
    assert (moved.version, left.version) == ("v1", "v2")
    assert [each.flags for each in history(project)[0]][3:] == [everything.flags()] * 2
    with pytest.raises(FtspecError, match=r"FTS681.*nothing was there before"):
        rollback(project, "example", "production")
    assert [each.version for each in history(project)[0]] == ["v1", "v2", "v3", "v2", "v1"]
    assert not verify_environments(project).items
    put(project, models[1])  # and forward again
    assert version_in(project) == "v2"
    assert rollback(project, "example", "production")[0].version == "v1"


def test_names_and_notes_that_are_no_text(project: Project, models: list[RegisteredModel]) -> None:
    """A name in git's configuration may be Latin-1, and an argument any bytes."""
    subprocess.run(["git", "init", "-q"], cwd=project.root, check=True)
    with (project.root / ".git" / "config").open("ab") as file:
        file.write(b"[user]\n\tname = M\xfcller\n")
    put(project, models[0])
    promote(project, weigh(project, models[1], BREAK), note="\udcff")
    back, _, _ = rollback(project, "example", "production", note="\udcff")
    assert (back.by, back.note) == ("M\ufffdller", "?")
    assert [each.note for each in history(project)[0]] == ["", "?", "?"]


def test_a_rollback_needs_nothing_of_the_present_model(
    project: Project, models: list[RegisteredModel]
) -> None:
    for model in models:
        put(project, model, Allowed(space_break=True, inconclusive=True))
    remove(models[2].path)
    (models[1].path / "model.safetensors").write_text("others")
    found = ftspec(project, "rollback", "example", "--to", "production", "--yes", "--format", "json")
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert (document["promotion"]["version"], document["left"]["version"]) == ("v1", "v3")
    assert "warning" in found.stderr
    assert "example v2, which was there before, is passed over" in found.stderr


def test_a_rollback_without_a_whole_version(project: Project, models: list[RegisteredModel]) -> None:
    with pytest.raises(FtspecError, match=r"FTS681.*holds no `example`"):
        rollback(project, "example", "production")
    put(project, models[0])
    put(project, models[1])
    remove(models[0].path)
    with pytest.raises(FtspecError, match=r"FTS681.*no earlier version is whole"):
        rollback(project, "example", "production")
    assert version_in(project) == "v2"


# --- shown ------------------------------------------------------------------------------------


def test_a_promoted_version_is_not_deleted(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    with pytest.raises(FtspecError, match=r"FTS685.*example v1 is in production"):
        delete_model(project, "example", "v1")
    found = CliRunner().invoke(cli, ["models", "delete", "example", "--yes", "--project", str(project.root)])
    assert (found.exit_code, "FTS685" in found.stderr) == (1, True)
    assert all(find_model_version(project, "example", f"v{number}")[0] for number in (1, 2, 3))
    put(project, models[1])
    delete_model(project, "example", "v1")


def test_models_tell_environments_and_spaces(
    project: Project, models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, models[0])
    put(project, models[0], to="staging")
    monkeypatch.setenv("COLUMNS", "120")
    listed = CliRunner().invoke(cli, ["models", "list", "--project", str(project.root)])
    assert "production, staging" in listed.stdout
    assert models[0].space_id is not None
    assert models[0].space_id[7:19] in listed.stdout
    arguments = ["models", "show", "example", "--version", "v1", "--project", str(project.root)]
    shown = CliRunner().invoke(cli, arguments).stdout
    assert "in          production, staging" in shown
    assert f"space       {models[0].space_id}" in shown
    document = json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json"]).stdout)
    assert document["environments"] == ["production", "staging"]
    assert document["space_id"] == models[0].space_id
    project.environments.write_text("<<<<<<< HEAD\n")
    listed = CliRunner().invoke(cli, ["models", "list", "--project", str(project.root)])
    assert (listed.exit_code, "v3" in listed.stdout, "FTS680" in listed.stderr) == (1, True, True)
    shown = ftspec(project, "models", "show", "example", "--format", "json")
    assert (shown.exit_code, json.loads(shown.stdout)["version"]) == (1, "v3")
    assert json.loads(shown.stderr)["diagnostics"][0]["code"] == "FTS680"


def test_the_history(
    project: Project, models: list[RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert "was not promoted yet" in ftspec(project, "history", "example").stderr
    put(project, models[0])
    promote(project, weigh(project, models[1], BREAK), note="with \x1b[31mcolour")
    rollback(project, "example", "production")
    put(project, models[1], to="staging")
    lines = ftspec(project, "history", "example").stdout.splitlines()
    assert [line.split()[:3] for line in lines[2:6]] == [
        ["*", "production", "v1"],
        ["production", "v2", "v1"],
        ["production", "v1", "first"],
        ["*", "staging", "v2"],
    ]
    assert "--allow-space-break with \\x1b[31mcolour" in "\n".join(lines)
    remove(models[0].path)
    document = json.loads(
        ftspec(project, "history", "--environment", "production", "--format", "json").stdout
    )
    assert [(each["version"], each["current"], each["files"]) for each in document] == [
        ("v1", True, "gone"), ("v2", False, "whole"), ("v1", False, "gone"),
    ]  # fmt: skip
    assert document[1]["measured"]["low"] > 0


def test_the_ledger_is_rebuilt_with_promotions(project: Project, models: list[RegisteredModel]) -> None:
    put(project, models[0])
    put(project, models[1])
    rollback(project, "example", "production")
    query = "SELECT * FROM promotions ORDER BY number"
    before = Ledger(project).query_readonly(query).rows
    assert len(before) == 3
    assert not verify(project).items
    project.ledger.unlink()
    rebuild(project)
    assert Ledger(project).query_readonly(query).rows == before


def _encoded(project: Project, model: RegisteredModel) -> Path:
    document = json.loads((project.runs / str(model.meta["run_id"]) / "plan.json").read_text())
    key: str = next(stage["key"] for stage in document["stages"] if stage["name"] == "encode_tuned")
    return project.artifacts / "encode_tuned" / key.removeprefix("sha256:")[:20]
