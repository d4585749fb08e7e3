"""Two locks, entry by entry: what is resolved otherwise."""

from typing import Any

from pydantic_core import to_jsonable_python

from ftspec.driver.sides import Side
from ftspec.plan.changes import find_rule
from ftspec.plan.compare import costliest
from ftspec.plan.difference import Change, Difference

_KIND = "Embedding"  # a lock serves specs of every kind; its rules are the same for all
_SECTIONS = ("models", "data", "packages")


def lock_difference(old: Side, new: Side) -> Difference:
    """Both sides hold a lock: a file, or the part that a plan file carries."""
    assert old.lock is not None
    assert new.lock is not None
    before, after = (to_jsonable_python(side.lock, fallback=dict) for side in (old, new))
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
