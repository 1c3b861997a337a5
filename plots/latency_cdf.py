"""Share of operations that took longer than a time (one minus the distribution), per policy, from the histograms.

Both axes are logarithmic, and say so. One panel per world, workload and, when loads were swept, for the highest load.
"""
import sys
from dataclasses import dataclass

import formats
import results
import style

NAME = "cdf"
TITLE = "Latency distribution"
NEEDS = "it takes histograms/ in the results folder"


@dataclass
class Panel:
    heading: str
    grade: str
    note: str
    curves: dict  # policy -> [(latency in us, share of operations above it)]


def panels(data):
    return []


def describe(panel):
    return panel.heading


def draw(axes, panel):
    style.title(axes, panel.heading)


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
