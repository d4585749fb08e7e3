"""What a plan of an LLM says of its data."""

from dataclasses import replace

from ftspec.plan.llm import LlmPlan
from ftspec.view.llm_sentences import data_sentences
from tests.llm_plan import make_llm_plan


def sentence_of_raft(plan: LlmPlan) -> str:
    return dict(data_sentences(plan))["raft"]


def test_shares_of_raft_rows_are_told_again_after_drops() -> None:
    plan = make_llm_plan()
    facts = plan.data.facts
    assert facts.raft is not None

    def said(rows: int) -> str:
        left = replace(facts, raft_rows=rows, raft_oracle_present=3, raft_refusals=1)
        return sentence_of_raft(replace(plan, data=replace(plan.data, facts=left)))

    assert said(4).endswith("; 4 rows of them are left, 3 with the oracle, 1 refusal")
    assert "left" not in said(facts.raft.questions)
    assert "left" not in said(0)  # of a plan of before they were counted
