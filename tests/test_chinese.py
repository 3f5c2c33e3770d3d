"""The Chinese pages say what the English pages say, paragraph by paragraph, in one set of terms."""

import re
import subprocess
import sys

import pytest
from chinese import (
    DOCS,
    FENCE,
    FOLDER,
    GLOSSARY,
    PAIRS,
    SLIDES,
    parts,
    terms,
    translated,
    without_words,
)
from chinese import with_blocks_of as copied
from test_book import TRACE, dead_links, trace_rows
from test_words import problems

PAGES = sorted(FOLDER.iterdir())
HAN = "[\u4e00-\u9fff]"
LABELS = r"\[(?:claim \d+: [^]]*|[a-z-]+)\]\([^)]*\)"
"""Results of claims, which a script writes, and names of figures: the same in both languages."""
MATH, CODE = r"\$`.*?`\$|\$[^$]+\$", r"`[^`]+`"
LECTURE = "https://github.com/wangshusen/RecommenderSystem/blob/main/Slides/02_Retrieval_{}.pdf"
NOT = {
    "双塔模型": "两塔|双塔网络",
    "物品": "商品|项目",
    "召回": "检索",
    "余弦相似度": "余弦(?!相似度)",
    "内积": "点积|点乘",
    "困难负样本": "(?<!困)难负样本|硬负样本",
    "简单负样本": "易负样本|容易的负样本",
    "正样本": "正例|阳性",
    "负样本": "负例",
    "纠偏": "校正|矫正|修正|去偏",
    "热门物品": "流行|受欢迎",
    "冷门物品": "稀有|罕见|冷僻",
    "抽样概率": "采样",
    "损失函数": "代价函数|目标函数",
    "Embedding": "嵌入",
    "全连接层": "稠密层|密集层",
    "全量更新": "完全更新|完整更新|全部更新",
    "增量更新": "渐进|在线学习",
    "自监督学习": "自我监督|自监督(?!学习)",
    "特征变换": "数据增强|特征增强",
    "batch 内负样本": "批次|批量|批内",
    "互信息": "交互信息",
    "别名表": "化名|别名采样",
    "曝光": "展现|露出",
    "最近邻": "最邻近|最近的邻居",
    "全体物品": "所有物品|全部物品|物品库",
}
"""Other words for a term, which the pages do not use."""
SENSES = {"ranking": "排序", "negative": "负数", "cosine": "cosine 调度"}
"""Another meaning of an English word: an order of items; a number below zero; a schedule."""

page_name = lambda path: path.name
both = pytest.mark.parametrize("ours, theirs", PAIRS.items(), ids=map(page_name, PAIRS))
each = pytest.mark.parametrize("path", PAGES, ids=page_name)


def pairs(ours, theirs):
    """(Chinese, English) of each part that is read, not run."""
    found = zip(parts(translated(ours)), parts(translated(theirs)), strict=True)
    return [(a, b) for (kind, a), (_, b) in found if kind != "code" and not kind.startswith("<!")]


def flat(text):
    """A text without code, formulas, the addresses of links, and marks of emphasis."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", re.sub(MATH, "M", text, flags=re.DOTALL))
    return re.sub(CODE, "C", text).replace("*", "")


def missing_terms(chinese, english):
    """The glossary's terms that an English text uses and its translation does not."""
    rest, missing = re.sub(r"[\s-]+", " ", flat(re.sub(LABELS, "", english))), []
    for term, ours, *_ in sorted(terms(), key=lambda row: -len(row[0])):  # the longest first
        rest, uses = re.subn(rf"\b{term.replace('-', ' ')}(s|es)?\b", "_", rest, flags=re.I)
        if uses and ours not in chinese and SENSES.get(term, ours) not in chinese:
            missing.append(f"{term}: {ours}")
    return missing


def style(text):
    """What a Chinese editor would correct in a text."""
    found = [f"other word for {term}: {x[0]}" for term, words in NOT.items()
             for x in re.finditer(words, text)]  # fmt: skip
    checks = {
        "half-width punctuation": rf'{HAN}["\',;:?!()]|["\',;:?!()]{HAN}|{HAN}\.(?!\w)',
        "no space between Chinese and Latin": rf"{HAN}[A-Za-z0-9]|[A-Za-z0-9%]{HAN}",
        "a formula without spaces beside it": r"[^\x00-\x7f]M(?!\w)|(?<![A-Za-z])M[^\x00-\x7f]",
        "an English sentence": r"[A-Za-z][\w'’-]*(?:,? [A-Za-z][\w'’-]*){3,}",
    }
    found += [f"{what}: {x[0]}" for what, p in checks.items() for x in re.finditer(p, flat(text))]
    spaces = re.findall(r"[，。；：？！、（“] (?!\$)\S|\w [，；：？！、）”]", text)
    found += [f"space beside full-width punctuation: {x}" for x in spaces]
    bold = re.findall(r"\*\*[^*]+\*\*\w?", text)
    shown = [x for x in bold if re.search(r"[，。；：？！）”]\*\*\w", x)]
    found += [f"GitHub shows the asterisks: {x}" for x in shown]
    return found


