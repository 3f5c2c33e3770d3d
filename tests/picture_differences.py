"""Comparing two pictures: the same elements, and numbers that are close."""

import re
import xml.etree.ElementTree as ElementTree

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
WORDS = {"text", "title", "desc"}


def differences(old, new, pixels=0.0, words=0.0):
    """What differs between two SVG texts.

    Args:
        pixels: how far coordinates, and hundredths of an opacity, may lie apart.
        words: how far numbers in texts may lie apart, relative to the larger one, or to 0.5.
    """
    if old == new:
        return []
    first, second = (list(ElementTree.fromstring(svg).iter()) for svg in (old, new))
    if [node.tag for node in first] != [node.tag for node in second]:
        return [f"{len(first)} elements became {len(second)}, or are of other kinds"]
    found = []
    for a, b in zip(first, second, strict=True):
        tag = a.tag.rpartition("}")[2]
        if not close(a.text or "", b.text or "", words if tag in WORDS else 0.0, relative=True):
            found.append(f"{tag}: {a.text!r} became {b.text!r}")
        if a.attrib.keys() != b.attrib.keys():
            found.append(f"{tag}: {a.attrib} became {b.attrib}")
            continue
        x, y = signed(a), signed(b)  # zero has an opacity of 0.08: two signs are further apart
        if x is not None and y is not None and abs(x - y) <= 2 * pixels / 100:
            for node in (a, b):
                del node.attrib["class"], node.attrib["fill-opacity"]
        for key, value in a.attrib.items():
            within = pixels / 100 if "opacity" in key else pixels
            if not close(value, b.attrib[key], within, relative=False):
                found.append(f"{tag} {key}: {value} became {b.attrib[key]}")
    return found


def signed(node):
    """The number of a cell, which has a color for its sign: -1 to 1. None: not a cell."""
    sign = {"fill-blue": 1, "fill-orange": -1}.get(node.get("class"))
    opacity = node.get("fill-opacity")
    return None if sign is None or opacity is None else sign * float(opacity)


def close(old, new, within, *, relative):
    """Whether two texts are equal except for numbers that lie close together."""
    if old == new:
        return True
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return False
    pairs = zip(map(float, NUMBER.findall(old)), map(float, NUMBER.findall(new)), strict=True)
    return all(
        abs(a - b) <= within * (max(abs(a), abs(b), 0.5) if relative else 1) for a, b in pairs
    )
