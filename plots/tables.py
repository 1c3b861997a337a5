"""The tables of the report as HTML: settings and their metrics, gains beside published numbers, what ran where."""
from dataclasses import dataclass

import comparison
import formats
import results
from style import escape

# (metric, heading, unit). Rates get their prefix from the column's largest value.
SERVICE = [
    ("throughput_ops_per_s", "throughput", "ops/s"),
    ("latency_us_p50", "latency p50", "us"),
    ("latency_us_p99", "latency p99", "us"),
    ("latency_us_p999", "latency p99.9", "us"),
    ("read_latency_us_p50", "read p50", "us"),
    ("read_latency_us_p99", "read p99", "us"),
    ("update_latency_us_p50", "update p50", "us"),
    ("update_latency_us_p99", "update p99", "us"),
]
COST = [
    ("client_cpu_ns_per_op", "CPU client", "ns/op"),
    ("primary_cpu_ns_per_op", "CPU primary", "ns/op"),
    ("backup_cpu_ns_per_op", "CPU backups", "ns/op"),
    ("fabric_cpu_ns_per_op", "CPU fabric", "ns/op"),
    ("backup_messages_per_op", "messages at backups", "per write"),
    ("backup_copied_bytes_per_op", "copied by backups", "B/write"),
    ("backup_turns_per_op", "turns of backups", "per write"),
    ("backup_control_messages_per_op", "opens and closes", "messages/write"),
    ("network_bytes_per_op", "network", "B/op"),
    ("joules_per_op", "energy", "J/op"),
]
RECOVERY = [
    ("recovered_log_bytes", "log of the dead", "B"),
    ("recovery_ms", "recovery", "ms"),
    ("recovery_find_ms", "until found", "ms"),
    ("recovery_scan_ms", "open replicas scanned", "ms"),
    ("recovery_scanned_bytes", "scanned", "B"),
    ("recovery_latency_us_p50", "p50 meanwhile", "us"),
    ("recovery_latency_us_p99", "p99 meanwhile", "us"),
]
CORES = [
    ("dispatch_busy_ratio", "dispatch core busy", "share of time"),
    ("workers_busy_ratio", "workers busy", "share of time"),
    ("workers_waiting_ratio", "workers waiting", "share of time"),
]

SHORT = 12  # rows of a table that is kept on one page when printed


@dataclass
class Column:
    heading: str
    unit: str = ""
    text: bool = False
    long: bool = False  # sentences, which want width

    @property
    def css(self):
        return ' class="text long"' if self.long else ' class="text"' if self.text else ""


def grade_mark(grade):
    return f'<span class="grade {grade.split(",")[0]}">{escape(grade)}</span>'


def table(caption, columns, rows, firsts=()):
    """`rows` of HTML cells; the first cell is the row's header. `firsts` are rows that begin a new block."""
    head = "".join(
        f'<th scope="col"{column.css}>{escape(column.heading)}'
        + (f"<br><small>{escape(column.unit)}</small>" if column.unit else "") + "</th>" for column in columns)
    body = []
    for index, row in enumerate(rows):
        cells = "".join(
            f'<th scope="row" class="text">{cell}</th>' if position == 0
            else f'<td{columns[position].css}>{cell}</td>' for position, cell in enumerate(row))
        body.append(f'<tr{" class=first" if index in firsts else ""}>{cells}</tr>')
    short = " short" if len(rows) <= SHORT else ""
    return (f'<div class="scroll{short}" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
            f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(body)
            + "\n</tbody></table></div>")


def cell(stat):
    """Median, and beneath it least to largest where repeats differ."""
    if stat is None:
        return "–"
    low, high = formats.digits(stat.low), formats.digits(stat.high)
    return formats.digits(stat.median) + (f'<span class="range">{low}–{high}</span>' if low != high else "")


def setting_paths(data, groups):
    """Swept settings that tell these groups apart, the workload first and the policy last, next to the numbers."""
    paths = [path for path in data.swept() if path != results.POLICY and any(path in group.params for group in groups)]
    paths.sort(key=lambda path: path != results.WORKLOAD)
    return paths + [results.POLICY]


