#include "emulate/fabric/verbs/device.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "emulate/fabric/verbs/verbs.h"

namespace slipstream::emulate {
namespace {

using verbs::Device;
using verbs::Owned;

constexpr std::string_view kHowToGetOne =
    "load SoftRoCE (modprobe rdma_rxe; rdma link add rxe0 type rxe netdev eth0), or run in a virtual machine that has "
    "it (--hosts vm)";

class DeviceList {
 public:
  DeviceList() : list_(ibv_get_device_list(&count_)) {}
  ~DeviceList() {
    if (list_ != nullptr) ibv_free_device_list(list_);
  }
  DeviceList(const DeviceList&) = delete;
  DeviceList& operator=(const DeviceList&) = delete;
  ibv_device* const* begin() const { return list_; }
  ibv_device* const* end() const { return list_ == nullptr ? nullptr : list_ + count_; }

 private:
  int count_ = 0;
  ibv_device** list_;
};

// An IPv4 address as GIDs carry it: ::ffff:a.b.c.d.
std::optional<std::string> ipv4_of(const ibv_gid& gid) {
  static constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(gid.raw, kMapped.data(), kMapped.size()) != 0) return std::nullopt;
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, gid.raw + 12, text, sizeof text);
}

std::string text_of(const ibv_gid& gid) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, gid.raw, text, sizeof text);
}

struct Candidate {
  std::uint32_t index = 0;
  ibv_gid gid{};
  std::optional<std::string> address;
};

// The GIDs of a port that can be used: RoCE v2, or InfiniBand's own.
std::vector<Candidate> gids_of(ibv_context* context, std::uint32_t port, const ibv_port_attr& attributes) {
  std::vector<Candidate> found;
  for (int i = 0; i < attributes.gid_tbl_len; ++i) {
    ibv_gid_entry entry{};
    if (ibv_query_gid_ex(context, port, static_cast<std::uint32_t>(i), &entry, 0) != 0) continue;
    if (entry.gid_type == IBV_GID_TYPE_ROCE_V1) continue;
    found.push_back({entry.gid_index, entry.gid, ipv4_of(entry.gid)});
  }
  return found;
}

bool has_windows(const ibv_device_attr& attributes) {
  return (attributes.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B) != 0 && attributes.max_mw > 0;
}

std::string names_of(const DeviceList& devices) {
  std::vector<std::string> names;
  for (ibv_device* const device : devices) names.emplace_back(ibv_get_device_name(device));
  return fmt::format("{}", fmt::join(names, ", "));
}

// Looks for a port of one device; notes what it saw when there is none that fits.
bool choose_port(Device& device, const std::string& address, std::vector<std::string>& seen) {
  for (std::uint8_t port = 1; port <= device.attributes.phys_port_cnt; ++port) {
    ibv_port_attr attributes{};
    if (ibv_query_port(device.context.get(), port, &attributes) != 0) continue;
    if (attributes.state != IBV_PORT_ACTIVE) {
      seen.push_back(fmt::format("port {} of {} is down (its link, or its network interface: ip link set ... up)", port,
                                 device.name));
      continue;
    }
    for (const Candidate& candidate : gids_of(device.context.get(), port, attributes)) {
      const bool fits = address.empty() || candidate.address == address ||
                        (attributes.link_layer == IBV_LINK_LAYER_INFINIBAND && !device.name.empty());
      if (!fits) {
        if (candidate.address) seen.push_back(fmt::format("{} has {}", device.name, *candidate.address));
        continue;
      }
      device.port = port;
      device.port_attributes = attributes;
      device.gid_index = candidate.index;
      device.gid = candidate.gid;
      return true;
    }
  }
  return false;
}

// A device that was opened, without its port yet. Throws when it has no rights to, or cannot do what is needed.
Device open_context(ibv_device* listed) {
  Device device;
  device.name = ibv_get_device_name(listed);
  errno = 0;
  device.context.reset(ibv_open_device(listed));
  if (!device.context) {
    const int error = errno;
    throw std::runtime_error(
        fmt::format("cannot open the RDMA device {}: {}", device.name,
                    error == EACCES || error == EPERM
                        ? "no rights to its file in /dev/infiniband; give the user or container the device"
                        : fmt::format("{}; is its provider there (package ibverbs-providers)?", std::strerror(error))));
  }
  if (const int problem = ibv_query_device(device.context.get(), &device.attributes); problem != 0) {
    throw std::runtime_error(fmt::format("cannot query the RDMA device {}: {}", device.name, std::strerror(problem)));
  }
  return device;
}

