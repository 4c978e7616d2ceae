#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fewatoms {

/// A published class split.
struct KnownSplit {
  std::string dataset;  // "mini-imagenet"; empty: not a known split
  std::string rule;     // "ravi"
  std::string split;    // "train", "val" or "test"; of Vinyals et al. also "train and val"
};

/// The published split that has exactly these classes, found by hash. Known: mini-ImageNet of Ravi & Larochelle and of
/// Vinyals et al., the three of CUB, Omniglot's of Vinyals et al. with rotations.
KnownSplit known_split(std::vector<std::string> class_names);

/// The published list that a file's bytes are, found by hash: mini-ImageNet's official CSV files.
KnownSplit known_list(std::string_view bytes);

/// As 32 hexadecimal digits.
std::string md5(std::string_view bytes);

}  // namespace fewatoms
