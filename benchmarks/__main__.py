"""`python -m benchmarks [W1 W2 W3 W4 memory landing publishing rules]`: measure what is named, or everything; print it.

A run of everything also writes `results.md`.
"""

from __future__ import annotations

import argparse

from benchmarks.report import write_results
from benchmarks.scenarios import SCENARIOS


def main() -> None:
    """Measure, print each section as soon as it is there, and keep the whole of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(SCENARIOS)}; none: all of them")
    names = parser.parse_args().names
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; choose from {', '.join(SCENARIOS)}")
    sections = []
    for name in names or SCENARIOS:
        sections.append(SCENARIOS[name]())
        print(sections[-1].text(), end="\n\n", flush=True)
    if not names:
        write_results(sections)


if __name__ == "__main__":
    main()
