from pathlib import Path

import pytest

from ftspec.data import llm_survey, survey
from tests.tiny_llm import make_tiny_llm


@pytest.fixture(autouse=True)
def _nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "_last", None)
    monkeypatch.setattr(llm_survey, "_last", None)


@pytest.fixture(scope="session")
def chat_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model with a ChatML template; 600 byte-level tokens."""
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / "chat")


@pytest.fixture(scope="session")
def text_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without a template."""
    return make_tiny_llm(tmp_path_factory.mktemp("llm") / "text", chat_template=False)


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    """Words and two special tokens; no download."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    path = tmp_path / "model" / "tokenizer.json"
    path.parent.mkdir()
    tokenizer.save(str(path))
    return path
