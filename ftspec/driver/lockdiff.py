"""Two locks, entry by entry: what is resolved otherwise."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from ftspec.driver.sides import Side
from ftspec.plan.changes import find_rule
from ftspec.plan.compare import costliest
from ftspec.plan.difference import Change, Difference

_KIND = "Embedding"  # a lock serves specs of every kind; its rules are the same for all
_READING = re.compile(r"#[0-9a-f]{8}$")
_SECTIONS = ("models", "data", "packages")


def lock_difference(old: Side, new: Side) -> Difference:
    """Both sides hold a lock: a file, or the part that a plan file carries. Of a file only what the plan needs is
    compared with the plan: the rest belongs to other specs, or to other machines."""
    assert old.lock is not None
    assert new.lock is not None
    before, after = (to_jsonable_python(side.lock, fallback=dict) for side in (old, new))
    if old.half is not None:
        after = {section: dict(_named_by(before[section], after[section])) for section in _SECTIONS}
    elif new.half is not None:
        before = {section: dict(_named_by(after[section], before[section])) for section in _SECTIONS}
    changes = []
    for section in _SECTIONS:
        one, other = before[section], after[section]
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                changes.append(_change(section, name, one.get(name), other.get(name)))
    return Difference(
        old=old.name,
        new=new.name,
        category=costliest(changes),
        changes=tuple(changes),
        notes=(*old.notes, *new.notes),
    )


def _named_by(own: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries of a whole lock that stand for those of one plan. Where several specs read one name in several
    ways, the whole lock tells them apart by a suffix that the plan, which is alone, does not know: the
    reading of the plan is the one that is the same, or else of the same form."""
    for key, value in own.items():
        stem = _READING.sub("", key)
        readings = [name for name in (key, *whole) if name in whole and _READING.sub("", name) == stem]
        if not readings:
            continue
        form = _form(value)
        best = min(readings, key=lambda name: (whole[name] != value, _form(whole[name]) != form))
        yield key, whole[best]


def _form(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return entry.get("type"), entry.get("columns")


def _change(section: str, name: str, old: Any, new: Any) -> Change:
    rule = find_rule(("lock", section, name), _KIND)
    one, other = _differing(old, new)
    return Change(
        path=f"lock.{section}.{name}",
        old=one,
        new=other,
        category=rule.category,
        why=rule.why,
        rule=rule.path,
        place="",
    )


def _differing(old: Any, new: Any) -> tuple[Any, Any]:
    """The parts of an entry that differ; the whole where one side lacks it."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return old, new
    names = [name for name in (*new, *(n for n in old if n not in new)) if old.get(name) != new.get(name)]
    return {name: old.get(name) for name in names}, {name: new.get(name) for name in names}
