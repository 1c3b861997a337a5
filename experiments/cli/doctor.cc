#include "experiments/cli/doctor.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "emulate/fabric/real_fabric.h"
#include "emulate/fabric/verbs/verbs.h"
#include "emulate/hosts/command.h"
#include "emulate/hosts/container_engine.h"
#include "emulate/hosts/containers.h"
#include "experiments/cli/guest.h"
#include "experiments/cli/json.h"
#include "experiments/cli/paths.h"
#include "experiments/cli/summary.h"

namespace slipstream::cli {
namespace {

namespace fs = std::filesystem;
using emulate::CommandOutcome;
using emulate::run_command;

constexpr TimeNs kQuick = 10 * kSecond;
constexpr TimeNs kProbe = 30 * kSecond;
constexpr const char* kInGuest = "run in a virtual machine (--hosts vm)";
// Older kernels corrupt what SoftRoCE sends again.
constexpr int kSoundSoftRoce[] = {6, 1, 53};
// From here on an RDMA device can live in a network namespace.
constexpr int kNamespaceSoftRoce[] = {7, 1, 0};

Finding good(std::string what, std::string detail) { return {std::move(what), true, std::move(detail), {}}; }
Finding bad(std::string what, std::string why, std::string remedy) {
  return {std::move(what), false, std::move(why), std::move(remedy)};
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string kernel_release() {
  utsname system{};
  ::uname(&system);
  return system.release;
}

bool kernel_is_at_least(const int (&wanted)[3]) {
  int found[3] = {};
  std::sscanf(kernel_release().c_str(), "%d.%d.%d", &found[0], &found[1], &found[2]);
  return !std::lexicographical_compare(found, found + 3, wanted, wanted + 3);
}

// Loaded, built in, or there to be loaded.
bool has_module(const std::string& module) {
  std::error_code ignored;
  return fs::exists("/sys/module/" + module, ignored) ||
         run_command({"modprobe", "-n", "-q", module}, kQuick).status == 0;
}

Finding examine_shm() {
  struct statvfs shared {};
  if (::statvfs("/dev/shm", &shared) != 0) {
    return bad("shm", fmt::format("there is no /dev/shm ({})", std::strerror(errno)),
               "mount one: mount -t tmpfs tmpfs /dev/shm");
  }
  if (::access("/dev/shm", W_OK) != 0) return bad("shm", "/dev/shm cannot be written", "chmod 1777 /dev/shm");
  const double free = static_cast<double>(shared.f_bavail) * static_cast<double>(shared.f_frsize);
  constexpr double kLeast = 256.0 * kMiB;
  if (free < kLeast) {
    return bad("shm", fmt::format("/dev/shm has only {:.0f} MiB free", free / kMiB),
               "make it larger (mount -o remount,size=4G /dev/shm) or remove what fills it");
  }
  return good("shm", fmt::format("{:.1f} GiB free in /dev/shm", free / kGiB));
}

Finding examine_tcp() {
  try {
    const emulate::TcpListener listener = emulate::listen_tcp("127.0.0.1:0");
    ::close(listener.descriptor);
  } catch (const std::runtime_error& problem) {
    return bad("tcp", problem.what(), "is the loopback interface up? ip link set lo up");
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  return good("tcp", fmt::format("kernel sockets; at most {} open files", files.rlim_cur));
}

Finding no_rdma_device() {
  const std::string release = kernel_release();
  if (has_module("rdma_rxe")) {
    return bad("verbs", "the kernel has SoftRoCE, but there is no RDMA device",
               "modprobe rdma_rxe; rdma link add rxe0 type rxe netdev eth0 (your network interface)");
  }
  const bool is_cloud = release.find("cloud") != std::string::npos;
  return bad(
      "verbs",
      fmt::format("no RDMA device, and the kernel {} has no rdma_rxe module (SoftRoCE){}", release,
                  is_cloud ? "; cloud kernels lack it" : ""),
      fmt::format("{}, or {}",
                  is_cloud ? "install the full kernel (linux-image-amd64; Ubuntu: linux-modules-extra) and boot it"
                           : "boot a kernel that has it",
                  kInGuest));
}

Finding examine_verbs() {
  std::vector<std::string> usable, troubles;
  for (const emulate::VerbsPort& port : emulate::verbs_ports()) {
    if (!port.trouble.empty()) {
      troubles.push_back(port.trouble);
    } else if (!port.is_active) {
      troubles.push_back(fmt::format("port {} of {} is down: set its network interface up, or connect its link",
                                     port.port, port.device));
    } else if (!port.has_windows) {
      troubles.push_back(fmt::format("{} has no memory windows of type 2B", port.device));
    } else if (port.addresses.empty()) {
      troubles.push_back(
          fmt::format("{} has no RoCE v2 GID of an IPv4 address: give its network interface one (ip "
                      "address add)",
                      port.device));
    } else {
      usable.push_back(fmt::format("{} ({})", port.device, fmt::join(port.addresses, ", ")));
    }
  }
  if (usable.empty() && troubles.empty()) return no_rdma_device();
  if (usable.empty()) return bad("verbs", fmt::format("{}", fmt::join(troubles, "; ")), kInGuest);
  rlimit locked{};
  ::getrlimit(RLIMIT_MEMLOCK, &locked);
  if (locked.rlim_cur != RLIM_INFINITY && ::geteuid() != 0) {
    return bad("verbs", fmt::format("only {} KiB of memory may be locked", locked.rlim_cur / kKiB),
               "ulimit -l unlimited, or memlock in /etc/security/limits.conf");
  }
  if (usable.front().starts_with("rxe") && !kernel_is_at_least(kSoundSoftRoce)) {
    return bad("verbs", fmt::format("SoftRoCE of the kernel {} corrupts what it sends again", kernel_release()),
               "boot a kernel of 6.1.53 or later");
  }
  return good("verbs", fmt::format("{}", fmt::join(usable, "; ")));
}

Finding examine_vm() {
  const std::string script = (repository_root() / "emulate/hosts/vm/vm.py").string();
  for (const auto& [program, package] : {std::pair("qemu-system-x86_64", "qemu-system-x86"),
                                         std::pair("busybox", "busybox-static"), std::pair("rdma", "iproute2")}) {
    if (run_command({"sh", "-c", fmt::format("PATH=$PATH:/usr/sbin:/sbin command -v {}", program)}, kQuick).status != 0)
      return bad("vm", fmt::format("{} is missing", program), fmt::format("apt-get install {}", package));
  }
  if (!guest_text().empty()) return bad("vm", "this is the virtual machine already", "");
  const CommandOutcome probe = run_command({"/usr/bin/python3", script, "probe"}, kProbe);
  const Json told = Json::parse(probe.output, nullptr, false);
  if (probe.status != 0 || told.is_discarded() || !told.contains("accel")) {
    return bad("vm", probe.errors.empty() ? "vm.py probe failed" : first_line(probe.errors), "");
  }
  if (told.at("accel") == "kvm") return good("vm", "with hardware virtualisation");
  return good("vm", fmt::format("processor emulated, several times slower: {}", told.value("why", "no /dev/kvm")));
}

Finding examine_containers() {
  try {
    const auto engine = emulate::ContainerEngine::find();
    const std::string image = emulate::default_image();
    try {
      engine.require_image(image);
    } catch (const std::runtime_error& problem) {
      return bad("containers", fmt::format("{} is there; {}", engine.program(), problem.what()), "");
    }
    return good("containers", fmt::format("{}, image {}", engine.program(), image));
  } catch (const std::runtime_error& problem) {
    return bad("containers", problem.what(), "");
  }
}

// Tries what an emulated network needs of the kernel in a namespace that ends with the trial.
std::optional<std::pair<std::string, std::string>> missing_for_mininet() {
  if (::geteuid() != 0) return std::pair("not root", "run as root");
  const std::pair<const char*, std::pair<const char*, const char*>> trials[] = {
      {"true", {"no network namespace can be made", "run outside of a container, or in one that is privileged"}},
      {"ip link add b0 type bridge", {"the kernel has no bridges", "modprobe bridge"}},
      {"ip link add v0 type veth peer name v1", {"the kernel has no veth", "modprobe veth"}},
      {"ip link add v0 type veth peer name v1 && tc qdisc add dev v0 root netem delay 1ms",
       {"the kernel cannot delay packets (sch_netem)", "modprobe sch_netem"}},
      {"ip link add v0 type veth peer name v1 && tc qdisc add dev v0 root handle 1: htb",
       {"the kernel cannot limit bandwidth (sch_htb)", "modprobe sch_htb"}}};
  for (const auto& [trial, told] : trials) {
    if (run_command({"unshare", "-n", "sh", "-c", trial}, kQuick).status != 0)
      return std::pair(std::string(told.first), fmt::format("{}, or {}", told.second, kInGuest));
  }
  if (run_command({"/usr/bin/python3", "-c", "import mininet"}, kQuick).status != 0)
    return std::pair(std::string("Mininet is missing"), std::string("apt-get install mininet bridge-utils net-tools"));
  return std::nullopt;
}

Finding examine_mininet() {
  if (const auto missing = missing_for_mininet()) return bad("mininet", missing->first, missing->second);
  return good("mininet", kernel_is_at_least(kNamespaceSoftRoce)
                             ? "tcp, and verbs with an RDMA device for each host"
                             : fmt::format("tcp; verbs need a kernel of 7.1 or later, this is {}", kernel_release()));
}

Finding examine_ssh() {
  if (run_command({"ssh", "-V"}, kQuick).status != 0)
    return bad("ssh", "there is no ssh", "apt-get install openssh-client");
  return good("ssh", "ssh is there; the machines are those of the spec (/emulate/machines)");
}

Json json_of(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings) {
    list.push_back(
        {{"what", finding.what}, {"works", finding.works}, {"detail", finding.detail}, {"remedy", finding.remedy}});
  }
  return list;
}

void print(const char* title, const std::vector<Finding>& findings) {
  constexpr std::size_t kIndent = 15;
  fmt::print("{}\n", title);
  for (const Finding& finding : findings) {
    fmt::print("  {} {:<10} {}\n", finding.works ? "✓" : "✗", finding.what, wrapped(finding.detail, kIndent));
    if (!finding.remedy.empty()) fmt::print("{:{}}→ {}\n", "", kIndent, wrapped(finding.remedy, kIndent + 2));
  }
}

}  // namespace

std::vector<Finding> examine_fabrics() {
  return {good("sim", "the simulator works everywhere"), examine_shm(), examine_tcp(), examine_verbs()};
}

std::vector<Finding> examine_hosts() {
  return {good("packed", "all nodes in one process"),
          good("processes", "a process for each node"),
          examine_vm(),
          examine_containers(),
          examine_mininet(),
          examine_ssh()};
}

int doctor_command(bool json) {
  const std::vector<Finding> fabrics = examine_fabrics();
  const std::vector<Finding> hosts = examine_hosts();
  if (json) {
    fmt::print("{}\n", Json{{"fabrics", json_of(fabrics)}, {"hosts", json_of(hosts)}}.dump(2));
    return 0;
  }
  print("Fabrics (--on)", fabrics);
  print("\nHosts (--hosts)", hosts);
  return 0;
}

}  // namespace slipstream::cli
