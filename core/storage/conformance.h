// The conformance suite of the storage seam, in the vocabulary of storage.h alone. An implementation's test program
// makes a StorageBench and instantiates the suite once:
//
//   INSTANTIATE_TEST_SUITE_P(File, StorageConformance, testing::ValuesIn(storage_conformance(make_bench)),
//   storage_case_name);
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/storage/storage.h"

namespace slipstream {

// An empty storage.
class StorageBench {
 public:
  virtual ~StorageBench() = default;

  virtual Storage& storage() = 0;
  // Lets what is under way move on; called between polls whenever a case waits.
  virtual void pump() = 0;
  // The node restarts: what storage() gives from now on is a new one over the same medium. False: this bench cannot.
  virtual bool restart() = 0;
};

using MakeStorageBench = std::function<std::unique_ptr<StorageBench>()>;

struct StorageCase {
  std::string name;
  MakeStorageBench make;
  void (*run)(const MakeStorageBench& make) = nullptr;
};

std::vector<StorageCase> storage_conformance(const MakeStorageBench& make);

// The same through a FaultyStorage without faults, and what its faults must look like.
std::vector<StorageCase> faulty_storage_conformance(const MakeStorageBench& make);

inline void PrintTo(const StorageCase& c, std::ostream* out) { *out << c.name; }
inline std::string storage_case_name(const testing::TestParamInfo<StorageCase>& info) { return info.param.name; }

class StorageConformance : public testing::TestWithParam<StorageCase> {};

}  // namespace slipstream
