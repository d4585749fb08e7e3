"""The documents of a run with their embeddings, kept so that nothing is encoded twice."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec.evaluate.lines import read_lines
from ftspec.plan.codec import canonical_json
from ftspec.serve.encoder import Encoder
from ftspec.serve.served import Served
from ftspec.store.files import partial_path
from ftspec.store.project import Project

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.floating]

INDEX_FOLDER = "index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """`vectors` has one row per document, in this order."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: "Vectors"


def open_index(
    project: Project,
    served: Served,
    encoder: Encoder,
    *,
    everything: bool = False,
    on_encode: Callable[[int], None] = lambda documents: None,
) -> Index:
    """The held-out documents, whose embeddings the run has left; with `everything` also those that the
    model was trained on.

    What the run did not embed is encoded once, after `on_encode(number of documents)`, and kept in
    `.ftspec/index/<model>/`, under a name that covers the texts and the way they are read.
    """
    import numpy as np

    held_out = [(row["id"], row["text"]) for row in read_lines(served.split / "test" / "corpus.jsonl")]
    documents = list(held_out)
    vectors = _stored(served, len(held_out))
    if vectors is None:
        vectors = _cached(project, served, encoder, [text for _, text in held_out], on_encode)
    if everything:
        known = set(held_out)
        ids = {id for id, _ in held_out}
        more = [item for item in _trained(served.split) if item not in known and item[0] not in ids]
        if more:
            added = _cached(project, served, encoder, [text for _, text in more], on_encode)
            vectors = np.concatenate([vectors, added])
            documents += more
    return Index(
        ids=tuple(id for id, _ in documents), texts=tuple(text for _, text in documents), vectors=vectors
    )


def _stored(served: Served, documents: int) -> "Vectors | None":
    """Embeddings of the run's encode stage, which stand in the order of the corpus."""
    import numpy as np

    if served.encoded is None:
        return None
    vectors: Vectors = np.load(served.encoded / "corpus.npy", mmap_mode="r", allow_pickle=False)
    return vectors if len(vectors) == documents else None


def _trained(split: Path) -> Iterator[tuple[str, str]]:
    """Distinct positives of the training rows; rows of labelled classes have none."""
    seen: set[str] = set()
    for row in read_lines(split / "train.jsonl"):
        if "positive" in row and row["positive_id"] not in seen:
            seen.add(row["positive_id"])
            yield row["positive_id"], row["positive"]


def _cached(
    project: Project, served: Served, encoder: Encoder, texts: list[str], on_encode: Callable[[int], None]
) -> "Vectors":
    import numpy as np

    content = canonical_json({"texts": texts, "reading": asdict(served.reading)})
    name = hashlib.sha256(content.encode()).hexdigest()[:20]
    folder = project.state / INDEX_FOLDER / served.digest.removeprefix("sha256:")[:20]
    path = folder / f"{name}.npy"
    if path.is_file():
        present: Vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(present) == len(texts):
            return present
    on_encode(len(texts))
    vectors = encoder.encode_documents(texts)
    project.create()
    folder.mkdir(parents=True, exist_ok=True)
    temporary = partial_path(folder, name)
    with temporary.open("wb") as file:
        np.save(file, vectors)
    temporary.replace(path)
    return vectors
