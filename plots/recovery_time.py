"""How long recoveries took, from the declared death to the last tablet served, against what was swept.

One curve per policy; the part until all replicas were found and scanned is the thin dashed one below it.
"""
import sys
from dataclasses import dataclass

import results
import style

NAME = "recovery"
TITLE = "Recovery time"
SIZE = "workload.records"  # what is swept to have more to recover: shown as what was recovered
NEEDS = "it takes recovery_ms in points.jsonl of at least two values of a swept option"


@dataclass
class Panel:
    heading: str
    grade: str
    note: str
    axis: str  # what the x axis says
    labels: dict
    curves: dict  # policy -> [(x, ms, ms until found)]


def panels(data):
    paths = [path for path in data.spec.get("sweep", {}) if path != "replication.policy"]
    found = []
    for path in paths:
        for facet in results.facets(data, path):
            curves = {}
            for group in facet.groups:
                whole, part = group.median("recovery_ms"), group.median("recovery_find_ms")
                if whole is None:
                    continue
                log = group.median("recovered_log_bytes")
                x = results.quantity(group.params.get(path))
                if path == SIZE and log is not None:
                    x = float(f"{log / 1e6:.3g}")  # repeats and policies differ by some entries
                curves.setdefault(group.policy, []).append((x, whole, part or 0))
            if any(len(curve) > 1 for curve in curves.values()):
                labels, axis = data.axis_labels(path), results.spoken(path)
                if path == SIZE:
                    labels = {x: f"{x:,.6g}" for curve in curves.values() for x, _, _ in curve}
                    axis = "MB of log of the dead server"
                found.append(Panel(facet.heading, facet.grade, "", axis, labels,
                                   {policy: sorted(curve) for policy, curve in curves.items()}))
    return found


def describe(panel):
    parts = [f"{policy} from {curve[0][1]:,.0f} ms to {curve[-1][1]:,.0f} ms" for policy, curve in panel.curves.items()]
    return f"Recovery time against {panel.axis}: " + "; ".join(parts) + "."


def draw(axes, panel):
    largest = 0
    for policy in results.in_policy_order(panel.curves):
        curve = panel.curves[policy]
        xs = [x for x, _, _ in curve]
        colour = style.policy_colour(policy)
        axes.plot(xs, [ms for _, ms, _ in curve], color=colour, marker=style.policy_marker(policy), label=policy)
        axes.plot(xs, [ms for _, _, ms in curve], color=colour, linewidth=1, linestyle="--",
                  label=f"{policy}: until found")
        largest = max([largest] + [ms for _, ms, _ in curve])
    style.count_axis(axes, panel.labels, panel.axis)
    style.from_zero(axes, largest)
    axes.set_ylabel("ms from the declared death")
    style.title(axes, panel.heading)
    style.stamp(axes, panel.grade)
    style.legend(axes, 2)


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
