"""Several rows in one sequence, so that less of a batch is padding."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from ftspec.data.rows import order_hash


def pack(rows: Sequence[tuple[str, int]], limit: int, seed: int) -> list[list[int]]:
    """Positions of the rows that share a sequence of at most `limit` tokens; rows are (id, length).

    Best fit, longest rows first, equal ones by hash: the order of rows plays no part. Every length is
    within the limit.
    """
    order = sorted(range(len(rows)), key=lambda n: (-rows[n][1], order_hash(seed, "packing", rows[n][0])))
    bins: list[list[int]] = []
    rooms: list[int] = []  # distinct free lengths, sorted
    open_bins: dict[int, list[int]] = {}  # free length -> bins; the newest is filled first
    for place in order:
        length = rows[place][1]
        assert length <= limit
        at = bisect_left(rooms, length)
        if at == len(rooms):
            number, room = len(bins), limit
            bins.append([])
        else:
            room = rooms[at]
            number = open_bins[room].pop()
            if not open_bins[room]:
                del open_bins[room], rooms[at]
        bins[number].append(place)
        free = room - length
        if free > 0:
            if free not in open_bins:
                insort(rooms, free)
                open_bins[free] = []
            open_bins[free].append(number)
    return bins
