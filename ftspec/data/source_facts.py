"""What is remembered of a source: the digest of its bytes, and its facts read back."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ftspec.plan.facts import SourceFacts
from ftspec.store.digests import DigestCache

if TYPE_CHECKING:
    from ftspec.data.llm_sources import TextSource
    from ftspec.data.rows import Source


def bytes_digest(source: "Source | TextSource", known: DigestCache) -> str:
    """ "sha256:…" over the files alone (with their names, where there are several), and over what a language
    model wrote for it. Two specs that read one file differently agree on it.

    Raises OSError as `open` does, FtspecError as the source does for what is not written.
    """
    several = len(source.files) > 1
    files = [[file.name if several else "", known.sha256(file.path)] for file in source.files]
    written = source.settings.get("written")
    if written is None and hasattr(source, "synthetic_digest"):
        written = source.synthetic_digest()
    text = json.dumps({"files": files, "synthetic": written}, sort_keys=True, ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def source_facts(document: dict[str, Any]) -> SourceFacts:
    """The inverse of `asdict`. Raises TypeError or KeyError for another shape."""
    lists = {
        "skip_examples": tuple(document["skip_examples"]),
        "columns": tuple(document.get("columns", ())),
    }
    return SourceFacts(**{**document, **lists})
