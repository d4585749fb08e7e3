"""How long one `ftspec validate` takes for many different specs: at most 10 s for 1,000.

python benchmarks/validate_many.py [--specs 1000]
"""

import sys
import tempfile
from pathlib import Path

from measuring import FTSPEC, Check, Report, parser, run

SECONDS_PER_SPEC = 10 / 1000

SOURCES = (
    """\
    - type: code
      path: src/{number}
""",
    """\
    - type: beir
      path: data/set-{number}
      split: train
""",
    """\
    - type: file
      path: data/rows-{number}.jsonl
      roles:
        query: question
        positive: answer
        group: topic
""",
)

# As long as the quickstart, and with more sections: what people have in a repository.
SPEC = """\
# yaml-language-server: $schema=../schemas/spec.schema.json
apiVersion: ftspec/v1
kind: Embedding
metadata:
  name: search-{number}
  description: Number {number} of many.
  labels:
    team: team-{team}
model:
  base: all-MiniLM-L6-v2
  max_seq_length: {length}
  prompts:
    query: "query {number}: "
    document: "document: "
data:
  train:
{source}\
  filters:
    min_query_chars: {chars}
  split:
    by: group
    test: 0.2
    seed: {number}
  limit:
    train: {rows}
    test_queries: 500
train:
  objective:
    type: contrastive
    temperature: {temperature}
  global_batch_size: {batch}
  num_train_epochs: {epochs}
  learning_rate: {rate}e-5
  warmup_ratio: 0.1
  seed: {number}
evaluation:
  metrics: [ndcg@10, recall@1, recall@5, mrr@10]
  top_k: 100
gates:
  ndcg@10:
    min_gain: 0
    confidence: 0.95
  recall@5:
    min: 0.5
resources:
  precision: auto
  limits:
    memory: {memory}GiB
"""


def spec_text(number: int) -> str:
    """A valid spec; no two numbers give the same one."""
    return SPEC.format(
        number=number,
        team=number % 17,
        length=(64, 128, 256)[number % 3],
        source=SOURCES[number % len(SOURCES)].format(number=number),
        chars=1 + number % 20,
        rows=256 + number,
        temperature=(0.02, 0.05, 0.1)[number // 3 % 3],
        batch=(16, 32, 64, 128)[number % 4],
        epochs=1 + number % 3,
        rate=1 + number % 9,
        memory=4 + number % 13,
    )


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--specs", type=int, default=1000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"spec-{number:04}.yaml" for number in range(options.specs)]
        for number, path in enumerate(paths):
            path.write_text(spec_text(number), encoding="utf-8")
        run([FTSPEC, "validate", str(paths[0])])
        finished = run([FTSPEC, "validate", *(path.name for path in paths)], cwd=Path(folder))
    expected = f"{options.specs} specs valid"
    assert expected in finished.output, finished.output[-500:]
    report = Report(benchmark="validate_many", numbers={"specs": options.specs, "seconds": finished.seconds})
    report.checks.append(
        Check(
            name=f"ftspec validate of {options.specs:,} specs",
            value=finished.seconds,
            unit="s",
            bound=options.specs * SECONDS_PER_SPEC,
            note=f"{finished.seconds / options.specs * 1000:.1f} ms each",
        )
    )
    return report.finish(options.out)


if __name__ == "__main__":
    sys.exit(main())
