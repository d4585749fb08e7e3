"""What the stages `ingest` and `split` depend on, as plain documents for their keys."""

from dataclasses import asdict
from typing import Any

from ftspec.data.collect import INGEST_VERSION
from ftspec.data.parts import SPLIT_VERSION
from ftspec.data.request import DataRequest
from ftspec.plan.facts import DataFacts


def request_settings(request: DataRequest) -> dict[str, Any]:
    """Settings of ingest beside what a source's content digest covers (format, roles, file names)."""
    return {
        "num_train": len(request.train),
        "filters": asdict(request.filters),
        "on_error": request.on_error,
        "slices": sorted(request.slices),
    }


def ingest_document(request: DataRequest, facts: DataFacts) -> dict[str, Any]:
    """Equal documents mean equal rows. Paths do not count: content does."""
    return {
        "version": INGEST_VERSION,
        "settings": request_settings(request),
        "sources": [source.digest for source in facts.sources],
    }


def split_document(request: DataRequest, facts: DataFacts) -> dict[str, Any]:
    """Equal documents mean an equal split."""
    return {
        "version": SPLIT_VERSION,
        "ingest": ingest_document(request, facts),
        "split": asdict(request.split),
        "limit": asdict(request.limit),
    }
