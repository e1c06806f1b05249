"""Text from outside, made harmless for logs and terminals.

One rule for Python and the native core (rust/native/src/log/escape.rs), held equal by tests/vectors/printable. Escaped
is what moves the cursor or begins a line (controls, C1 too, the line and paragraph separators), what changes the order
of the text (bidirectional controls), and what cannot be seen: format characters, spaces but the one, fillers, variation
selectors, tags, private use, surrogates, noncharacters. In the terms of Unicode: the categories Cc, Cf, Co, Cs, Zl, Zp
and Zs, and Default_Ignorable_Code_Point. The table is fixed, so that it does not change with the interpreter.
"""

from __future__ import annotations

from bisect import bisect_right

__all__ = ["printable", "printable_lines"]

# First and last of each range; the last two code points of every plane besides.
_ESCAPED = (
    (0x0000, 0x001F), (0x007F, 0x00A0), (0x00AD, 0x00AD), (0x034F, 0x034F), (0x0600, 0x0605), (0x061C, 0x061C),
    (0x06DD, 0x06DD), (0x070F, 0x070F), (0x0890, 0x0891), (0x08E2, 0x08E2), (0x115F, 0x1160), (0x1680, 0x1680),
    (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000),
    (0x3164, 0x3164), (0xD800, 0xF8FF), (0xFDD0, 0xFDEF), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF), (0xF0000, 0x10FFFF),
)  # fmt: skip
_FIRSTS = [first for first, _ in _ESCAPED]
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str) -> str:
    r"""The text on one line, with what the rule escapes as `\n`, `\x1b`, `\u202e` or `\U000e0041`.

    What is printable stays, backslashes too: doing it twice changes nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if _is_plain(ord(letter)) else _escape(letter) for letter in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines: their ends stay, and tabs before them become spaces."""
    return "\n".join(map(_line, text.split("\n")))


def _line(line: str) -> str:
    rest = line.lstrip("\t ")
    return line[: len(line) - len(rest)].expandtabs() + printable(rest)


def _is_plain(code: int) -> bool:
    at = bisect_right(_FIRSTS, code) - 1
    return not (code <= _ESCAPED[at][1] or code & 0xFFFE == 0xFFFE)


def _escape(letter: str) -> str:
    code = ord(letter)
    if letter in _SHORT:
        return _SHORT[letter]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
