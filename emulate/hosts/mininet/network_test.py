"""Tests of network.py with real networks: limits that hold, limits that a kernel ignores, and that nothing stays.

Run by ctest, or as root: /usr/bin/python3 emulate/hosts/mininet/network_test.py. Where this kernel has no delays the
tests of them run in a virtual machine; where none starts, or nobody is root, they are skipped, and say why.
"""
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
NETWORK = os.path.join(HERE, "network.py")
VM = os.path.join(HERE, "..", "vm", "vm.py")
PYTHON = "/usr/bin/python3"
PATIENCE_S = 240  # of a virtual machine without hardware virtualisation on a busy host
DELAYS = "DelayTest"


def output_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def has_delays():
    """Whether the kernel has sch_netem; asked in a network namespace that is gone at once."""
    trial = "ip link add name probe0 type veth peer name probe1 && tc qdisc add dev probe0 root netem delay 1ms"
    return subprocess.run(["unshare", "--net", "sh", "-c", trial], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


def missing():
    """Why no network can be had here at all; empty: it can."""
    said = subprocess.run([PYTHON, NETWORK, "--nodes=2", "--check"], stdout=subprocess.PIPE, text=True,
                          check=False).stdout
    return said.strip().removeprefix("problem ") if "ready" not in said else ""


def processes_in(namespaces):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{name}/ns/net") in namespaces:
                found.append(int(name))
    return found


def is_gone(namespaces, within_s=20):
    """Whether the last process in any of these ends in time; then the kernel takes them down."""
    latest = time.monotonic() + within_s
    while processes_in(namespaces):
        if time.monotonic() > latest:
            return False
        time.sleep(0.05)
    return True


class Network:
    """network.py with these options, as its driver sees it: host lines, figures, how it ended."""

    def __init__(self, *options, environment=None):
        self.process = subprocess.Popen([PYTHON, NETWORK, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=environment, start_new_session=True)
        self.hosts, self.figures, self.problem = [], {}, None
        self.read()
        self.namespaces = set()
        if self.hosts:
            ids = [self.process.pid, *(int(host[1]) for host in self.hosts)]
            self.namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in ids}

    def read(self):
        for line in iter(self.process.stdout.readline, b""):
            kind, _, rest = line.decode().strip().partition(" ")
            if kind == "host":
                self.hosts.append(rest.split())
            elif kind == "network":
                name, value = rest.split()
                self.figures[name] = float(value)
            elif kind == "problem":
                self.problem = rest
            elif kind == "ready":
                return

    def end(self):
        self.process.stdin.close()
        status = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()


def ignoring(word):
    """An environment in which `tc` says yes and does nothing when told of `word`: Mininet does not look."""
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "tc")
    with open(path, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\ncase " $* " in *" add "*" {word} "*) exit 0;; esac\nexec {shutil.which("tc")} "$@"\n')
    os.chmod(path, stat.S_IRWXU)
    return folder, dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}")


