// The whole program: parses the command line, does what was asked, tells a user's mistake on one line of stderr.
#pragma once

namespace slipstream::cli {

// Returns the exit status (experiment.h). Throws nothing.
int command_line(int argc, const char* const* argv);

}  // namespace slipstream::cli
