// podman or docker as a program: finds it, words its command lines, makes and removes what a run needs. Knows where the
// two differ, and which of podman's defaults cannot work on the machine at hand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "emulate/hosts/command.h"

namespace slipstream::emulate {

class ContainerEngine {
 public:
  // podman, else docker, or what SLIPSTREAM_CONTAINER_ENGINE names. Throws std::runtime_error with the remedy when
  // there is none.
  static ContainerEngine find();

  // Throws with the remedy when the image is not there.
  void require_image(const std::string& image) const;

  // A bridge that leads nowhere else, for the run. Returns the first three numbers of its addresses, "10.213.7": .1 is
  // the bridge's own. Throws with the remedy.
  std::string make_network(const std::string& run) const;

  // What a container of the run is.
  struct Container {
    std::string name;
    std::string run;
    std::string address;  // in the run's network
    std::string image;
    std::vector<std::string> devices;  // of /dev, verbs: "/dev/infiniband/uverbs0"
  };
  // Starts it in the foreground with the words appended to these; it is removed when that process ends.
  std::vector<std::string> command(const Container& container) const;

  // What can be done when a container's command ended with this status before its process said a word; empty: not
  // known.
  std::string remedy(int status, const std::string& errors, const std::string& image) const;

  // The containers of a run, then its network. Says nothing of those that are gone already; what could not be removed
  // comes back in words, empty when all is well.
  std::string remove(const std::string& run) const;
  // Runs of drivers on this machine that are not alive any more.
  std::vector<std::string> abandoned() const;

  // A name for a run of this process, different each time.
  static std::string name_run();

  const std::string& program() const { return program_; }

 private:
  ContainerEngine(std::string program, bool is_podman);

  void keep_store_in_memory();
  std::string stored(const std::string& image) const;
  CommandOutcome ask(std::vector<std::string> words) const;

  std::string program_;
  bool is_podman_;
  bool store_is_in_memory_ = false;   // podman's
  std::vector<std::string> globals_;  // podman's own options, before its command
  std::vector<std::string> limits_;   // of a container, where the engine's defaults are refused
};

}  // namespace slipstream::emulate
