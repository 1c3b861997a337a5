"""An emulated network for the nodes of a run: a Mininet host for each, links with bandwidth and delay, Linux bridges.

Started by the driver (mininet.cc), or by hand: network.py --nodes 4 --bandwidth 1e9 --delay 2000000. Builds the
network, reads back what the kernel applied, measures a round trip and a transfer, and says on standard output:

  host NODE PID ADDRESS [DEVICE]   a node's host: a process in its namespaces, its IPv4 address, its RDMA device
  network NAME VALUE               what was applied, expected and measured; the unit is in the name
  ready                            the network stands, until standard input ends or SIGTERM, SIGINT or SIGHUP comes
  problem TEXT                     instead of ready: what cannot be had, and the remedy; exit status 1

A link's delay and bandwidth hold in each direction: its two ends each delay and limit what they send. A packet through
one switch passes two links, so a round trip takes four delays; across racks, eight.

Everything, switches too, is in network namespaces of this run's own: other networks of the machine, and other runs,
are not touched and cannot interfere. When the last process in it is gone the kernel takes all of it down; so nothing is
left behind even when this process is killed: its shells end with it.
"""
import argparse
import contextlib
import ctypes
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
PACKAGES = {"mnexec": "mininet", "brctl": "bridge-utils", "ifconfig": "net-tools", "ip": "iproute2", "tc": "iproute2",
            "ping": "iputils-ping"}
RDMA_PACKAGES = {"rdma": "iproute2", "ibv_rc_pingpong": "ibverbs-utils"}
RDMA_KERNEL = (7, 1)

ETHERNET_MTU = 1500
FRAME_HEADER = 14  # what a link's limit counts beside the packet
TCP_HEADERS = 52   # IPv4, TCP, time stamps
APPLIED_TOLERANCE = 0.002   # `tc` prints four digits
MEASURED_TOLERANCE = 0.10
RTT_SLACK_US = 300          # of the machine's kernel, where that is more than the tolerance
PINGS = 21
WINDOW_S = 0.1               # of a transfer; the best of these is what the link can do
TRANSFER_S = 0.3            # at least; a link that is still short of its limit is given up to the latter
LONGEST_TRANSFER_S = 5.0
LEAST_BURST_BYTES = 15000
LEAST_BURST_S = 0.0005
MOST_BURST_S = 0.005
GRACE_S = 3.0
MOST_SOCKET_BUFFER = 256 << 20

libc = ctypes.CDLL(None, use_errno=True)


class Problem(Exception):
    """What cannot be had, with the remedy."""


class Ended(BaseException):
    """A signal asks to end; not an Exception, so that nobody takes it for an error of theirs."""


# --- what is wanted ---


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--topology", choices=["star", "two-tier"], default="star")
    parser.add_argument("--racks", type=int, default=2, help="two-tier: edge switches, the nodes dealt to them in turn")
    parser.add_argument("--oversubscription", type=float, default=1,
                        help="two-tier: what a rack's nodes can send over what its uplink carries")
    parser.add_argument("--bandwidth", type=float, default=0, help="of a node's link, bits per second; 0: not limited")
    parser.add_argument("--delay", type=int, default=0, help="of a link, one way, nanoseconds")
    parser.add_argument("--mtu", type=int, default=ETHERNET_MTU)
    parser.add_argument("--rdma", action="store_true", help="a SoftRoCE device on each host")
    parser.add_argument("--check", action="store_true", help="only say whether this machine can do it")
    wanted = parser.parse_args(arguments)
    if wanted.nodes < 2:
        parser.error("--nodes: at least 2")
    if wanted.topology == "two-tier" and not 2 <= wanted.racks <= wanted.nodes:
        parser.error("--racks: from 2 to the number of nodes")
    return wanted


def rack_of(wanted, node):
    return node % wanted.racks if wanted.topology == "two-tier" else 0


def racks(wanted):
    return wanted.racks if wanted.topology == "two-tier" else 1


def uplink_bandwidth(wanted, rack):
    members = sum(rack_of(wanted, node) == rack for node in range(wanted.nodes))
    return wanted.bandwidth * members / wanted.oversubscription


