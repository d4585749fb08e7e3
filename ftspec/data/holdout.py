"""Which rows are held out: whole units, drawn by hash, so that no text is on both sides.

A unit is a group, a connected component of rows that share a query or a positive, or a query.
The draw depends on the seed and on content, never on the order of rows.
"""

from dataclasses import dataclass

from ftspec.data.rows import Row, normalise, order_hash

_MODES = ("group", "positive", "random")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """`dropped` rows would have stayed, but share a query or a positive with a held-out row."""

    mode: str
    kept: tuple[Row, ...]
    held: tuple[Row, ...]
    dropped: tuple[Row, ...]


def hold_out(rows: tuple[Row, ...], *, mode: str, share: float, seed: int, purpose: str) -> HeldOut:
    """Hold out about `share` of the rows. `purpose` keeps the draws of test and validation apart."""
    assert mode in _MODES, mode
    units = _units(rows, mode)
    sizes: dict[str, int] = {}
    for unit in units:
        sizes[unit] = sizes.get(unit, 0) + 1
    taken = draw_units(sizes, share * len(rows), seed, purpose)
    held = tuple(row for row, unit in zip(rows, units, strict=True) if unit in taken)
    kept, dropped = drop_shared(
        tuple(row for row, unit in zip(rows, units, strict=True) if unit not in taken),
        queries={normalise(row.query) for row in held},
        positives={normalise(row.positive) for row in held if row.positive is not None},
    )
    return HeldOut(mode=mode, kept=kept, held=held, dropped=dropped)


def drop_shared(
    rows: tuple[Row, ...], *, queries: set[str], positives: set[str]
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows that share neither a query nor a positive (normalised) with the given ones; and the rest."""
    kept: list[Row] = []
    dropped: list[Row] = []
    for row in rows:
        shared = normalise(row.query) in queries or (
            row.positive is not None and normalise(row.positive) in positives
        )
        (dropped if shared else kept).append(row)
    return tuple(kept), tuple(dropped)


def mode_of(rows: tuple[Row, ...]) -> str:
    """What `auto` means: by group where every row has one and there are two, else by positive."""
    groups = {row.group for row in rows}
    return "group" if None not in groups and len(groups) > 1 else "positive"


def _units(rows: tuple[Row, ...], mode: str) -> list[str]:
    """The unit of each row, named by content. Rows without a group are drawn by component."""
    if mode == "random":
        return ["query " + normalise(row.query) for row in rows]
    components = _components(rows)
    if mode == "group":
        return [
            component if row.group is None else "group " + row.group
            for row, component in zip(rows, components, strict=True)
        ]
    return components


def _components(rows: tuple[Row, ...]) -> list[str]:
    """Union-find over queries and positives; a component is named by the least of its members."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    queries = ["query " + normalise(row.query) for row in rows]
    for row, query in zip(rows, queries, strict=True):
        one = root(query)
        if row.positive is not None:
            other = root("positive " + normalise(row.positive))
            parent[max(one, other)] = min(one, other)
    return [root(query) for query in queries]


def draw_units(sizes: dict[str, int], wanted: float, seed: int, purpose: str) -> set[str]:
    """Units in the order of their hashes, each taken if that brings the sum nearer to `wanted`.

    At least one unit is taken, and at least one is left where there are two.
    """
    order = sorted(sizes, key=lambda unit: order_hash(seed, purpose, unit))
    taken: set[str] = set()
    count = 0
    for unit in order:
        if len(taken) + 1 < len(order) and abs(count + sizes[unit] - wanted) < abs(count - wanted):
            taken.add(unit)
            count += sizes[unit]
    if not taken and len(order) > 1:
        taken.add(min(order, key=lambda unit: (sizes[unit], order_hash(seed, purpose, unit))))
    return taken
