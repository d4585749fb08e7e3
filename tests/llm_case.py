"""Plans of two public decoders for named machines: real facts of the models, made-up facts of the data.

2,000 chats of up to 3,000 tokens, as a survey would describe them; nothing is read but the spec.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ftspec.diagnostics.model import Diagnostics
from ftspec.driver.compile import plan_for
from ftspec.driver.facts import World
from ftspec.hardware.profiles import load_hardware
from ftspec.plan.facts import SourceFacts, TextLengths
from ftspec.plan.llm import LlmPlan
from ftspec.plan.llm_data import LlmDataFacts
from ftspec.plan.stages import nothing_stored, with_stages
from ftspec.source.load import load_document
from ftspec.spec.check import check_spec
from ftspec.store.project import Project
from ftspec.target.load import load_targets
from tests.example_text import example_text_plan
from tests.llm_facts import llm_facts

BASES = {
    "qwen-3b": ("Qwen/Qwen2.5-3B-Instruct", "qwen2.5-3b-instruct"),
    "llama-8b": ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
}
SPEC = """\
apiVersion: ftspec/v1
kind: LLM
metadata:
  name: {name}
model:
  base: {base}
  max_seq_length: 2048
adapter:
  type: {adapter}
data:
  train:
    - type: chat
      path: rows.jsonl
  split:
    by: random
train:
  global_batch_size: 16
  num_train_epochs: 1
evaluation:
  generate_rows: 100
"""
APART = """\
export:
  merge: false
"""
MACHINES = ("h100x8", "rtx4090", "m3-max-128gb", "m2-16gb", "laptop-cpu")
# What a user would try there; `apart` ships the adapter beside its base.
CASES = (
    *((f"{base}-lora", machine) for base in BASES for machine in MACHINES),
    *(("llama-8b-qlora", machine) for machine in ("rtx4090", "m2-16gb", "t4")),
    *(("llama-8b-qlora-apart", machine) for machine in ("m2-16gb", "t4", "laptop-cpu")),
    *(("qwen-3b-qlora-apart", machine) for machine in ("laptop-cpu", "m2-16gb")),
    ("llama-8b-dora", "rtx4090"),
    *(("qwen-3b-full", machine) for machine in ("h100x8", "m3-max-128gb", "rtx4090")),
    ("llama-8b-full", "h100x8"),
)

Planned = tuple[LlmPlan | None, Diagnostics]


def write_spec(folder: Path, name: str, *, change: Sequence[tuple[str, str]] = ()) -> Path:
    """`<name>.yaml` in `folder`, with texts exchanged by `change`."""
    base, adapter = _parts(name)
    text = SPEC.format(name=name, base=BASES[base][0], adapter=adapter.removesuffix("-apart"))
    if adapter.endswith("-apart"):
        text += APART
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def plan_llm(folder: Path, name: str, machine: str, *, change: Sequence[tuple[str, str]] = ()) -> Planned:
    """The plan of a case on a named machine, by the backends that ship."""
    path = write_spec(folder, name, change=change)
    with contextlib.chdir(folder):  # the plan names its spec as it was given
        document, found = load_document(Path(path.name))
    assert document is not None, [*found]
    spec, found = check_spec(document)
    assert spec is not None, [(item.code.id, item.detail) for item in found]
    hardware, _ = load_hardware(machine)
    assert hardware is not None
    targets, found = load_targets()
    assert not [*found]
    base, _ = _parts(name)
    world = World(
        hardware=hardware, targets=targets, model=llm_facts(BASES[base][1]), baseline=None, data=data_facts()
    )
    plan, found = plan_for(
        spec, document, world, project=Project(folder), path=Path(f"{name}.yaml"), overrides=()
    )
    if plan is None:
        return None, found
    staged = with_stages(plan, nothing_stored)
    assert isinstance(staged, LlmPlan)
    return staged, found


def data_facts() -> LlmDataFacts:
    known = example_text_plan(raft=False).data.facts
    source = SourceFacts(
        label="rows.jsonl",
        type="chat",
        digest="sha256:" + "c" * 64,
        files=1,
        rows=2500,
        skipped=0,
        skip_examples=(),
    )
    whole = TextLengths(
        count=2000, mean=700.0, p50=650, p95=1500, max=3000, share_above_limit=0.02, padded_mean=1100.0
    )
    return replace(
        known,
        sources=(source,),
        render=("chat",),
        split_by="random",
        train_rows=2000,
        train_rows_available=2000,
        sequences=2000,
        test_rows=500,
        dropped_too_long=40,
        lengths=whole,
        prompt_lengths=replace(whole, mean=500.0, p50=450, p95=1200, max=2700, padded_mean=800.0),
        completion_lengths=replace(whole, mean=200.0, p50=180, p95=400, max=900, padded_mean=300.0),
        train_tokens=1_400_000,
        trained_tokens=400_000,
        test_tokens=350_000,
        tested_tokens=100_000,
        test_with_answers=500,
        longest_prompt=2700,
        test_raft=0,
        raft=None,
        slices=(),
    )


def _parts(name: str) -> tuple[str, str]:
    base = next(base for base in BASES if name.startswith(base))
    return base, name.removeprefix(f"{base}-")
