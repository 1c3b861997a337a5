"""The packages of a Debian kernel: fetched with apt-get, unpacked, never installed.

The host's apt configuration says where they come from, and is not touched: what it lacks (newer lists, the backports
of a newer Debian) is asked for in lists of our own.
"""

import os
import re
import shutil
import subprocess
import tarfile

from problem import Problem, find_program

# Depends on the newest kernel. Not the cloud one: it has no rxe.
METAPACKAGE = "linux-image-amd64"
PART = re.compile(r"\blinux-(?:base|binary|image|modules)(?:-\d[^\s,]*)?-amd64\b")

# Where the kinds of kernels come from beside the host's own sources, and the oldest that will do: before 6.1.53 rxe
# corrupts packets that it sends again, before 7.1 it does not work in network namespaces.
SUITES = {"stable": None, "backports": "trixie-backports"}
OLDEST = {"stable": (6, 1, 53), "backports": (7, 1)}

DEBIAN_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Of the modules, which are some 400 MB, only what a machine without hardware can use.
UNUSED_MODULES = re.compile(
    r"kernel/sound/|kernel/drivers/(?!block/|char/|infiniband/|net/|virtio/)|kernel/drivers/infiniband/hw/"
    r"|kernel/drivers/net/(?:arcnet|can|dsa|ethernet|fddi|ieee802154|phy|usb|wireless|wwan)/")


def run(arguments, failure, **options):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("E: ")] or lines
        raise Problem(f"{failure}: {errors[-1] if errors else f'{arguments[0]} failed'}")
    return done.stdout


class Apt:
    """apt-get and apt-cache with the host's configuration; `own` has lists of our own when they are to be used."""

    def __init__(self, failure, own=None, sources=None):
        self.failure = failure
        self.options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
        if own is not None:
            os.makedirs(os.path.join(own, "lists/partial"), exist_ok=True)
            os.makedirs(os.path.join(own, "archives/partial"), exist_ok=True)
            self.options += ["-o", f"Dir::State::lists={own}/lists", "-o", f"Dir::Cache={own}",
                             "-o", "APT::Update::Error-Mode=any"]
        if sources is not None:
            self.options += ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null"]

    def do(self, program, *arguments, **options):
        return run([find_program(program), "-q", *self.options, *arguments], self.failure, **options)

    def parts(self):
        """The packages that together are the newest kernel."""
        found, open_ends = set(), {METAPACKAGE}
        while open_ends:
            name = open_ends.pop()
            found.add(name)
            shown = self.do("apt-cache", "show", "--no-all-versions", name)
            depends = re.search(r"^Depends: (.*)", shown, re.MULTILINE)
            open_ends |= set(PART.findall(depends.group(1) if depends else "")) - found
        parts = sorted(name for name in found if re.search(r"-\d", name))
        if not parts:
            raise Problem(f"{self.failure}: {METAPACKAGE} names no kernel")
        return parts

    def download(self, folder):
        self.do("apt-get", "download", *self.parts(), cwd=folder)


def fetch(kind, folder):
    """The paths of the package files, in `folder`."""
    own = os.path.join(folder, "apt")
    failure = f"the kernel package ({METAPACKAGE}) cannot be fetched with apt-get"
    try:
        if SUITES[kind] is None:
            fetch_from_host(failure, own, folder)
        else:
            fetch_from_suite(SUITES[kind], failure, own, folder)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    paths = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb"))
    version = run([find_program("dpkg-deb"), "-f", paths[0], "Version"], "the kernel package cannot be read").strip()
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < OLDEST[kind]:
        needed = ".".join(map(str, OLDEST[kind]))
        raise Problem(f"kernel {version} is too old, SoftRoCE needs {needed}; the sources in /etc/apt have no other")
    return paths


def fetch_from_host(failure, own, folder):
    try:
        Apt(failure).download(folder)
    except Problem:
        # The host's lists are absent or name a version that is gone.
        apt = Apt(f"{failure} from the sources in /etc/apt", own)
        apt.do("apt-get", "update")
        apt.download(folder)


def fetch_from_suite(suite, failure, own, folder):
    """From the first of the host's mirrors that has the suite."""
    problem = Problem(f"{failure}: the sources in /etc/apt name no mirror of Debian")
    for mirror in mirrors(failure, own):
        sources = os.path.join(own, "suite.sources")
        with open(sources, "w", encoding="utf-8") as file:
            file.write(f"Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nArchitectures: amd64\n")
            if os.path.exists(DEBIAN_KEYS):
                file.write(f"Signed-By: {DEBIAN_KEYS}\n")
        try:
            apt = Apt(f"{failure} from {suite} of {mirror}", own, sources)
            apt.do("apt-get", "update")
            apt.download(folder)
            return
        except Problem as error:
            problem = error
    raise problem


def mirrors(failure, own):
    """The addresses that the host's sources name, but for those of security updates, which have no other suites."""
    shown = Apt(failure, own).do("apt-get", "--print-uris", "update")
    found = re.findall(r"^'(\S+)/dists/([^\s/]+)/InRelease'", shown, re.MULTILINE)
    return list(dict.fromkeys(mirror for mirror, suite in found if not suite.endswith("-security")))


def unpack(package, tree):
    """What a kernel needs of the package: boot/ and lib/modules/."""
    with subprocess.Popen([find_program("dpkg-deb"), "--fsys-tarfile", package], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                path = re.sub(r"^(?:\./)?(?:usr/)?", "", member.name)
                wanted = re.match(r"boot/(?:vmlinuz|config)-|lib/modules/[^/]+/", path)
                if member.isfile() and wanted and not UNUSED_MODULES.search(path):
                    target = os.path.join(tree, path)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with open(target, "wb") as file:
                        shutil.copyfileobj(archive.extractfile(member), file)
    if process.returncode != 0:
        raise Problem(f"{os.path.basename(package)} cannot be unpacked: dpkg-deb failed")
