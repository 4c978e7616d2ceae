#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "datasets/dataset.h"

namespace fewatoms {

/// An image that cannot be read, and why: the reason names its file.
struct BadImage {
  std::string class_name;
  int index = 0;  // in its class
  std::string reason;
};

/// What decoding every image of a split tells. Sizes are those of the stored pictures (cut to their boxes with crop
/// "bbox").
struct SplitSurvey {
  std::string split;
  std::vector<std::string> notices;                           // of its source
  int64_t images = 0;                                         // bad ones included
  std::vector<BadImage> bad;                                  // in the order of classes and images
  std::map<std::pair<int, int>, int64_t> sizes;               // {width, height} -> images
  int64_t grey = 0;                                           // images without colour
  std::vector<std::pair<std::string, std::string>> contents;  // of each good image: hash of its pixels, "class image"
};

/// Images of equal pixels.
struct Duplicate {
  std::string first, second;  // "train class 'owl' image 3"
};
struct Duplicates {
  int64_t within_splits = 0, across_splits = 0;  // images that repeat an earlier one
  std::vector<Duplicate> examples;               // at most ten, across splits first
};

/// Called with how many images are done, from one thread at a time.
using CountImages = std::function<void(int64_t done, int64_t total)>;

/// Decodes every image of every split in parallel, at full scale. Throws as open_dataset does; what single images throw
/// is in the result.
std::vector<SplitSurvey> survey(const DatasetOptions& options, const CountImages& progress = {});

/// How many images of a source have a camera's orientation tag that asks to turn them: by a look at the headers of
/// their files, in parallel. 0 where there are no files.
int64_t count_orientation_tags(const ImageSource& source);

Duplicates find_duplicates(const std::vector<SplitSurvey>& splits);

/// A picture of the first images of the first classes of each split, a row per class, with names: at most `classes`
/// rows for each split and `images` per row. Writes an image file by its extension. Throws DataError if it cannot be
/// written.
void write_contact_sheet(const DatasetOptions& options, const std::filesystem::path& out, int classes = 10,
                         int images = 10);

}  // namespace fewatoms
