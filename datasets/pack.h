#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "datasets/dataset.h"

namespace fewatoms {

// A pack: all splits of a data set as one file of equally large uint8 images, mapped and shared between processes. Its
// index is checked by a CRC when it is opened, each image by its own when it is first read, and everything by
// verify_pack.

struct PackSummary {
  int64_t images = 0;
  int64_t bytes = 0;        // of the file
  std::string source_hash;  // SHA-256 of splits, class names and pixels: equal for equal images in any form
  int64_t skipped = 0;      // images left out because they cannot be decoded (options.skip_bad)
  std::vector<std::pair<std::string, std::vector<std::string>>> notices = {};  // of the source of each split
};

/// Called from one thread with what is done so far.
using CountDone = std::function<void(int64_t done, int64_t total)>;

/// Writes every split of a data set, unaugmented, at options.image_size. The file appears under its name when it is
/// complete. Throws as open_dataset does, and DataError on a bad image or if the file cannot be written.
PackSummary write_pack(const DatasetOptions& options, const std::filesystem::path& out, const CountDone& progress = {});

/// Whether a data root is a pack: by its first bytes, or its extension .pack.
bool is_pack(const std::filesystem::path& root);

/// Splits of the pack at options.root. Throws as open_pack.
std::vector<std::string> pack_splits(const DatasetOptions& options);

/// A split of the pack at options.root. At the packed size and without augmentation its images are views of the file;
/// other sizes are made of those and get a notice. Throws DataError if the file is truncated or altered; UsageError if
/// it holds another data set, split rule, crop, number of channels, ... than the options ask for, or does not have the
/// split. Reading an altered image throws DataError.
std::shared_ptr<const ImageSource> open_pack(const DatasetOptions& options, const std::string& split);

/// Reads everything: whether the hash is that of the content. Throws DataError if it is not, or an image is altered.
void verify_pack(const std::filesystem::path& pack);

}  // namespace fewatoms
