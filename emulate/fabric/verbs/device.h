// An RDMA device as one node uses it: context, protection domain, port, and the GID that peers reach it at. The GID is
// found by its address and type, never by its index, which differs from machine to machine.
#pragma once

#include <infiniband/verbs.h>

#include <cstdint>
#include <memory>
#include <string>

namespace slipstream::emulate::verbs {

struct Close {
  void operator()(ibv_context* context) const { ibv_close_device(context); }
  void operator()(ibv_pd* domain) const { ibv_dealloc_pd(domain); }
  void operator()(ibv_comp_channel* channel) const { ibv_destroy_comp_channel(channel); }
  void operator()(ibv_cq* queue) const { ibv_destroy_cq(queue); }
  void operator()(ibv_qp* pair) const { ibv_destroy_qp(pair); }
  void operator()(ibv_mr* region) const { ibv_dereg_mr(region); }
  void operator()(ibv_mw* window) const { ibv_dealloc_mw(window); }
};
template <typename T>
using Owned = std::unique_ptr<T, Close>;

struct Device {
  Owned<ibv_context> context;
  Owned<ibv_pd> domain;
  std::string name;
  ibv_device_attr attributes{};
  std::uint8_t port = 0;
  ibv_port_attr port_attributes{};
  std::uint32_t gid_index = 0;
  ibv_gid gid{};
};

// `name` empty: any device; `address` empty: any GID. Throws std::runtime_error with cause and remedy.
Device open_device(const std::string& name, const std::string& address);

// Registers memory for use by this process's own ops, and for windows when `grantable`. Throws with a remedy.
Owned<ibv_mr> register_memory(const Device& device, void* data, std::size_t bytes, bool grantable);

// "error: what to do", for the errors that users meet.
std::string remedy(int error);

}  // namespace slipstream::emulate::verbs
