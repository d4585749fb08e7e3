"""Amounts of memory as diagnostics write them."""

GIB = 2**30
MIB = 2**20


def gib(count: int) -> str:
    """`3.42 GiB`; small numbers in MiB."""
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
