"""Train a random decoder on RAFT rows of SQuAD, and say what it learned of the form of a cited answer.

    python benchmarks/raft/run.py [--quick] [--backend trl|mlx] [--format text|json] [--set PATH=VALUE]

Needs `../shared/data/squad-dev` beside the repository. The decoder has less than a million parameters and
starts from random weights, so this shows the machinery (rows, masks, training, answers, metrics, gates),
and nothing of quality. Passages are cut at the ends of sentences into documents of at most PIECE
characters, as an index would hold them. SQuAD's questions are few, so training has made ones too, about
passages that no held-out question is about ("What follows “the first four”?"); only SQuAD's are held out,
by the split of the data set, which keeps a passage on one side. The spec is applied in a scratch project
on one thread. There is no bound: the table is what was measured.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from measuring import FTSPEC, Check, Report, environment, machine, parser, run, table  # noqa: E402

from ftspec.data.distractors import words_of  # noqa: E402
from ftspec.data.sentences import sentences  # noqa: E402
from ftspec.plan.llm_data import ANSWER_MARK, QUOTE_BEGIN, QUOTE_END  # noqa: E402
from ftspec.store.project import Project  # noqa: E402
from ftspec.store.run_record import all_records  # noqa: E402
from tests.tiny_llm import make_tiny_llm  # noqa: E402

SPEC = HERE / "squad.yaml"
DATA = HERE.parents[2] / "shared" / "data" / "squad-dev"
PIECE = 150  # characters of a document at most, unless one sentence is longer
MODEL: dict[str, Any] = {
    "architecture": "qwen2", "layers": 2, "width": 128, "heads": 4, "kv_heads": 4, "vocab": 2500,
    "positions": 256, "seed": 0,
}  # fmt: skip
MADE, SHOWN, WANTED = 4, 4, 2  # made questions of a document; words that they show, and ask for
# Seconds suffice for the shortest answer, the refusal: most rows are left without their oracle.
QUICK = (
    "train.max_steps=60", "train.warmup_steps=6", "train.learning_rate=5e-3", "data.limit.test=40",
    "evaluation.generate_rows=20", "evaluation.max_new_tokens=48", "data.train.0.oracle_probability=0.2",
    "data.train.1.oracle_probability=0.2", "data.train.1.when_absent=refuse",
)  # fmt: skip
QUICK_PART = 10  # every so many made questions
CITED = re.compile(rf"{QUOTE_BEGIN}(.+?){QUOTE_END} {ANSWER_MARK} .+", re.DOTALL)
VERDICTS = (0, 5, 6)  # passed, failed, inconclusive: all are results
EXAMPLES = 3  # answers of the tuned model that are shown


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--quick", action="store_true", help="a minute: are refusals learned?")
    arguments.add_argument("--backend", choices=("trl", "mlx"), default="trl")
    arguments.add_argument("--format", choices=("text", "json"), default="text")
    arguments.add_argument("--set", dest="overrides", action="append", default=[], metavar="PATH=VALUE")
    options = arguments.parse_args()
    if not DATA.is_dir():
        print(f"left out, there is no {DATA}", file=sys.stderr)
        return Report(benchmark="raft").finish(options.out)
    overrides = [
        f"resources.backend={options.backend}",
        *(QUICK if options.quick else ()),
        *options.overrides,
    ]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_project(folder, QUICK_PART if options.quick else 1)
        numbers = measure(folder, overrides)
    report = Report(benchmark="raft", checks=checks(numbers), numbers=numbers)
    if options.format == "json":
        document = {"benchmark": "raft", "machine": machine(), "numbers": numbers}
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return 0
    print(table([HEAD, *rows(numbers)]), end="\n\n")
    print("first answers:", *(f"  {text}" for text in numbers["examples"]), sep="\n", end="\n\n")
    return report.finish(options.out)


def write_project(folder: Path, part: int) -> None:
    """base/, corpus.jsonl, train.jsonl, made.jsonl (every `part`-th question), test.jsonl and the spec."""
    pieces = {each["id"]: cut(each["text"]) for each in read(DATA / "corpus.jsonl")}
    documents = [
        {"id": f"{passage}-{number}", "text": text}
        for passage, texts in pieces.items()
        for number, text in enumerate(texts)
    ]
    asked = read(DATA / "qa.jsonl")
    held_out = {each["positive"] for each in asked if each["split"] == "test"}
    sides = {side: [each for each in asked if each["split"] == side] for side in ("train", "test")}
    questions = {side: [found for each in sides[side] if (found := placed(each, pieces))] for side in sides}
    made = [
        question
        for each in documents
        if each["id"].rpartition("-")[0] not in held_out
        for question in made_questions(each)
    ]
    write(folder / "corpus.jsonl", documents)
    for name, lines in (*questions.items(), ("made", made[::part])):
        write(folder / f"{name}.jsonl", lines)
    marks = f"{QUOTE_BEGIN}{QUOTE_END} {ANSWER_MARK}\n" * len(asked)
    texts = [marks, *(each["text"] for each in documents), *(each["question"] for each in questions["train"])]
    make_tiny_llm(folder / "base", texts=texts, **MODEL)
    (folder / SPEC.name).write_bytes(SPEC.read_bytes())


def cut(text: str) -> list[str]:
    """Runs of whole sentences of at most PIECE characters; a longer sentence stands alone."""
    pieces: list[tuple[int, int]] = []
    for begin, end in sentences(text):
        if pieces and end - pieces[-1][0] <= PIECE:
            pieces[-1] = (pieces[-1][0], end)
        else:
            pieces.append((begin, end))
    return [text[begin:end] for begin, end in pieces]


def placed(asked: Mapping[str, Any], pieces: Mapping[str, list[str]]) -> dict[str, Any] | None:
    """The question about the piece of its passage that holds an answer and shares most words with it; None
    where a cut went through every answer."""
    passage, wanted = asked["positive"], set(words_of(asked["question"]))
    shared = {
        number: len(wanted & set(words_of(text)))
        for number, text in enumerate(pieces[passage])
        if any(answer in text for answer in asked["answers"])
    }
    if not shared:
        return None
    best = max(shared, key=lambda number: shared[number])
    return {
        "question": asked["question"],
        "answers": asked["answers"],
        "document": f"{passage}-{best}",
    }


def made_questions(document: Mapping[str, str]) -> list[dict[str, Any]]:
    """Up to MADE questions for the words behind others, from all parts of the document."""
    text = document["text"]
    words = [match.span() for match in re.finditer(r"\w+", text)]
    places = range(0, len(words) - SHOWN - WANTED + 1, max(1, (len(words) - SHOWN - WANTED + 1) // MADE))
    return [
        {
            "question": f"What follows “{text[words[at][0] : words[at + SHOWN - 1][1]]}”?",
            "answers": [text[words[at + SHOWN][0] : words[at + SHOWN + WANTED - 1][1]]],
            "document": document["id"],
        }
        for at in places[:MADE]
    ]


def measure(folder: Path, overrides: Iterable[str]) -> dict[str, Any]:
    """Apply the spec in `folder`, and read what it left there."""
    changes = [word for override in overrides for word in ("--set", override)]
    command = [FTSPEC, "apply", SPEC.name, "--yes", "--format", "json", *changes]
    started = time.perf_counter()
    finished = run(command, cwd=folder, expected=VERDICTS, env=environment(OMP_NUM_THREADS="1"))
    seconds = time.perf_counter() - started
    project = Project(folder)
    (record,) = all_records(project)[0]
    tested = {each["id"]: each["raft"] for each in read(artifact(project, "split", "test.jsonl"))}
    base, tuned = (read(artifact(project, stage, "answers.jsonl")) for stage in ("score_base", "score_tuned"))
    summary = json.loads(artifact(project, "evaluate", "summary.json").read_text(encoding="utf-8"))
    found = record.estimate
    return {
        "verdict": json.loads(finished.output.splitlines()[-1])["verdict"],
        "backend": record.backend,
        "steps": found.train_steps,
        "precision": found.precision,
        "train_rows": len(read(artifact(project, "tokenize", "train.jsonl"))),
        "seconds": seconds,
        "stage_seconds": found.measured_stage_seconds,
        "metrics": {
            each["metric"]: {
                "rows": each["rows"],
                "base": each["base"]["mean"],
                "tuned": each["tuned"]["mean"],
                "gain": each["gain"],
            }
            for each in summary["metrics"]
        },
        "cited_form": {
            "rows": sum(tested[each["id"]]["present"] for each in tuned),
            "base": cited_form(base, tested),
            "tuned": cited_form(tuned, tested),
        },
        "examples": [each["text"] for each in tuned[:EXAMPLES]],
    }


def cited_form(answers: Iterable[Mapping[str, str]], tested: Mapping[str, Any]) -> float:
    """Share of the answers to rows that show their oracle which are one quote between its marks, one answer
    mark, an answer, and nothing else; whatever is quoted."""
    texts = [each["text"].strip() for each in answers if tested[each["id"]]["present"]]
    formed = [
        CITED.fullmatch(text) is not None
        and all(text.count(mark) == 1 for mark in (QUOTE_BEGIN, QUOTE_END, ANSWER_MARK))
        for text in texts
    ]
    return sum(formed) / len(formed)


def artifact(project: Project, stage: str, name: str) -> Path:
    """A file of the only artefact of a stage."""
    (folder,) = (project.artifacts / stage).iterdir()
    return folder / name


HEAD = ["held-out rows", "rows", "base", "tuned", "95 % interval of the gain"]


def rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    measured = [
        [
            name,
            str(each["rows"]),
            f"{each['base']:.3f}",
            f"{each['tuned']:.3f}",
            f"[{each['gain']['low']:+.3f}, {each['gain']['high']:+.3f}]",
        ]
        for name, each in numbers["metrics"].items()
    ]
    form = numbers["cited_form"]
    own = ["quote, mark, answer", str(form["rows"]), f"{form['base']:.3f}", f"{form['tuned']:.3f}", ""]
    return [*measured, own]


def checks(numbers: Mapping[str, Any]) -> list[Check]:
    """Reported only: there is no bound."""
    loss, form = numbers["metrics"]["loss"], numbers["metrics"]["answer_form"]
    train = numbers["stage_seconds"]["train"]
    work = f"{numbers['steps']} steps, {numbers['backend']}, {numbers['precision']}"
    return [
        Check(name="raft: answer form", value=form["tuned"], unit="", note=f"base {form['base']:.3f}"),
        Check(name="raft: held-out loss", value=loss["tuned"], unit="", note=f"base {loss['base']:.3f}"),
        Check(name="raft: training", value=train, unit="s", note=work),
        Check(name="raft: whole apply", value=numbers["seconds"], unit="s", note=numbers["verdict"]),
    ]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