def address_of(node):
    return f"10.0.{(node + 1) >> 8}.{(node + 1) & 255}"


# --- what this machine can do ---


def output_of(command, timeout=60):
    """(exit status, standard output and error) of a command."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=timeout, check=False)
    return done.returncode, done.stdout.strip()


def enter_private_namespace():
    if os.geteuid() != 0:
        raise Problem("an emulated network takes root; run with sudo")
    if libc.unshare(CLONE_NEWNET) != 0:
        raise Problem(f"no network namespace can be made ({os.strerror(ctypes.get_errno())}); run as root, in a "
                      "container with the capabilities SYS_ADMIN and NET_ADMIN")


def require_programs(wanted):
    packages = dict(PACKAGES, **(RDMA_PACKAGES if wanted.rdma else {}))
    missing = {package for program, package in packages.items() if shutil.which(program) is None}
    if importlib.util.find_spec("mininet") is None:
        missing.add("mininet")
    if missing:
        names = " ".join(sorted(missing))
        raise Problem(f"missing for an emulated network: {names}; run apt-get install {names}")


def require_kernel(wanted):
    kernel = os.uname().release
    trials = [("pairs of virtual interfaces", "veth", "ip link add name probe0 type veth peer name probe1"),
              ("bridges", "bridge", "ip link add name probe2 type bridge")]
    if wanted.bandwidth > 0:
        trials.append(("bandwidth limits", "sch_htb", "tc qdisc add dev probe0 root handle 5: htb default 1"))
    if wanted.delay > 0:
        trials.append(("delays", "sch_netem", "tc qdisc add dev probe1 root netem delay 1ms"))
    for what, module, command in trials:
        status, text = output_of(command.split())
        if status != 0:
            reason = text.split("\n")[0].removeprefix("Error: ").rstrip(".")
            raise Problem(f"this kernel ({kernel}) has no {what} ({reason}); run modprobe {module}, or boot a kernel "
                          "that has it, such as Debian's linux-image-amd64")
    for probe in ("probe0", "probe2"):
        output_of(["ip", "link", "del", probe])
    version = tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", kernel).groups())
    if wanted.rdma and version < RDMA_KERNEL:
        raise Problem(f"SoftRoCE inside a network namespace takes a kernel of {'.'.join(map(str, RDMA_KERNEL))} or "
                      f"later, this is {kernel}: its devices there lose every packet; boot a later kernel, or use tcp")


# --- the network ---


def burst_s():
    """How long a link may send at any speed to make up for a late timer, without which it never comes up to its limit.
    On a virtual machine timers come some hundred microseconds late, on a crowded one by far more."""
    lateness = []
    for _ in range(60):
        start = time.monotonic()
        time.sleep(0.001)
        lateness.append(time.monotonic() - start - 0.001)
    return min(max(2 * statistics.quantiles(lateness, n=10)[-1], LEAST_BURST_S), MOST_BURST_S)


def limited_interface(burst_duration):
    """Mininet's interface with limits, without its silent ceiling of 1 Gb/s, and with bursts that suit the machine."""
    from mininet.link import TCIntf

    class LimitedInterface(TCIntf):
        def bwCmds(self, bw=None, **_):
            if bw is None:
                return [], " root "
            burst = int(bw * 1e6 / 8 * burst_duration)
            return ["%s qdisc add dev %s root handle 5:0 htb default 1",
                    "%s class add dev %s parent 5:0 classid 5:1 htb "
                    + f"rate {bw:f}Mbit burst {burst} cburst {burst} quantum 60000"], " parent 5:1 "

    return LimitedInterface


def limits(wanted, bandwidth, interface):
    """Of a link, as Mininet calls them."""
    options = {"cls1": interface, "cls2": interface}
    if bandwidth > 0:
        options["bw"] = bandwidth / 1e6
    if wanted.delay > 0:
        # The queue holds what is under way, in packets however small, and what waits for its turn.
        under_way = (bandwidth or 10e9) / 8 * wanted.delay * 1e-9 / 64
        options["delay"] = f"{wanted.delay / 1000:.3f}us"
        options["max_queue_size"] = 10000 + int(2 * under_way)
    return options


