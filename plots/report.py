"""Makes report.html of a results folder: one page that stands alone (no script, nothing from elsewhere).

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
import harm
import latency_cdf
import latency_load
import results
import recovery_time
import style
import tables
import throughput_clients
import timeline
from style import escape

FIGURES = [harm, timeline, recovery_time, throughput_clients, latency_load, latency_cdf, cpu_per_op]
HEADLINES = 6  # the table beneath has them all
LOWEST = " at the lowest load"
PANELS = 24    # of one figure; the tables have all settings
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
        parts.append(f"<p>Stands beside: {escape(spec['figure'])}.</p>")
    parts += [f'<p class="danger">{escape(trouble)}</p>' for trouble in troubles(data)]
    parts += [f'<p class="warning">{escape(note)}</p>' for note in data.notes]
    if data.environment.get("dirty") is True:
        parts.append('<p class="warning">The source tree had changes that were not committed: the commit named below '
                     "does not tell all of what ran.</p>")
    if data.environment.get("guest"):
        parts.append('<p class="warning">What is measured was measured in a virtual machine '
                     f"({escape(str(data.environment['guest']))}).</p>")
    build = str(data.environment.get("build", ""))
    if "timings mean nothing" in build and any(group.grade == "measured" for group in data.groups):
        parts.append(f'<p class="warning">The program that ran was no release build ({escape(build)}).</p>')
    return "\n".join(parts)


def troubles(data):
    """What makes results doubtful or worse, from the metrics themselves."""
    def total(metric):
        return sum(sum(group.values.get(metric, [])) for group in data.groups)
    found = []
    if total("wrong_reads") > 0:
        found.append(f"Unsafe: {total('wrong_reads'):,.0f} reads returned a value that was never written to their key.")
    if total("failed_ops") > 0:
        found.append(f"{total('failed_ops'):,.0f} operations were answered with an error; they are in no latency.")
    return found


def headline(gain_):
    facet = gain_.facet
    latency = ""
    if gain_.latency_p50:
        whose = f"{gain_.operation} latency".strip()
        value = gain_.latency_p50.value
        change = f"{formats.times(value)} lower" if value >= 1.005 else f"{formats.times(1 / value)} higher"
        change = "the same" if abs(value - 1) < 0.005 else change
        latency = f" Median {escape(whose)}{LOWEST if len(gain_.pairs) > 1 else ''}: {change}."
    peaks = " at their peaks" if len(gain_.pairs) > 1 else ""
    if gain_.throughput is None:
        ratio = "no ratio"  # rpc completed nothing
    else:
        ratio = "no overload" if gain_.bound is None else gain_.bound + formats.times(gain_.throughput.value)
    return (f"<li><strong>{ratio}</strong>throughput of tailwind over rpc, "
            f"{escape(facet.heading)} {tables.grade_mark(facet.grade)}<br>"
            f"<small>{formats.rate(gain_.peak_tailwind.median)} against {formats.rate(gain_.peak_rpc.median)} "
            f"operations/s{peaks}.{latency}</small></li>")


def recovery_headline(data, group):
    paths = [path for path in data.swept() if path in group.params]
    setting = " · ".join([group.policy] + [f"{results.short(path)} {tables.setting_text(group.params[path])}"
                                           for path in paths if path != results.POLICY])
    scan, wait = group.median("recovery_scan_ms"), group.median("recovery_latency_us_p99")
    words = [] if scan is None else [f"Open replicas were scanned in {formats.digits(scan)} ms."]
    if wait is not None:
        wait = f"{formats.digits(wait / 1e3)} ms" if wait >= 1e3 else f"{formats.digits(wait)} us"
        words.append(f"Meanwhile clients waited {wait} for the living at the 99th percentile.")
    return (f"<li><strong>{formats.digits(group.median('recovery_ms'))} ms</strong>recovery of "
            f"{tables.megabytes(group)} of log, {escape(setting)} "
            f"{tables.grade_mark(group.grade)}<br><small>{' '.join(words)}</small></li>")


def key_results(data, numbers):
    found = comparison.gains(data)
    parts = ['<h2 id="key">Key results</h2>']
    harmed = harm.panels(data)
    if harmed:
        parts.append("".join(f"<p><strong>{escape(harm.describe(panel))}</strong></p>" for panel in harmed))
    elif comparison.recovers(data):
        recovered = [group for group in data.groups if group.stat("recovery_ms")]
        parts.append('<ul class="headlines">' + "\n".join(recovery_headline(data, group)
                                                          for group in recovered[-HEADLINES:]) + "</ul>")
        parts.append("<p>From the declared death until all tablets of the dead server were served again. Throughput "
                     "and latency of the window contain the outage, so no gain is stated.</p>")
    elif not found:
        parts.append("<p>These results hold no pair of rpc and tailwind that agrees in all else, so no gain is stated; "
                     "the tables below say what was found.</p>")
    else:
        parts.append('<ul class="headlines">' + "\n".join(headline(one) for one in found[:HEADLINES]) + "</ul>")
        parts.append(tables.gains(found, numbers))
        drawn = "".join(figure(gain, panel, f"gain{index}") for index, panel in enumerate(gain.panels(data)))
        parts.append(f'<div class="figures">{drawn}<div>{gain_words(data, found)}</div></div>')
    if not found and any(data.fabric(group) == "shm" for group in data.groups):
        parts.append(f'<p class="note">{escape(style.SHM_NOTE)}</p>')
    beside = [number for number in numbers if comparison.applies(number, data)]
    if beside:
        parts.append(tables.published(beside, data))
    return "\n".join(parts)


def gain_words(data, found):
    words = "Ratios are of medians over repeats; the range sets the worst repeat of one against the best of the other. "
    load = data.load_path()
    if load and any(len(one.pairs) > 1 for one in found):
        words += f"Latencies are compared at the lowest load ({results.spoken(load)})"
    else:
        words += "Latencies are compared at the same setting"
    operations = {one.operation for one in found} - {""}
    if operations:
        words += f", for {formats.listed(sorted(operations))}s alone where the workload also reads"
    paragraphs = [words + "."]
    if any(one.bound for one in found):
        paragraphs.append("≥: tailwind served all that was offered, so its peak is higher than seen here.")
    if load == data.rate_path() and load:
        paragraphs.append("Over the sweep, latencies are compared where both served at least 95 % of the offered rate.")
    if results.lookup(data.spec, "workload.arrivals") in (None, "closed"):
        paragraphs.append("The clients are a closed loop: each keeps a fixed number of requests outstanding, so that "
                          "mean latency follows throughput, and the two gains are not independent.")
    paragraphs.append("published: stated by the source itself. recalled, unverified: as readers of the paper recall "
                      "it, a trend to look at and never a check. derived: worked out from published numbers.")
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)


def expectations(data):
    """Claims of the spec with their outcome, as `run` left them; those of the spec alone were not checked."""
    claims = data.expectations or [{"claim": claim} for claim in data.spec.get("expect") or []]
    if not claims:
        return ""
    rows = []
    for claim in claims:
        outcome = str(claim.get("outcome", "not checked"))
        kind = {"holds": "held", "fails": "failed"}.get(outcome)
        mark = f'<span class="{kind}">{escape(outcome)}</span>' if kind else escape(outcome)
        rows.append([escape(claim.get("claim", "")), mark, escape(str(claim.get("found", "–")).removeprefix("found "))])
    columns = [tables.Column("claim", long=True), tables.Column("outcome", text=True),
               tables.Column("found", long=True)]
    return '<h2 id="claims">Expectations</h2>\n' + tables.table("Claims of the spec", columns, rows)


def figures(data):
    """Figures with several panels have a grid each; those with one share a grid."""
    singles, several = [], []
    for module in FIGURES:
        panels = module.panels(data)
        drawn = [figure(module, panel, f"{module.NAME}{index}") for index, panel in enumerate(panels[:PANELS])]
        heading = f"<h3>{escape(module.TITLE)}</h3>"
        if len(drawn) == 1:
            singles.append(f"<section>{heading}{drawn[0]}</section>")
        elif drawn:
            several.append(f'{heading}<div class="figures">' + "\n".join(drawn) + "</div>")
        if len(panels) > PANELS:
            several.append(f"<p>{len(panels) - PANELS} more settings are in the tables alone.</p>")
    if singles:
        several.insert(0, '<div class="figures">' + "\n".join(singles) + "</div>")
    return '<h2 id="figures">Figures</h2>\n' + "\n".join(several) if several else ""


def point_tables(data):
    places = {}
    for facet in results.facets(data, data.axis()):
        places.setdefault((facet.world, facet.place), []).extend(sorted_groups(data, facet))
    parts = ['<h2 id="tables">All settings</h2>',
             "<p>Median over the repeats, beneath it the least and the largest. A plain 0 is exactly zero.</p>"]
    folded = []
    for (world, place), groups in places.items():
        where = f"{place} ({groups[0].grade})"
        parts.append(tables.points(data, groups, tables.SERVICE, f"Service, {where}"))
        parts.append(tables.points(data, groups, tables.RECOVERY, f"Recovery, {where}"))
        parts.append(tables.points(data, groups, tables.COST, f"Cost, {where}"))
        parts.append(tables.points(data, groups, tables.CORES, f"Cores of a server, {where}"))
        folded.append(tables.all_metrics(data, groups, f"Every metric, {where}"))
    parts.append("<details><summary>Every metric</summary>" + "\n".join(folded) + "</details>")
    return "\n".join(parts)


def sorted_groups(data, facet):
    order = {policy: index for index, policy in enumerate(data.policies())}
    axis = data.axis()
    return sorted(facet.groups, key=lambda group: (results.quantity(group.params.get(axis)) or 0, order[group.policy]))


def closing(data):
    def folded(summary, value):
        text = json.dumps(value, indent=2, ensure_ascii=False)
        return f'<details class="printed"><summary>{summary}</summary><pre>{escape(text)}</pre></details>'
    cost = tables.simulation_cost(data.timing)
    parts = ['<h2 id="made">How it was made</h2>']
    parts.append(folded("The spec, resolved", data.spec))
    parts.append(folded("The environment", data.environment))
    for name, profile in data.hardware.items():
        costs = tables.hardware(name, profile)
        parts.append(f"<details><summary>Hardware profile {escape(name)}</summary>{costs}</details>" if costs
                     else folded(f"Hardware profile {escape(name)}", profile))
    if cost:
        parts.append(f"<details><summary>What the simulation took</summary>{cost}</details>")
    return "\n".join(parts)


def page(data):
    numbers = comparison.published()
    with open(os.path.join(HERE, "report.css"), encoding="utf-8") as file:
        css = file.read()
    title = escape(data.spec.get("name") or os.path.basename(os.path.abspath(data.folder)))
    sections = [opening(data), key_results(data, numbers), expectations(data),
                '<h2 id="where">What ran where</h2>', tables.ran_where(data), figures(data), point_tables(data),
                closing(data)]
    commit = str(data.environment.get("commit", ""))[:12]
    made = f"{data.points} points" + (f", commit {commit}" if commit else "")
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title} · Slipstream</title>\n"
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
