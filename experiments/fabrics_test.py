"""One spec in the simulator and over every fabric: messages, one-sided writes and bytes of a write must agree.

Usage: fabrics_test.py SLIPSTREAM. Over verbs it runs in a virtual machine where this machine has no RDMA device.
Exit status 77, with the reason, when verbs can be had in neither way; the others were compared then all the same.

Counts must agree but for the writes under way when the window opens and closes. Bytes may differ by framing, which
is each fabric's own: a record's, a frame's or a packet's header, and acknowledgements where they are bytes (tcp).
"""
import json
import os
import subprocess
import sys
import tempfile

COUNTS = ("backup_messages_per_op", "one_sided_writes_per_op", "backup_copied_bytes_per_op")
VM_FAILED = "virtual machine"
# Framing of a write: 4 messages (request, answer, and either 3 + 3 of replication or 3 one-sided writes), each with at
# most a packet's headers (66 bytes), and acknowledgements.
MOST_FRAMING = 10 * 90


def run(slipstream, fabric, folder):
    command = [slipstream, "run", "fabrics", "--on", fabric, "--out", os.path.join(folder, fabric), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        return None, f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-500:]} {done.stderr[-2000:]}"
    points = {}
    with open(os.path.join(folder, fabric, "points.jsonl"), encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            points[line["params"]["replication.policy"]] = line["metrics"]
    return points, ""


def compare(fabric, points, reference):
    problems = []
    for policy, metrics in points.items():
        edge = 4 / max(metrics["writes"], 1)  # writes under way at both ends of the window, as a share
        for name in COUNTS:
            expected, found = reference[policy][name], metrics[name]
            if abs(found - expected) > expected * (edge + 4 / reference[policy]["writes"]):
                problems.append(f"{policy}: {name} is {found:g} over {fabric} and {expected:g} in the simulator")
        expected, found = reference[policy]["network_bytes_per_op"], metrics["network_bytes_per_op"]
        if abs(found - expected) > MOST_FRAMING + expected * edge:
            problems.append(f"{policy}: {found:.0f} bytes per write over {fabric}, {expected:.0f} in the simulator")
        print(f"{fabric:6} {policy:9} writes {metrics['writes']:8.0f}  " +
              "  ".join(f"{name} {metrics[name]:g}" for name in COUNTS + ("network_bytes_per_op",)))
    return problems


def main(slipstream):
    with tempfile.TemporaryDirectory(prefix="slipstream-fabrics-") as folder:
        reference, problem = run(slipstream, "sim", folder)
        problems = [problem] if problem else compare("sim", reference, reference)
        for fabric in ("shm", "tcp", "verbs") if reference else ():
            points, problem = run(slipstream, fabric, folder)
            if points:
                problems += compare(fabric, points, reference)
            elif fabric == "verbs" and VM_FAILED in problem and "ended with 1:" in problem and not problems:
                print(f"skipped over verbs: {problem}")
                return 77
            else:
                problems.append(problem)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
