// `slipstream doctor`: which fabrics and hosts work on this machine, and for each that does not, why and what to do.
// Nothing is assumed that can be tried: kernel features are tried in a network namespace of the doctor's own, hardware
// virtualisation by a guest. Nothing of the machine is changed.
#pragma once

#include <string>
#include <vector>

namespace slipstream::cli {

struct Finding {
  std::string what;  // "verbs", "mininet"
  bool works = false;
  std::string detail;  // how it works, or why it does not
  std::string remedy;  // empty: nothing to be done
};

// Of every fabric, then of every kind of hosts.
std::vector<Finding> examine_fabrics();
std::vector<Finding> examine_hosts();

// Prints them; returns the exit status, 0 whatever was found.
int doctor_command(bool json);

}  // namespace slipstream::cli
