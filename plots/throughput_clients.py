"""Throughput against clients, or against whatever count was swept: a curve per policy, a panel per world and workload.

Without a swept count: throughput as bars, one per policy. The y axis starts at zero; bars and whiskers are median,
least and largest of the repeats.
"""
import sys
from dataclasses import dataclass

import formats
import results
import style

NAME = "throughput"
TITLE = "Throughput"
NEEDS = "it takes points with throughput_ops_per_s"
METRIC = "throughput_ops_per_s"


@dataclass
class Panel:
    heading: str
    grade: str
    note: str
    axis: str  # swept path, or None for bars
    labels: dict  # x -> as the spec writes it
    curves: dict  # policy -> [(x, Stat)]; x is None for bars
    largest: float = 0.0  # of all panels of the same place, so that they compare


def panels(data):
    axis = data.axis()
    found = []
    for facet in results.facets(data, axis):
        curves = {}
        for group in facet.groups:
            stat = group.stat(METRIC)
            if stat:
                x = results.quantity(group.params.get(axis)) if axis else None
                curves.setdefault(group.policy, []).append((x, stat))
        if curves:
            note = style.SHM_NOTE if facet.fabric == "shm" else ""
            found.append((facet.place, Panel(facet.heading, facet.grade, note, axis, data.axis_labels(axis), curves)))
    for place, panel in found:
        panel.largest = max(stat.high for other, p in found if other == place
                            for points in p.curves.values() for _, stat in points)
    return [panel for _, panel in found]


def describe(panel):
    """The picture in words, for those who do not see it."""
    parts = []
    for policy in results.in_policy_order(panel.curves):
        points = panel.curves[policy]
        if panel.axis is None:
            parts.append(f"{policy} {formats.rate(points[0][1].median)} operations/s")
        else:
            (first, least), (last, most) = points[0], points[-1]
            parts.append(f"{policy} from {formats.rate(least.median)} operations/s at {panel.labels[first]} to "
                         f"{formats.rate(most.median)} at {panel.labels[last]}")
    what = f"Throughput against {results.spoken(panel.axis)}" if panel.axis else "Throughput"
    return f"{what}, {panel.heading}, {panel.grade}: " + "; ".join(parts) + "."


def draw(axes, panel):
    divisor, prefix = formats.rate_scale([panel.largest])
    policies = results.in_policy_order(panel.curves)
    if panel.axis is None:
        draw_bars(axes, panel, policies, divisor)
    else:
        for policy in policies:
            xs = [x for x, _ in panel.curves[policy]]
            stats = [stat.scaled(1 / divisor) for _, stat in panel.curves[policy]]
            axes.plot(xs, [s.median for s in stats], marker=style.policy_marker(policy),
                      color=style.policy_colour(policy), label=policy, zorder=3)
            axes.fill_between(xs, [s.low for s in stats], [s.high for s in stats], alpha=0.18, linewidth=0,
                              color=style.policy_colour(policy))
        style.count_axis(axes, panel.labels, results.spoken(panel.axis),
                         counts=results.last(panel.axis) != results.RATE)
        style.legend(axes, len(policies))
    style.from_zero(axes, panel.largest / divisor, headroom=0.08 if panel.axis else 0.16)
    axes.set_ylabel(f"throughput, {prefix} operations/s".replace("  ", " "))
    style.title(axes, panel.heading)
    style.stamp(axes, panel.grade)


def draw_bars(axes, panel, policies, divisor):
    for index, policy in enumerate(policies):
        stat = panel.curves[policy][0][1].scaled(1 / divisor)
        axes.bar(index, stat.median, width=0.6, color=style.policy_colour(policy))
        axes.errorbar(index, stat.median, yerr=[[stat.median - stat.low], [stat.high - stat.median]], fmt="none",
                      ecolor="#222222", capsize=4, linewidth=1)
        axes.annotate(formats.digits(stat.median), (index, stat.high), xytext=(0, 3), textcoords="offset points",
                      ha="center", va="bottom", fontsize=9.5)
    axes.set_xticks(range(len(policies)), policies)
    axes.set_xlim(-0.7, len(policies) - 0.3)
    axes.grid(axis="x", visible=False)


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
