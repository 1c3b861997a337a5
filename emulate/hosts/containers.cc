#include "emulate/hosts/containers.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

#include "emulate/fabric/verbs/verbs.h"
#include "emulate/hosts/agents.h"
#include "emulate/hosts/build_id.h"
#include "emulate/hosts/container_engine.h"
#include "emulate/hosts/interrupt.h"

namespace slipstream::emulate {
namespace {

constexpr std::size_t kIdDigits = 12;      // of the build id, in an image's tag; make_image.sh takes as many
constexpr std::uint16_t kMostNodes = 250;  // in the 254 addresses of a network
constexpr int kFirstAddress = 2;           // .1 is the bridge's
// Half a second each as a rule; on an emulated processor some start within minutes.
constexpr TimeNs kStartLimit = 240 * kSecond;

// A run's network, with whatever is still in it at the end. A Ctrl-C that comes while it is made or removed ends the
// run once that is done.
class RunNetwork {
 public:
  explicit RunNetwork(const ContainerEngine& engine) : engine_(engine), run_(ContainerEngine::name_run()) {
    std::atomic<bool> stop{false};
    const InterruptGuard interrupt(stop);
    for (const std::string& run : engine_.abandoned()) engine_.remove(run);
    prefix_ = engine_.make_network(run_);
    signal_ = interrupt.signal();
  }
  ~RunNetwork() {
    std::atomic<bool> stop{false};
    const InterruptGuard interrupt(stop);
    try {
      if (const std::string left = engine_.remove(run_); !left.empty()) fmt::print(stderr, "slipstream: {}\n", left);
    } catch (const std::exception& problem) {
      fmt::print(stderr, "slipstream: the network {} was left behind: {}\n", run_, problem.what());
    }
  }
  RunNetwork(const RunNetwork&) = delete;
  RunNetwork& operator=(const RunNetwork&) = delete;

  const std::string& run() const { return run_; }
  std::string address(NodeId node) const { return fmt::format("{}.{}", prefix_, kFirstAddress + index(node)); }
  int signal() const { return signal_; }  // that came meanwhile; 0: none did

 private:
  const ContainerEngine& engine_;
  const std::string run_;
  std::string prefix_;
  int signal_ = 0;
};

// "server 0" in the run "slipstream-7" is the container "slipstream-7-server-0".
std::string container_name(const std::string& run, std::string node) {
  for (char& c : node) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '-';
  }
  return fmt::format("{}-{}", run, node);
}

// What containers need of this machine's RDMA device. Empty: they need none.
struct SharedDevice {
  std::string file;                    // "/dev/infiniband/uverbs0"
  std::string name;                    // "rxe0"
  std::vector<std::string> addresses;  // that nodes take in turn
};

std::string device_file(const std::string& device) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/sys/class/infiniband_verbs", error)) {
    std::ifstream file(entry.path() / "ibdev");
    std::string name;
    file >> name;
    fs::path found = fs::path("/dev/infiniband") / entry.path().filename();
    if (name == device && fs::exists(found, error)) return found;
  }
  throw std::runtime_error(fmt::format(
      "the RDMA device {} has no file in /dev/infiniband to give to containers; modprobe ib_uverbs, and see "
      "that udev or devtmpfs makes it",
      device));
}

SharedDevice shared_device(const EmulateOptions& options) {
  SharedDevice device;
  if (options.fabric != FabricKind::kVerbs) return device;
  device.addresses = verbs_addresses(options.device);
  for (const VerbsPort& port : verbs_ports()) {
    if (port.addresses == device.addresses) device.name = port.device;
  }
  device.file = device_file(device.name);
  return device;
}

}  // namespace

std::string default_image() {
  const std::string id = build_id().substr(0, kIdDigits);
  return fmt::format("slipstream:{}", id.empty() ? "latest" : id);
}

RunResult run_containers(const RunPlan& plan, const EmulateOptions& options) {
  if (plan.nodes > kMostNodes)
    throw std::runtime_error(
        fmt::format("{} nodes are too many for one network of containers, which takes {}; fewer servers or clients",
                    plan.nodes, kMostNodes));
  const ContainerEngine engine = ContainerEngine::find();
  const std::string image = options.image.empty() ? default_image() : options.image;
  engine.require_image(image);
  const SharedDevice device = shared_device(options);
  const RunNetwork network(engine);
  if (network.signal() != 0) {
    RunResult result;
    result.trouble = interrupted(network.signal());
    result.interrupted_by = network.signal();
    return result;
  }
  std::vector<Place> places;
  for (std::uint16_t i = 0; i < plan.nodes; ++i) {
    ContainerEngine::Container container;
    container.name = container_name(network.run(), plan.name(NodeId{i}));
    container.run = network.run();
    container.address = network.address(NodeId{i});
    container.image = image;
    if (!device.file.empty()) container.devices = {device.file};
    Place place;
    place.name = fmt::format("container {}", container.name);
    place.command = engine.command(container);
    place.program = "slipstream";
    place.address = container.address;
    if (!device.file.empty()) {
      place.device = device.name;
      place.rdma_address = device.addresses[i % device.addresses.size()];
    }
    place.remedy = [&engine, &image](int status, const std::string& words) {
      return engine.remedy(status, words, image);
    };
    place.update = fmt::format("it is in the image {}; `./slipstream image` makes one of this build", image);
    places.push_back(std::move(place));
  }
  EmulateOptions patient = options;
  patient.answer_limit_ns = std::max(options.answer_limit_ns, kStartLimit);
  return run_agents(plan, patient, places);
}

}  // namespace slipstream::emulate
