"""Throughput of tailwind over rpc for each world and workload, beside the papers' ratios with their grade.

A filled mark is the ratio of the peaks (its line: least to largest over repeats); hollow diamonds are published.
"""
import sys
from dataclasses import dataclass

import comparison
import formats
import style

NAME = "gain"
TITLE = "Throughput of tailwind over rpc"
NEEDS = "it takes points of both policies, tailwind and rpc, that agree in all else"
MARKS = {"simulated": "D", "measured": "o"}


@dataclass
class Panel:
    heading: str
    grades: list
    note: str
    rows: list  # (Gain, [Published])

    @property
    def height_in(self):
        return 1.5 + 0.42 * len(self.rows)


def panels(data):
    numbers = comparison.published()
    rows = [(gain, comparison.for_gain(numbers, gain))
            for gain in comparison.gains(data) if gain.bound is not None and gain.throughput is not None]
    if not rows:
        return []
    grades = [gain.facet.grade for gain, _ in rows] + [number.label for _, beside in rows for number in beside]
    note = style.SHM_NOTE if any(gain.facet.fabric == "shm" for gain, _ in rows) else ""
    return [Panel("throughput, tailwind / rpc", list(dict.fromkeys(grades)), note, rows)]


def describe(panel):
    parts = [f"{gain.facet.heading} ({gain.facet.grade}) {formats.times(gain.throughput.value)}"
             for gain, _ in panel.rows]
    return "Throughput of tailwind over rpc at their peaks: " + "; ".join(parts) + "."


def draw(axes, panel):
    largest = 1.0
    for row, (gain, beside) in enumerate(panel.rows):
        ratio = gain.throughput
        colour = style.STAMP_COLOURS[gain.facet.grade]
        axes.plot([ratio.low, ratio.high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot([ratio.value], [row], linestyle="none", marker=MARKS[gain.facet.grade], color=colour, markersize=8,
                  zorder=4)
        axes.annotate(gain.bound + formats.times(ratio.value), (ratio.value, row), xytext=(0, 7),
                      textcoords="offset points", ha="center", va="bottom", fontsize=9)
        for number in beside:
            axes.plot([number.low], [row], linestyle="none", marker="d", markerfacecolor="white", markersize=10,
                      markeredgecolor=style.STAMP_COLOURS[number.label], markeredgewidth=1.6, zorder=3)
            largest = max(largest, number.high)
        largest = max(largest, ratio.high)
    axes.axvline(1.0, color="#555555", linewidth=1)
    axes.set_yticks(range(len(panel.rows)), [row_label(gain) for gain, _ in panel.rows])
    axes.set_ylim(len(panel.rows) - 0.5, -0.7)
    axes.set_xlim(0, largest * 1.12)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("tailwind / rpc (1 = no difference)")
    for grade in panel.grades:
        hollow = grade not in MARKS
        axes.plot([], [], linestyle="none", marker=MARKS.get(grade, "d"), markersize=8, label=grade,
                  color=style.STAMP_COLOURS[grade], markerfacecolor="white" if hollow else style.STAMP_COLOURS[grade])
    axes.legend(loc="upper center", bbox_to_anchor=(0.35, -0.55 / (panel.height_in * 0.77)),
                ncol=min(4, len(panel.grades)), handletextpad=0.3, columnspacing=1.2)
    style.title(axes, panel.heading)


def row_label(gain):
    words = [gain.facet.workload] + [f"{value}" for _, value in gain.facet.extras]
    return " · ".join(words) + f"\n{gain.facet.place}"


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
