"""Build the site: the book, the reference of the public names, the notebooks.

    pip install ".[docs]"
    python docs/site                       # into build/site
    python docs/site --out folder
    python -m http.server -d build/site  # to look at it

The pages come from README.md and docs/. Sphinx sets them; a warning fails the build.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE)]  # the package of this checkout, and the files beside this one


def build(out: Path) -> int:
    """Write the source pages and the site below a folder; return the status of Sphinx."""
    import pages
    from sphinx.cmd.build import build_main

    source, site = out / "source", out / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    pages.write(source)
    where = ["-c", str(HERE), "-d", str(out / "doctrees")]
    return build_main(["-q", "-E", "-W", "--keep-going", *where, str(source), str(site)])


def main() -> None:
    """Parse, build, say where."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder to write to")
    out = parser.parse_args().out.resolve()
    if not all(map(find_spec, ("sphinx", "myst_parser", "furo", "latex2mathml", "jieba"))):
        parser.error("the site needs what is not installed: pip install '.[docs]'")
    status = build(out)
    if status == 0:
        print(out / "site")
    sys.exit(status)


if __name__ == "__main__":
    main()
