#!/usr/bin/env python3
"""Runs in containers as their users see them: the image, the spec, what is left when a container or the driver dies.

Usage: containers_test.py SLIPSTREAM_PROGRAM. Exit status 77, with the reason, where podman cannot run.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAKE_IMAGE = os.path.join(ROOT, "docker", "make_image.sh")
SPEC = os.path.join(ROOT, "experiments", "specs", "containers.json")
NODES = 7  # 4 servers, a coordinator, 2 clients
SKIPPED = 77
PATIENCE_S = 120
ENVIRONMENT = {**os.environ, "SLIPSTREAM_CONTAINER_ENGINE": "podman"}
PROGRAM = None


def run(arguments):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=ENVIRONMENT)


def podman(*arguments):
    """What it said, line by line; nothing where it says that there is no such thing (any more)."""
    return run(["podman", *arguments]).stdout.splitlines()


def comes(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid):
    return [int(child) for child in read(f"/proc/{pid}/task/{pid}/children").split()]


def lives(pid):
    """Not one that only waits for its parent to look (state Z)."""
    stat = read(f"/proc/{pid}/stat")
    return stat != "" and stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def sent_bytes(pid):
    """Over the network of a container, whose process is this."""
    lines = [line.split() for line in read(f"/proc/{pid}/net/dev").splitlines() if ":" in line]
    return sum(int(words[9]) for words in lines if words[0] != "lo:")


class Started:
    """A run that would take minutes, in the middle of it."""

    def __init__(self, folder, *options):
        self.process = subprocess.Popen(
            [PROGRAM, "run", SPEC, "--out", os.path.join(folder, "results"), "--set", "duration=100 s",
             "--set", "replication.policy=tailwind", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.driver = None
        self.names = comes(self.all_names) or []
        self.containers = json.loads("\n".join(podman("inspect", *self.names)) or "[]")
        self.server = next((one for one in self.containers if one["Name"].endswith("-server-2")), None)
        # Each write of 100 B passes there.
        self.is_under_way = self.server is not None and comes(lambda: sent_bytes(self.server["State"]["Pid"]) > 1 << 20)

    def all_names(self):
        # The program has a child for each run, after which the run is called, and others that tell it something.
        for self.driver in children(self.process.pid):
            names = self.left_containers("{{.Names}}", "--filter", "status=running")
            if len(names) == NODES:
                return names
        return None

    def left_containers(self, what="{{.Names}}", *filters):
        return podman("ps", "--all", "--filter", f"name=^slipstream-{self.driver}-", *filters, "--format", what)

    def left_networks(self):
        return [name for name in podman("network", "ls", "--format", "{{.Name}}")
                if name.startswith(f"slipstream-{self.driver}-")]

    def left_processes(self):
        states = [one["State"] for one in self.containers]
        return [pid for state in states for pid in (state["Pid"], state["ConmonPid"]) if lives(pid)]

    def left_mounts(self):
        paths = []
        for one in self.containers:
            paths += [one["Id"], one["GraphDriver"]["Data"].get("MergedDir"), one["NetworkSettings"]["SandboxKey"]]
        mounts = read("/proc/self/mounts")
        return [path for path in paths if path and path in mounts]

    def left(self):
        return self.left_containers() + self.left_processes() + self.left_mounts()

    def end(self):
        """Exit status and what was told of it."""
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, errors


class Containers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self):
        started = Started(self.folder)
        self.addCleanup(started.process.kill)
        if not started.is_under_way:
            started.process.send_signal(signal.SIGINT)
            self.fail(f"the run did not get under way: {started.end()}; containers: {started.names}")
        # Now all is there of which nothing may be left.
        counts = [len(left()) for left in (started.left_containers, started.left_networks, started.left_processes)]
        self.assertEqual(counts, [NODES, 1, 2 * NODES])
        self.assertGreaterEqual(len(started.left_mounts()), 2 * NODES)
        return started

    def expect_nothing_left(self, started):
        # A container that was killed is removed by its engine, in the engine's time.
        self.assertTrue(comes(lambda: not started.left()), started.left())

    def test_an_image_is_made_once_for_a_build(self):
        made = run([MAKE_IMAGE, PROGRAM])
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertRegex(made.stderr, "the image slipstream:[0-9a-f]{12} is there already")

    def test_the_spec_runs_and_its_claims_hold(self):
        out = os.path.join(self.folder, "results")
        done = run([PROGRAM, "run", SPEC, "--out", out])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = [json.loads(text) for text in read(os.path.join(out, "points.jsonl")).splitlines()]
        self.assertEqual([line["params"]["replication.policy"] for line in lines], ["rpc", "tailwind"])
        for line in lines:
            self.assertEqual((line["fabric"], line["hosts"]), ("tcp", "containers"))
            self.assertGreater(line["metrics"]["completed_ops"], 0)
        self.assertGreater(lines[0]["metrics"]["backup_messages_per_op"], 0)
        self.assertEqual(lines[1]["metrics"]["backup_messages_per_op"], 0)

    def test_a_killed_backup_is_told_and_ends_the_run(self):
        started = self.start()
        name = started.server["Name"]
        killed_at = time.monotonic()
        podman("kill", name)
        status, errors = started.end()
        print(f"from the kill to the end: {time.monotonic() - killed_at:.1f} s", file=sys.stderr)
        self.assertEqual(status, 1)
        # The node, the container and what became of it
        self.assertRegex(errors, rf"a run failed: .*server-2 \(process 1 at container {name}\) was lost: .* SIGKILL")
        self.expect_nothing_left(started)
        self.assertEqual(started.left_networks(), [])

    def test_ctrl_c_leaves_nothing(self):
        started = self.start()
        started.process.send_signal(signal.SIGINT)
        self.assertEqual(started.end()[0], 130)
        self.expect_nothing_left(started)
        self.assertEqual(started.left_networks(), [])

    def test_a_killed_driver_leaves_no_more_than_a_name_that_the_next_run_removes(self):
        started = self.start()
        for pid in (started.process.pid, started.driver):
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(started.end()[0], -signal.SIGKILL)
        self.expect_nothing_left(started)
        failed = run([PROGRAM, "run", SPEC, "--out", os.path.join(self.folder, "next"),
                      "--set", "emulate.image=slipstream-base:bookworm"])
        self.assertEqual(started.left_networks(), [])
        # It had another image, in which there is no program.
        self.assertEqual(failed.returncode, 1)
        self.assertRegex(failed.stderr, "cannot start .*; the image slipstream-base:bookworm holds no slipstream")

    def test_an_image_that_is_missing_is_told_with_the_remedy(self):
        done = run([PROGRAM, "run", SPEC, "--out", os.path.join(self.folder, "results"),
                    "--set", "emulate.image=slipstream:no-such"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("podman has no image slipstream:no-such; `./slipstream image` makes", done.stderr)


class OverSoftRoCE(unittest.TestCase):
    """On a machine without an RDMA device: in a virtual machine that has SoftRoCE, with the containers in it."""

    def test_containers_share_one_device(self):
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run(
                [PROGRAM, "run", SPEC, "--on", "verbs", "--out", out, "--set", "replication.policy=tailwind",
                 "--set", "replication.factor=1", "--set", "cluster.servers=2", "--set", "cluster.clients=1",
                 "--set", "emulate.time_limit=1000 s"],
                capture_output=True, text=True, check=False, env=ENVIRONMENT)
            if "the virtual machine failed" in done.stderr:
                self.skipTest(done.stderr)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            [line] = [json.loads(text) for text in read(os.path.join(out, "points.jsonl")).splitlines()]
            self.assertEqual((line["fabric"], line["hosts"]), ("verbs", "containers"))
            self.assertGreater(line["metrics"]["completed_ops"], 0)
            self.assertEqual(line["metrics"]["backup_messages_per_op"], 0)


def why_not():
    """Why podman cannot run here; empty: it can."""
    for probe in (["podman", "info"], ["unshare", "--mount", "--net", "--pid", "--fork", "true"]):
        try:
            done = run(probe)
        except FileNotFoundError:
            return f"{probe[0]} is not installed (apt-get install --no-install-recommends podman runc netavark)"
        if done.returncode != 0:
            return f"`{' '.join(probe)}`: {done.stderr.strip()}"
    return ""


def main():
    global PROGRAM
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    if reason := why_not():
        print(f"SKIPPED: podman cannot run here: {reason}")
        sys.exit(SKIPPED)
    # The first time a minimal Debian is made; it takes minutes and is kept.
    subprocess.run([MAKE_IMAGE, PROGRAM], check=True, env=ENVIRONMENT)
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
