"""Compare what ``mutmut run`` left alive with mutants.toml, where each survivor has its reason.

    mutmut run && python tests/mutants.py

Prints what is missing in the list and what has died since, and exits with 1 if anything is.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ALIVE = re.compile(r"(minitower\.formulas\.(\w+)\.x[_ǁ](\w+)__mutmut_\d+): (?!killed|timeout)")


def survivors():
    """ "module.function: the line that the mutant puts there", of each that is alive."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    results = subprocess.run(["mutmut", "results"], capture_output=True, text=True, check=True)
    for name, module, function in ALIVE.findall(results.stdout):
        diff = get_diff_for_mutant(name).splitlines()[2:]
        added = " ".join(line[1:].strip() for line in diff if line.startswith("+"))
        yield f"{module}.{function.replace('ǁ', '.')}: {added}"


def listed():
    """The same of mutants.toml."""
    reasons = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["reason"]
    return [line for reason in reasons for line in reason["mutants"].strip().splitlines()]


if __name__ == "__main__":
    alive, known = set(survivors()), set(listed())
    for state, lines in (("not listed", alive - known), ("not alive", known - alive)):
        for line in sorted(lines):
            print(f"{state}   {line}")
    sys.exit(alive != known)
