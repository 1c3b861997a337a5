// The TCP side of verbs channels: brings two ends together to exchange what their queue pairs need, and stays connected
// for as long as the channel lives, so that a peer's death is known at once, not after the card's retries.
//
//   connecting end: connect, Greeting ->             <- Greeting, kReadyWord ->
//   accepting end:             accept, <- Greeting   -> Greeting          <- kReadyWord
//
// A stranger that says nothing is shown out after a while; one that says the wrong thing at once.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/units.h"
#include "emulate/fabric/file_descriptor.h"
#include "emulate/fabric/verbs/wire.h"

namespace slipstream::emulate::verbs {

class VerbsChannel;

struct Link {
  enum class State : std::uint8_t { kWaiting, kConnecting, kGreeting, kReady, kUp, kClosed };

  State state = State::kGreeting;
  bool connects = false;            // this end began
  VerbsChannel* channel = nullptr;  // nullptr: a stranger, not greeted yet
  std::string address;              // kWaiting, kConnecting: where to
  TimeNs give_up_at = 0;            // of a connect; of a stranger's silence
  FileDescriptor socket;
  std::array<std::byte, sizeof(Greeting)> in{};
  std::size_t received = 0;
};

struct LinkEvent {
  enum class Kind : std::uint8_t { kConnected, kGreeting, kReady, kGone };
  Kind kind = Kind::kGone;
  Link* link = nullptr;
};

class Bootstrap {
 public:
  Bootstrap(FileDescriptor listener, NodeId node, const RunSecret& secret);
  Bootstrap(const Bootstrap&) = delete;
  Bootstrap& operator=(const Bootstrap&) = delete;

  // The outcome is kConnected or kGone.
  Link& connect(const std::string& address, TimeNs patience_ns, VerbsChannel& channel);
  // False: the other end is gone.
  bool greet(Link& link, Greeting greeting);
  bool say_ready(Link& link);
  const Greeting& greeting_of(const Link& link) const;  // after kGreeting
  // No event of the link any more; its memory lives until the next poll.
  void close(Link& link);

  // Of all links, and nobody can dial any more. The last call.
  void hang_up();

  // Whatever has happened; does not wait.
  void poll(std::vector<LinkEvent>& events);
  // Readable when there is something; watches `descriptor`, too.
  int descriptor() const { return epoll_.get(); }
  void watch(int descriptor);
  // Something is under way that needs polls: retries, greetings.
  bool is_busy() const { return unsettled_ != 0; }

 private:
  void start_connecting(Link& link, std::vector<LinkEvent>& events);
  void failed(Link& link, std::vector<LinkEvent>& events);
  void accept_all();
  void serve(Link& link, std::uint32_t happened, std::vector<LinkEvent>& events);
  bool is_welcome(const Greeting& greeting, const Link& link) const;
  void show_out_silent();
  bool send(Link& link, ConstBytes bytes);
  Link& add(std::unique_ptr<Link> link);
  void settle(Link& link, Link::State state);
  void count_unsettled();

  FileDescriptor listener_;
  FileDescriptor epoll_;
  const NodeId node_;
  const RunSecret secret_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<std::unique_ptr<Link>> closed_;
  std::size_t unsettled_ = 0;  // links that are neither up nor closed
};

}  // namespace slipstream::emulate::verbs
