#!/usr/bin/env python3
"""Runs on machines that are reached by ssh: three network namespaces at a bridge, each with an sshd of its own.

Usage: ssh_test.py SLIPSTREAM_PROGRAM. Exit status 77, with the reason, where there can be no such namespaces.

All of it happens in namespaces of this test's own (network, mounts, processes), with a /run and a /dev/shm that nobody
else sees; when the test ends, however it does, the kernel takes everything down. Keys are made for it and live in its
temporary folder.
"""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SKIPPED = 77
PATIENCE_S = 120
INSIDE = "--inside"
UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
PROGRAMS = {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "ip": "iproute2",
            "unshare": "util-linux", "mount": "mount"}
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

MACHINES = 3
HERE = "10.77.0.254"
ABSENT = "10.77.0.77"
PORT = 2222

SPEC = {
    "name": "trial", "description": "a small cluster on other machines", "worlds": ["emulate"],
    "cluster": {"servers": 3, "segment": "256 KiB", "log_memory": "16 MiB"},
    "replication": {"factor": 2}, "workload": {"name": "ycsb-a", "records": 1000},
    "emulate": {"fabric": "tcp", "hosts": "ssh"}, "sweep": {"replication.policy": ["rpc", "tailwind"]},
    "warmup": "100 ms", "duration": "1 s",
    "expect": ["backup_messages_per_op == 0 where replication.policy=tailwind", "wrong_reads == 0"]}
LONG = {**SPEC, "sweep": {}, "replication": {"factor": 2, "policy": "tailwind"}, "duration": "100 s"}

PROGRAM = None


def address(number):
    return f"10.77.0.{number + 1}"