class Network:
    """The hosts, in order of the nodes, and what was wanted of each interface."""

    def __init__(self, wanted):
        from mininet.log import setLogLevel
        from mininet.net import Mininet
        from mininet.nodelib import LinuxBridge

        setLogLevel("critical")  # limits that could not be applied are found by reading them back
        Mininet.inited = True    # or it changes limits of the whole machine
        self.wanted = wanted
        self.mininet = Mininet(switch=LinuxBridge, controller=None, ipBase="10.0.0.0/16", build=False)
        self.hosts = []
        self.devices = [""] * wanted.nodes
        self.interfaces = []  # (Mininet's interface, its bandwidth)
        self.burst_s = 0
        if wanted.bandwidth > 0:
            self.burst_s = max(burst_s(), LEAST_BURST_BYTES * 8 / wanted.bandwidth)

    def build(self):
        wanted = self.wanted
        for name in ("all", "default"):  # a switch has no addresses; IPv6 would find it some, and talk
            write_setting(f"net/ipv6/conf/{name}/disable_ipv6", "1")
        edges = [self.mininet.addSwitch(f"s{rack + 1}") for rack in range(racks(wanted))]
        for node in range(wanted.nodes):
            host = self.mininet.addHost(f"h{node}", ip=f"{address_of(node)}/16")
            self.hosts.append(host)
            self._link(host, edges[rack_of(wanted, node)], wanted.bandwidth)
        if len(edges) > 1:
            core = self.mininet.addSwitch(f"s{len(edges) + 1}")
            for rack, edge in enumerate(edges):
                self._link(edge, core, uplink_bandwidth(wanted, rack))
        self.mininet.build()
        self.mininet.start()
        for host in self.hosts:
            self._tune(host)

    def _link(self, a, b, bandwidth):
        link = self.mininet.addLink(a, b, **limits(self.wanted, bandwidth, limited_interface(self.burst_s)))
        for interface in (link.intf1, link.intf2):
            if self.wanted.mtu != ETHERNET_MTU:
                interface.cmd(f"ip link set dev {interface} mtu {self.wanted.mtu}")
            self.interfaces.append((interface, bandwidth))

    def _tune(self, host):
        """Socket buffers for what a connection has under way on the longest path, and no IPv6 talk."""
        under_way = int((self.wanted.bandwidth or 10e9) / 8 * 8 * self.wanted.delay * 1e-9)
        with inside(host):
            write_setting("net/ipv6/conf/all/disable_ipv6", "1")
            for name in ("net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem"):
                with open(f"/proc/sys/{name}", encoding="ascii") as file:
                    low, default, most = file.read().split()
                write_setting(name, f"{low} {default} {max(int(most), min(2 * under_way, MOST_SOCKET_BUFFER))}")


def write_setting(name, value):
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
            file.write(value)


def namespace_of(pid):
    return os.readlink(f"/proc/{pid}/ns/net")


# --- what the kernel has applied ---


