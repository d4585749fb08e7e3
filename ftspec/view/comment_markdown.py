"""Plans of many specs as the one comment of a pull request: verdicts first, a table, details folded.

It stays below what GitHub takes. What is left out is counted and said, and the costliest stays. Every text of
a user is escaped: it makes no markup, no link, no mention and no end of a fence.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from ftspec.diagnostics import codes
from ftspec.hardware.model import format_bytes
from ftspec.plan.changes import MEANING, Category, cost
from ftspec.plan.planset import PlannedSpec, PlanSet, SpecState
from ftspec.view.amounts import count_text, seconds_text
from ftspec.view.comment_details import clip, code, length, spec_details
from ftspec.view.plan_markdown import MARKER, escape
from ftspec.view.safe_text import safe

MAX_CHARACTERS = 65_536  # of a comment, as GitHub counts
_RESERVE = 1_200  # for the last lines, which say what was left out
_SHARE_OF_TABLE = 0.5
_SHARE_OF_HEAD = 0.25
_NAMED = (6, 3, 1, 0)  # specs in a line of the verdict, as many as the share allows
_LISTS = (3, 10, 25, 60, 150, 400)  # how many lines a list may have within the details of a spec
_MAX_COMMANDS = 20
_MAX_MACHINES = 3
_LONGEST_SENTENCE = 200

_VERDICTS = {
    Category.SPACE_BREAK: ("🛑", "Space break", "indexes and thresholds made before are invalid"),
    Category.RETRAIN: ("🔁", "Retrain", "training runs from the base model"),
    Category.WARM_START: ("🔥", "Warm start", "a new training starts from a model of this project"),
    Category.EXTEND: ("⏩", "Extend", "a longer training of which the present one is the beginning"),
    Category.EXPORT: ("📦", "Export", "the same model in another form, under another name, or elsewhere"),
    Category.EVALUATION: ("📏", "Re-score", "the same model is measured or judged otherwise"),
    Category.REALISATION: ("⚙️", "Realisation", "the same model by other settings of the machine"),
    Category.METADATA: ("📝", "Metadata", "nothing runs"),
}


def comment_markdown(plans: PlanSet, *, limit: int = MAX_CHARACTERS) -> str:
    """GitHub-flavoured Markdown of at most `limit` characters, ending in a newline."""
    head = _head(plans, int(limit * _SHARE_OF_HEAD))
    tail = [*_commands(plans), "", _source(plans), ""]
    room = limit - _RESERVE - length("\n".join([*head, *tail]))
    rows, rows_left_out = _fitting((_row(each) for each in plans.specs), int(room * _SHARE_OF_TABLE))
    table = [
        "",
        "| spec | change | stages that run | time | memory | device time |",
        "|---|---|---|---:|---:|---:|",
        *rows,
    ]
    if not plans.specs:
        table = []
    room -= length("\n".join(table))
    details, lines_left_out, specs_left_out = _all_details(plans.specs, room)
    return "\n".join(
        [*head, *table, *details, *_left_out(rows_left_out, specs_left_out, lines_left_out), *tail]
    )


def _fitting(lines: Iterable[str], room: int) -> tuple[list[str], int]:
    """The first lines that fit into `room`, and how many do not."""
    kept: list[str] = []
    left_out = 0
    for line in lines:
        room -= length(line) + 1
        if room < 0 or left_out:
            left_out += 1
        else:
            kept.append(line)
    return kept, left_out


# --- verdicts -----------------------------------------------------------------------------------


def _head(plans: PlanSet, room: int) -> list[str]:
    """Each verdict with the names of its first specs: of fewer ones where names are very long."""
    for named in _NAMED:
        head = [MARKER, "### ftspec plan", "", *_verdicts(plans, named), *_notes(plans)]
        if length("\n".join(head)) <= room:
            break
    return head


def _verdicts(plans: PlanSet, named: int) -> list[str]:
    """What a reviewer has to know, the costliest first; each line is a paragraph of its own."""
    lines = []
    failed = _of_state(plans, SpecState.FAILED)
    if failed:
        lines.append(f"❌ **{count_text(len(failed), 'spec')} cannot be planned:** {_names(failed, named)}")
    unlocked = [each for each in plans.specs if _is_unlocked(each)]
    if unlocked:
        lines.append(
            f"🔓 **{count_text(len(unlocked), 'spec')} not as ftspec.lock states:** {_names(unlocked, named)}"
        )
    moving = [each for each in plans.specs if each.moves_current]
    if moving:
        lines.append(
            f"↩️ **Current moves back** for {count_text(len(moving), 'spec')} (to a version that is registered; "
            f"nothing is trained): {_names(moving, named)}"
        )
    stored = [each for each in plans.specs if each.is_stored and not each.moves_current]
    if stored:
        lines.append(
            f"♻️ **Stored** for {count_text(len(stored), 'spec')} (what it asks for was trained before; nothing is "
            f"trained): {_names(stored, named)}"
        )
    compared = [each for each in plans.specs if each.category and each not in moving and each not in stored]
    for category in sorted(Category, key=cost, reverse=True):
        specs = [each for each in compared if each.category is category]
        if specs:
            sign, title, meaning = _VERDICTS[category]
            lines.append(
                f"{sign} **{title}** of {count_text(len(specs), 'spec')} ({meaning}): {_names(specs, named)}"
            )
    for state, sign, title in (
        (SpecState.NEW, "🆕", "New"),
        (SpecState.DELETED, "🗑️", "Deleted"),
        (SpecState.RENAMED, "➡️", "Renamed"),
    ):
        specs = _of_state(plans, state)
        if specs:
            lines.append(f"{sign} **{title}:** {_names(specs, named)}")
    alone = [each for each in plans.specs if each.state is SpecState.PLANNED and each.running]
    if alone:
        lines.append(f"▶️ **{count_text(len(alone), 'spec')} would run:** {_names(alone, named)}")
    if not any(each.running or each.category or each.state is SpecState.FAILED for each in plans.specs):
        lines.append("✅ **Nothing would run.**")
    total = sum(each.seconds or 0.0 for each in plans.specs)
    if total:
        low, high = _range(plans.specs)
        lines.append(
            f"About {seconds_text(total)} in all (between {seconds_text(low)} and {seconds_text(high)}), on "
            f"{_machines(plans)}."
        )
    if plans.revision is not None:
        lines.append(f"{count_text(plans.unchanged, 'spec')} did not change.")
    return [part for line in lines for part in (line, "")][:-1]


def _of_state(plans: PlanSet, state: SpecState) -> list[PlannedSpec]:
    return [each for each in plans.specs if each.state is state]


def _is_unlocked(spec: PlannedSpec) -> bool:
    """It was planned although the lock states something else than what is there."""
    return spec.plan is not None and any(each.code is codes.LOCK_DISAGREES for each in spec.found)


def _names(specs: Sequence[PlannedSpec], named: int) -> str:
    if not named:
        return f"{len(specs):,} with long names"
    names = [_name(each) for each in specs[:named]]
    more = len(specs) - len(names)
    return ", ".join(names) + (f", and {more:,} more" if more else "")


def _name(spec: PlannedSpec) -> str:
    """Its path, and of a change what it is about."""
    text = code(spec.path)
    if spec.old_path is not None:
        text = f"{code(spec.old_path)} → {text}"
    if spec.difference is None or spec.category is None:
        return text
    about = [each.path for each in spec.difference.changes if each.category is spec.category]
    more = f" and {len(about) - 2} more" if len(about) > 2 else ""
    return f"{text} ({', '.join(code(path) for path in about[:2])}{more})"


def _range(specs: Iterable[PlannedSpec]) -> tuple[float, float]:
    low = high = 0.0
    for each in specs:
        if each.seconds:
            factor = _factor(each)
            low, high = low + each.seconds / factor, high + each.seconds * factor
    return low, high


def _factor(spec: PlannedSpec) -> float:
    if spec.difference is not None and spec.difference.estimates is not None:
        return spec.difference.estimates.factor
    return 1.0 if spec.plan is None or spec.plan.estimates is None else spec.plan.estimates.wall_factor


def _machines(plans: PlanSet) -> str:
    found = dict.fromkeys(each.plan.machine.summary for each in plans.specs if each.plan is not None)
    return "; ".join(escape(clip(summary, _LONGEST_SENTENCE)) for summary in list(found)[:_MAX_MACHINES])


def _notes(plans: PlanSet) -> list[str]:
    return [line for note in plans.notes for line in ("", f"> ⚠️ {escape(clip(note, _LONGEST_SENTENCE))}")]


# --- the table ----------------------------------------------------------------------------------


def _row(spec: PlannedSpec) -> str:
    stages = ", ".join(spec.running) if spec.plan is not None else ""
    if spec.plan is not None and not spec.running:
        stages = "none"
    seconds, device = spec.seconds, spec.device_seconds
    memory = (
        None if spec.plan is None or spec.plan.estimates is None else spec.plan.estimates.peak_memory_bytes
    )
    cells = (
        code(spec.path),
        _change_word(spec),
        escape(stages),
        seconds_text(seconds) if seconds and spec.running else "",
        format_bytes(memory) if memory else "",
        _device_time(spec, device) if device and spec.running else "",
    )
    return f"| {' | '.join(cells)} |"


def _change_word(spec: PlannedSpec) -> str:
    if spec.category is not None:
        word = f"**{spec.category}**" if cost(spec.category) >= cost(Category.EXTEND) else str(spec.category)
        if spec.moves_current or spec.is_stored:
            word = f"{spec.category}, {'moves back' if spec.moves_current else 'stored'}"
        return f"{spec.state}, {word}" if spec.state is SpecState.RENAMED else word
    if spec.state is SpecState.FAILED:
        return "**cannot be planned**"
    return "no change in meaning" if spec.is_empty else str(spec.state)


def _device_time(spec: PlannedSpec, seconds: float) -> str:
    """What a bill counts: hours of devices, however many of them work at once."""
    assert spec.plan is not None
    kind = "CPU" if spec.plan.execution.device == "cpu" else "GPU"
    hours = seconds / 3600
    return f"{'under 0.01' if hours < 0.01 else f'{hours:.2f}'} {kind} h"


# --- details -----------------------------------------------------------------------------------


def _all_details(specs: Sequence[PlannedSpec], room: int) -> tuple[list[str], int, int]:
    """Details of as many specs as fit with the shortest lists, the costliest first; then, in the same order,
    with longer lists where there is room left. Returns them, how many lines they lack, and how many specs have
    none."""
    kept: dict[int, tuple[list[str], int]] = {}
    specs_left_out = 0
    for index, spec in enumerate(specs):
        made = spec_details(spec, _LISTS[0])
        size = _size(made[0])
        if not made[0]:
            continue
        if size > room or specs_left_out:
            specs_left_out += 1
            continue
        kept[index] = made
        room -= size
    for index, (_, left_out) in kept.items():
        for longest in _LISTS[1:] if left_out else ():
            made = spec_details(specs[index], longest)
            more = _size(made[0]) - _size(kept[index][0])
            if more > room:
                break
            kept[index] = made
            room -= more
    lines = [line for text, _ in kept.values() for line in text]
    return lines, sum(left_out for _, left_out in kept.values()), specs_left_out


def _size(lines: Sequence[str]) -> int:
    return length("\n".join(lines)) + 1


# --- the end ------------------------------------------------------------------------------------


def _commands(plans: PlanSet) -> list[str]:
    files = [each.file for each in plans.specs if each.file is not None]
    if not files:
        return []
    lines = [f"ftspec apply {shlex.quote(file)}" for file in files[:_MAX_COMMANDS]]
    if len(files) > _MAX_COMMANDS:
        lines.append(f"# and {count_text(len(files) - _MAX_COMMANDS, 'plan file')} more in the same folder")
    since = f" --since {shlex.quote(plans.revision)}" if plans.revision is not None else ""
    make = f"ftspec plan --all{since} --out-dir {shlex.quote(plans.folder or 'plans')}"
    text = [clip(safe(line), 500) for line in (make, *lines)]
    return ["", "To apply exactly this, where it was planned:", "", "````bash", *text, "````"]


def _source(plans: PlanSet) -> str:
    words = []
    if plans.base is not None and plans.revision is not None:
        words.append(f"Compared with {code(plans.revision)} (<code>{escape(plans.base[:12])}</code>)")
    if plans.head is not None:
        words.append(f"{'at' if words else 'Planned at'} <code>{escape(plans.head[:12])}</code>")
    return " ".join(words) + "." if words else "Planned in a folder without git."


def _left_out(rows: int, specs: int, lines: int) -> Iterator[str]:
    words = []
    if rows:
        words.append(f"{count_text(rows, 'row')} of the table")
    if specs:
        words.append(f"the details of {count_text(specs, 'spec')}")
    if lines:
        words.append(f"{count_text(lines, 'line')} within details")
    if words:
        yield ""
        yield (
            f"> ✂️ **Left out, for a comment has an end:** {', '.join(words)}. The costliest stand above; "
            "`ftspec plan --all --format json` has all."
        )


assert set(_VERDICTS) == set(MEANING)
