#!/usr/bin/env python3
"""The virtual machine as its users see it: real guests, each asked many things, since a start takes its time.

Usage: vm_test.py SLIPSTREAM_PROGRAM. Exit status 77, with the reason, where no guest can be started.
"""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import kernel
import problem

HERE = os.path.dirname(os.path.abspath(__file__))
VM = [sys.executable, os.path.join(HERE, "vm.py")]
SKIPPED = 77
RUN = [*VM, "run"]
PATIENCE_S = 400
PROGRAM = None

# ping_pong SERVER CLIENT: two commands that are the ends of a ping-pong; what they say is in the files of these names.
# The device gives up when the other end is silent for half a second, as it may be on a crowded machine: then once more.
PING_PONG = r"""
ping_pong() {
  for round in 1 2 3 4 5; do
    $1 > server 2>&1 &
    until $2 > client 2>&1; do
      grep -q "Couldn't connect" client && kill -0 $! 2> nobody || break
      sleep 0.2
    done
    grep -q "iters in" client || kill $! 2> nobody || :
    wait $! && return
  done
  cat server client >&2
  return 1
}
"""

# Prints every byte there is and says what the guest looks like, in the folder $1.
LOOK_AROUND = PING_PONG + r"""
cd "$1"
cat given > taken
mkdir made && echo moved > made/part && mv made/part made/whole
echo "$SLIPSTREAM_IN_VM" > in_vm
ls /sys/class/infiniband > devices
cat /sys/class/infiniband/rxe0/ports/1/gids/* > gids 2> no_gids
ping_pong "ibv_rc_pingpong -d rxe0 -g 1 -n 100" "ibv_rc_pingpong -d rxe0 -g 1 -n 100 10.77.0.1"
/usr/bin/python3 -c "
import os
os.write(1, bytes(range(256)) * 1000)
os.write(2, b'\xff\x00 to stderr')"
exit 7
"""

# Adds to the host's folders, changes and removes what is there; tells in a folder for results what it then sees.
WRITE = r"""
set -e
exec 5> {folder}/seen
echo kept > /etc/{name}
cat /etc/{name} >&5
echo slipstream:x >> /etc/passwd
tail -n 1 /etc/passwd >&5
mkdir /var/lib/{name}
ls -d /var/lib/{name} >&5
cp /etc/{name} {other}/result
rm /etc/passwd
[ ! -e /etc/passwd ]
LC_ALL=C touch /usr/{name} 2> /tmp/problem && exit 1
grep -q Read-only /tmp/problem
echo refused
while echo more; do sleep 0.2; done
"""

# An rxe device in each of two network namespaces on a bridge; packets of one are held back by 100 ms.
NAMESPACES = PING_PONG + r"""
set -e
cd /tmp
ip link add br0 type bridge
ip link set br0 up
for i in 1 2; do
  ip netns add n$i
  ip link add v$i netns n$i type veth peer name p$i
  ip link set p$i master br0 up
  ip -n n$i address add 10.9.0.$i/24 dev v$i
  ip -n n$i link set v$i up
  ip netns exec n$i rdma link add rxe_n$i type rxe netdev v$i
done
ip netns exec n1 tc qdisc add dev v1 root netem delay 100ms
for i in 1 2; do
  until gid=$(grep -l ffff:0a09:000$i /sys/class/infiniband/rxe_n$i/ports/1/gids/*); do sleep 0.1; done
  eval gid$i=$(basename $gid)
done
ping_pong "ip netns exec n1 ibv_rc_pingpong -d rxe_n1 -g $gid1 -n 10" \
  "ip netns exec n2 ibv_rc_pingpong -d rxe_n2 -g $gid2 -n 10 10.9.0.1"
cat client
uname -r
"""

SPEC = {
    "name": "trial", "description": "one point that works and one that cannot", "worlds": ["emulate"],
    "cluster": {"servers": 2, "segment": "64 KiB", "log_memory": "16 MiB"},
    "replication": {"factor": 1, "policy": "tailwind"}, "workload": {"name": "write-only", "records": 100},
    "emulate": {"fabric": "tcp", "hosts": "vm"}, "sweep": {"emulate.storage": ["memory", "/proc/nowhere"]},
    "warmup": "1 ms", "duration": "2 s"}


def run(arguments, **options):
    return subprocess.run(arguments, capture_output=True, timeout=PATIENCE_S, check=False, **options)


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []


def lives(pid):
    """Not one that only waits for its parent to look (state Z)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def comes(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def is_machine(pid):
    try:
        return "qemu" in os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False


def machine_of(process):
    """The guest's QEMU, as soon as there is one."""
    return comes(lambda: next((pid for pid in children(process.pid) if is_machine(pid)), None))


