// What the nodes of one run know and nobody else: a fabric that listens on a socket takes in only who can tell it. The
// host of a run makes it and passes it on over pipes and memory alone; it is in no command line, environment, log or
// file.
//
// It keeps out what connects by mistake or out of curiosity: a node of another run, a port scan. As it is sent as it
// is, it does not keep out who can read the network's traffic.
#pragma once

#include <array>
#include <cstddef>

namespace slipstream::emulate {

using RunSecret = std::array<std::byte, 16>;

// From the kernel's generator. Throws std::runtime_error when that has none to give.
RunSecret make_run_secret();

// Takes the same time whatever differs.
bool is_same(const RunSecret& a, const RunSecret& b);

}  // namespace slipstream::emulate