def command(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


def write(path, text, mode=0o600):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def read(*path):
    with open(os.path.join(*path), encoding="utf-8", errors="replace") as file:
        return file.read()


def comes(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def processes():
    """The command lines of all processes of this test's process namespace, by id."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            found[int(path.split("/")[2])] = read(path).split("\0")[:-1]
        except OSError:
            pass
    return found


def agents():
    return [pid for pid, words in processes().items() if words[-1:] == ["agent"] and "ssh" not in words[0]]


def left_behind():
    """What a run must not leave: an agent, an ssh, a session of an sshd, a run directory."""
    left = [words for words in processes().values() if words and (
        words[-1] == "agent" or words[0] == "ssh" or words[0].startswith("sshd: root"))]
    return left + glob.glob("/dev/shm/*")


class Machines:
    """The machines, and how this one reaches them. Once per process: the namespaces are the process's."""

    def __init__(self, folder):
        self.folder = folder
        self.servers = []
        command("mount", "-t", "tmpfs", "none", "/run")
        command("mount", "-t", "tmpfs", "none", "/dev/shm")
        os.makedirs("/run/sshd", 0o755)
        # The account of root lets nobody in where its password is locked.
        accounts = read("/etc/shadow").splitlines()
        opened = [f"root:*:{line.split(':', 2)[2]}" if line.startswith("root:") else line for line in accounts]
        command("mount", "--bind", write(self.file("shadow"), "\n".join(opened) + "\n"), "/etc/shadow")
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", "dev", "bridge", "type", "bridge")
        command("ip", "address", "add", f"{HERE}/24", "dev", "bridge")
        command("ip", "link", "set", "bridge", "up")
        for name in ("user", "stranger", "host"):
            command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.file(name))
        shutil.copy(self.file("user.pub"), self.file("authorized"))
        for number in range(MACHINES):
            self.start(number)
        write(self.file("known_hosts"), "".join(
            f"[{address(number)}]:{PORT} {read(self.file('host.pub'))}" for number in range(MACHINES)))

    def file(self, name):
        return os.path.join(self.folder, name)

    def start(self, number):
        space, near, far = f"machine-{number}", f"near-{number}", f"far-{number}"
        command("ip", "netns", "add", space)
        command("ip", "link", "add", "dev", near, "type", "veth", "peer", "name", far, "netns", space)
        command("ip", "link", "set", near, "master", "bridge", "up")
        command("ip", "-n", space, "address", "add", f"{address(number)}/24", "dev", far)
        for device in ("lo", far):
            command("ip", "-n", space, "link", "set", device, "up")
        settings = write(self.file(f"sshd-{number}"), f"""
            ListenAddress {address(number)}
            Port {PORT}
            HostKey {self.file('host')}
            AuthorizedKeysFile {self.file('authorized')}
            PidFile none
            StrictModes no
            UsePAM no
            PermitRootLogin prohibit-password
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            """)
        # pylint: disable-next=consider-using-with
        self.servers.append(subprocess.Popen(
            ["ip", "netns", "exec", space, shutil.which("sshd", path=PATH), "-D", "-e", "-f", settings],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def ssh(self, key="user", known="known_hosts"):
        """As a user tells slipstream of keys that are not where ssh looks for them."""
        return (f"ssh -F none -i {self.file(key)} -o IdentitiesOnly=yes -o IdentityAgent=none "
                f"-o UserKnownHostsFile='{self.file(known)}' -o GlobalKnownHostsFile=none")

    def wait_until_they_listen(self):
        for number in range(MACHINES):
            attempt = [*self.ssh().replace("'", "").split(), "-p", str(PORT), address(number), "true"]
            if not comes(lambda: subprocess.run(attempt, check=False, capture_output=True).returncode == 0):
                raise RuntimeError(f"no login at {address(number)}: "
                                   + subprocess.run(attempt, check=False, capture_output=True, text=True).stderr)


class OtherMachines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.machines = Machines(folder.name)
        cls.addClassCleanup(lambda: [server.kill() for server in cls.machines.servers])
        cls.machines.wait_until_they_listen()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.out = os.path.join(folder.name, "results")

    def inventory(self, **changes):
        """Of all machines; machine_1={"program": "x"} changes that of the second."""
        machines = [{"address": address(number), "port": PORT, **changes.get(f"machine_{number}", {})}
                    for number in range(MACHINES)]
        return {"emulate": {**SPEC["emulate"], "machines": machines}}

    def start(self, spec, **ssh):
        path = write(os.path.join(self.folder, "spec.json"), json.dumps(spec))
        return subprocess.Popen([PROGRAM, "run", path, "--json", "--out", self.out],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "SLIPSTREAM_SSH": self.machines.ssh(**ssh)})

    def run_spec(self, spec, **ssh):
        """Exit status and messages; nothing may be left at the end."""
        process = self.start(spec, **ssh)
        _, messages = process.communicate(timeout=PATIENCE_S)
        self.assertTrue(comes(lambda: not left_behind()), f"left behind: {left_behind()}")
        return process.returncode, messages

    def assert_refused(self, spec, *told, **ssh):
        """Refused in one message, which says all that."""
        status, messages = self.run_spec(spec, **ssh)
        self.assertEqual(status, 1, messages)
        failures = [line for line in messages.splitlines() if "a run failed" in line]
        self.assertEqual(len(failures), 1, messages)
        for text in told:
            self.assertIn(text, messages)
        self.assertEqual(read(self.out, "points.jsonl") if os.path.exists(f"{self.out}/points.jsonl") else "", "")

    def test_a_cluster_runs_on_them(self):
        # Given a path that a shell would take apart, on one of them
        there = os.path.join(self.folder, "it's there", "slipstream")
        os.makedirs(os.path.dirname(there))
        shutil.copy(PROGRAM, there)
        status, messages = self.run_spec({**SPEC, **self.inventory(machine_1={"program": there})})
        # Expect a line for each point, of this world, with the claims kept
        self.assertEqual(status, 0, messages)
        lines = [json.loads(line) for line in read(self.out, "points.jsonl").splitlines()]
        self.assertEqual([(line["hosts"], line["params"]["replication.policy"]) for line in lines],
                         [("ssh", "rpc"), ("ssh", "tailwind")])
        for line in lines:
            self.assertEqual(line["params"]["emulate.fabric"], "tcp")
            self.assertGreater(line["metrics"]["completed_ops"], 0)
            self.assertEqual(line["metrics"]["failed_ops"] + line["metrics"]["wrong_reads"], 0)
        self.assertGreater(lines[0]["metrics"]["backup_messages_per_op"], 0)
        # ... and the inventory in the resolved spec
        resolved = json.loads(read(self.out, "spec.json"))["emulate"]["machines"]
        self.assertEqual([machine["address"] for machine in resolved], [address(n) for n in range(MACHINES)])

    def test_nodes_are_dealt_so_that_servers_are_apart(self):
        process = self.start({**LONG, **self.inventory()})
        try:
            self.assertTrue(comes(lambda: len(agents()) == 5), agents())
            spaces = [os.stat(f"/proc/{pid}/ns/net").st_ino for pid in agents()]
            # Expect all machines to be used: three servers, then the client and the coordinator on the first two
            self.assertEqual(sorted(spaces.count(space) for space in set(spaces)), [1, 2, 2])
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 130)
        self.assertTrue(comes(lambda: not left_behind()), f"left behind: {left_behind()}")

    def test_one_that_is_not_there_is_told(self):
        self.assert_refused({**LONG, **self.inventory(machine_2={"address": ABSENT})},
                            f"at {ABSENT}: it was lost: ssh ended with status 255",
                            f"ssh: connect to host {ABSENT} port {PORT}: ",
                            "it is not reached; see that it is up and that /emulate/machines/2 is right")

    def test_one_without_an_ssh_server_is_told(self):
        self.assert_refused({**LONG, **self.inventory(machine_0={"port": PORT + 1})},
                            f"port {PORT + 1}: Connection refused", "say in /emulate/machines/0/port where it listens")

    def test_one_that_lets_nobody_in_is_told(self):
        self.assert_refused({**LONG, **self.inventory()}, "Permission denied",
                            f"put a key there (ssh-copy-id -p {PORT} 10.77.0.", key="stranger")

    def test_one_that_is_not_known_is_told(self):
        self.assert_refused({**LONG, **self.inventory()}, "Host key verification failed",
                            "log in by hand and compare it: ssh -F none", known="nobody")

    def test_one_without_slipstream_is_told(self):
        self.assert_refused({**LONG, **self.inventory(machine_1={"program": "/nowhere/slipstream"})},
                            f"there is no /nowhere/slipstream there; copy {os.path.realpath(PROGRAM)} to it, or say in "
                            "/emulate/machines/1/program where it is")

    def test_one_where_it_cannot_be_executed_is_told(self):
        there = write(os.path.join(self.folder, "slipstream"), "")
        self.assert_refused({**LONG, **self.inventory(machine_1={"program": there})},
                            f"{there} cannot be executed there; give the right to (chmod +x)")

    def test_an_address_that_it_does_not_have_is_told(self):
        self.assert_refused({**LONG, **self.inventory(machine_1={"address": ABSENT, "ssh": address(1)})}, ABSENT)

    def test_another_build_is_refused(self):
        # Given a copy with one byte of its build id changed
        notes = subprocess.run(["readelf", "--notes", PROGRAM], check=True, capture_output=True, text=True).stdout
        build = bytes.fromhex(notes.split("Build ID:")[1].split()[0])
        with open(PROGRAM, "rb") as file:
            program = file.read()
        self.assertEqual(program.count(build), 1)
        there = os.path.join(self.folder, "other")
        with open(there, "wb") as file:
            file.write(program.replace(build, bytes([build[0] ^ 0xff]) + build[1:]))
        os.chmod(there, 0o755)
        self.assert_refused({**LONG, **self.inventory(machine_1={"program": there})},
                            f"at {address(1)} is another build of slipstream (there ",
                            f"copy {os.path.realpath(PROGRAM)} there, as {there}")

    def test_nothing_outlives_a_driver_that_is_killed(self):
        process = self.start({**LONG, **self.inventory()})
        # Given that all nodes have made their run directories
        self.assertTrue(comes(lambda: len(glob.glob("/dev/shm/slipstream-run-*")) == 5), left_behind())
        process.kill()
        process.communicate(timeout=PATIENCE_S)
        self.assertTrue(comes(lambda: not left_behind()), f"left behind: {left_behind()}")

    def test_a_lost_connection_ends_the_run(self):
        process = self.start({**LONG, **self.inventory()})
        self.assertTrue(comes(lambda: len(glob.glob("/dev/shm/slipstream-run-*")) == 5), left_behind())
        session = next(pid for pid, words in processes().items() if words and words[0].startswith("sshd: root"))
        os.kill(session, signal.SIGKILL)
        _, messages = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 1, messages)
        self.assertIn("was lost: ssh ended with status 255", messages)
        self.assertTrue(comes(lambda: not left_behind()), f"left behind: {left_behind()}")


def reason_to_skip():
    """Why there can be no such machines here; empty: there can."""
    os.environ["PATH"] = PATH
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"{program} is missing; apt-get install {package}"
    if os.geteuid() != 0:
        return "network namespaces need root"
    trial = ("mount -t tmpfs none /run && ip netns add x && ip link add dev b type bridge && "
             "ip link add dev v type veth peer name w netns x && ip netns exec x true")
    done = subprocess.run([*UNSHARE, "sh", "-c", trial], check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"this system allows no network namespaces: {done.stderr.strip()}"


def main():
    global PROGRAM
    inside = INSIDE in sys.argv
    if inside:
        sys.argv.remove(INSIDE)
    else:
        if reason := reason_to_skip():
            print(f"SKIPPED: nothing is run over ssh here: {reason}")
            sys.exit(SKIPPED)
        os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, os.path.abspath(__file__), INSIDE, *sys.argv[1:]])
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
