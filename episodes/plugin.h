#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "episodes/image_source.h"

// What a plugin includes: a data set in a shared library, for `--dataset plugin --plugin FILE`. The library links
// fewatoms::episodes, implements ImageSource and says FEWATOMS_PLUGIN(splits, open) in one source file.

namespace fewatoms {

/// What a plugin is told.
struct PluginOptions {
  std::filesystem::path root = {};  // --data-root; empty if none was given
  int image_size = 84;              // pixels, square, that training sees: images of another size are resized to it
  int channels = 3;                 // 1 or 3, that training sees: images with other channels are converted
  std::map<std::string, std::string> values = {};  // of --plugin-option key=value

  /// Throws UsageError, offering the nearest, if a key is none of `keys`, which must not be empty.
  void require_known(const std::vector<std::string>& keys) const;
  /// The value of a key, or `otherwise` if it was not given. Throws UsageError unless it is a whole number from low to
  /// high.
  int64_t number(const std::string& key, int64_t otherwise, int64_t low, int64_t high) const;
  /// The value of a key, or `otherwise`.
  std::string text(const std::string& key, const std::string& otherwise) const;
};

/// The functions of a plugin. What they throw, and what the sources they open throw, reaches the user as one line:
/// UsageError for a bad option, anything else for bad data.
struct PluginEntry {
  /// The splits that are there, of "train", "val" and "test" in this order.
  std::vector<std::string> (*splits)(const PluginOptions&);
  /// Opens one of them. Resizing, caching and augmentation are the program's: the source gives its images as they are,
  /// and is never asked for augmented ones. Its info() need name nothing but the data set.
  std::shared_ptr<const ImageSource> (*open)(const PluginOptions&, const std::string& split);
};

}  // namespace fewatoms

/// Raised with every change of this file, of ImageSource, and of the structs they pass.
#define FEWATOMS_PLUGIN_VERSION 1

#define FEWATOMS_PLUGIN_TEXT(x) #x
#define FEWATOMS_PLUGIN_NUMBER(x) FEWATOMS_PLUGIN_TEXT(x)
/// What program and plugin must agree on before anything is called: this interface, and how classes and strings lie in
/// memory.
#define FEWATOMS_PLUGIN_ABI                                                                             \
  "fewatoms-plugin-" FEWATOMS_PLUGIN_NUMBER(FEWATOMS_PLUGIN_VERSION) " c++abi-" FEWATOMS_PLUGIN_NUMBER( \
      __GXX_ABI_VERSION) " cxx11-strings-" FEWATOMS_PLUGIN_NUMBER(_GLIBCXX_USE_CXX11_ABI)

/// Makes a shared library a plugin; once, outside of any namespace. Data alone, so that the ABI is read without a call.
#define FEWATOMS_PLUGIN(splits, open)                                                                             \
  extern "C" __attribute__((visibility("default"), used)) const char fewatoms_plugin_abi[] = FEWATOMS_PLUGIN_ABI; \
  extern "C" __attribute__((visibility("default"), used)) const ::fewatoms::PluginEntry fewatoms_plugin = {splits, open}
