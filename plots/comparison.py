"""What tailwind gains over rpc in these results, and what the papers say beside it.

A gain is a ratio of medians, paired between settings that differ in the policy alone; its range takes the worst repeat
of one against the best of the other. Published numbers come from experiments/published, each with its grade.
"""
import glob
import json
import os
from dataclasses import dataclass

import results
import style

PUBLISHED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "experiments", "published")
OVER, UNDER = "tailwind", "rpc"
THROUGHPUT = "throughput_ops_per_s"


@dataclass
class Ratio:
    value: float
    low: float
    high: float


@dataclass
class Pair:
    """rpc and tailwind at one setting of a facet; x is the swept load there."""
    x: object
    rpc: results.Group
    tailwind: results.Group


@dataclass
class Gain:
    facet: results.Facet
    operation: str  # whose latencies: "" is all operations
    peak_rpc: results.Stat
    peak_tailwind: results.Stat
    throughput: Ratio     # of the peaks
    saturated: tuple      # (rpc, tailwind): an open loop offered more than it served; a closed loop always does
    pairs: list
    ratios: list          # throughput ratio of each pair, by rising x
    latency_p50: Ratio    # rpc over tailwind, at the pair of the lowest load
    latency_p99: Ratio
    unloaded: bool        # nothing queued at any of the pairs
    p50s: list            # of each pair that served what was offered, by rising load
    p99s: list

    @property
    def bound(self):
        """What the ratio of the peaks is: "" itself, "≥" a bound, None nothing, as no offered rate was too much."""
        rpc, tailwind = self.saturated
        return "" if tailwind else "≥ " if rpc else None


def ratio(above, below):
    """Ratio of two Stats; None when one is missing or nothing can be divided."""
    if above is None or below is None or below.low <= 0 or below.median <= 0:
        return None
    return Ratio(above.median / below.median, above.low / below.high, above.high / below.low)


def pairs_of(facet, load):
    def setting(group):
        return results.quantity(group.params.get(load)) if load else None
    rpc = {setting(group): group for group in facet.of(UNDER)}
    return [Pair(setting(group), rpc[setting(group)], group) for group in facet.of(OVER) if setting(group) in rpc]


def recovers(data):
    """Whether a server died and was recovered: then throughput and latency of the window are of no normal case."""
    return any(group.stat("recovery_ms") for group in data.groups)


def gains(data):
    """One Gain for each facet that holds both policies; a swept load stays inside a facet, all else makes another."""
    if recovers(data):
        return []
    load = data.load_path()
    found = []
    for facet in results.facets(data, load):
        pairs = [pair for pair in pairs_of(facet, load) if pair.rpc.stat(THROUGHPUT) and pair.tailwind.stat(THROUGHPUT)]
        if not pairs:
            continue
        peak_rpc = max((pair.rpc.stat(THROUGHPUT) for pair in pairs), key=lambda stat: stat.median)
        peak_tailwind = max((pair.tailwind.stat(THROUGHPUT) for pair in pairs), key=lambda stat: stat.median)
        operation = results.write_operation([pairs[0].rpc, pairs[0].tailwind])
        prefix = f"{operation}_" if operation else ""
        p50s, p99s = [[ratio(pair.rpc.stat(name), pair.tailwind.stat(name)) for pair in pairs if met_both(data, pair)]
                      for name in (prefix + "latency_us_p50", prefix + "latency_us_p99")]
        saturated = tuple(data.rate_path() is None or not all(results.met_offer(data, group) for group in groups)
                          for groups in ([pair.rpc for pair in pairs], [pair.tailwind for pair in pairs]))
        found.append(Gain(
            facet, operation, peak_rpc, peak_tailwind, ratio(peak_tailwind, peak_rpc), saturated, pairs,
            [ratio(pair.tailwind.stat(THROUGHPUT), pair.rpc.stat(THROUGHPUT)) for pair in pairs],
            next(iter(p50s), None), next(iter(p99s), None),
            all(alone(data, pair.rpc) for pair in pairs), known(p50s), known(p99s)))
    return found


def known(ratios):
    return [ratio for ratio in ratios if ratio is not None]


def met_both(data, pair):
    return results.met_offer(data, pair.rpc) and results.met_offer(data, pair.tailwind)


@dataclass
class Published:
    """One number of a paper."""
    name: str
    low: float
    high: float
    unit: str
    grade: str
    source: str
    where: str
    setup: str
    compare: dict

    @property
    def label(self):
        return style.GRADES[self.grade]


def published(folder=PUBLISHED):
    numbers = []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        paper = results.read_json(path, required=True)
        try:
            for value in paper["values"]:
                low = value["value"] if "value" in value else value["low"]
                high = value["value"] if "value" in value else value["high"]
                if value["grade"] not in style.GRADES:
                    raise KeyError(f"grade {json.dumps(value['grade'])}")
                numbers.append(Published(value["name"], low, high, value["unit"], value["grade"],
                                         f"{paper['short']}", value["where"], paper["setup"], value["compare"]))
        except KeyError as error:
            raise results.ResultsError(f"{path}: a value lacks or has a wrong {error}") from error
    return numbers


def for_gain(numbers, gain):
    """Published ratios of throughput for a gain's workload; they are of loaded servers, none is for idle ones."""
    return [number for number in numbers if number.compare["kind"] == "ratio" and not gain.unloaded
            and number.compare["metric"] == THROUGHPUT and number.compare.get("workload") == gain.facet.workload]


def applies(number, data):
    """Whether a published number says something about these results."""
    compare = number.compare
    if compare["kind"] == "recovery" or recovers(data):
        machines = {data.setting(group, "cluster.servers") for group in data.groups}
        return compare["kind"] == "recovery" and recovers(data) and compare["servers"] in machines
    workloads = {group.workload for group in data.groups}
    metrics = {name for group in data.groups for name in group.values}
    if compare.get("workload", next(iter(workloads))) not in workloads:
        return False
    if compare.get("load") == "unloaded" and not any(alone(data, group) for group in data.groups):
        return False
    if compare["kind"] == "ratio":
        return {compare["over"], compare["under"]} <= set(data.policies()) and compare["metric"] in metrics
    if compare["kind"] == "trend":
        return compare["swept"] in data.swept() and compare["metric"] in metrics
    return bool(unloaded(number, data))


def alone(data, group):
    """One client with one operation outstanding: nothing queues."""
    settings = [data.setting(group, path) for path in ("cluster.clients", "workload.outstanding")]
    return [results.quantity(value) for value in settings] == [1.0, 1.0]


def unloaded(number, data):
    """Groups that measured what a published unloaded latency says, over a network such as the paper's: not over shm or
    loopback."""
    compare = number.compare
    if compare["kind"] != "value":
        return []

    def fits(group):
        same = group.world == "sim" and compare.get("policy", group.policy) == group.policy
        return alone(data, group) and same and value_metric(number, group) is not None
    return [group for group in data.groups if fits(group)]


def value_metric(number, group):
    """The metric of the published operation: its own, or that of all operations when the workload has no other."""
    operation, metric = number.compare["operation"], number.compare["metric"]
    own = f"{operation}_{metric}"
    if group.stat(own):
        return own
    only = {"update": "write-only", "read": "ycsb-c"}.get(operation)
    return metric if group.workload == only and group.stat(metric) else None
