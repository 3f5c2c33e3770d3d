"""The Chinese pages and the English pages that they translate.

The code blocks have one source, the English page. After a change there, copy them:

    python tests/chinese.py
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FOLDER = DOCS / "zh"
GLOSSARY = FOLDER / "glossary.md"
CHAPTERS = {path: DOCS / path.name for path in sorted(FOLDER.glob("[0-9]*.md"))}
PAIRS = {FOLDER / "README.md": ROOT / "README.md", **CHAPTERS}
"""Chinese page to English page."""

FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LANGUAGES = r"\[(?:English|中文)\]\("
SLIDES = r"\*课件："


def translated(page: Path) -> str:
    """What both languages have of a page: of a README, the first screen."""
    text = page.read_text("utf-8")
    return text.partition("\n## ")[0] + "\n" if page.name == "README.md" else text


def parts(text: str) -> list[tuple[str, str]]:
    """(kind, text) of each part of a page, without what one language alone has."""
    found = []
    for block in re.split(rf"({FENCE.pattern})", text, flags=FENCE.flags):
        if block.startswith("```"):
            found.append(("code", block))
            continue
        for paragraph in re.split(r"\n\s*\n|\n(?=\* |\d+\. |<!--)|(?<=-->)\n", block.strip()):
            if paragraph.strip() and not re.match(f"{LANGUAGES}|{SLIDES}", paragraph):
                found.append((kind(paragraph), paragraph.strip()))
    return found


def kind(paragraph: str) -> str:
    """What a reader sees: a heading of some level and number, an image, a formula, an item."""
    if heading := re.match(r"#+ (\d+\.)?", paragraph):
        return heading[0]
    if image := re.match(r"!\[.*\]\(.*?([\w-]+\.svg)\)", paragraph, re.DOTALL):
        return image[1]
    if paragraph.startswith(("$$", "<!--")):
        return without_words(paragraph)
    return "item" if re.match(r"\* |\d+\. ", paragraph) else "paragraph"


def without_words(formula: str) -> str:
    """A formula without its words, which are translated."""
    return re.sub(r"\\text\{[^}]*\}", "words", formula)


def with_blocks_of(chinese: str, english: str) -> str:
    """A Chinese page with the code blocks of its English page."""
    blocks, places = FENCE.findall(english), FENCE.findall(chinese)
    if len(places) != len(blocks):
        raise ValueError(f"{len(places)} code blocks in Chinese, {len(blocks)} in English")
    copies = iter(blocks)
    return FENCE.sub(lambda _: next(copies), chinese)


def terms() -> list[tuple[str, ...]]:
    """The rows of the glossary: English, Chinese, a sentence in each, the chapter's link."""
    lines = [line for line in GLOSSARY.read_text("utf-8").splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines[2:]]


if __name__ == "__main__":
    for ours, theirs in PAIRS.items():
        page = with_blocks_of(ours.read_text("utf-8"), translated(theirs))
        ours.write_text(page, "utf-8")
