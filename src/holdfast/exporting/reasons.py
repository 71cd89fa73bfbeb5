"""Why a converter refused, in a line that people can read.

Owns picking that line out of pages of what compilers say. Leaves raising to the callers.
"""

from __future__ import annotations

import re

_LONGEST = 400
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LACKING = re.compile(r"(?:TF Select|Custom) ops: ([\w, ]+)")
_OP = re.compile(r"error: (?:.*: )?('tf\.\w+' op[^\n]*)")
_NAME = re.compile(r"('[^']*') is not a valid (?:root )?scope name")


def readable(error: BaseException) -> str:
    """Return the reason that an error gives."""
    text = _COLOURS.sub("", str(error)).strip()
    if not text:
        return type(error).__name__
    lacking = sorted({op for found in _LACKING.findall(text) for op in found.split(", ")})
    if lacking:
        return f"its runtime has no operation for TensorFlow's {', '.join(lacking)}"
    name = _NAME.search(text)
    if name:
        return (
            f"{name[1]} is the name of a layer that TensorFlow takes not: it takes letters and "
            "digits of English, and after the first of them also _ . / > and -"
        )
    operation = _OP.search(text)
    if operation:
        return shortened(operation[1])
    # Keras tells first where it was, then in bold what was wrong, then all arguments.
    text = re.sub(r"^Exception encountered when calling [^\n]*\n", "", text).strip()
    text = text.split("\n\nArguments received by")[0]
    return shortened(text)


def shortened(text: str, *, last: bool = False) -> str:
    """Return a text in one line of bounded length: its first lines, or only its last."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if last:
        lines = lines[-1:]
    line = " ".join(lines)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
