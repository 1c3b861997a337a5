// The line on stderr that says how far a run is: runs done, their rate, the time left.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace slipstream::cli {

class Progress {
 public:
  Progress(bool shown, std::size_t runs, std::size_t done);
  ~Progress();  // takes the line away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void finished();
  void show(const std::string& what);
  void say(const std::string& text);  // a line that stays, above

 private:
  bool shown_;
  std::size_t runs_;
  std::size_t done_;
  std::size_t done_at_start_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_finish_;
};

}  // namespace slipstream::cli
