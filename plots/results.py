"""Reads a results folder: spec.json, environment.json, points.jsonl, timing.jsonl, expect.json, histograms/.

Figures and tables see `Group`s: all repeats of one setting, each metric as median with the least and the largest
value. Nothing here knows how anything is drawn.
"""
import glob
import json
import math
import os
import re
import statistics
from dataclasses import dataclass, field

import formats

POLICY = "replication.policy"
WORKLOAD = "workload.name"
POLICY_ORDER = ["none", "rpc", "ring", "pull", "onesided-unsafe", "tailwind"]
# Swept counts that can be the x axis, the likeliest first; any other swept number comes after them.
AXIS_ENDINGS = ["clients", "outstanding", "producers", "servers", "factor", "window"]
LOAD_ENDINGS = ["clients", "outstanding", "producers"]  # more of these is more load on the same cluster
RATE = "rate"
SERVED = 0.95
TOLD = ["timing", "acknowledged", "ordering", "fabric", "hosts", "point"]  # what a line says beside params and metrics
SPOKEN = {"outstanding": "requests outstanding per client", "factor": "replication factor", "rate": "offered rate",
          "name": "workload", "value": "value size", "key": "key size", "segment": "segment size"}
PLACES = ["emulate.fabric", "emulate.hosts", "sim.hardware"]  # told by the name of the place, not as swept settings


class ResultsError(Exception):
    """The folder cannot be read as results: what is wrong and what to do, in one line."""


@dataclass(frozen=True)
class Stat:
    """One metric over the repeats of a setting."""
    median: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values):
        return Stat(statistics.median(values), min(values), max(values), len(values))

    def scaled(self, factor):
        return Stat(self.median * factor, self.low * factor, self.high * factor, self.count)


@dataclass
class Group:
    """The repeats of one setting in one world."""
    world: str
    params: dict
    timing: str = ""
    acknowledged: str = ""
    ordering: str = ""
    fabric: str = ""  # measured worlds only, as are hosts
    hosts: str = ""
    point: str = ""
    values: dict = field(default_factory=dict)  # metric -> [value of each repeat]
    repeats: list = field(default_factory=list)

    @property
    def policy(self):
        return str(self.params.get(POLICY, "none"))

    @property
    def workload(self):
        return str(self.params.get(WORKLOAD, ""))

    @property
    def grade(self):
        return "simulated" if self.world == "sim" else "measured"

    def stat(self, metric):
        values = self.values.get(metric)
        return Stat.of(values) if values else None

    def median(self, metric):
        stat = self.stat(metric)
        return stat.median if stat else None


@dataclass
class Results:
    folder: str
    spec: dict
    environment: dict
    groups: list
    timing: list
    expectations: list
    hardware: dict  # name of a profile -> as it was when the points were made
    notes: list  # what the reader of a report must know about the folder itself
    points: int = 0

    def place(self, group):
        """Where a group ran, in words: the fabric and its hosts, or the hardware profile."""
        if group.world == "sim":
            return str(self.setting(group, "sim.hardware") or "simulator")
        parts = [self.fabric(group), group.hosts or self.setting(group, "emulate.hosts")]
        return ", ".join(str(part) for part in parts if part) or "this machine"

    def setting(self, group, path):
        """What a group ran with: as the point says, else as the spec says."""
        return group.params[path] if path in group.params else lookup(self.spec, path)

    def fabric(self, group):
        return "" if group.world == "sim" else str(group.fabric or self.setting(group, "emulate.fabric") or "")

    def policies(self):
        return in_policy_order({group.policy for group in self.groups})

    def swept(self):
        """Paths that take more than one value, without what names a world, in the order the spec sweeps them."""
        seen = {}
        for group in self.groups:
            for path, value in group.params.items():
                seen.setdefault(path, set()).add(canonical(value))
        sweep = self.spec.get("sweep") or {}
        paths = [path for path in sweep if path in seen] + sorted(path for path in seen if path not in sweep)
        return [path for path in paths if len(seen[path]) > 1 and path not in PLACES]

    def axis(self):
        """The swept count that is the x axis of curves, else the swept rate; None when only names were swept."""
        numeric = [path for path in self.swept()
                   if all(quantity(group.params.get(path)) is not None for group in self.groups)]

        def rank(path):
            known = last(path) in AXIS_ENDINGS
            return AXIS_ENDINGS.index(last(path)) if known else len(AXIS_ENDINGS) + (last(path) == RATE)
        return min(numeric, key=rank) if numeric else None

    def rate_path(self):
        """The swept rate of an open loop, or None."""
        return next((path for path in self.swept() if last(path) == RATE), None)

    def load_path(self):
        """What was swept to raise the load: the offered rate, else clients or requests outstanding; or None."""
        axis = self.axis()
        return self.rate_path() or (axis if axis and last(axis) in LOAD_ENDINGS else None)

    def axis_labels(self, path):
        """{number: as the spec writes it} of a swept count or quantity."""
        written = {quantity(group.params[path]): group.params[path] for group in self.groups} if path else {}
        return {x: value if isinstance(value, str) else formats.number(x) for x, value in written.items()}


