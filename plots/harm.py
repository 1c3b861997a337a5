"""Harm done by kinds of faults under each policy: of all scenarios drawn, how many lost, tore or garbled data.

A table of faults against policies; a cell tells the harmed scenarios, and below them of what kind.
"""
import sys
from dataclasses import dataclass

import results
import style

NAME = "harm"
TITLE = "Harm by kind of fault"
NEEDS = "it takes harmed_scenarios in points.jsonl (specs with swarm.seeds)"
KINDS = ["lost", "torn", "stale", "duplicated", "stuck"]


@dataclass
class Panel:
    heading: str
    grade: str
    note: str
    policies: list
    faults: list
    cells: dict  # (fault, policy) -> (harmed, scenarios, {kind: scenarios})

    @property
    def height_in(self):
        return 1.2 + 0.55 * len(self.faults)


def panels(data):
    cells, faults = {}, []
    for group in data.groups:
        harmed = group.median("harmed_scenarios")
        if harmed is None:
            continue
        fault = str(group.params.get("swarm.fault", "any"))
        if fault not in faults:
            faults.append(fault)
        kinds = {kind: group.median(f"{kind}_scenarios") or 0 for kind in KINDS}
        cells[fault, group.policy] = (harmed, group.median("scenarios") or 0, kinds)
    if not cells:
        return []
    policies = results.in_policy_order({policy for _, policy in cells})
    return [Panel("scenarios with harm", "simulated", "", policies, faults, cells)]


def describe(panel):
    parts = []
    for policy in panel.policies:
        harmed = sum(int(cell[0]) for (_, of), cell in panel.cells.items() if of == policy)
        drawn = sum(int(cell[1]) for (_, of), cell in panel.cells.items() if of == policy)
        parts.append(f"{policy} {harmed} of {drawn}")
    return "Scenarios with harm: " + "; ".join(parts) + "."


def draw(axes, panel):
    worst = max([cell[0] for cell in panel.cells.values()] + [1])
    for row, fault in enumerate(panel.faults):
        for column, policy in enumerate(panel.policies):
            if (fault, policy) not in panel.cells:
                continue
            harmed, drawn, kinds = panel.cells[fault, policy]
            shade = 0.15 + 0.75 * harmed / worst if harmed else 0
            axes.add_patch(style.plt.Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor="#b3261e",
                                               alpha=shade, edgecolor="none"))
            axes.text(column, row - 0.08, f"{harmed:.0f} of {drawn:.0f}", ha="center", va="center", fontsize=10,
                      color="white" if shade > 0.5 else "#222222")
            told = ", ".join(f"{kind} {n:.0f}" for kind, n in kinds.items() if n)
            axes.text(column, row + 0.25, told, ha="center", va="center", fontsize=6.5,
                      color="white" if shade > 0.5 else "#444444")
    axes.set_xlim(-0.5, len(panel.policies) - 0.5)
    axes.set_ylim(len(panel.faults) - 0.5, -0.5)
    axes.set_xticks(range(len(panel.policies)), panel.policies)
    axes.set_yticks(range(len(panel.faults)), panel.faults)
    axes.grid(visible=False)
    style.title(axes, panel.heading)
    style.stamp(axes, panel.grade)


if __name__ == "__main__":
    sys.exit(style.figure_main(sys.modules[__name__]))
