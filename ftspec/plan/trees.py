"""Two specs as trees of JSON values, compared key by key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from ftspec.plan.codec import canonical_json, plan_document
from ftspec.plan.model import OriginKind, Plan

Json = Any
TreePath = tuple[str | int, ...]

_SOURCES = (("data", "train"), ("data", "evaluation"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeChange:
    path: TreePath  # on the new side, or where it was
    old_path: TreePath
    old: Json
    new: Json


def tree_changes(old: Json, new: Json) -> tuple[TreeChange, ...]:
    """Leaves that differ; a section that is on one side only is one change. A key that is left away equals
    null. Sources are matched by what they are, not by their place in the list."""
    return tuple(_walk((), (), old, new))


def path_text(path: TreePath) -> str:
    """Dotted, as `--set` takes it: names that hold a dot stand in quotes."""
    return ".".join(f'"{step}"' if isinstance(step, str) and "." in step else str(step) for step in path)


def _walk(old_path: TreePath, path: TreePath, old: Json, new: Json) -> Iterator[TreeChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _mappings(old_path, path, old, new)
    elif path in _SOURCES and old and new:
        yield from _sources(old_path, path, old, new)
    elif not _equal(old, new):
        yield TreeChange(path=path, old_path=old_path, old=old, new=new)


def _equal(old: Json, new: Json) -> bool:
    """1 is 1.0, as both came through the same type; but true is not 1."""
    return canonical_json(_numbers(old)) == canonical_json(_numbers(new))


def _numbers(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _mappings(
    old_path: TreePath, path: TreePath, old: Mapping[str, Json], new: Mapping[str, Json]
) -> Iterator[TreeChange]:
    names = [*new, *(name for name in old if name not in new)]
    if old.get("type") != new.get("type") and old.keys() != new.keys():
        names = [name for name in names if name in old and name in new]  # other forms have other keys
    for name in names:
        yield from _walk((*old_path, name), (*path, name), old.get(name), new.get(name))


def _sources(old_path: TreePath, path: TreePath, old: list[Json], new: list[Json]) -> Iterator[TreeChange]:
    for one, other in matched(old, new):
        if one is not None and other is not None:
            yield from _walk((*old_path, one), (*path, other), old[one], new[other])
        elif one is not None:
            yield TreeChange(path=(*path, one), old_path=(*old_path, one), old=old[one], new=None)
        elif other is not None:
            yield TreeChange(path=(*path, other), old_path=(*old_path, other), old=None, new=new[other])


def matched(old: list[Json], new: list[Json]) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of indexes; None: without a partner. Sources of one type and path are the same source; where one
    stands in the place of another of its type, its path changed. Their order counts: it orders the rows."""
    names, others = ([_identity(each) for each in side] for side in (old, new))
    for tag, a, b, c, d in SequenceMatcher(None, names, others, autojunk=False).get_opcodes():
        before, after = [*range(a, b)], [*range(c, d)]
        if tag in ("equal", "replace") and len(before) == len(after):
            for one, other in zip(before, after, strict=True):
                if old[one].get("type") == new[other].get("type"):
                    yield one, other
                else:
                    yield one, None
                    yield None, other
        else:
            yield from ((one, None) for one in before)
            yield from ((None, other) for other in after)


def _identity(source: Mapping[str, Json]) -> str:
    raft = source.get("raft") or source
    documents = raft.get("documents") if isinstance(raft, dict) else None
    return canonical_json([source.get("type"), source.get("path"), (documents or {}).get("path")])


_NOT_OF_SPEC = {
    "model": ("facts", "trainable_parameters"),
    "data": ("facts", "folder"),
    "train": ("total_steps", "roles"),
    "evaluation": ("baseline_facts", "primary", "detectable_gain", "dimensions"),
}
_INTERVALS = ("eval_steps", "save_steps", "logging_steps")


def spec_of_plan(plan: Plan) -> dict[str, Json]:
    """What a plan says of its spec, for plans that were saved without it: values in place of wishes."""
    document = plan_document(plan)
    tree: dict[str, Json] = {
        "kind": plan.kind,
        "metadata": {"name": plan.name, "description": plan.description, "labels": dict(plan.labels)},
        **{
            name: {
                key: value for key, value in document[name].items() if key not in _NOT_OF_SPEC.get(name, ())
            }
            for name in ("model", "adapter", "data", "train", "evaluation", "gates", "export")
            if name in document
        },
    }
    tree["resources"] = _resources(plan)
    train = tree["train"]
    train["max_steps"] = plan.train.total_steps if plan.train.num_train_epochs is None else None
    for name in _INTERVALS:
        origin = plan.origins.get(f"train.{name}")
        if origin is not None and origin.kind is OriginKind.DECIDED:
            train[name] = None
    if "quantization_bits" in tree["model"]:
        bits = tree["model"].pop("quantization_bits")
        tree["model"]["quantization"] = None if bits is None else {"bits": bits}
    for side in ("train", "evaluation"):
        for source in tree["data"][side]:
            if source.get("raft"):
                source.update(source.pop("raft"))
    return tree


_RESOURCES = {
    "backend": "backend",
    "precision": "precision",
    "device": "device",
    "num_processes": "num_processes",
    "limits.threads": "num_threads",
    "limits.memory": "memory_limit_bytes",
}


def _resources(plan: Plan) -> dict[str, Json]:
    """What of the execution the user wrote; the rest was decided."""
    found: dict[str, Json] = {"limits": {}}
    for name, field in _RESOURCES.items():
        origin = plan.origins.get(f"execution.{field}")
        is_given = origin is not None and origin.kind is OriginKind.GIVEN
        value = getattr(plan.execution, field) if is_given else None
        section, _, last = name.rpartition(".")
        (found[section] if section else found)[last] = value
    return found