@dataclass
class Histogram:
    """Latencies of all repeats of a setting: {least ns of a bucket: operations in it}."""
    buckets: dict
    count: int = 0
    max: int = 0


@dataclass
class Facet:
    """Groups that differ only in policy and in the x axis: what belongs into one picture."""
    world: str
    place: str
    fabric: str
    workload: str
    extras: tuple  # ((path, value), ...) of further swept paths
    groups: list

    @property
    def grade(self):
        return "simulated" if self.world == "sim" else "measured"

    @property
    def heading(self):
        parts = [self.workload] if self.workload else []
        parts += [f"{short(path)} {value}" for path, value in self.extras]
        parts.append(self.place)
        return " · ".join(parts)

    def policies(self):
        return in_policy_order({group.policy for group in self.groups})

    def of(self, policy):
        return [group for group in self.groups if group.policy == policy]


def lookup(tree, path):
    for part in path.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return None
        tree = tree[part]
    return tree


def canonical(value):
    return json.dumps(value, sort_keys=True)


def last(path):
    return path.rsplit(".", 1)[-1]


def short(path):
    """The last word of a path, for table heads."""
    return "workload" if path == WORKLOAD else last(path).replace("_", " ")


def spoken(path):
    """A path as a reader would say it."""
    return SPOKEN.get(last(path), short(path))


def in_policy_order(policies):
    order = {policy: index for index, policy in enumerate(POLICY_ORDER)}
    return sorted(policies, key=lambda policy: (order.get(policy, len(order)), policy))


_SCALES = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30,
           "n": 1e-9, "u": 1e-6, "m": 1e-3}
_QUANTITY = re.compile(r"^\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(Ki|Mi|Gi|[kKMGnum]?)"
                       r"(B|b/s|B/s|s|/s|ops/s|op/s|%)?\s*$")


def quantity(value):
    """A number or a quantity with its unit as a comparable number; None when it is neither."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else None
    match = _QUANTITY.match(str(value))
    return float(match.group(1)) * _SCALES[match.group(2)] if match else None


def write_operation(groups):
    """The write of a workload that mixes it with reads: its latency is what replication delays. "" without a mix."""
    for operation in ("update", "insert"):
        if all(group.stat(f"{name}_latency_us_p50") for group in groups for name in (operation, "read")):
            return operation
    return ""


def met_offer(data, group):
    """Whether an open loop's offered rate was served, but for a twentieth; a closed loop offers only what is served."""
    path = data.rate_path()
    offered = quantity(group.params.get(path)) if path else None
    served = group.median("throughput_ops_per_s")
    return not offered or served is None or served >= SERVED * offered


def facets(results, axis=None):
    """Splits the groups into facets, each sorted by `axis`, which may be None."""
    inside = {POLICY, WORKLOAD, axis}
    extra_paths = [path for path in results.swept() if path not in inside]
    found = {}
    for group in results.groups:
        extras = tuple((path, str(group.params[path])) for path in extra_paths if path in group.params)
        key = (group.world, results.place(group), group.workload, extras)
        if key not in found:
            found[key] = Facet(group.world, key[1], results.fabric(group), group.workload, extras, [])
        found[key].groups.append(group)
    for facet in found.values():
        if axis:
            facet.groups.sort(key=lambda group: quantity(group.params.get(axis)) or 0.0)
    return list(found.values())


