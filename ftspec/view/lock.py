"""What `ftspec lock` did, or would do."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ftspec.view.safe_text import safe

if TYPE_CHECKING:
    from ftspec.plan.contract import Lock
    from ftspec.plan.lock_changes import Change

FORMAT_VERSION = "1.0"
_MARKS = {"missing": "+", "moved": "~", "surplus": "-"}
_WORDS = {"missing": "added", "moved": "changed", "surplus": "removed"}
_SECTIONS = {"model": "model", "data": "data", "package": "package"}


def render_lock(name: str, lock: "Lock", changes: "tuple[Change, ...]", *, written: bool, check: bool) -> str:
    """One line for each entry that changes, and one for all; ends in a newline."""
    lines = [f"  {_MARKS[each.change]} {_SECTIONS[each.section]:<8}{safe(_told(each))}" for each in changes]
    counts = (
        f"{_count(len(lock.models), 'model')}, {_count(len(lock.data), 'data source')}, "
        f"packages of {_count(len(lock.packages), 'backend')}"
    )
    if written:
        lines.append(f"{name}: written, {counts}")
    elif check and changes:
        lines.append(f"{name}: {_count(len(changes), 'entry', 'entries')} would change")
    else:
        lines.append(f"{name}: nothing changes, {counts}")
    return "\n".join(lines) + "\n"


def _told(change: "Change") -> str:
    fields = ", ".join(
        f"{name}: {old} → {new}" if name else f"{old} → {new}" for name, old, new in change.fields
    )
    return f"{change.key}   {fields}" if fields else change.key


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def lock_json(
    path: str, specs: "tuple[str, ...]", changes: "tuple[Change, ...]", *, written: bool
) -> Mapping[str, Any]:
    """`changes`: `[{section, name, change: added | changed | removed, fields: [{field, old, new}]}]`."""
    return {
        "format_version": FORMAT_VERSION,
        "path": path,
        "specs": list(specs),
        "written": written,
        "changes": [
            {
                "section": each.section,
                "name": each.key,
                "change": _WORDS[each.change],
                "fields": [
                    {"field": name or "content", "old": old, "new": new} for name, old, new in each.fields
                ],
            }
            for each in changes
        ],
    }
