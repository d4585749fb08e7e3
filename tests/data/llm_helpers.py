"""Requests for text with defaults, and small sources of each kind."""

from pathlib import Path
from typing import Any

from ftspec.data.llm_request import LlmRequest
from ftspec.plan.frozen import FrozenMap
from ftspec.plan.llm_data import LlmFilters, LlmLimit, LlmSource, RaftFile, RaftPlan
from ftspec.plan.model import Split


def llm_request(folder: Path, base: Path, *train: LlmSource, **changes: Any) -> LlmRequest:
    split = {"by": "auto", "test": 0.25, "validation": 0.0, "seed": 13, **changes.pop("split", {})}
    fields: dict[str, Any] = {
        "evaluation": (),
        "filters": LlmFilters(deduplicate=changes.pop("deduplicate", True)),
        "limit": LlmLimit(**changes.pop("limit", {})),
        "split": Split(**split),
        "on_error": "fail",
        "slices": (),
        "synth": folder / "synth",
        "max_seq_length": 512,
        "train_on": "completions",
        "packing": False,
        "too_long": "drop",
        "global_batch_size": 4,
        **changes,
    }
    return LlmRequest(folder=folder, base=base, train=train, **fields)


def chat_source(path: str, **roles: str) -> LlmSource:
    return LlmSource(type="chat", path=path, roles=FrozenMap({"messages": "messages", **roles}))


def pair_source(path: str, render: str = "auto", **roles: str) -> LlmSource:
    return LlmSource(
        type="completion",
        path=path,
        render=render,
        roles=FrozenMap({"prompt": "prompt", "completion": "completion", **roles}),
    )


def raft_source(
    documents: str | RaftFile = "docs.jsonl", questions: str | RaftFile = "qa.jsonl", **changes: Any
) -> LlmSource:
    roles = {"question": "question", "answers": "answers", "document": "positive", **changes.pop("roles", {})}
    render = changes.pop("render", "auto")
    plan: dict[str, Any] = {
        "documents": documents
        if isinstance(documents, RaftFile)
        else RaftFile(path=documents, roles=FrozenMap({"id": "id", "text": "text"})),
        "questions": questions
        if isinstance(questions, RaftFile)
        else RaftFile(path=questions, roles=FrozenMap(roles)),
        "synthesize": None,
        "distractors": 2,
        "oracle_probability": 0.8,
        "retriever": "bm25",
        "when_absent": "answer",
        "answers": "extractive",
        "prompt": None,
        "seed": 13,
        **changes,
    }
    return LlmSource(type="raft", render=render, raft=RaftPlan(**plan))


def dialogue(*turns: str) -> dict[str, Any]:
    """user, assistant, user, … in turn"""
    return {
        "messages": [
            {"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(turns)
        ]
    }


def dialogues(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{**dialogue(f"What is {n}?", f"It is {n * n}."), **more} for n in range(count)]


def texts(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"Q {n}:\n", "completion": f"answer {n}", **more} for n in range(count)]


def documents(count: int) -> list[dict[str, Any]]:
    animals = ("otter", "heron", "lynx", "marten", "kestrel")
    return [
        {
            "id": f"d{n}",
            "text": f"The {animals[n % 5]} of valley {n} is shy. It eats {n} trout a day. Nobody feeds it.",
        }
        for n in range(count)
    ]


def questions(count: int) -> list[dict[str, Any]]:
    return [
        {
            "question": f"How much does the animal of valley {n} eat?",
            "answers": [f"{n} trout"],
            "positive": f"d{n}",
        }
        for n in range(count)
    ]