def read_json(path, required):
    if not os.path.exists(path):
        if required:
            raise ResultsError(f"{path}: not found; a results folder holds it: run `./slipstream run SPEC` first")
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: cannot be read ({error})") from error
    except json.JSONDecodeError as error:
        raise ResultsError(f"{path}: not JSON at line {error.lineno}, column {error.colno} ({error.msg})") from error


def read_lines(path, notes):
    """Objects of a .jsonl file. A last line that was cut short is left out and noted; another bad line is an error."""
    if not os.path.exists(path):
        return []
    try:
        with open(path, "rb") as file:
            *lines, rest = file.read().split(b"\n")
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror})") from error
    objects = []
    cut_short = bool(rest)
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line.decode("utf-8"))
            if not isinstance(value, dict):
                raise ValueError("not an object")
            objects.append(value)
        except ValueError as error:
            if number < len(lines) or rest:
                raise ResultsError(f"{path}: line {number} is not a JSON object; the folder is damaged: run again into "
                                   "another") from error
            cut_short = True
    if cut_short:
        notes.append(f"The last line of {os.path.basename(path)} is incomplete (the run was interrupted while it was "
                     "written) and was left out.")
    return objects


def group_points(lines):
    """Merges repeats. A point that was run again counts once, with its last line."""
    latest = {}
    for line in lines:
        params = line.get("params") or {}
        latest[(line.get("world"), canonical(params), line.get("repeat", 0))] = line
    groups = {}
    for (world, params, repeat), line in latest.items():
        group = groups.setdefault((world, params), Group(
            world=str(world), params=line.get("params") or {},
            **{key: str(line.get(key, "")) for key in TOLD}))
        group.repeats.append(repeat)
        for name, value in (line.get("metrics") or {}).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                group.values.setdefault(name, []).append(float(value))
    return list(groups.values()), len(latest)


def histogram(data, group, operation=""):
    """The latencies of a group's repeats merged, of one operation or ("") of all; None when none were kept."""
    merged = Histogram({})
    for repeat in group.repeats:
        pattern = f"{glob.escape(group.point)}-{repeat}-{operation or '*'}.json"
        for path in sorted(glob.glob(os.path.join(glob.escape(data.folder), "histograms", pattern))):
            content = read_json(path, required=True)
            try:
                for low, count in content["buckets"].items():
                    merged.buckets[int(low)] = merged.buckets.get(int(low), 0) + count
                    merged.count += count
                merged.max = max(merged.max, content["max"])
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ResultsError(f"{path}: not a histogram of latencies ({error!r})") from error
    return merged if merged.count else None


def missing(spec, groups):
    """What the spec asks for and the folder does not hold, in words."""
    found = []
    for world in spec.get("worlds") or []:
        if not any(group.world == world for group in groups):
            found.append(f"No point of the world {world} is here, though the spec asks for it: its runs failed or "
                         "were not made.")
    repeats = spec.get("repeats") or 1
    short_of = sum(len(group.repeats) < repeats for group in groups)
    if short_of:
        found.append(f"{short_of} of {len(groups)} settings have fewer than the {repeats} repeats of the spec: the run "
                     "is not complete.")
    return found


def load(folder):
    if not os.path.isdir(folder):
        raise ResultsError(f"{folder}: no such folder; give the folder that `./slipstream run` named")
    notes = []
    spec = read_json(os.path.join(folder, "spec.json"), required=True)
    environment = read_json(os.path.join(folder, "environment.json"), required=False) or {}
    lines = read_lines(os.path.join(folder, "points.jsonl"), notes)
    groups, points = group_points(lines)
    if not groups:
        raise ResultsError(f"{folder}: points.jsonl holds no finished point; run the spec (again) into this folder")
    expect = read_json(os.path.join(folder, "expect.json"), required=False) or []
    hardware = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "hardware", "*.json"))):
        hardware[os.path.splitext(os.path.basename(path))[0]] = read_json(path, required=True)
    notes += missing(spec, groups)
    return Results(folder=folder, spec=spec, environment=environment, groups=groups,
                   timing=read_lines(os.path.join(folder, "timing.jsonl"), notes), expectations=expect,
                   hardware=hardware, notes=notes, points=points)
