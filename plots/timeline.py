"""What happened when, around a recovery: throughput, latency, and bytes replayed, in parts of the window.

One panel per point that declared a death, from timelines/; all three share the time axis, which starts with the window.
"""
import os
import sys
from dataclasses import dataclass

import results
import style

NAME = "timeline"
TITLE = "A recovery over time"
NEEDS = "it takes timelines/, which a run with cluster.recovery leaves"


@dataclass
class Panel:
    heading: str
    grade: str
    note: str
    policy: str
    seconds: list
    throughput: list  # operations per second
    worst_ms: list
    living_ms: list  # 99th percentile, of operations on tablets that stayed where they were; by when they began
    recovered: list  # MB, summed up
    height_in: float = 4.6


def panels(data):
    found = []
    for facet in results.facets(data):
        for group in facet.groups:
            for repeat in sorted(group.repeats)[:1]:
                path = os.path.join(data.folder, "timelines", f"{group.point}-{repeat}.json")
                if not os.path.exists(path):
                    continue
                content = results.read_json(path, required=True)
                if not any(content["recovered_bytes"]):
                    continue
                part = content["part_ns"] / 1e9
                total, recovered = 0, []
                for piece in content["recovered_bytes"]:
                    total += piece
                    recovered.append(total / 1e6)
                found.append(Panel(f"{group.policy} · {facet.heading}", facet.grade, "", group.policy,
                                   [i * part for i in range(len(recovered))],
                                   [n / part for n in content["completed"]],
                                   [us / 1e3 for us in content["worst_us"]],
                                   [us / 1e3 for us in content.get("living_p99_us", [])], recovered))
    return found


def describe(panel):
    least = min(panel.throughput)
    return (f"{panel.policy}: throughput falls to {least:,.0f} operations per second while "
            f"{panel.recovered[-1]:,.0f} MB are replayed; the slowest operation took {max(panel.worst_ms):,.0f} ms.")


def positive(values):
    """Parts in which nothing was measured leave a gap."""
    return [value if value > 0 else float("nan") for value in values]


def draw(axes, panel):
    figure = axes.figure
    box = axes.get_subplotspec().subgridspec(3, 1, hspace=0.18)
    axes.axis("off")
    style.title(axes, panel.heading)
    style.stamp(axes, panel.grade)
    colour = style.policy_colour(panel.policy)
    largest = max(panel.throughput)
    unit, prefix = (1e6, "M") if largest >= 1e6 else (1e3, "k") if largest >= 1e3 else (1, "")
    throughput = figure.add_subplot(box[0])
    latency, row = [figure.add_subplot(box[index], sharex=throughput) for index in (1, 2)]
    throughput.plot(panel.seconds, [value / unit for value in panel.throughput], color=colour, linewidth=1.4)
    throughput.set_ylabel(f"{prefix}ops/s", fontsize=8.5)
    style.from_zero(throughput, largest / unit)
    latency.plot(panel.seconds, positive(panel.worst_ms), color=colour, linewidth=1, alpha=0.6, label="slowest, by end")
    if any(panel.living_ms):
        latency.plot(panel.seconds, positive(panel.living_ms), color="#333333", linewidth=1.4, linestyle="--",
                     label="p99 of the living, by start")
    latency.set_yscale("log")
    style.ticks_125(latency.yaxis)
    latency.set_ylabel("ms (log scale)", fontsize=8.5)
    latency.legend(loc="upper right", fontsize=8, borderaxespad=0.1)
    row.plot(panel.seconds, panel.recovered, color=colour, linewidth=1.4)
    row.set_ylabel("MB replayed", fontsize=8.5)
    style.from_zero(row, panel.recovered[-1])
    for part in (throughput, latency, row):
        part.tick_params(labelsize=8.5, labelbottom=part is row)
    row.set_xlabel("seconds since the window began")


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
