"""Who holds a project, for people and as JSON."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ftspec.store.leases import Lease, Standing
from ftspec.view.amounts import seconds_text
from ftspec.view.table import render_table

_COLUMNS = ("lease", "state", "held by", "host", "process", "since (UTC)", "last sign of life", "for")
_WORDS = {
    Standing.LIVE: "live",
    Standing.ENDED: "its process has ended",
    Standing.EXPIRED: "expired",
    Standing.AHEAD: "its clock is ahead",
}


def render_leases(leases: Sequence[tuple[Lease, Standing]], *, width: int | None = None) -> str:
    rows = [
        (
            lease.id,
            _WORDS[standing],
            lease.user,
            lease.host,
            str(lease.pid),
            lease.since[:19].replace("T", " "),
            _age_text(lease),
            lease.purpose,
        )
        for lease, standing in leases
    ]
    return render_table(_COLUMNS, rows, width=width)


def leases_document(leases: Sequence[tuple[Lease, Standing]]) -> list[dict[str, Any]]:
    """`standing`: live | ended | expired | ahead. An ended or expired lease is in nobody's way."""
    return [
        {
            **asdict(lease),
            "standing": standing.value,
            "age_seconds": round(time.time() - lease.heartbeat, 1),
        }
        for lease, standing in leases
    ]


def _age_text(lease: Lease) -> str:
    age = time.time() - lease.heartbeat
    return f"{seconds_text(age)} ago" if age >= 0 else f"{seconds_text(-age)} ahead"
