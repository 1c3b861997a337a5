"""Makes report.html of a results folder: one page that stands alone (no script, nothing from elsewhere), to read and to print.

Usage: /usr/bin/python3 plots/report.py RESULTS_FOLDER. Exit status 2 when the folder is no results folder.
"""
import argparse
import json
import os
import sys

import comparison
import cpu_per_op
import formats
import gain
import latency_cdf
import latency_load
import results
import style
import tables
import throughput_clients
from style import escape

FIGURES = [throughput_clients, latency_load, latency_cdf, cpu_per_op]
HERE = os.path.dirname(os.path.abspath(__file__))


def figure(module, panel, prefix):
    words = module.describe(panel)
    svg = style.inline(style.panel_svg(module, panel), prefix, f"{module.TITLE}: {panel.heading}", words)
    note = f"<figcaption>{escape(panel.note)}</figcaption>" if panel.note else ""
    return f"<figure>{svg}{note}</figure>"


def opening(data):
    spec = data.spec
    name = spec.get("name") or os.path.basename(os.path.abspath(data.folder))
    parts = ['<p class="kicker">Slipstream results</p>', f"<h1>{escape(name)}</h1>"]
    if spec.get("description"):
        parts.append(f'<p class="lead">{escape(spec["description"])}</p>')
    if spec.get("figure"):
        parts.append(f"<p>Follows {escape(spec['figure'])}.</p>")
    parts += [f'<p class="warning">{escape(note)}</p>' for note in data.notes]
    if data.environment.get("dirty") is True:
        parts.append('<p class="warning">The source tree had changes that were not committed: the commit named below does '
                     "not tell all of what ran.</p>")
    return "\n".join(parts)


def headline(gain_):
    facet = gain_.facet
    latency = ""
    if gain_.latency_p50:
        whose = f"{gain_.operation} latency".strip()
        latency = f" Median {escape(whose)} at the lowest load: {formats.times(gain_.latency_p50.value)} lower."
        if gain_.latency_p50.value < 1:
            latency = f" Median {escape(whose)} at the lowest load: {formats.times(1 / gain_.latency_p50.value)} higher."
    return (f"<li><strong>{formats.times(gain_.throughput.value)}</strong>throughput of tailwind over rpc, "
            f"{escape(facet.heading)} {tables.grade_mark(facet.grade)}<br><small>{formats.rate(gain_.peak_tailwind.median)} "
            f"against {formats.rate(gain_.peak_rpc.median)} operations/s at their peaks.{latency}</small></li>")


def key_results(data, numbers):
    found = comparison.gains(data)
    parts = ['<h2 id="key">Key results</h2>']
    if not found:
        parts.append("<p>These results hold no pair of rpc and tailwind that agrees in all else, so no gain is stated; "
                     "the tables below say what was found.</p>")
    else:
        parts.append('<ul class="headlines">' + "\n".join(headline(one) for one in found) + "</ul>")
        parts.append(tables.gains(found, numbers))
        parts.append(f"<p>{escape(gain_words(data, found))}</p>")
    if any(data.fabric(group) == "shm" for group in data.groups):
        parts.append(f'<p class="note">{escape(style.SHM_NOTE)}</p>')
    if found:
        parts += [figure(gain, panel, f"gain{index}") for index, panel in enumerate(gain.panels(data))]
    beside = [number for number in numbers if comparison.applies(number, data)]
    if beside:
        parts.append(tables.published(beside, data))
        parts.append("<p>published: stated by the source itself. recalled, unverified: as readers of the paper recall it, "
                     "a trend to look at and never a check. derived: worked out from published numbers.</p>")
    return "\n".join(parts)


def gain_words(data, found):
    words = "Ratios are of medians over repeats; the range sets the worst repeat of one against the best of the other. "
    path = data.rate_path() or data.axis()
    if any(len(one.pairs) > 1 for one in found) and path:
        words += f"Latencies are compared at the lowest {results.short(path)}"
    else:
        words += "Latencies are compared at the same setting"
    operations = {one.operation for one in found} - {""}
    return words + (f", for {formats.listed(sorted(operations))}s alone where the workload also reads." if operations else ".")


