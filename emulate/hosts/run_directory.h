// The folder of one run: replica memory, reports, and (unless told otherwise) stored replicas. It is removed when the
// object dies, unless it is to be kept.
//
// The file "lock" in it is held (flock) by the driver and the processes it forked, for as long as any of them lives.
// So a folder of ours in /dev/shm whose lock is free was left by a driver that was killed; the next run removes it. A
// folder that was kept has no lock file.
#pragma once

#include <string>

namespace slipstream::emulate {

class RunDirectory {
 public:
  // `path` must not exist; its parent must. Empty: a fresh folder in /dev/shm, or in /tmp where there is no /dev/shm.
  // Throws std::runtime_error with cause and remedy.
  RunDirectory(const std::string& path, bool keep);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  // The path when it will be left behind, else empty.
  std::string kept() const { return keep_ ? path_ : std::string(); }

 private:
  std::string path_;
  bool keep_;
  int lock_ = -1;
};

// Removes folders of killed runs in `parent`; returns how many.
int remove_abandoned(const std::string& parent);

}  // namespace slipstream::emulate
