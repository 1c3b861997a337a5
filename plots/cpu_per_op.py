"""CPU time per operation, stacked by who spent it (client, primary, backup, fabric), one bar per policy and load.

Over shm and tcp the fabric's share is what a NIC would do, done in software. One panel per world and workload; the x
axis starts at zero.
"""
import sys
from dataclasses import dataclass

import formats
import results
import style

NAME = "cpu"
TITLE = "CPU per operation"
NEEDS = "it takes points with primary_cpu_ns_per_op or backup_cpu_ns_per_op"
ROLES = ["client", "primary", "backup", "fabric"]
MAX_LOADS = 6  # of a sweep, spread evenly, so that bars stay readable; the table has them all


@dataclass
class Panel:
    heading: str
    grade: str
    note: str
    axis: str
    labels: dict  # x -> as the spec writes it
    bars: list  # (x or None, policy, {role: ns})

    @property
    def height_in(self):
        return 1.3 + 0.27 * len(self.bars)


def metric(role):
    return f"{role}_cpu_ns_per_op"


def thin(values, limit):
    values = sorted(values)
    if len(values) <= limit:
        return values
    return [values[round(index * (len(values) - 1) / (limit - 1))] for index in range(limit)]


def panels(data):
    axis = data.axis()
    found = []
    for facet in results.facets(data, axis):
        bars = []
        for group in facet.groups:
            shares = {role: group.median(metric(role)) for role in ROLES if group.median(metric(role)) is not None}
            if shares:
                x = results.quantity(group.params.get(axis)) if axis else None
                bars.append((x, group.policy, shares))
        if axis:
            kept = thin({x for x, _, _ in bars}, MAX_LOADS)
            bars = [bar for bar in bars if bar[0] in kept]
        order = {policy: index for index, policy in enumerate(facet.policies())}
        bars.sort(key=lambda bar: (bar[0] or 0, order[bar[1]]))
        if bars:
            note = style.SHM_NOTE if facet.fabric == "shm" else ""
            found.append(Panel(facet.heading, facet.grade, note, axis, data.axis_labels(axis), bars))
    return found


def describe(panel):
    parts = []
    for x, policy, shares in panel.bars:
        load = f" at {panel.labels[x]} {results.spoken(panel.axis)}" if panel.axis else ""
        listed = ", ".join(f"{role} {formats.digits(value)}" for role, value in shares.items())
        parts.append(f"{policy}{load}: {listed}")
    return f"CPU nanoseconds per operation by role, {panel.heading}, {panel.grade}. " + "; ".join(parts) + "."


def draw(axes, panel):
    position, positions, previous = 0.0, [], None
    for x, _, _ in panel.bars:
        position += 0.0 if previous is None else 1.0 if x == previous[0] else 1.45
        previous = (x,)
        positions.append(position)
    largest = max(sum(shares.values()) for _, _, shares in panel.bars) or 1.0
    left = [0.0] * len(panel.bars)
    for role in ROLES:
        widths = [shares.get(role, 0.0) for _, _, shares in panel.bars]
        if any(widths) or (role == "backup" and any(role in shares for _, _, shares in panel.bars)):
            label = "fabric (a NIC's work)" if role == "fabric" and panel.grade == "measured" else role
            axes.barh(positions, widths, left=left, height=0.8, color=style.ROLE_COLOURS[role], label=label,
                      hatch=style.ROLE_HATCHES.get(role), edgecolor="white", linewidth=0.4)
        left = [a + b for a, b in zip(left, widths)]
    for y, end in zip(positions, left):
        axes.annotate(formats.digits(end), (end, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    names = [policy if x is None else f"{panel.labels[x]} · {policy}" for x, policy, _ in panel.bars]
    axes.set_yticks(positions, names)
    for text, (_, policy, _) in zip(axes.get_yticklabels(), panel.bars):
        text.set_color(style.policy_colour(policy))
    axes.invert_yaxis()
    axes.set_xlim(0, largest * 1.12)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("CPU time per operation, ns")
    if panel.axis:
        axes.set_ylabel(f"{results.short(panel.axis)} · policy")
    style.title(axes, panel.heading)
    inches = panel.height_in
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.62 / (inches * 0.77)), ncol=4, handlelength=1.4,
                columnspacing=1.2)
    style.stamp(axes, panel.grade)


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
