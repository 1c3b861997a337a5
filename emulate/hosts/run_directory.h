// The folders of one run: replica memory and reports in one, stored replicas in it or in one of their own. They are
// removed when the object dies, unless they are to be kept.
//
// The file "lock" in each is held (flock) by the driver and the processes it forked, for as long as any of them lives.
// So a folder of ours whose lock is free was left by a driver that was killed; the next run at that place removes it. A
// folder that was kept has no lock file.
#pragma once

#include <memory>
#include <string>

namespace slipstream::emulate {

class RunDirectory {
 public:
  // All throw std::runtime_error with cause and remedy.
  // `path` must not exist; its parent must.
  static RunDirectory at(const std::string& path, bool keep);
  // A folder with a name of its own in `parent`, which is made when absent.
  static RunDirectory fresh_in(const std::string& parent, bool keep);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  // The path when it will be left behind, else empty.
  std::string kept() const { return keep_ ? path_ : std::string(); }
  void keep() { keep_ = true; }

 private:
  RunDirectory(std::string made, bool keep);

  std::string path_;
  bool keep_;
  int lock_ = -1;
};

// Both places of a run. `run_directory` empty: a fresh one in /dev/shm, or /tmp where there is no /dev/shm;
// `storage_directory` empty: in the run directory, else a fresh folder in it.
class RunDirectories {
 public:
  RunDirectories(const std::string& run_directory, const std::string& storage_directory, bool keep);

  const std::string& run() const { return run_.path(); }
  std::string storage() const { return storage_ ? storage_->path() : run_.path() + "/storage"; }
  std::string kept() const { return run_.kept(); }
  void keep();
  // A word that no other run has: whose the storage is.
  const std::string& id() const { return id_; }

 private:
  std::string id_;
  RunDirectory run_;
  std::unique_ptr<RunDirectory> storage_;  // absent: in the run directory
};

// Removes folders of killed runs in `parent`; returns how many.
int remove_abandoned(const std::string& parent);
int remove_abandoned();  // where run directories are when nothing is said

}  // namespace slipstream::emulate
