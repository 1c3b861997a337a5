"""Median and 99th percentile latency against the load served: a pair of curves per policy, a panel per workload.

Points follow the swept load (clients, outstanding or the offered rate); a crossed mark served less than 95 % of what
was offered. The y axis is logarithmic, and says so, when latencies spread more than twentyfold; else it starts at zero.
"""
import sys
from dataclasses import dataclass

import formats
import results
import style

NAME = "latency"
TITLE = "Latency against load"
NEEDS = "it takes at least two loads (clients, outstanding or a rate swept) with latency_us_p50 and latency_us_p99"
THROUGHPUT = "throughput_ops_per_s"


@dataclass
class Load:
    throughput: float
    p50: results.Stat
    p99: results.Stat
    met: bool  # what was offered was served


@dataclass
class Panel:
    heading: str
    grade: str
    note: str
    operation: str  # "", or the operation the latencies are of
    curves: dict  # policy -> [Load], by rising load


def panels(data):
    path = data.load_path()
    if path is None:
        return []
    found = []
    for facet in results.facets(data, path):
        operation = results.write_operation(facet.groups)
        prefix = f"{operation}_" if operation else ""
        curves = {}
        for group in facet.groups:
            served = group.median(THROUGHPUT)
            p50, p99 = group.stat(f"{prefix}latency_us_p50"), group.stat(f"{prefix}latency_us_p99")
            if served is None or p50 is None or p99 is None:
                continue
            met = results.met_offer(data, group)
            curves.setdefault(group.policy, []).append(Load(served, p50, p99, met))
        if any(len(loads) > 1 for loads in curves.values()):
            note = style.SHM_NOTE if facet.fabric == "shm" else ""
            found.append(Panel(facet.heading, facet.grade, note, operation, curves))
    return found


def describe(panel):
    parts = []
    for policy in results.in_policy_order(panel.curves):
        first, last = panel.curves[policy][0], panel.curves[policy][-1]
        parts.append(f"{policy} p50 {formats.digits(first.p50.median)} to {formats.digits(last.p50.median)} us, "
                     f"p99 {formats.digits(first.p99.median)} to {formats.digits(last.p99.median)} us")
    what = f"{panel.operation} latency".strip().capitalize()
    return f"{what} against load, {panel.heading}, {panel.grade}: from the lowest to the highest load " \
           + "; ".join(parts) + "."


def draw(axes, panel):
    loads = [load for curve in panel.curves.values() for load in curve]
    divisor, prefix = formats.rate_scale([load.throughput for load in loads])
    policies = results.in_policy_order(panel.curves)
    for policy in policies:
        curve = panel.curves[policy]
        xs = [load.throughput / divisor for load in curve]
        for label, dashes in (("p50", "-"), ("p99", "--")):
            stats = [getattr(load, label) for load in curve]
            ys = [stat.median for stat in stats]
            colour = style.policy_colour(policy)
            axes.plot(xs, ys, linestyle=dashes, color=colour, label=f"{policy} {label}", zorder=3,
                      marker=style.policy_marker(policy), markerfacecolor=colour if label == "p50" else "white")
            short = [(x, y) for x, y, load in zip(xs, ys, curve) if not load.met]
            axes.plot([x for x, _ in short], [y for _, y in short], linestyle="none", marker="x", color="#222222",
                      markersize=9, zorder=4)
    if not all(load.met for load in loads):
        axes.plot([], [], linestyle="none", marker="x", color="#222222", markersize=9, label="less served than offered")
    largest, least = max(load.p99.median for load in loads), min(load.p50.median for load in loads)
    logarithmic = least > 0 and largest / least > 20
    if logarithmic:
        axes.set_yscale("log")
        style.ticks_125(axes.yaxis)
    else:
        style.from_zero(axes, largest)
    axes.set_xlim(0, max(load.throughput for load in loads) / divisor * 1.06)
    axes.set_xlabel(f"load served, {prefix} operations/s".replace("  ", " "))
    axes.set_ylabel(f"{panel.operation} latency, us".strip() + (" (log scale)" if logarithmic else ""))
    style.title(axes, panel.heading)
    style.legend(axes, len(policies) + (not all(load.met for load in loads)))
    style.stamp(axes, panel.grade)


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