class NetworkTest(unittest.TestCase):
    """On any kernel with bridges, virtual interfaces and bandwidth limits."""

    @classmethod
    def setUpClass(cls):
        if why := missing():
            raise unittest.SkipTest(f"no emulated network can be had here: {why}")

    def test_star(self):
        # given three nodes at one switch with links of 200 Mb/s
        with Network("--nodes=3", "--bandwidth=2e8") as network:
            # expect a host and an address for each, and the limit applied and seen
            self.assertIsNone(network.problem)
            self.assertEqual([host[0] for host in network.hosts], ["0", "1", "2"])
            self.assertEqual([host[2] for host in network.hosts], ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
            self.assertEqual(network.figures["link_bandwidth_mbps"], 200)
            self.assertGreater(network.figures["throughput_mbps_max"], 0.9 * 200 * 1448 / 1514)
            self.assertEqual(network.figures["link_delay_us"], 0)
            # expect each to reach each
            for host in network.hosts:
                said = output_of("mnexec", "-a", host[1], "ping", "-c1", "-W5", "10.0.0.2")
                self.assertIn(" 0% packet loss", said)
            self.assertEqual(network.end(), 0)
            self.assertTrue(is_gone(network.namespaces))

    def test_two_tier(self):
        # given racks {0, 2} and {1}, 100 Mb/s for a node, and uplinks for a fifth of what a rack sends
        with Network("--nodes=3", "--topology=two-tier", "--racks=2", "--bandwidth=1e8",
                     "--oversubscription=5") as network:
            self.assertIsNone(network.problem)
            # expect the full speed in a rack; across racks that of the narrower uplink, of the rack of one
            self.assertAlmostEqual(network.figures["throughput_mbps_expected"], 100 * 1448 / 1514, places=1)
            self.assertAlmostEqual(network.figures["throughput_mbps_across_racks_expected"], 20 * 1448 / 1514, places=1)
            self.assertLess(network.figures["throughput_mbps_across_racks_p50"], 22)

    def test_limits_that_the_kernel_did_not_take_are_refused(self):
        # given a tc that ignores a part of what it is told, as Mininet ignores what tc says
        for word, options, noun in (("htb", ["--bandwidth=1e8"], "bandwidth"), ("netem", ["--delay=2000000"], "delay")):
            folder, environment = ignoring(word)
            with Network("--nodes=2", *options, environment=environment) as network:
                # expect that reading back tells
                self.assertIn(f"wanted a {noun} of", network.problem)
                self.assertEqual(network.end(), 1)
            shutil.rmtree(folder)

    def test_a_missing_program_is_named_with_its_package(self):
        with tempfile.TemporaryDirectory() as folder:
            with Network("--nodes=2", environment={"PATH": folder}) as network:
                self.assertIn("apt-get install bridge-utils iproute2", network.problem)

    @unittest.skipIf(has_delays(), "this kernel has delays")
    def test_a_kernel_without_delays_is_told_with_a_remedy(self):
        with Network("--nodes=2", "--delay=2000000") as network:
            self.assertIn("modprobe sch_netem", network.problem)

    def test_a_link_faster_than_the_machine_is_refused(self):
        with Network("--nodes=2", "--bandwidth=5e12") as network:
            self.assertIn("lower /emulate/bandwidth", network.problem)

    def test_two_at_a_time_and_the_machine_are_apart(self):
        # given two networks with the same names and addresses
        before = output_of("ip", "-o", "link")
        with Network("--nodes=2") as one, Network("--nodes=2") as other:
            # expect both to stand, and no trace of them among the machine's own interfaces
            self.assertEqual([one.problem, other.problem], [None, None])
            self.assertFalse(one.namespaces & other.namespaces)
            self.assertEqual(output_of("ip", "-o", "link"), before)

    def test_guests_end_with_the_network(self):
        # given a program on a host that would stay
        with Network("--nodes=2") as network:
            guest = subprocess.Popen(["mnexec", "-a", network.hosts[0][1], "sleep", "1000"])
            latest = time.monotonic() + PATIENCE_S
            while guest.pid not in processes_in(network.namespaces) and time.monotonic() < latest:
                time.sleep(0.01)
            # expect it to be ended, after some grace
            self.assertEqual(network.end(), 0)
            self.assertEqual(guest.wait(PATIENCE_S), -signal.SIGKILL)
            self.assertTrue(is_gone(network.namespaces))

    def test_signals_take_it_down(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with Network("--nodes=2") as network:
                network.process.send_signal(number)
                self.assertEqual(network.process.wait(PATIENCE_S), 0)
                self.assertTrue(is_gone(network.namespaces))

    def test_it_is_gone_when_it_is_killed_itself(self):
        with Network("--nodes=2") as network:
            network.process.kill()
            network.process.wait(PATIENCE_S)
            self.assertTrue(is_gone(network.namespaces))

    def test_it_is_gone_when_its_driver_is_killed(self):
        # given a driver that holds the other ends of the pipes, and says when the network stands
        code = ("import subprocess, sys\n"
                f"p = subprocess.Popen(['{PYTHON}', '{NETWORK}', '--nodes=2'], stdin=subprocess.PIPE,"
                " stdout=subprocess.PIPE)\n"
                "for line in p.stdout:\n"
                "  print(p.pid, line.decode(), end='', flush=True)\n")
        driver = subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True)
        ids = set()
        for line in driver.stdout:
            network, *words = line.split()
            ids.update([network] + words[2:3] * (words[0] == "host"))
            if words[0] == "ready":
                break
        namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in ids}
        self.assertEqual(len(namespaces), 3)
        driver.kill()
        driver.wait()
        driver.stdout.close()
        self.assertTrue(is_gone(namespaces))


class DelayTest(unittest.TestCase):
    """Where the kernel has delays; see in_virtual_machine()."""

    def test_star(self):
        # given a delay of 5 ms for each link and direction
        with Network("--nodes=2", "--bandwidth=2e7", "--delay=5000000") as network:
            # expect four of them in a round trip, and the bandwidth beside it
            self.assertIsNone(network.problem)
            self.assertEqual(network.figures["link_delay_us"], 5000)
            self.assertEqual(network.figures["rtt_us_expected"], 20000)
            self.assertGreaterEqual(network.figures["rtt_us_min"], 20000)
            self.assertLess(network.figures["rtt_us_min"], 22000)
            self.assertGreater(network.figures["throughput_mbps_max"], 0.9 * 20 * 1448 / 1514)

    def test_two_tier(self):
        # given racks {0, 2} and {1}
        with Network("--nodes=3", "--topology=two-tier", "--delay=5000000") as network:
            # expect four delays in a round trip in a rack, eight across racks
            self.assertIsNone(network.problem)
            self.assertGreaterEqual(network.figures["rtt_us_min"], 20000)
            self.assertLess(network.figures["rtt_us_min"], 22000)
            self.assertGreaterEqual(network.figures["rtt_us_across_racks_min"], 40000)
            self.assertLess(network.figures["rtt_us_across_racks_min"], 44000)


def in_virtual_machine():
    """Runs DelayTest there; a failure's text, or why it was skipped."""
    vm_failed = 125  # its exit status when the machine, not the command, failed
    done = subprocess.run([PYTHON, VM, "run", "--addresses", "0", "--", PYTHON, os.path.abspath(__file__), DELAYS],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode == vm_failed:
        raise unittest.SkipTest(f"this kernel has no delays, and no virtual machine starts: {done.stdout[-500:]}")
    return "" if done.returncode == 0 else done.stdout


class VirtualMachineTest(unittest.TestCase):
    def test_delays(self):
        if has_delays():
            self.skipTest("not needed: this kernel has delays")
        if why := missing():
            self.skipTest(f"no emulated network can be had here: {why}")
        self.assertEqual(in_virtual_machine(), "")


def main():
    if os.geteuid() != 0:
        print("SKIPPED: emulated networks take root")
        sys.exit(77)
    loader = unittest.TestLoader()
    names = sys.argv[1:] or ["NetworkTest", "VirtualMachineTest", *([DELAYS] if has_delays() else [])]
    result = unittest.TextTestRunner(verbosity=2).run(loader.loadTestsFromNames(names, sys.modules[__name__]))
    for test, why in result.skipped:
        print(f"SKIPPED: {test}: {why}")
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