void make_domain(Device& device) {
  if (!has_windows(device.attributes)) {
    throw std::runtime_error(fmt::format(
        "the RDMA device {} has no memory windows of type 2B, by which a peer is kept to its own buffers; use another "
        "device, a newer kernel or firmware, or tcp",
        device.name));
  }
  device.domain.reset(ibv_alloc_pd(device.context.get()));
  if (!device.domain) {
    throw std::runtime_error(fmt::format("no protection domain on {}: {}", device.name, verbs::remedy(errno)));
  }
}

}  // namespace

std::vector<VerbsPort> verbs_ports() {
  std::vector<VerbsPort> ports;
  const DeviceList devices;
  for (ibv_device* const listed : devices) {
    VerbsPort found;
    found.device = ibv_get_device_name(listed);
    try {
      const Device device = open_context(listed);
      found.has_windows = has_windows(device.attributes);
      for (std::uint8_t port = 1; port <= device.attributes.phys_port_cnt; ++port) {
        ibv_port_attr attributes{};
        if (ibv_query_port(device.context.get(), port, &attributes) != 0) continue;
        found.port = port;
        found.is_active = attributes.state == IBV_PORT_ACTIVE;
        found.addresses.clear();
        found.other_gids.clear();
        for (const Candidate& candidate : gids_of(device.context.get(), port, attributes)) {
          if (candidate.address) {
            found.addresses.push_back(*candidate.address);
          } else {
            found.other_gids.push_back(text_of(candidate.gid));
          }
        }
        ports.push_back(found);
      }
    } catch (const std::runtime_error& problem) {
      found.trouble = problem.what();
      ports.push_back(found);
    }
  }
  return ports;
}

std::vector<std::string> verbs_addresses(const std::string& device) {
  std::string seen;
  for (const VerbsPort& port : verbs_ports()) {
    if (!device.empty() && port.device != device) {
      seen += (seen.empty() ? "" : ", ") + port.device;
      continue;
    }
    if (!port.trouble.empty()) throw std::runtime_error(port.trouble);
    if (port.is_active && !port.addresses.empty()) return port.addresses;
  }
  if (!device.empty() && !seen.empty()) {
    throw std::runtime_error(
        fmt::format("no RDMA device is called \"{}\" or it has no IPv4 address; there is {}", device, seen));
  }
  throw std::runtime_error(fmt::format("no RDMA device with an active port and an IPv4 address; {}", kHowToGetOne));
}

namespace verbs {

std::string remedy(int error) {
  switch (error) {
    case ENOMEM:
      return "not enough lockable memory or queue space; raise the limit (ulimit -l unlimited), or make logs and "
             "buffers smaller";
    case EACCES:
    case EPERM: return "no rights; run as root, or give the user the device and the limit memlock";
    default: return std::strerror(error);
  }
}

Device open_device(const std::string& name, const std::string& address) {
  const DeviceList devices;
  std::vector<std::string> seen;
  std::string trouble;
  bool named = false;
  for (ibv_device* const listed : devices) {
    if (!name.empty() && name != ibv_get_device_name(listed)) continue;
    named = true;
    try {
      Device device = open_context(listed);
      if (!choose_port(device, address, seen)) continue;
      make_domain(device);
      return device;
    } catch (const std::runtime_error& problem) {
      if (trouble.empty()) trouble = problem.what();
    }
  }
  if (!trouble.empty()) throw std::runtime_error(trouble);
  if (devices.begin() == devices.end()) {
    throw std::runtime_error(fmt::format("this machine has no RDMA device; {}", kHowToGetOne));
  }
  if (!named) {
    throw std::runtime_error(fmt::format("no RDMA device is called \"{}\"; there is {}", name, names_of(devices)));
  }
  throw std::runtime_error(
      fmt::format("no RDMA device has the address {}: {}; name an address of a device, or give the device's network "
                  "interface this one (ip address add)",
                  address, seen.empty() ? "none has an IPv4 address" : fmt::format("{}", fmt::join(seen, ", "))));
}

Owned<ibv_mr> register_memory(const Device& device, void* data, std::size_t bytes, bool grantable) {
  const int access = IBV_ACCESS_LOCAL_WRITE | (grantable ? IBV_ACCESS_MW_BIND : 0);
  Owned<ibv_mr> region(ibv_reg_mr(device.domain.get(), data, bytes, access));
  if (!region) {
    throw std::runtime_error(
        fmt::format("cannot register {} bytes of memory with {}: {}", bytes, device.name, remedy(errno)));
  }
  return region;
}

}  // namespace verbs
}  // namespace slipstream::emulate
