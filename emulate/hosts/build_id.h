// Which build of the program this is: the linker's build id, a hash of all that is in it. Two processes with the same
// build id lay out everything alike and mean the same by it.
#pragma once

#include <string>

namespace slipstream::emulate {

// Of the running executable, in hexadecimal; empty when it was linked without (-Wl,--build-id).
std::string build_id();

// The running executable's file. Throws std::runtime_error when it was replaced since it was started.
std::string own_program();

}  // namespace slipstream::emulate