BIT_UNITS = {"bit": 1, "Kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9, "Tbit": 1e12}


def applied_limits(interface):
    """(bandwidth in bits per second, delay in nanoseconds, queue in packets) as the kernel has them."""
    qdiscs = json.loads(interface.cmd(f"tc -j qdisc show dev {interface}") or "[]")
    bandwidth = delay = queue = 0
    for qdisc in qdiscs:
        if qdisc["kind"] == "netem":
            delay = round(qdisc["options"].get("delay", {}).get("delay", 0) * 1e9)
            queue = qdisc["options"]["limit"]
    # Not as JSON: `tc` of iproute2 6.1 knows none for classes.
    rate = re.search(r"class htb 5:1 .*\brate ([\d.]+)(\w+)", interface.cmd(f"tc class show dev {interface}"))
    if rate:
        bandwidth = float(rate.group(1)) * BIT_UNITS[rate.group(2)]
    return bandwidth, delay, queue


def differs(applied, wanted, tolerance):
    return abs(applied - wanted) > tolerance * wanted


def check_applied(network):
    delay_wanted = network.wanted.delay
    for interface, bandwidth_wanted in network.interfaces:
        bandwidth, delay, _ = applied_limits(interface)
        if differs(bandwidth, bandwidth_wanted, APPLIED_TOLERANCE):
            raise Problem(f"{interface}: wanted a bandwidth of {bandwidth_wanted / 1e6:g} Mb/s, the kernel has applied "
                          f"{bandwidth / 1e6:g}; see `tc class show` and the kernel's log")
        if abs(delay - delay_wanted) > max(1000, APPLIED_TOLERANCE * delay_wanted):  # the kernel may count in us
            raise Problem(f"{interface}: wanted a delay of {delay_wanted / 1e3:g} us, the kernel has applied "
                          f"{delay / 1e3:g}; see `tc qdisc show` and the kernel's log")


# --- what it is like ---


@contextlib.contextmanager
def inside(host):
    """In the host's network namespace; a socket made there stays there."""
    ways = [os.open(f"/proc/{pid}/ns/net", os.O_RDONLY) for pid in ("self", host.pid)]
    try:
        if libc.setns(ways[1], CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        libc.setns(ways[0], CLONE_NEWNET)
        for way in ways:
            os.close(way)


def round_trip_us(network, a, b, expected_us):
    """(shortest, median) of some pings, after one that lets all learn the way."""
    command = ["mnexec", "-a", str(network.hosts[a].pid), "ping", "-n", "-W", str(2 + expected_us * 2e-6)]
    address = address_of(b)
    for _ in range(3):
        if output_of([*command, "-c", "1", address])[0] == 0:
            break
    else:
        raise Problem(f"{address} does not answer {address_of(a)}: the emulated network carries nothing; see `bridge "
                      "link` and `ip address` in the hosts' network namespaces (`lsns -t net`)")
    _, text = output_of([*command, "-c", str(PINGS), "-i", "0.01", address], timeout=60 + PINGS * expected_us * 2e-6)
    times = [float(found) * 1000 for found in re.findall(r"time=([\d.]+) ms", text)]
    if len(times) < PINGS / 2:
        raise Problem(f"{address_of(a)} to {address}: {PINGS - len(times)} of {PINGS} pings were lost; use a machine "
                      "with less load")
    return min(times), statistics.median(times)


def start_sender(sender):
    """A process that sends without end, until it is killed; its id."""
    pid = os.fork()
    if pid == 0:
        try:
            block = bytes(1 << 18)
            sender.settimeout(None)
            while True:
                sender.sendall(block)
        finally:
            os._exit(0)  # pylint: disable=protected-access
    return pid


def throughput_mbps(network, a, b, expected):
    """(best, median) of the windows of one TCP connection, payload. It is given time to come up to what is expected."""
    with inside(network.hosts[b]):
        listener = socket.create_server((address_of(b), 0))
    with inside(network.hosts[a]):
        sender = socket.socket()
    with listener, sender:
        for each in (listener, sender):
            each.settimeout(10)
        sender.connect((address_of(b), listener.getsockname()[1]))
        receiver = listener.accept()[0]
        pid = start_sender(sender)
    with receiver:
        try:
            windows = receive_windows(receiver, (1 - MEASURED_TOLERANCE / 2) * expected)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    # The last ones: before, the connection was coming up to speed.
    return max(windows), statistics.median(windows[-int(TRANSFER_S / WINDOW_S):])


def receive_windows(receiver, enough):
    """Mb/s of each window, until there are some and one that is `enough`."""
    block = bytearray(1 << 20)
    windows, counted = [], 0
    receiver.settimeout(10)
    start = opened = time.monotonic()
    while True:
        received = receiver.recv_into(block)
        if received == 0:
            raise OSError("the sender of a transfer has ended")
        counted += received
        now = time.monotonic()
        if now - opened < WINDOW_S:
            continue
        windows.append(counted * 8 / 1e6 / (now - opened))
        opened, counted = now, 0
        lasted = now - start
        if lasted > LONGEST_TRANSFER_S or (lasted > TRANSFER_S + WINDOW_S and max(windows) >= enough):
            return windows


def paths(wanted):
    """(suffix of the figures' names, node, node, links between them)"""
    found = []
    if wanted.topology == "star":
        found.append(("", 0, 1, 2))
    else:
        if wanted.nodes > wanted.racks:
            found.append(("", 0, wanted.racks, 2))
        found.append(("_across_racks", 0, 1, 4))
    return found


def path_bandwidth(wanted, links):
    if links == 2:
        return wanted.bandwidth
    return min(wanted.bandwidth, uplink_bandwidth(wanted, 0), uplink_bandwidth(wanted, 1))


def check_round_trip(name, expected, shortest):
    if expected > 0 and abs(shortest - expected) > max(MEASURED_TOLERANCE * expected, RTT_SLACK_US):
        raise Problem(f"the emulated network is not what was wanted: {name} should take {expected:.0f} us and takes "
                      f"{shortest:.0f}; use a machine with less load")


def check_transfer(name, expected, best, median):
    if expected > 0 and best < (1 - MEASURED_TOLERANCE) * expected:
        raise Problem(f"this machine does not carry what was wanted: {name} should reach {expected:.0f} Mb/s and "
                      f"reaches {best:.0f}; lower /emulate/bandwidth, or use a faster machine or one with less load")
    if expected > 0 and median > (1 + MEASURED_TOLERANCE) * expected:
        raise Problem(f"the limit of the emulated network does not hold: {name} should reach {expected:.0f} Mb/s and "
                      f"reaches {median:.0f}; see `tc -s class show` in the hosts' network namespaces")


def measure(network):
    """The figures, name -> value; refuses a network that is not what was wanted. What is compared is the best that was
    seen, which the network allows; the medians tell what the machine's load makes of it."""
    wanted = network.wanted
    bandwidth, delay, _ = applied_limits(network.interfaces[0][0])
    figures = {"link_delay_us": delay / 1e3}
    if wanted.bandwidth > 0:
        figures["link_bandwidth_mbps"] = bandwidth / 1e6
        figures["link_burst_us"] = network.burst_s * 1e6
    for suffix, a, b, links in paths(wanted):
        path = suffix.replace("_", " ")
        expected = 2 * links * wanted.delay / 1e3
        shortest, median = round_trip_us(network, a, b, expected)
        figures.update({f"rtt_us{suffix}_expected": expected, f"rtt_us{suffix}_min": shortest,
                        f"rtt_us{suffix}_p50": median})
        check_round_trip(f"a round trip{path}", expected, shortest)
        expected = path_bandwidth(wanted, links) / 1e6 * (wanted.mtu - TCP_HEADERS) / (wanted.mtu + FRAME_HEADER)
        best, median = throughput_mbps(network, a, b, expected)
        if expected > 0:
            figures[f"throughput_mbps{suffix}_expected"] = expected
        figures.update({f"throughput_mbps{suffix}_max": best, f"throughput_mbps{suffix}_p50": median})
        check_transfer(f"a transfer{path}", expected, best, median)
    return figures


# --- RDMA ---


def add_devices(network):
    for node, host in enumerate(network.hosts):
        name = f"sl{os.getpid()}n{node}"
        status, text = output_of(["mnexec", "-a", str(host.pid), "rdma", "link", "add", name, "type", "rxe", "netdev",
                                  str(host.defaultIntf())])
        if status != 0:
            raise Problem(f"no SoftRoCE device can be made on {address_of(node)} ({text}); run modprobe rdma_rxe")
        network.devices[node] = name


def gid_index(device, address):
    """Of the RoCE v2 address that is the IPv4 address; None: there is none yet."""
    port = f"/sys/class/infiniband/{device}/ports/1"
    mapped = "0000:0000:0000:0000:0000:ffff:" + "%02x%02x:%02x%02x" % tuple(int(part) for part in address.split("."))
    for index in range(256):
        try:
            with open(f"{port}/gids/{index}", encoding="ascii") as file:
                gid = file.read().strip()
            with open(f"{port}/gid_attrs/types/{index}", encoding="ascii") as file:
                kind = file.read().strip()
        except OSError:  # past the last one, or an empty entry
            continue
        if gid == mapped and kind == "RoCE v2":
            return index
    return None


def rdma_round_trip_us(network, a, b, rtt_us):
    """Of SENDs, there and back; it shows that the network's delay acts on RDMA traffic."""
    iterations = max(10, min(1000, int(1e6 / max(rtt_us, 100))))
    server = client = None
    commands = []
    for node in (b, a):
        index = gid_index(network.devices[node], address_of(node))
        if index is None:
            raise Problem(f"the SoftRoCE device of {address_of(node)} has no RoCE v2 address; see `rdma link` and "
                          "/sys/class/infiniband/*/ports/1/gids")
        commands.append(["mnexec", "-a", str(network.hosts[node].pid), "ibv_rc_pingpong", "-d", network.devices[node],
                         "-g", str(index), "-s", "64", "-n", str(iterations)])
    server = subprocess.Popen(commands[0], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        for _ in range(20):  # until the server listens
            time.sleep(0.1)
            status, client = output_of([*commands[1], address_of(b)], timeout=30 + iterations * rtt_us * 4e-6)
            if status == 0:
                break
        else:
            raise Problem(f"RDMA from {address_of(a)} to {address_of(b)} fails: {client}; use tcp")
    except subprocess.TimeoutExpired as late:
        raise Problem(f"RDMA from {address_of(a)} to {address_of(b)} carries nothing; use tcp") from late
    finally:
        server.kill()
        server.wait()
    return float(re.search(r"([\d.]+) usec/iter", client).group(1))


def measure_rdma(network, figures):
    for suffix, a, b, links in paths(network.wanted):
        expected = 2 * links * network.wanted.delay / 1e3
        measured = rdma_round_trip_us(network, a, b, figures[f"rtt_us{suffix}_p50"])
        figures[f"rdma_rtt_us{suffix}_mean"] = measured
        check_round_trip(f"an RDMA round trip{suffix.replace('_', ' ')}", expected, measured)


# --- from start to end ---


class Guests:
    """The processes in this run's namespaces, but for this one: Mininet's shells, and what the driver runs there."""

    def __init__(self, network):
        self.shells = {node.pid for node in [*network.mininet.hosts, *network.mininet.switches]}
        self.namespaces = {namespace_of("self")}
        for pid in self.shells:
            with contextlib.suppress(OSError):  # it has ended
                self.namespaces.add(namespace_of(pid))

    def all(self):
        found = set()
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                with contextlib.suppress(OSError):
                    if namespace_of(name) in self.namespaces:
                        found.add(int(name))
        return found

    def kill(self):
        while found := self.all():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0] != 0:
                    pass
            time.sleep(0.01)


def take_down(network):
    """Gives guests time to end by themselves, then ends all there is; the kernel clears the emptied namespaces."""
    guests = Guests(network)
    latest = time.monotonic() + GRACE_S
    while time.monotonic() < latest and guests.all() - guests.shells:
        time.sleep(0.05)
    for device in filter(None, network.devices):
        output_of(["rdma", "link", "delete", device])
    guests.kill()


def say(text):
    with contextlib.suppress(BrokenPipeError):
        print(text, flush=True)


def wait_for_end():
    while True:
        select.select([sys.stdin], [], [])
        if not os.read(sys.stdin.fileno(), 4096):
            return


def serve(wanted, network):
    check_applied(network)
    figures = measure(network)
    if wanted.rdma:
        add_devices(network)
        measure_rdma(network, figures)
    for node, host in enumerate(network.hosts):
        say(f"host {node} {host.pid} {address_of(node)} {network.devices[node]}".rstrip())
    for name, value in figures.items():
        say(f"network {name} {value:.6g}")
    say("ready")
    wait_for_end()


def end(signal_number, _):
    raise Ended(signal_number)


def main():
    wanted = parse_arguments(sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    network = None
    try:
        require_programs(wanted)
        enter_private_namespace()
        require_kernel(wanted)
        if wanted.check:
            say("ready")
            return 0
        network = Network(wanted)
        network.build()
        serve(wanted, network)
    except Problem as problem:
        say(f"problem {problem}")
        return 1
    except Ended:
        pass
    except Exception as problem:  # pylint: disable=broad-except
        say(f"problem the emulated network cannot be built: {type(problem).__name__}: "
            + " ".join(str(problem).split()))
        return 1
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if network:
            take_down(network)
    return 0


if __name__ == "__main__":
    sys.exit(main())
