"""Text of a user's file on a terminal: nothing of it may steer the terminal, and columns must align."""

import unicodedata

TAB_WIDTH = 4


def safe(text: str, *, keep_newlines: bool = False) -> str:
    """Control, direction-changing and unassigned format characters become visible escapes; tabs, spaces."""
    return "".join(
        character if keep_newlines and character == "\n" else shown(character) for character in text
    )


def shown(character: str) -> str:
    """One character as it can be printed."""
    if character == "\t":
        return " " * TAB_WIDTH
    if character == " " or character.isprintable():
        return character
    code = ord(character)
    if unicodedata.category(character) == "Zs":
        return " "
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cell_width(text: str) -> int:
    """Columns of a terminal that `text` (already safe) takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