@both
def test_page__has_the_parts_of_the_english_page(ours, theirs):
    """Headings and their numbers, paragraphs, items, images, formulas, in the same order."""
    kinds = lambda page: [kind for kind, _ in parts(translated(page))]
    assert kinds(ours) == kinds(theirs)


@both
def test_page__has_the_code_blocks_and_tables_of_the_english_page(ours, theirs):
    blocks = lambda page: FENCE.findall(translated(page))
    assert blocks(theirs) or theirs.name == TRACE.name
    for i, (one, other) in enumerate(zip(blocks(ours), blocks(theirs), strict=True)):
        assert one == other, f"block {i} differs: run python tests/chinese.py"
    whole = ours.read_text("utf-8")
    assert copied(whole, translated(theirs)) == whole


@both
def test_page__has_the_formulas_code_and_numbers_of_each_paragraph(ours, theirs):
    for chinese, english in pairs(ours, theirs):
        ours, theirs = map(without_words, (chinese, english))
        assert sorted(re.findall(MATH, ours)) == sorted(re.findall(MATH, theirs)), chinese
        codes = [re.findall(rf"{MATH}|({CODE})", " ".join(text.split())) for text in (ours, theirs)]
        assert set(codes[1]) <= set(codes[0]), chinese
        numbers = re.findall(r"\d[\d,.]*\d|(?<!\[)\d", flat(english))
        assert [n for n in numbers if not re.search(rf"(?<!\d){n}(?!\d)", chinese)] == [], chinese


@both
def test_page__has_the_terms_of_each_paragraph(ours, theirs):
    found = {chinese: missing_terms(chinese, english) for chinese, english in pairs(ours, theirs)}
    assert {chinese: missing for chinese, missing in found.items() if missing} == {}


def test_trace__each_statement_names_the_same_in_both_languages():
    """Number, chapter, functions, tests and figures of each row; the statement is translated."""
    pages = (FOLDER / TRACE.name, TRACE)
    ours, theirs = ([(i, *rest) for i, _, *rest in rows] for rows in map(traced, pages))
    assert ours == theirs


def traced(page):
    """The rows of a trace, without the way from its folder up to the others."""
    return trace_rows(re.sub(r"\((\.\./)+", "(", page.read_text("utf-8")))


@both
def test_page__and_the_english_page_link_to_each_other(ours, theirs):
    for one, other, language in ((ours, theirs, "English"), (theirs, ours, "中文")):
        first = one.read_text("utf-8").split("\n\n")[1]
        link = re.match(rf"\[{language}\]\(([^)]+)\)", first)
        assert (one.parent / link[1]).resolve() == other.resolve()


@each
def test_page__reads_as_chinese(path):
    text = FENCE.sub("", path.read_text("utf-8"))
    lines = [line for line in text.splitlines() if not re.match(r"<!--|\| |\|-|\$\$", line)]
    if path == GLOSSARY:
        lines += [cell for row in terms() for cell in (row[1], row[3])]
    assert [(line, found) for line in lines if (found := style(line))] == []


@each
def test_page__each_paragraph_and_caption_is_chinese(path):
    for _, text in parts(path.read_text("utf-8")):
        if not text.startswith(("#", "```", "$$", "<!--", "|")):
            assert re.search(HAN, re.sub(r"\]\([^)]*\)", "", text))


@each
def test_page__a_paragraph_is_one_line(path):
    """A line's end between two Chinese words would show as a space."""
    for kind, text in parts(path.read_text("utf-8")):
        if kind in ("paragraph", "item") and not text.startswith("|"):
            assert "\n" not in text


@each
def test_page__links_resolve(path):
    assert dead_links(path) == []


@each
def test_page__is_in_the_table_of_contents(path):
    listed = (FOLDER / "README.md").read_text("utf-8")
    assert path.name == "README.md" or f"]({path.name})" in listed
    assert path in PAIRS or path == GLOSSARY


