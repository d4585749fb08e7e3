"""Texts to vectors by a local model. Nothing is downloaded."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostic, FtspecError
from ftspec.serve.served import Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 32


class Encoder:
    """Loads the model at its first use, in fp32, as the evidence was made.

    Vectors are float32 [texts, width], of length 1 where the similarity is cosine.
    """

    def __init__(self, folder: Path, reading: Reading) -> None:
        self._folder = folder
        self._reading = reading
        self._model: Any = None

    def encode_queries(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        return self._encode(texts, self._reading.prompts.query)

    def encode_documents(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        return self._encode(texts, self._reading.prompts.document)

    def _encode(self, texts: Sequence[str], prompt: str) -> "NDArray[np.float32]":
        if self._model is None:
            self._model = _load(self._folder, self._reading)
        vectors: NDArray[np.float32] = self._model.encode(
            list(texts),
            prompt=prompt,
            batch_size=BATCH,
            show_progress_bar=False,
            normalize_embeddings=self._reading.similarity == "cosine",
        ).astype("float32", copy=False)
        return vectors


def _load(folder: Path, reading: Reading) -> Any:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ[name] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise FtspecError(
            Diagnostic(
                code=codes.BACKEND_NOT_INSTALLED,
                detail=f"answering a query needs {error.name}",
                help="pip install 'ftspec[accelerate]'",
            )
        ) from error
    quiet: Any = transformers_logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    model = SentenceTransformer(
        str(folder),
        local_files_only=True,
        trust_remote_code=reading.trust_remote_code,
        model_kwargs={"dtype": torch.float32, "use_safetensors": True},
    )
    model.max_seq_length = reading.max_seq_length
    modes = tuple(reading.pooling.split("+"))
    for name, module in model.named_children():
        if isinstance(module, Pooling):
            present = (module.pooling_mode,) if isinstance(module.pooling_mode, str) else module.pooling_mode
            if tuple(present) != modes:
                pooling = Pooling(module.embedding_dimension, modes, include_prompt=module.include_prompt)
                setattr(model, name, pooling)
    return model
