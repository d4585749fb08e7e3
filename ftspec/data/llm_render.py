"""From a row to its text, and which stretches of it are trained.

A turn begins where the generation prompt ends, so a model is trained from exactly what it is asked with.
Where a template
keeps less of a finished turn than it asks with, the last turn is put behind the generation prompt itself.
What a model must write includes its end of turn; white space that a template puts behind that is not trained.
"""

from dataclasses import dataclass

from ftspec.data.chat_template import ChatTemplate
from ftspec.data.llm_rows import LlmRow, Message

_MARK = "ftspec0content0mark"


class RewritesError(ValueError):
    """The template renders what stands before a turn otherwise once the turn is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Characters [start, end) are one turn of the assistant, of which [start, stop) is trained."""

    start: int
    stop: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    text: str
    turns: tuple[Turn, ...]  # those that are trained; the last is the completion
    ends: bool  # the last turn ends in a control token; else the end token is to follow
    plain: bool  # text without a template: the tokenizer's leading tokens belong before it


def render_row(
    row: LlmRow,
    template: ChatTemplate | None,
    *,
    as_chat: bool,
    train_on: str,
    special_texts: tuple[str, ...],
) -> Rendered:
    """The text of a row. `train_on: all` has the turns of `completions`; its mask is another matter.

    As chat, a prompt is what the user says. As text, prompt and completion stand one behind the other
    as they are written; only RAFT prompts, which ftspec makes itself, end with a line break then.
    Raises TemplateError and RewritesError.
    """
    if not as_chat:
        assert not row.messages, "chat rows are always rendered by a template"
        prompt = row.prompt + ("\n" if row.raft is not None else "")
        text = prompt + row.completion
        turn, ends = _turn(text, len(prompt), len(text), special_texts)
        return Rendered(text=text, turns=(turn,), ends=ends, plain=True)
    assert template is not None, "missing templates are found when sources are opened"
    messages: tuple[Message, ...] = row.messages or (
        {"role": "user", "content": row.prompt},
        {"role": "assistant", "content": row.completion},
    )
    full = template.render(messages, row.tools, add_generation_prompt=False)
    if train_on != "assistant":
        asked = template.render(messages[:-1], row.tools, add_generation_prompt=True)
        if not full.startswith(asked):
            full = asked + full[_start_of_content(template, row, messages, len(messages) - 1) :]
        turn, ends = _turn(full, len(asked), len(full), special_texts)
        return Rendered(text=full, turns=(turn,), ends=ends, plain=False)
    turns: list[Turn] = []
    ends = False
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            start = _start(template, row, messages, number, full)
            end = len(full) if number == len(messages) - 1 else _end(template, row, messages, number, full)
            turn, ends = _turn(full, start, end, special_texts)
            turns.append(turn)
    return Rendered(text=full, turns=tuple(turns), ends=ends, plain=False)


def _start(template: ChatTemplate, row: LlmRow, messages: tuple[Message, ...], number: int, full: str) -> int:
    """Where a turn begins among others: behind its generation prompt. A template may open a turn with more
    than it keeps of it (thinking, say); then behind its header, if all before it is as it was."""
    asked = template.render(messages[:number], row.tools, add_generation_prompt=True)
    if full.startswith(asked):
        return len(asked)
    if full.startswith(template.render(messages[:number], row.tools, add_generation_prompt=False)):
        return _start_of_content(template, row, messages, number)
    raise RewritesError(f"messages[{number}] (assistant): the text before it changes once it is there")


def _start_of_content(template: ChatTemplate, row: LlmRow, messages: tuple[Message, ...], number: int) -> int:
    """Where the template puts the content of a message: found by rendering another content."""
    marked = {**messages[number], "content": _MARK}
    other = template.render(
        (*messages[:number], marked, *messages[number + 1 :]), row.tools, add_generation_prompt=False
    )
    full = template.render(messages, row.tools, add_generation_prompt=False)
    place = other.find(_MARK)
    if place < 0 or not messages[number].get("content") or full[:place] != other[:place]:
        raise RewritesError(f"messages[{number}] (assistant): where its own text begins cannot be told")
    return place


def _end(template: ChatTemplate, row: LlmRow, messages: tuple[Message, ...], number: int, full: str) -> int:
    so_far = template.render(messages[: number + 1], row.tools, add_generation_prompt=False)
    if not full.startswith(so_far):
        raise RewritesError(f"messages[{number}] (assistant): its own text changes with what follows it")
    return len(so_far)


def _turn(text: str, start: int, end: int, special_texts: tuple[str, ...]) -> tuple[Turn, bool]:
    """The turn without white space behind its closing control token; and whether it has one."""
    kept = text[start:end].rstrip()
    if any(kept.endswith(special) for special in special_texts):
        return Turn(start=start, stop=start + len(kept), end=end), True
    return Turn(start=start, stop=end, end=end), False
