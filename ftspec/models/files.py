"""The files that define a model, each with its digest: what a lock states, so that it can name what moved."""

from pathlib import Path

from ftspec.models.config import read_transformer
from ftspec.models.facts import defining_files, transformer_folder
from ftspec.models.header import read_object, read_weights
from ftspec.models.modules import read_chain
from ftspec.plan.facts import DecoderFacts, ModelFacts
from ftspec.store.digests import DigestCache


def model_files(facts: ModelFacts, cache: Path | None) -> dict[str, str]:
    """Relative name → sha256 of the files that `facts.digest` is taken over. Raises OSError as `open` does."""
    folder = Path(facts.location)
    python = facts.needs_remote_code
    config_folder = folder / transformer_folder(folder)
    config = config_folder / "config.json"
    transformer = read_transformer(read_object(config), str(config))
    if isinstance(facts, DecoderFacts):
        from ftspec.models.decoder import MORE_FILES

        names = defining_files(folder, ("",), {"": read_weights(folder)}, python=python, more=MORE_FILES)
    else:
        chain = read_chain(folder, causal=transformer.causal)
        weights = {part: read_weights(folder / part) for part in (chain.transformer, *chain.dense)}
        names = defining_files(folder, chain.folders, weights, python=python)
    with DigestCache(cache) as digests:
        return {name: digests.sha256(folder / name) for name in names}
