"""The house's docstrings as reStructuredText, for Sphinx.

A docstring is prose with sections: "Args:" and an indented list, or one line as in "Raises
ValueError: a score is not finite." An indented paragraph is a formula, kept as it is written.
"""

from __future__ import annotations

import re
import textwrap

LISTS = "Args|Attributes|Returns|Raises|Warns"
LINES = r"Shapes|Properties|Reference|Gradient[^:]*|Domain|Args, Raises|Raises \w+|Warns \w+"
HEAD = re.compile(rf"({LISTS}|{LINES}):(?: +(.*))?$")
FOLDED = {"Raises": "Raises", "Warns": "Warns", "Properties": "Properties: each is a test"}
ENTRY = re.compile(r"([*\w][*\w, .]*?): +(.*)", re.DOTALL)
ROLE = re.compile(r"(:\w+:`[^`]+`|``.+?``|`[^`]+`)", re.DOTALL)


def sections(text: str) -> list[tuple[str, str]]:
    """(head, text) of each section; the head of prose is empty.

    >>> sections("Add.\\n\\nShapes: (n)->()\\nArgs:\\n    x: a\\n        number.")
    [('', 'Add.\\n'), ('Shapes', '(n)->()'), ('Args', 'x: a\\n    number.')]
    """
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        if head := HEAD.match(line):
            found.append((head[1], [head[2]] if head[2] else []))
        elif line[:1].strip() and found[-1][0]:  # back at the margin: prose again
            found.append(("", [line]))
        else:
            found[-1][1].append(line)
    kept = [(head, lines) for head, lines in found if any(map(str.strip, lines))]
    return [(head, body(lines) if head else "\n".join(lines)) for head, lines in kept]


def body(lines: list[str]) -> str:
    """The text of a section without its indentation. Its first line may stand beside the head."""
    if lines[0][:1].strip():
        return "\n".join([lines[0], *textwrap.dedent("\n".join(lines[1:])).splitlines()])
    return textwrap.dedent("\n".join(lines))


def escaped(text: str) -> str:
    """Text whose code stays code, and whose other marks stay as they are written.

    >>> escaped("`k` of x_ and |y|, *not* z").replace("\\\\", "/")
    '``k`` of x/_ and /|y/|, *not* z'
    """
    parts = ROLE.split(text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"(?<=\w)_(?!\w)|\|", r"\\\g<0>", parts[i])
        parts[i] = re.sub(r"\*\*(?=\w)", r"\\*\\*", parts[i])
    for i in range(1, len(parts), 2):
        if re.match("`[^`]", parts[i]):
            parts[i] = f"`{parts[i]}`"
    return "".join(parts)


def prose(text: str) -> list[str]:
    """Paragraphs, examples and formulas."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n|\n(?=[-*] |\d\. )", text.strip("\n")):
        if paragraph.lstrip().startswith(">>>"):
            lines += [*textwrap.dedent(paragraph).splitlines(), ""]
        elif paragraph.startswith("    "):
            formula = textwrap.indent(textwrap.dedent(paragraph), "   ")
            lines += [".. code-block:: text", "", *formula.splitlines(), ""]
        else:
            lines += [*escaped(re.sub(r"::$", ":", paragraph)).splitlines(), ""]
    return lines


def entries(text: str) -> list[str]:
    """A list of "name: what it is"."""
    lines = []
    for part in re.split(r"\n(?=\S)", text.strip()):
        entry = ENTRY.match(part)
        words = escaped(" ".join((entry[2] if entry else part).split()))
        lines.append(f"* ``{entry[1]}``: {words}" if entry else f"* {words}")
    return [*lines, ""]


def restructured(text: str) -> list[str]:
    """The lines of a docstring for Sphinx."""
    lines: list[str] = []
    for head, content in sections(text):
        kind, _, error = head.partition(" ")
        if head in LISTS.split("|"):
            below = entries(content)
        else:
            below = prose(f"``{error}``: {content}" if error else content)
        if kind in FOLDED:
            summary = f"   <details><summary>{FOLDED[kind]}</summary>"
            raw = [".. raw:: html", ""]
            below = [*raw, summary, "", *below, *raw, "   </details>", ""]
        elif head in LISTS.split("|"):
            below = [f"**{head}**", "", *below]
        elif head:
            below[0] = f"**{head}:** {below[0]}"
        lines += below
    return lines
