"""Rendered text and tokens against transformers' own, for templates of several families."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ftspec.data.chat_template import FIXED_DATE, ChatTemplate, TemplateError
from ftspec.data.llm_rows import LlmRow
from ftspec.data.llm_tokenizer import LlmTokenizer
from ftspec.data.llm_tokens import RowRefusal, TokenRow, tokenize_rows
from ftspec.diagnostics import codes
from tests.data import chat_templates
from tests.tiny_llm import CHAT_TEMPLATE, make_tiny_llm

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Wetter für <eine> Stadt & 'mehr'",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
PLAIN = [
    {"role": "user", "content": "What is the capital?  "},
    {"role": "assistant", "content": "Zürich — no, Bern 🐻."},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "Yes."},
]
CALLS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bern", "a": 1}}}
        ],
    },
    {"role": "tool", "name": "weather", "content": '{"sky": "blue"}'},
    {"role": "assistant", "content": "Blue sky.", "reasoning": "The tool said so."},
]
FAMILIES: dict[str, str] = {
    "chatml": CHAT_TEMPLATE,
    "llama3": chat_templates.LLAMA3,
    "qwen": chat_templates.QWEN,
    "mistral": chat_templates.MISTRAL,
    "thinks": chat_templates.THINKS,
    "rewrites": chat_templates.REWRITES,
    "bare": chat_templates.BARE,
}


def make_base(folder: Path, template: str | None = CHAT_TEMPLATE, **more: Any) -> Path:
    make_tiny_llm(folder, chat_template=template is not None)
    if template == chat_templates.LLAMA3:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.add_special_tokens(["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"])
        tokenizer.save(str(folder / "tokenizer.json"))
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    if template is not None:
        config["chat_template"] = template
    file.write_text(json.dumps({**config, **more}), encoding="utf-8")
    return folder


def chat(messages: list[dict[str, Any]], tools: list[Any] | None = None) -> LlmRow:
    return LlmRow(id="r", messages=tuple(messages), tools=None if tools is None else tuple(tools))


def tokens(
    tokenizer: LlmTokenizer, row: LlmRow, train_on: str = "completions", render: str = "chat"
) -> TokenRow:
    (made,) = tokenize_rows([row], tokenizer, render=(render,), train_on=train_on)
    assert isinstance(made, TokenRow), made
    return made


def masked(tokenizer: LlmTokenizer, row: TokenRow) -> list[str]:
    """The text of each stretch of trained tokens."""
    stretches: list[list[int]] = []
    for place, token in enumerate(row.input_ids):
        if row.mask[place]:
            if not row.mask[place - 1]:
                stretches.append([])
            stretches[-1].append(token)
    return [tokenizer._tokenizer.decode(ids, skip_special_tokens=False) for ids in stretches]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", ["plain", "calls", "one"])
def test_text_and_tokens_are_those_of_transformers(
    family: str, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.utils import chat_template_utils

    class Day(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            del tz
            return FIXED_DATE

    monkeypatch.setattr(chat_template_utils, "datetime", Day)
    chat_template_utils._compile_jinja_template.cache_clear()
    base = make_base(tmp_path / "base", FAMILIES[family])
    messages, tools = {"plain": (PLAIN, None), "calls": (CALLS, TOOLS), "one": (PLAIN[:2], None)}[case]
    if case == "calls" and family in ("thinks", "rewrites", "bare", "llama3", "mistral"):
        messages = list(PLAIN)
    theirs = transformers.AutoTokenizer.from_pretrained(base)
    ours = LlmTokenizer(base)
    assert ours.template is not None
    for asked in (False, True):
        text = theirs.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=asked)
        assert ours.template.render(messages, tools, add_generation_prompt=asked) == text
    row = tokens(
        ours, chat(messages, tools), "all" if family not in ("thinks", "rewrites") else "completions"
    )
    expected = theirs.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=False)
    ends = [theirs.eos_token_id] if family == "bare" else []  # added where the template writes none
    if family not in ("thinks", "rewrites"):
        assert row.input_ids.tolist() == expected + ends
    asked_ids = theirs.apply_chat_template(
        messages[:-1], tools=tools, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert row.input_ids.tolist()[: row.prompt_length] == asked_ids


def test_masks(tmp_path: Path) -> None:
    ours = LlmTokenizer(make_base(tmp_path / "base"))
    for train_on, expected in (
        ("completions", ["Yes.<|im_end|>"]),
        ("assistant", ["Zürich — no, Bern 🐻.<|im_end|>", "Yes.<|im_end|>"]),
    ):
        row = tokens(ours, chat(PLAIN), train_on)
        assert masked(ours, row) == expected
        assert row.mask[0] == 0
    everything = tokens(ours, chat(PLAIN), "all")
    assert list(everything.mask) == [0] + [1] * (len(everything.input_ids) - 1)
    assert everything.prompt_length == tokens(ours, chat(PLAIN)).prompt_length


def test_tool_calls_are_trained_and_their_results_are_not(tmp_path: Path) -> None:
    ours = LlmTokenizer(make_base(tmp_path / "base", chat_templates.QWEN))
    first, last = masked(ours, tokens(ours, chat(CALLS, TOOLS), "assistant"))
    assert first.startswith('\n<tool_call>\n{"name": "weather"')
    assert first.endswith("</tool_call><|im_end|>")
    assert last == "<think>\nThe tool said so.\n</think>\n\nBlue sky.<|im_end|>"


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("llama3", ["Yes.<|eot_id|>"]),
        ("mistral", [" Yes.<|im_end|>"]),
        ("thinks", ["Yes.<|im_end|>"]),
        ("bare", [" Yes.\n<|im_end|>"]),
        ("rewrites", ["Yes.<|im_end|>"]),
    ],
)
def test_last_turn_of_each_family(family: str, expected: list[str], tmp_path: Path) -> None:
    ours = LlmTokenizer(make_base(tmp_path / "base", FAMILIES[family]))
    assert masked(ours, tokens(ours, chat(PLAIN))) == expected


def test_a_template_that_rewrites(tmp_path: Path) -> None:
    ours = LlmTokenizer(make_base(tmp_path / "base", chat_templates.REWRITES))
    (made,) = tokenize_rows([chat(PLAIN)], ours, render=("chat",), train_on="assistant")
    assert isinstance(made, RowRefusal)
    assert made.code is codes.TEMPLATE_REWRITES
    thinks = LlmTokenizer(make_base(tmp_path / "thinks", chat_templates.THINKS))
    assert masked(thinks, tokens(thinks, chat(PLAIN), "assistant")) == [
        "Zürich — no, Bern 🐻.<|im_end|>",
        "Yes.<|im_end|>",
    ]


def test_faults_of_templates(tmp_path: Path) -> None:
    ours = LlmTokenizer(make_base(tmp_path / "base", chat_templates.MISTRAL))
    (made,) = tokenize_rows(
        [chat([{"role": "system", "content": "s"}, *PLAIN])], ours, render=("chat",), train_on="completions"
    )
    assert isinstance(made, RowRefusal)
    assert (made.code, made.reason[:28]) == (codes.CHAT_TEMPLATE_FAILED, "Conversation roles must alte")
    for source, said in (
        ("{% for %}", "the template is not usable"),
        ("{{ messages[0].content.__class__.__mro__ }}", "access to attribute"),
        ("{{ messages[9].content }}", "no element 9"),
        ("{% for n in range(10 ** 9) %}x{% endfor %}", "Range too big"),
    ):
        with pytest.raises(TemplateError, match=said):
            ChatTemplate({"default": source}, {}).render(PLAIN, None, add_generation_prompt=False)


def test_where_templates_lie(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "from the config")
    (base / "chat_template.jinja").write_text("from the file")
    tokenizer = LlmTokenizer(base)
    assert tokenizer.template is not None
    assert tokenizer.template.render(PLAIN, None, add_generation_prompt=False) == "from the file"
    (base / "chat_template.jinja").unlink()
    several = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
    tokenizer = LlmTokenizer(make_base(tmp_path / "b", "", chat_template=several))
    assert tokenizer.template is not None
    assert tokenizer.template.render(PLAIN, None, add_generation_prompt=False) == "plain"
    assert tokenizer.template.render(PLAIN, TOOLS, add_generation_prompt=False) == "tools"
    assert LlmTokenizer(make_base(tmp_path / "none", None)).template is None


def test_text_rows(tmp_path: Path) -> None:
    """A begin token where tokenizer.json has one, the end token always, the boundary between tokens."""
    from tokenizers import Tokenizer, processors

    base = make_base(tmp_path / "base", None)
    plain = LlmTokenizer(base)
    for prompt, completion in (("Question: what?\n", "That."), ("one ", "two"), ("a", "b"), ("é", "è 🐻")):
        row = tokens(plain, LlmRow(id="r", prompt=prompt, completion=completion), render="text")
        assert plain._tokenizer.decode(row.input_ids.tolist(), skip_special_tokens=False) == (
            prompt + completion + "<|im_end|>"
        )
        ids = row.input_ids.tolist()
        assert ids[: row.prompt_length] == plain.encode([prompt])[0][0]
        assert list(row.mask) == [0] * row.prompt_length + [1] * (len(ids) - row.prompt_length)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", 1)]
    )
    tokenizer.save(str(base / "tokenizer.json"))
    row = tokens(LlmTokenizer(base), LlmRow(id="r", prompt="x ", completion="y"), render="text")
    assert (row.input_ids[0], row.mask[0], row.input_ids[-1]) == (1, 0, 3)
    assert row.prompt_length == 3


def test_sentencepiece_like_tokenizers_get_no_space_inside(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    base = make_base(tmp_path / "base", None)
    words = ["▁", "a", "b", "▁a", "▁b", "\n", "ab", "▁ab"]
    vocab = {"<|pad|>": 0, "<|bos|>": 1, "<|im_start|>": 2, "<|im_end|>": 3}
    vocab |= {word: n + 4 for n, word in enumerate(words)}
    merges = [("▁", "a"), ("▁", "b"), ("a", "b"), ("▁", "ab")]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(list(vocab)[:4])
    tokenizer.save(str(base / "tokenizer.json"))
    ours = LlmTokenizer(base)
    row = tokens(ours, LlmRow(id="r", prompt="a", completion="b"), render="text")  # "ab" would be one token
    assert [ours._tokenizer.id_to_token(token) for token in row.input_ids] == ["▁a", "b", "<|im_end|>"]
    assert list(row.mask) == [0, 1, 1]
