#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "apps/drawings.h"

namespace fewatoms {

namespace events {
class Event;
}

/// CRC-32C (Castagnoli) of bytes, masked as TFRecord files have it.
uint32_t masked_crc32c(const char* bytes, size_t count);

/// A TensorBoard event file: TFRecords of Event messages (apps/events.proto). Steps are iterations.
class EventFile {
 public:
  /// Opens a file to write behind what it holds: of that, events for which `keep(step, tag of the first value)` is
  /// false, and whatever follows a damaged record, are removed first. Throws UsageError if it cannot be written to, and
  /// here and later DataError if the disk is full or fails.
  EventFile(const std::filesystem::path& path, const std::function<bool(int64_t step, const std::string& tag)>& keep);

  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void histogram(int64_t step, const std::string& tag, const torch::Tensor& values);  // of any shape, not empty
  void image(int64_t step, const std::string& tag, const Drawing& drawing);
  void flush();

 private:
  void write(const events::Event& event);
  void require_written() const;

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace fewatoms
