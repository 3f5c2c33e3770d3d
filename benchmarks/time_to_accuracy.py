"""How many CPU seconds to the accuracy of implicit's ALS?

    MINITOWER_DATA=folder python benchmarks/time_to_accuracy.py            # what is missing
    python benchmarks/time_to_accuracy.py --report                         # table and figure alone
    python benchmarks/time_to_accuracy.py --quick                          # tiny

The target is the best NDCG@20 on validation that ALS reaches after its search, on gowalla-split
unless ``--split`` says otherwise.
Each arm trains the setting that its own search chose, with three seeds, and is measured by epoch.
The seconds are those of training on one thread, start included; measuring does not count.
minitower is there with its spectral start, with a random start, with a recipe of few epochs, and
as the same two towers in PyTorch.

The lines are those of ``accuracy.py --units search`` and ``--units valid``, in the same file; this
script runs the same units, where they are missing.
"""

from __future__ import annotations

import sys

import accuracy


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the table and the figure."""
    from bounds import Bounds
    from comparison.curves import check, curves, draw, table
    from comparison.lines import Lines
    from drawing import put_between_marks

    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--quick" not in given and "--split" not in given:
        given += ["--split", "gowalla-split"]
    options = accuracy.read_options(given)
    if not options.report:
        accuracy.run_missing(options, ["search", "valid"])
    if options.list:
        return
    bounds, made, lines = Bounds(binding=not options.quick), [], Lines(options.results)
    for split in accuracy.shown_splits(options):
        found = curves(lines, split)
        if made_table := table(found):
            figure = f"time-to-accuracy-{split}.svg"
            draw(found, options.book / "figures" / figure)
            picture = f"![NDCG@20 on validation by CPU seconds](figures/{figure})"
            made.append(f"### {split}: seconds\n\n{picture}\n\n{made_table}")
            if split == "gowalla-split":
                check(found, bounds)
    text = "\n\n".join(made) or "Nothing has been measured yet."
    put_between_marks(options.book / accuracy.CHAPTER, "benchmarks/time_to_accuracy.py", text)
    print(text)
    bounds.close()


if __name__ == "__main__":
    accuracy.one_thread()
    main()