def test_the_chapter_links_to_the_slides_of_each_section():
    text = (FOLDER / "00-in-one-file.md").read_text("utf-8")
    sections = re.findall(rf"^## (\d)\..*\n\n{SLIDES}(.*)", text, re.MULTILINE)
    of = {section: re.findall(r"\]\((.*?)\)", line)[0] for section, line in sections}
    decks = {"1": "06", "2": "07", "3": "06", "4": "08", "5": "09", "6": "08"}
    assert of == {section: LECTURE.format(deck) for section, deck in decks.items()}
    contents = (FOLDER / "README.md").read_text("utf-8")
    assert all(LECTURE.format(deck) in contents for deck in decks.values())


def test_glossary__has_forty_terms_in_one_sentence_each():
    rows = terms()
    assert len(rows) >= 40
    assert all(len(row) == 5 for row in rows)
    assert len({row[0] for row in rows}) == len(rows)
    assert len({(row[0], row[1]) for row in rows}) == len(rows)
    for english, _, sentence, chinese, _ in rows:
        assert re.fullmatch(r"[A-Z][^.?!]*\.", sentence), sentence
        assert re.fullmatch(r"[^。]*。", chinese), chinese
        assert not problems(sentence)
        assert english.split()[0].split("@")[0].lower() in sentence.lower()
    assert not set(NOT) - {row[1] for row in rows}


def test_glossary__each_chinese_sentence_uses_its_term():
    """Where the term is English, the sentence says what it is."""
    for _, term, _, sentence, _ in terms():
        assert term in sentence or not re.search(HAN, term), sentence


@pytest.mark.parametrize("row", terms(), ids=lambda row: row[0])
def test_glossary__the_chapter_speaks_of_the_term(row):
    number, file = re.fullmatch(r"\[(\d+)\]\(\.\./(.*)\)", row[4]).groups()
    assert file.startswith(f"{int(number):02d}-")
    chapter = (DOCS / file).read_text("utf-8").lower()
    assert row[0].split("@")[0].split()[0] in chapter


def test_the_code_of_the_chinese_pages_is_not_run_twice():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(FOLDER)], capture_output=True, text=True, cwd=DOCS.parent)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


@pytest.mark.parametrize("text, problem", [
    ("训练后,召回物品。", "half-width punctuation"),
    ("召回物品.", "half-width punctuation"),
    ("共有16个数。", "no space"),
    ("物品， 用户。", "space beside"),
    ("召回。Serving draws nothing at all.", "an English sentence"),
    ("对向量做检索。", "other word for 召回"),
    ("用难负样本训练。", "other word for 困难负样本"),
    ("其中$q$ 是概率。", "a formula without spaces"),
    ("其中 $q$，是概率。", "a formula without spaces"),
    ("余弦很大。", "other word for 余弦相似度"),
    ("**为什么？**因为抽样。", "GitHub shows the asterisks"),
])  # fmt: skip
def test_style__finds(text, problem):
    assert any(found.startswith(problem) for found in style(text))


@pytest.mark.parametrize("text", [
    "用困难负样本训练，余弦相似度 $`s_{ij}`$ 变大。",
    "**为什么？** 因为 `tower(x, y)` 是函数。",
    "见 [第 0 章](00-in-one-file.md)：十分钟。",
])  # fmt: skip
def test_style__lets_pass(text):
    assert style(text) == []


@pytest.mark.parametrize("chinese, english, missing", [
    ("有点击的样本。", "A positive was clicked.", ["positive: 正样本"]),
    ("更新参数。", "An incremental update.", ["incremental update: 增量更新"]),
    ("困难负样本。", "Hard negatives.", []),
    ("负样本。", "Hard negatives.", ["hard negative: 困难负样本"]),
])  # fmt: skip
def test_terms__finds(chinese, english, missing):
    assert missing_terms(chinese, english) == missing


def test_copied__wants_as_many_blocks():
    assert copied("甲\n\n```\n```\n", "A\n\n```sh\nx\n```\n") == "甲\n\n```sh\nx\n```\n"
    with pytest.raises(ValueError, match="0 code blocks in Chinese, 1 in English"):
        copied("甲\n", "A\n\n```sh\nx\n```\n")


def test_parts__sees_headings_items_and_languages():
    text = "# 1. A\n\n[English](a.md)\n\nOne\ntwo.\n\n* a\n* b\n\n```sh\nx\n```\n\n![p](f/q.svg)\n"
    kinds = [kind for kind, _ in parts(text)]
    assert kinds == ["# 1.", "paragraph", "item", "item", "code", "q.svg"]