def expectations(data):
    """Claims of the spec with their outcome. Written by `run` as {claim, passed, found} or as plain text without an outcome."""
    if not data.expectations:
        return ""
    rows = []
    for claim in data.expectations:
        if not isinstance(claim, dict):
            claim = {"claim": claim}
        passed = claim.get("passed")
        outcome = {True: '<span class="held">holds</span>', False: '<span class="failed">fails</span>'}.get(passed, "not checked")
        rows.append([escape(claim.get("claim", "")), outcome, escape(claim.get("found", "–"))])
    columns = [tables.Column("claim", text=True), tables.Column("outcome", text=True), tables.Column("found", text=True)]
    return '<h2 id="claims">Expectations</h2>\n' + tables.table("Claims of the spec", columns, rows)


def figures(data):
    parts = []
    for module in FIGURES:
        panels = module.panels(data)
        if panels:
            drawn = "\n".join(figure(module, panel, f"{module.NAME}{index}") for index, panel in enumerate(panels))
            parts.append(f'<h3>{escape(module.TITLE)}</h3><div class="figures">{drawn}</div>')
    return '<h2 id="figures">Figures</h2>\n' + "\n".join(parts) if parts else ""


def point_tables(data):
    places = {}
    for facet in results.facets(data, data.axis()):
        places.setdefault((facet.world, facet.place), []).extend(sorted_groups(data, facet))
    parts = ['<h2 id="tables">All settings</h2>',
             "<p>Median over the repeats, beneath it the least and the largest. A plain 0 is exactly zero.</p>"]
    folded = []
    for (world, place), groups in places.items():
        parts.append(tables.points(data, groups, f"{place} ({groups[0].grade})"))
        folded.append(tables.all_metrics(data, groups, f"Every metric, {place} ({groups[0].grade})"))
    parts.append("<details><summary>Every metric</summary>" + "\n".join(folded) + "</details>")
    return "\n".join(parts)


def sorted_groups(data, facet):
    order = {policy: index for index, policy in enumerate(data.policies())}
    paths = [path for path in (data.axis(), data.rate_path()) if path]
    return sorted(facet.groups, key=lambda group: ([results.quantity(group.params.get(path)) or 0 for path in paths],
                                                   order[group.policy]))


def closing(data):
    def folded(summary, value):
        text = json.dumps(value, indent=2, ensure_ascii=False)
        return f"<details><summary>{summary}</summary><pre>{escape(text)}</pre></details>"
    cost = tables.simulation_cost(data.timing)
    parts = ['<h2 id="made">How it was made</h2>']
    parts.append(folded("The spec, resolved", data.spec))
    parts.append(folded("The environment", data.environment))
    if cost:
        parts.append(f"<details><summary>What the simulation took</summary>{cost}</details>")
    return "\n".join(parts)


def page(data):
    numbers = comparison.published()
    with open(os.path.join(HERE, "report.css"), encoding="utf-8") as file:
        css = file.read()
    title = escape(data.spec.get("name") or os.path.basename(os.path.abspath(data.folder)))
    sections = [opening(data), key_results(data, numbers), expectations(data),
                '<h2 id="where">What ran where</h2>', tables.ran_where(data), figures(data), point_tables(data), closing(data)]
    commit = str(data.environment.get("commit", ""))[:12]
    made = f"{data.points} points" + (f", commit {commit}" if commit else "")
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title} · Slipstream</title>\n'
            f"<style>\n{css}</style>\n</head>\n<body>\n<main>\n" + "\n".join(part for part in sections if part)
            + f"\n</main>\n<footer><p>{escape(made)}.</p></footer>\n</body>\n</html>\n")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Makes report.html of a results folder.")
    parser.add_argument("results", metavar="RESULTS_FOLDER")
    folder = parser.parse_args(arguments).results
    try:
        data = results.load(folder)
        path = os.path.join(folder, "report.html")
        style.write_whole(path, page(data))
    except (results.ResultsError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2 if isinstance(error, results.ResultsError) else 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
