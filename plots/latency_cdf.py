"""Share of operations slower than a time (one minus the distribution), one curve per policy, from histograms/.

Both axes are logarithmic, and say so. A panel per world and workload; of a swept load the highest is shown.
"""
import sys
from dataclasses import dataclass

import results
import style

NAME = "cdf"
TITLE = "Latency distribution"
NEEDS = "it takes histograms/ beside points.jsonl"
LEAST_SHARE = 1e-6
LEAST_POINTS = 5  # fewer are no distribution: every operation took as long


@dataclass
class Panel:
    heading: str
    grade: str
    note: str
    operation: str
    curves: dict  # policy -> [(latency in us, share of operations at least that slow)], by rising latency


def slower(histogram):
    """[(us, share at least that slow)] of a results.Histogram, down to the last operation."""
    remaining, points = histogram.count, []
    for low, count in sorted(histogram.buckets.items()):
        points.append((low / 1e3, remaining / histogram.count))
        remaining -= count
    points.append((histogram.max / 1e3, 1.0 / histogram.count))
    return [(us, share) for us, share in points if us > 0 and share >= LEAST_SHARE]


def panels(data):
    load = data.load_path()
    found = []
    for facet in results.facets(data, load):
        groups = facet.groups
        heading = facet.heading
        if load:
            highest = max(results.quantity(group.params.get(load)) for group in groups)
            groups = [group for group in groups if results.quantity(group.params.get(load)) == highest]
            heading = f"{results.short(load)} {data.axis_labels(load)[highest]} · {heading}"
        operation = results.write_operation(groups)
        curves = {}
        for group in groups:
            histogram = results.histogram(data, group, operation)
            if histogram and histogram.count:
                curves[group.policy] = slower(histogram)
        if any(len(curve) >= LEAST_POINTS for curve in curves.values()):
            note = style.SHM_NOTE if facet.fabric == "shm" else ""
            found.append(Panel(heading, facet.grade, note, operation, curves))
    return found


def at_share(curve, share):
    """The least latency that no more than `share` of the operations exceed."""
    return next((us for us, above in curve if above <= share), curve[-1][0])


def describe(panel):
    parts = [f"{policy} median {at_share(panel.curves[policy], 0.5):.3g} us, one in a thousand above "
             f"{at_share(panel.curves[policy], 0.001):.3g} us" for policy in results.in_policy_order(panel.curves)]
    what = f"{panel.operation} latency".strip()
    return f"Share of operations with a {what} above a time, {panel.heading}, {panel.grade}: " + "; ".join(parts) + "."


def percent(share):
    return f"{share * 100:.6g} %"


def draw(axes, panel):
    policies = results.in_policy_order(panel.curves)
    for policy in policies:
        curve = panel.curves[policy]
        axes.plot([us for us, _ in curve], [share for _, share in curve], label=policy,
                  color=style.policy_colour(policy), marker=style.policy_marker(policy), markevery=[len(curve) - 1])
    axes.set_xscale("log")
    axes.set_yscale("log")
    style.ticks_125(axes.xaxis)
    axes.yaxis.set_major_formatter(style.FuncFormatter(lambda share, _: percent(share)))
    axes.yaxis.set_minor_locator(style.NullLocator())
    axes.set_ylim(top=1.0)
    axes.set_xlabel(f"{panel.operation} latency, us (log scale)".strip())
    axes.set_ylabel("operations slower than this (log scale)")
    style.title(axes, panel.heading)
    style.legend(axes, len(policies))
    style.stamp(axes, panel.grade)


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
