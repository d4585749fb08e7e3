"""What the keys of an LLM's stages depend on."""

from dataclasses import replace

from ftspec.plan.llm import LlmPlan
from ftspec.plan.stages import nothing_stored, with_stages
from tests.llm_plan import make_llm_plan


def keys(*, merge: bool, bits: int | None) -> dict[str, str]:
    plan: LlmPlan = make_llm_plan(export={"merge": merge})
    plan = replace(plan, model=replace(plan.model, quantization_bits=bits))
    return {stage.name: stage.key for stage in with_stages(plan, nothing_stored).stages}


def test_the_base_is_scored_in_the_form_that_is_shipped() -> None:
    """Its scores beside a merged model are those of the base as it is, however the model was trained."""
    plain, merged, apart = (
        keys(merge=True, bits=None),
        keys(merge=True, bits=4),
        keys(merge=False, bits=4),
    )
    assert plain["score_base"] == merged["score_base"] != apart["score_base"]
    assert plain["train"] != merged["train"]
    assert len({plain["score_tuned"], merged["score_tuned"], apart["score_tuned"]}) == 3
