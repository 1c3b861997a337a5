#include "emulate/hosts/container_engine.h"

#include <linux/magic.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

namespace slipstream::emulate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRunPrefix = "slipstream-";
constexpr rlim_t kLimit = 4096;  // of files and of threads, where the engine's default is refused
constexpr int kSubnets = 16;     // tried before none is found free
// For the engine to answer. It takes a second, and a hundred times that on a processor that is emulated and busy.
constexpr TimeNs kPatience = 180 * kSecond;
constexpr const char* kStore = "/var/lib/containers/storage";  // podman's, of root
constexpr std::string_view kOwnFolder = "/run/slipstream-containers";
constexpr std::string_view kInstall =
    "on Debian: apt-get install --no-install-recommends podman runc netavark aardvark-dns iptables";

bool exists(const char* path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool in_path(const std::string& program) {
  const char* const path = std::getenv("PATH");
  std::stringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// The bit of CapEff in /proc/self/status.
bool may_raise_limits() {
  constexpr int kCapSysResource = 24;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapEff:")) return (std::stoull(line.substr(7), nullptr, 16) >> kCapSysResource & 1) != 0;
  }
  return false;
}

// As high as it may be and no higher than a node needs: podman lowers some of its own limits, and cannot give more.
std::string limit(std::string_view name, int resource, rlim_t enough) {
  rlimit own = {};
  getrlimit(static_cast<__rlimit_resource_t>(resource), &own);
  const rlim_t given = std::min(own.rlim_max, enough);
  const std::string number = given == RLIM_INFINITY ? "-1" : fmt::format("{}", given);
  return fmt::format("{}={}:{}", name, number, number);
}

// A tmpfs takes no memory before it is used; so a container's may grow as large as this machine's.
std::string shared_memory_bytes() {
  struct statvfs shm = {};
  if (statvfs("/dev/shm", &shm) != 0 || shm.f_blocks == 0) return "1073741824";
  return fmt::format("{}", static_cast<std::uint64_t>(shm.f_blocks) * shm.f_frsize);
}

// In clock ticks since the machine started; tells apart two processes that got the same number. Empty: there is none.
std::string start_time(const std::string& pid) {
  constexpr int kField = 22;
  std::ifstream stat("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  const std::size_t name_end = text.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return {};
  std::stringstream rest(text.substr(name_end + 1));
  std::string word;
  rest >> word;
  if (word == "Z" || word == "X") return {};  // dead; whoever should notice has not
  for (int field = 4; field <= kField; ++field) rest >> word;
  return word;
}

std::string host_label() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return fmt::format("slipstream.host={}", name);
}
std::string run_label(const std::string& run) { return fmt::format("slipstream.run={}", run); }

// "slipstream-PID-START-NUMBER"
bool driver_lives(const std::string& run) {
  std::stringstream parts(run.substr(kRunPrefix.size()));
  std::string pid;
  std::string start;
  std::getline(parts, pid, '-');
  std::getline(parts, start, '-');
  return !start.empty() && start_time(pid) == start;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::stringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// The engine's message on one line, as part of ours.
std::string message(const CommandOutcome& outcome) {
  std::string text = outcome.errors.empty() ? outcome.output : outcome.errors;
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.empty() ? fmt::format("status {}", outcome.status) : text;
}

bool says(const CommandOutcome& outcome, std::initializer_list<std::string_view> any) {
  std::string text = outcome.errors;
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::any_of(any.begin(), any.end(), [&](std::string_view s) { return text.find(s) != std::string::npos; });
}

std::string rights_remedy(const CommandOutcome& outcome) {
  if (says(outcome, {"permission denied", "operation not permitted"}))
    return "; run as root, or as a user who may use the engine";
  if (says(outcome, {"daemon", "connect to"})) return "; start its daemon, or install podman, which needs none";
  return {};
}

// So it is in a virtual machine on its host's root: the images are there, but what is written to that folder lies in an
// overlay, over which the overlays of containers cannot lie.
bool only_images_can_be_used() {
  struct statfs store = {};
  struct statfs own = {};
  if (statfs(kStore, &store) != 0 || statfs("/run", &own) != 0 || own.f_type != TMPFS_MAGIC) return false;
  return store.f_type == OVERLAYFS_SUPER_MAGIC;
}

}  // namespace

ContainerEngine ContainerEngine::find() {
  const char* const named = std::getenv("SLIPSTREAM_CONTAINER_ENGINE");
  std::vector<std::string> candidates = {"podman", "docker"};
  if (named != nullptr && *named != '\0') candidates = {named};
  for (const std::string& program : candidates) {
    const CommandOutcome version = run_command({program, "--version"});
    if (version.status == 0) return ContainerEngine(program, version.output.starts_with("podman"));
    if (candidates.size() == 1)
      throw std::runtime_error(
          fmt::format("SLIPSTREAM_CONTAINER_ENGINE names {}, which cannot be run: {}", program, message(version)));
  }
  throw std::runtime_error(fmt::format("no container engine: neither podman nor docker is installed; {}", kInstall));
}

void ContainerEngine::keep_store_in_memory() {
  store_is_in_memory_ = true;
  const std::vector<std::string> options = {"--root",
                                            fmt::format("{}/storage", kOwnFolder),
                                            "--storage-driver",
                                            "overlay",
                                            "--storage-opt",
                                            fmt::format("overlay.imagestore={}", kStore),
                                            "--network-config-dir",
                                            fmt::format("{}/networks", kOwnFolder)};
  globals_.insert(globals_.end(), options.begin(), options.end());
}

// A store of images only is not searched for short names.
std::string ContainerEngine::stored(const std::string& image) const {
  return store_is_in_memory_ && image.find('/') == std::string::npos ? "localhost/" + image : image;
}

// Podman asks for what an ordinary server has: unified cgroups, systemd, the right to raise limits. Where one of them
// is missing, its defaults fail, and these do not.
ContainerEngine::ContainerEngine(std::string program, bool is_podman)
    : program_(std::move(program)), is_podman_(is_podman) {
  if (!is_podman_) return;  // a daemon's defaults are the daemon's business
  if (!exists("/sys/fs/cgroup/cgroup.controllers") && in_path("runc")) globals_ = {"--runtime", "runc"};
  if (!exists("/run/systemd/system")) globals_.push_back("--cgroup-manager=cgroupfs");
  if (only_images_can_be_used()) keep_store_in_memory();
  if (!may_raise_limits())
    limits_ = {"--ulimit", limit("nofile", RLIMIT_NOFILE, kLimit), "--ulimit", limit("nproc", RLIMIT_NPROC, kLimit)};
}

CommandOutcome ContainerEngine::ask(std::vector<std::string> words) const {
  words.insert(words.begin(), globals_.begin(), globals_.end());
  words.insert(words.begin(), program_);
  return run_command(words, kPatience);
}

void ContainerEngine::require_image(const std::string& image) const {
  const CommandOutcome outcome = ask({"image", "inspect", "--format", "{{.Id}}", stored(image)});
  if (outcome.status == 0) return;
  if (says(outcome, {"no such image", "image not known"}))
    throw std::runtime_error(
        fmt::format("{} has no image {}; `./slipstream image` makes the one of this build", program_, image));
  throw std::runtime_error(
      fmt::format("{} does not work here: {}{}", program_, message(outcome), rights_remedy(outcome)));
}

std::string ContainerEngine::make_network(const std::string& run) const {
  CommandOutcome outcome;
  for (int i = 0; i < kSubnets; ++i) {
    const std::string prefix = fmt::format("10.213.{}", (getpid() + i) % 256);
    std::vector<std::string> words = {"network", "create",     "--internal", "--subnet",     prefix + ".0/24",
                                      "--label", host_label(), "--label",    run_label(run), run};
    if (is_podman_) words.insert(words.end() - 1, "--disable-dns");
    outcome = ask(words);
    if (outcome.status == 0) return prefix;
    if (!says(outcome, {"already used", "overlap", "already being used"})) break;
  }
  std::string remedy = rights_remedy(outcome);
  if (says(outcome, {"netavark", "plugin", "cni"})) remedy = fmt::format("; {}", kInstall);
  throw std::runtime_error(fmt::format("{} cannot make a network: {}{}", program_, message(outcome), remedy));
}

std::vector<std::string> ContainerEngine::command(const Container& container) const {
  std::vector<std::string> words = {program_};
  const auto add = [&words](const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  add(globals_);
  add({"run", "--rm", "--interactive", "--pull", "never", "--log-driver", "none"});
  add({"--name", container.name, "--hostname", container.name, "--label", host_label()});
  add({"--label", run_label(container.run), "--network", container.run, "--ip", container.address});
  add({"--shm-size", shared_memory_bytes()});
  add(limits_);
  if (!container.devices.empty()) {
    add({"--cap-add", "IPC_LOCK", "--ulimit",
         limits_.empty() ? "memlock=-1:-1" : limit("memlock", RLIMIT_MEMLOCK, RLIM_INFINITY)});
    for (const std::string& device : container.devices) add({"--device", device});
  }
  words.push_back(stored(container.image));
  return words;
}

std::string ContainerEngine::remedy(int status, const std::string& errors, const std::string& image) const {
  constexpr int kCannotBeRun = 126;
  constexpr int kNoProgram = 127;
  const CommandOutcome outcome{status, {}, errors};
  if (says(outcome, {"netavark: no such file", "iptables"})) return std::string(kInstall);
  if (status == kNoProgram || status == kCannotBeRun)
    return fmt::format("the image {} holds no slipstream that runs; `./slipstream image` makes one that does", image);
  if (says(outcome, {"address already", "already allocated", "already in use"}))
    return "another container has its name or address; run again";
  if (says(outcome, {"no space left"})) return fmt::format("make room where {} keeps its containers", program_);
  if (const std::string rights = rights_remedy(outcome); !rights.empty()) return rights.substr(2);
  return {};
}

std::string ContainerEngine::remove(const std::string& run) const {
  // A container whose process has ended is being removed by the engine at this moment; it may be there or not.
  const CommandOutcome listed = ask({"ps", "--all", "--quiet", "--filter", "label=" + run_label(run)});
  for (const std::string& id : lines_of(listed.output)) {
    std::vector<std::string> words = {"rm", "--force", id};
    if (is_podman_) words.insert(words.end() - 1, {"--time", "0", "--ignore"});
    ask(words);
  }
  const CommandOutcome outcome = ask({"network", "rm", run});
  if (outcome.status == 0 || says(outcome, {"not found", "no such network"})) return {};
  return fmt::format("{} left the network {} behind: {}; remove it: {} network rm {}", program_, run, message(outcome),
                     program_, run);
}

std::vector<std::string> ContainerEngine::abandoned() const {
  const CommandOutcome listed = ask({"network", "ls", "--filter", "label=" + host_label(), "--format", "{{.Name}}"});
  std::vector<std::string> runs = lines_of(listed.output);
  std::erase_if(runs, [](const std::string& run) { return !run.starts_with(kRunPrefix) || driver_lives(run); });
  return runs;
}

std::string ContainerEngine::name_run() {
  static int number = 0;
  const std::string pid = fmt::format("{}", getpid());
  return fmt::format("{}{}-{}-{}", kRunPrefix, pid, start_time(pid), ++number);
}

}  // namespace slipstream::emulate