def points(data, facet_groups, metrics, caption):
    """One row a setting: those of `metrics` that were measured; "" when none was."""
    paths = setting_paths(data, facet_groups)
    mixed = any(results.write_operation([group]) for group in facet_groups)
    present = [column for column in metrics if any(group.stat(column[0]) for group in facet_groups)
               and (mixed or not column[0].startswith(("read_", "update_")))]
    if not present:
        return ""
    columns = [Column(results.short(path), text=True) for path in paths]
    scales = {}
    for metric, heading, unit in present:
        scales[metric] = (1.0, "")
        if unit == "ops/s":
            scales[metric] = formats.rate_scale([group.median(metric) for group in facet_groups])
        columns.append(Column(heading, scales[metric][1] + unit))
    rows, firsts, block = [], set(), None
    for group in facet_groups:
        row = [escape(setting_text(group.params.get(path, "–"))) for path in paths]
        for metric, _, _ in present:
            stat = group.stat(metric)
            row.append(cell(stat.scaled(1 / scales[metric][0]) if stat else None))
        if block is not None and row[:-len(present)][:len(paths) - 1] != block:
            firsts.add(len(rows))
        block = row[:len(paths) - 1]
        rows.append(row)
    return table(caption, columns, rows, firsts)


def setting_text(value):
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return str(value)
    return formats.number(value)


def all_metrics(data, groups, caption):
    """Every metric of every setting, metrics as rows, settings as columns."""
    paths = setting_paths(data, groups)
    names = list(dict.fromkeys(name for group in groups for name in group.values))
    columns = [Column("metric", text=True)]
    columns += [Column(" · ".join(setting_text(group.params.get(path, "–")) for path in paths)) for group in groups]
    return table(caption, columns, [[name] + [cell(group.stat(name)) for group in groups] for name in names])


def gain_rows(found, numbers):
    rows = []
    for gain in found:
        facet = gain.facet
        beside = comparison.for_gain(numbers, gain)
        peaks = "not overloaded" if gain.bound is None else gain.bound + ratio_cell(gain.throughput)
        rows.append([
            escape(facet.heading), grade_mark(facet.grade), peaks,
            "<br>".join(f"{number.low:g}× {grade_mark(number.label)}" for number in beside) or "–", reach(gain.ratios),
            ratio_cell(gain.latency_p50), reach(gain.p50s), ratio_cell(gain.latency_p99), reach(gain.p99s)])
    return rows


def reach(ratios):
    """The least and the largest of the ratios over a sweep."""
    values = [ratio.value for ratio in ratios if ratio]
    return f"{min(values):.2f} to {max(values):.2f}×" if values else "–"


def ratio_cell(ratio):
    if ratio is None:
        return "–"
    low, high = f"{ratio.low:.2f}", f"{ratio.high:.2f}"
    return f"{ratio.value:.2f}×" + (f'<span class="range">{low}–{high}</span>' if low != high else "")


def gains(found, numbers):
    swept = any(len(gain.pairs) > 1 for gain in found)
    peaks = ", peaks" if swept else ""
    lowest = ", lowest load" if swept else ""
    columns = [Column("setting", text=True), Column("grade", text=True), Column("throughput", "tailwind/rpc" + peaks),
               Column("published", "throughput", text=True), Column("throughput", "over the sweep"),
               Column("latency p50", "rpc/tailwind" + lowest), Column("p50", "over the sweep"),
               Column("latency p99", "rpc/tailwind" + lowest), Column("p99", "over the sweep")]
    rows = gain_rows(found, numbers)
    keep = [index for index in range(len(columns)) if index not in (4, 6, 8) or swept]
    rows = [[row[index] for index in keep] for row in rows]
    return table("What tailwind gains over rpc", [columns[index] for index in keep], rows)


def recovered(group):
    """In words: how long the recovery of how much took."""
    return f"{formats.digits(group.median('recovery_ms'))} ms for {megabytes(group)} of log"


def megabytes(group):
    log = group.median("recovered_log_bytes") / 1e6
    return f"{log:,.0f} MB" if log >= 100 else f"{log:.3g} MB"