class Started:
    """A command in a guest that has said its first line."""

    def __init__(self, script, *options):
        self.process = subprocess.Popen([*RUN, "--addresses", "0", *options, "--", "/bin/sh", "-c", script],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.machine = machine_of(self.process)
        self.first = self.process.stdout.readline()

    def end(self):
        """Exit status and the rest of both outputs."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


class Guest(unittest.TestCase):
    def test_a_command_runs_as_on_the_host(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "given"), "w", encoding="utf-8") as file:
                file.write("from the host")
            done = run([*RUN, "--addresses", "3", "--writable", folder,
                        "--", "/bin/sh", "-c", LOOK_AROUND, "sh", folder])
            # Expect output and status as they were, to the byte
            self.assertEqual((done.returncode, done.stderr), (7, b"\xff\x00 to stderr"))
            self.assertEqual(done.stdout, bytes(range(256)) * 1000)
            # ... the host's folder, both ways
            self.assertEqual(read(folder, "taken"), "from the host")
            self.assertEqual(os.listdir(os.path.join(folder, "made")), ["whole"])
            # ... one device with a GID for each address, which carries data
            self.assertIn(read(folder, "in_vm"), ["emulated\n", "hardware\n"])
            self.assertEqual(read(folder, "devices"), "rxe0\n")
            mapped = [gid for gid in read(folder, "gids").split() if gid.startswith("0000:0000:0000:0000:0000:ffff:")]
            self.assertEqual(mapped, [f"0000:0000:0000:0000:0000:ffff:0a4d:000{i}" for i in (1, 2, 3)])
            for end in ("server", "client"):
                self.assertIn("100 iters in", read(folder, end))

    def test_what_is_written(self):
        newer = run([*VM, "prepare", "--kernel", "backports"]).returncode == 0
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir="/var/tmp") as other:
            name = os.path.basename(folder)
            before = read("/etc", "passwd"), os.stat("/etc/passwd").st_mtime_ns
            started = Started(WRITE.format(name=name, folder=folder, other=other), "--writable", folder,
                              "--writable", other, "--kernel", "backports" if newer else "stable")
            # Expect all but /etc and /var not to take anything, so that no results are lost there
            self.assertEqual(started.first, b"refused\n")
            # ... these two to take it, and what is in folders for results to be on the host, though still open
            self.assertEqual(read(folder, "seen"), f"kept\nslipstream:x\n/var/lib/{name}\n")
            self.assertEqual(read(other, "result"), "kept\n")
            # ... vm.py to end when nobody reads what it says
            started.process.stdout.close()
            self.assertEqual((started.process.wait(PATIENCE_S), started.process.stderr.read()),
                             (128 + signal.SIGPIPE, b""))
            started.process.stderr.close()
            self.assertFalse(lives(started.machine))
            # ... the host as it was
            self.assertEqual((read("/etc", "passwd"), os.stat("/etc/passwd").st_mtime_ns), before)
            for place in ("/etc", "/var/lib"):
                self.assertFalse(os.path.exists(os.path.join(place, name)))

    def test_the_newer_kernel_has_a_device_for_each_namespace(self):
        prepared = run([*VM, "prepare", "--kernel", "backports"], text=True)
        if prepared.returncode != 0:
            self.skipTest(f"no newer kernel: {prepared.stderr.strip()}")
        done = run([*RUN, "--kernel", "backports", "--addresses", "0", "--", "/bin/sh", "-c", NAMESPACES], text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Expect both directions of ten round trips to be done, delayed
        microseconds = float(re.search(r"= ([\d.]+) usec/iter", done.stdout).group(1))
        self.assertGreater(microseconds, 100_000)
        self.assertGreaterEqual([int(n) for n in re.findall(r"\d+", done.stdout.splitlines()[-1])[:2]], [7, 1])

    def test_the_first_signal_goes_to_the_command_and_the_second_ends_the_guest(self):
        started = Started("trap 'echo caught' INT; echo started; while :; do sleep 0.1; done")
        self.assertEqual(started.first, b"started\n")
        started.process.send_signal(signal.SIGINT)
        self.assertEqual(started.process.stdout.readline(), b"caught\n")
        started.process.send_signal(signal.SIGINT)
        self.assertEqual(started.end()[0], 128 + signal.SIGINT)
        self.assertFalse(lives(started.machine))

    def test_a_command_that_takes_too_long_is_told_to_end(self):
        started = Started("trap 'echo bye; exit 3' TERM; echo started; while :; do sleep 0.1; done", "--limit", "20")
        status, out, err = started.end()
        self.assertEqual((status, out), (124, b"bye\n"))
        self.assertTrue(err.startswith(b"vm: the command's 20 s are over (--limit)\n"), err)

    def test_no_guest_outlives_its_vm_py(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            with subprocess.Popen([*RUN, "--", "sleep", "1000"], stdout=subprocess.DEVNULL) as process:
                machine = machine_of(process)
                process.send_signal(number)
                status = process.wait(PATIENCE_S)
                self.assertEqual(status, -number if number == signal.SIGKILL else 128 + number)
                self.assertTrue(comes(lambda: not lives(machine)), "the guest is still there")

    def test_a_guest_that_does_not_start_in_time_is_given_up(self):
        done = run([*VM, "run", "--boot-limit", "0.3", "--", "true"])
        self.assertEqual((done.returncode, done.stdout), (125, b""))
        self.assertIn(b"vm: the guest did not start within 0.3 s (--boot-limit); its console is in ", done.stderr)


class Experiment(unittest.TestCase):
    def test_points_come_back_and_so_do_failures(self):
        with tempfile.TemporaryDirectory() as folder:
            spec, out = os.path.join(folder, "spec.json"), os.path.join(folder, "results")
            with open(spec, "w", encoding="utf-8") as file:
                json.dump(SPEC, file)
            done = run([PROGRAM, "run", spec, "--out", out], text=True)
            # Expect the point that works in the results, told to be of a guest
            self.assertEqual(done.returncode, 1, done.stderr)
            [line] = [json.loads(text) for text in read(out, "points.jsonl").splitlines()]
            self.assertEqual((line["hosts"], line["params"]["emulate.storage"]), ("vm", "memory"))
            self.assertGreater(line["metrics"]["completed_ops"], 0)
            self.assertEqual(line["guest"], json.loads(read(out, "environment.json"))["guest"])
            self.assertIn(f"in a virtual machine ({line['guest']})", done.stdout)
            # ... and what was wrong with the other
            self.assertIn("slipstream: a run failed: emulate: emulate.storage=/proc/nowhere: cannot make", done.stderr)
            self.assertIn("slipstream: 1 of 2 runs failed", done.stderr)


class Preparing(unittest.TestCase):
    """Needs no guest."""

    def test_two_at_once_make_one(self):
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(os.path.join(folder, "vm"))
            os.symlink(os.path.join(kernel.cache_folder(), "stable"), os.path.join(folder, "vm", "stable"))
            environment = {**os.environ, "SLIPSTREAM_CACHE": folder}
            both = [subprocess.Popen([*VM, "prepare"], env=environment) for _ in range(2)]
            self.assertEqual([process.wait(PATIENCE_S) for process in both], [0, 0])
            made = sorted(os.listdir(os.path.join(folder, "vm")))
            self.assertEqual([name.split("-")[0] for name in made], ["initramfs", "lock", "stable"])

    def test_two_first_fetches_at_once_are_one(self):
        made = []

        def make(_, __, tree, ___):
            made.append(tree)
            time.sleep(0.2)
            os.makedirs(os.path.join(tree, "lib/modules/1.2.3"))

        with tempfile.TemporaryDirectory() as folder:
            with mock.patch.dict(os.environ, SLIPSTREAM_CACHE=folder), mock.patch.object(kernel, "make", make):
                with concurrent.futures.ThreadPoolExecutor() as pool:
                    both = [pool.submit(kernel.get, "stable", self.fail) for _ in range(2)]
                self.assertEqual([one.result().release for one in both], ["1.2.3"] * 2)
        self.assertEqual(len(made), 1)

    def test_a_failed_fetch_is_told_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("apt-get", "apt-cache"):
                path = os.path.join(folder, name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write("#!/bin/sh\necho 'E: Could not resolve the host' >&2\nexit 100\n")
                os.chmod(path, 0o755)
            cache = os.path.join(folder, "cache")
            done = run([*VM, "prepare"], text=True, env={**os.environ, "SLIPSTREAM_CACHE": cache,
                                                         "PATH": folder + ":" + os.environ["PATH"]})
            self.assertEqual(done.returncode, 125)
            self.assertIn("cannot be fetched", done.stderr.splitlines()[-1])
            self.assertIn("E: Could not resolve the host", done.stderr.splitlines()[-1])
            self.assertEqual(os.listdir(os.path.join(cache, "vm")), ["lock"])

    def test_too_little_space_is_told_before_anything_is_fetched(self):
        with tempfile.TemporaryDirectory() as folder:
            cache = mock.patch.dict(os.environ, SLIPSTREAM_CACHE=folder)
            with cache, mock.patch.object(kernel, "SPACE_NEEDED", 1 << 62):
                with self.assertRaisesRegex(problem.Problem, "MiB of space left .* make room, or set SLIPSTREAM_CACHE"):
                    kernel.get("stable", self.fail)

    def test_a_missing_program_is_told_with_its_package(self):
        with mock.patch.dict(os.environ, PATH="/nowhere"), mock.patch.object(problem, "SYSTEM_PATH", "/nowhere"):
            with self.assertRaisesRegex(problem.Problem, "qemu-system-x86_64 is missing; .* install qemu-system-x86$"):
                problem.find_program("qemu-system-x86_64")


def main():
    global PROGRAM
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    prepared = run([*VM, "prepare"], text=True)
    if prepared.returncode != 0:
        print(f"SKIPPED: no virtual machine can be started here: {prepared.stderr.strip()}")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
