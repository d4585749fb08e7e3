"""The JSON object in what a model wrote, whatever it wrote around it."""

import json
import re

from ftspec.synth.tasks import JsonObject

_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_MOST_STARTS = 64  # braces at which an object may begin


def find_object(text: str) -> tuple[JsonObject | None, str]:
    """(object, "") or (None, what is wrong). Reasoning before it and a fence around it are passed over."""
    said = _THOUGHT.sub("", text).strip()
    if re.match(r"<think", said, re.IGNORECASE):
        return None, "the reply is reasoning only"
    if not said:
        return None, "the reply is empty"
    decoder = json.JSONDecoder()
    for start in [match.start() for match in re.finditer(r"\{", said)][:_MOST_STARTS]:
        try:
            value, _ = decoder.raw_decode(said, start)
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):  # also text that UTF-8 cannot hold
            continue
        if isinstance(value, dict):
            return value, ""
    return None, "the reply holds no JSON object"