def published(numbers, data):
    """The papers' numbers that say something about these results, with what was found here where that is one number."""
    rows = []
    for number in numbers:
        value = f"{number.low:g}" if number.low == number.high else f"{number.low:g}–{number.high:g}"
        unit = "×" if number.unit == "x" else f"&nbsp;{escape(number.unit)}"
        here = []
        for group in comparison.unloaded(number, data):
            stat = group.stat(comparison.value_metric(number, group))
            here.append(f"{formats.digits(stat.median)} {escape(number.unit)}, {escape(group.workload)}, "
                        f"{escape(group.policy)}, {escape(data.place(group))} {grade_mark(group.grade)}")
        if number.compare["kind"] == "recovery":
            here = [f"{recovered(group)}, {escape(group.policy)}, {escape(data.place(group))} "
                    f"{grade_mark(group.grade)}" for group in data.groups if group.stat("recovery_ms")]
        if not here:
            here = ["see the gains" if number.compare["kind"] == "ratio" else "see the tables"]
        rows.append([escape(number.name), f"{value}{unit}", grade_mark(number.label),
                     escape(f"{number.source}, {number.where}"), "<br>".join(here)])
    columns = [Column("number", text=True), Column("published"), Column("grade", text=True),
               Column("source", long=True), Column("here", long=True)]
    setups = dict.fromkeys(f"{number.source}: {number.setup}." for number in numbers)
    return table("The papers' numbers", columns, rows) + "".join(f"<p>{escape(setup)}</p>" for setup in setups)


def ran_where(data):
    """One row a place: world, fabric or profile, what an acknowledgement means there, kind of time, how much ran."""
    places = {}
    for group in data.groups:
        places.setdefault((group.world, data.place(group)), []).append(group)
    rows = []
    for (world, place), groups in places.items():
        rules = {}
        for group in groups:
            rules.setdefault(group.acknowledged or "not said", set()).add(group.policy)
        said = [rule if len(rules) == 1 else f"{formats.listed(results.in_policy_order(policies))}: {rule}"
                for rule, policies in rules.items()]
        timing = {"virtual": "virtual time", "wall": "wall clock"}
        repeats = sorted({len(group.repeats) for group in groups})
        rows.append([
            escape(place), "simulator" if world == "sim" else "for real", grade_mark(groups[0].grade),
            "<br>".join(escape(rule) for rule in said),
            escape(formats.listed(sorted({group.ordering for group in groups if group.ordering})) or "–"),
            escape(formats.listed(sorted({timing.get(group.timing, group.timing) for group in groups}))),
            str(len(groups)), "–".join(str(count) for count in dict.fromkeys((repeats[0], repeats[-1])))])
    columns = [Column("place", text=True), Column("world", text=True), Column("grade", text=True),
               Column("acknowledged by", text=True), Column("order inside a write", text=True),
               Column("time", text=True), Column("settings"), Column("repeats")]
    return table("Places", columns, rows)


def hardware(name, profile):
    """The costs of a profile, each with its source; "" when it holds none in that form."""
    rows = []

    def walk(node, path):
        if isinstance(node, dict) and {"value", "source"} <= node.keys():
            rows.append([escape(path), escape(node["value"]), escape(node["source"])])
        elif isinstance(node, dict):
            for key, child in node.items():
                walk(child, f"{path}.{key}" if path else key)
    walk(profile, "")
    columns = [Column("cost", text=True), Column("value"), Column("source", long=True)]
    return table(f"Costs of {name}", columns, rows) if rows else ""


def simulation_cost(timing):
    """What the simulator itself took: totals over its runs."""
    runs = [line for line in timing if line.get("world") == "sim" and isinstance(line.get("wall_s"), (int, float))]
    if not runs:
        return ""
    wall = sum(run["wall_s"] for run in runs)
    rows = [["runs", str(len(runs))], ["wall clock", f"{formats.digits(wall)} s"]]
    simulated = sum(run.get("simulated_s") or 0 for run in runs)
    events = sum(run.get("events") or 0 for run in runs)
    memory = max(run.get("peak_memory_bytes") or 0 for run in runs)
    if simulated:
        rows.append(["simulated time", f"{formats.digits(simulated)} s"])
    if events and wall > 0:
        rows += [["events", formats.rate(events)], ["events per wall second", formats.rate(events / wall)]]
    if memory:
        rows.append(["peak memory", f"{formats.digits(memory / 2**20)} MiB"])
    return table("What the simulation took", [Column("", text=True), Column("total")], rows)
