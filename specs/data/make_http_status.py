"""Writes the example data of the specs beside this folder, from the standard library's `http.HTTPStatus`.

A query is the description of a status, its document the number and the phrase; the class of the
number (client error, …) is the group. Small on purpose: the examples show the forms that data may
have, and are honest that so few queries decide nothing.
"""

import gzip
import json
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
CLASSES = {1: "informational", 2: "success", 3: "redirection", 4: "client error", 5: "server error"}


def write_lines(path: Path, rows: Iterable[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _partner(pairs: list[dict[str, str]], place: int, *, same_class: bool) -> dict[str, str] | None:
    """Another pair of the same block of four, of the same class or of another one."""
    start = place - place % 4
    block = [pairs[i] for i in range(start, min(start + 4, len(pairs))) if i != place]
    return next((each for each in block if (each["class"] == pairs[place]["class"]) == same_class), None)


def main() -> None:
    # Far neighbours side by side, so that each block of four holds several classes.
    described = [status for status in HTTPStatus if status.description]
    half = len(described) // 2
    statuses = [status for pair in zip(described[:half], described[half:], strict=True) for status in pair]
    pairs: list[dict[str, str]] = [
        {
            "question": str(status.description),
            "answer": f"{status.value} {status.phrase}",
            "class": CLASSES[status.value // 100],
        }
        for status in statuses
    ]
    write_lines(FOLDER / "http-pairs.jsonl", pairs)

    # Partners come from the same block of four, so that splits can keep rows apart that share an answer.
    others = [_partner(pairs, place, same_class=False) for place in range(len(pairs))]
    siblings = [_partner(pairs, place, same_class=True) for place in range(len(pairs))]
    write_lines(
        FOLDER / "http-triplets.jsonl",
        (
            {**p, "wrong": other["answer"]}
            for p, other in zip(pairs, others, strict=True)
            if other is not None
        ),
    )
    scored = [{"question": p["question"], "answer": p["answer"], "score": 1.0} for p in pairs]
    scored += [
        {"question": p["question"], "answer": sibling["answer"], "score": 0.4}
        for p, sibling in zip(pairs, siblings, strict=True)
        if sibling is not None
    ]
    scored += [
        {"question": p["question"], "answer": other["answer"], "score": 0.0}
        for p, other in zip(pairs, others, strict=True)
        if other is not None
    ]
    write_lines(FOLDER / "http-scored.jsonl", scored)
    write_lines(
        FOLDER / "http-binary.jsonl",
        (
            {"question": row["question"], "answer": row["answer"], "same": int(row["score"] == 1.0)}
            for row in scored
            if row["score"] != 0.4
        ),
    )
    write_lines(FOLDER / "http-classes.jsonl", ({"text": p["question"], "class": p["class"]} for p in pairs))

    beir = FOLDER / "http-beir"
    (beir / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = "".join(
        json.dumps({"_id": str(s.value), "title": str(s.value), "text": s.phrase}) + "\n" for s in statuses
    )
    with gzip.GzipFile(beir / "corpus.jsonl.gz", "wb", mtime=0) as handle:
        handle.write(corpus.encode())
    write_lines(
        beir / "queries.jsonl",
        ({"_id": f"q{s.value}", "text": s.description, "group": CLASSES[s.value // 100]} for s in statuses),
    )
    for name, side in (
        ("train", [s for s in statuses if s.value % 3]),
        ("test", [s for s in statuses if s.value % 3 == 0]),
    ):
        lines = ["query-id\tcorpus-id\tscore", *(f"q{s.value}\t{s.value}\t1" for s in side)]
        (beir / "qrels" / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_text_rows() -> None:
    """Documents, questions that quote them, and the same as chats: for the specs of kind LLM."""
    documents, questions, chats = [], [], []
    for status in HTTPStatus:
        number, kind = str(status.value), CLASSES[status.value // 100]
        sentences = [f"Status {number} is called {status.phrase}.", f"It belongs to the class {kind}."]
        asked = [
            (f"What is status {number} called?", status.phrase),
            (f"Which number has the status {status.phrase}?", number),
            (f"Which class does status {number} belong to?", kind),
        ]
        if status.description:
            sentences.append(f"It means: {status.description}.")
            asked.append((f"What does status {number} mean?", str(status.description)))
        documents.append({"id": number, "text": " ".join(sentences)})
        for place, (question, answer) in enumerate(asked):
            questions.append(
                {"id": f"{number}-{place}", "question": question, "answers": [answer], "document": number}
            )
        chats.append(
            {
                "messages": [
                    {"role": "system", "content": "You answer questions about HTTP."},
                    *(
                        {"role": role, "content": text}
                        for question, answer in asked[:2]
                        for role, text in (("user", question), ("assistant", answer))
                    ),
                ],
                "class": kind,
            }
        )
    write_lines(FOLDER / "http-documents.jsonl", documents)
    write_lines(FOLDER / "http-questions.jsonl", questions)
    write_lines(FOLDER / "http-chats.jsonl", chats)


if __name__ == "__main__":
    main()
    write_text_rows()
