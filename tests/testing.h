#pragma once

#include <gtest/gtest.h>

#include <clocale>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <locale>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "episodes/image_source.h"
#include "episodes/random.h"

// What the tests of every folder share. Named `test`, not `testing`, so that gtest's namespace stays visible.
namespace fewatoms::test {

/// A new empty folder, removed with everything in it at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fewatoms-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Writes a file, with the folders above it.
inline void write_file(const std::filesystem::path& file, std::string_view bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

inline std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The folder of a real sample ("omniglot") under $FEWATOMS_TEST_DATA, or beside the source tree; empty without it.
inline std::filesystem::path sample_folder(const std::string& name) {
  const char* given = std::getenv("FEWATOMS_TEST_DATA");
  std::filesystem::path all;
  if (given != nullptr) all = given;
#ifdef FEWATOMS_SOURCE_DIR
  if (given == nullptr) all = std::filesystem::path(FEWATOMS_SOURCE_DIR) / ".." / "shared" / "datasets";
#endif
  const auto folder = all / name;
  return !all.empty() && std::filesystem::is_directory(folder) ? folder : std::filesystem::path();
}

/// Declares `folder` as a real sample's folder, or skips the test and says so.
#define FEWATOMS_SAMPLE_OR_SKIP(folder, name)                                 \
  const std::filesystem::path folder = ::fewatoms::test::sample_folder(name); \
  if (folder.empty()) GTEST_SKIP() << "no sample '" << (name) << "': set FEWATOMS_TEST_DATA to the folder that holds it"

/// Runs `action`, which must throw `Error`, and returns its message.
template <class Error, class Action>
std::string message_of(Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& other) {
    ADD_FAILURE() << "threw another type: " << other.what();
    return "";
  }
  ADD_FAILURE() << "did not throw";
  return "";
}

/// While it lives, numbers of C and of C++ streams have a comma before the fraction and points between thousands, as in
/// many countries: what a program around the libraries may have set. No locale needs to be installed: glibc reads one
/// that is written here. Throws where that does not work, so that no test passes without it.
class CommaLocale {
 public:
  CommaLocale() : streams_(std::locale::global(std::locale(std::locale::classic(), new Punctuation))) {
    // glibc's locale/loadlocale.c: a magic number, the number of fields, where each begins; then the fields.
    std::string file;
    const auto add = [&](uint32_t word) { file.append(reinterpret_cast<const char*>(&word), sizeof word); };
    add(0x20031115U ^ LC_NUMERIC);
    add(6);
    for (const uint32_t offset : {40, 42, 44, 32, 36, 47}) add(offset);
    add(',');  // the decimal point and the separator of thousands as wide characters
    add('.');
    file += std::string(",\0.\0\3\3\0UTF-8\0", 13);  // the same as text, sizes of groups, the character set
    write_file(folder_ / "comma" / "LC_NUMERIC", file);
    if (const char* path = std::getenv("LOCPATH")) before_ = path;
    ::setenv("LOCPATH", folder_.path().c_str(), 1);
    const char* set = std::setlocale(LC_NUMERIC, "comma");
    char text[8] = "";
    std::snprintf(text, sizeof text, "%.1f", 0.5);
    if (set != nullptr && std::string(text) == "0,5") return;
    restore();
    throw std::runtime_error("this C library does not read the locale with commas that the test wrote");
  }
  ~CommaLocale() { restore(); }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;

 private:
  struct Punctuation : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };

  void restore() {
    std::setlocale(LC_NUMERIC, "C");
    std::locale::global(streams_);
    if (before_)
      ::setenv("LOCPATH", before_->c_str(), 1);
    else
      ::unsetenv("LOCPATH");
  }

  TemporaryFolder folder_;
  std::locale streams_;
  std::optional<std::string> before_;
};

/// Images in memory: a pattern per class (0..199) plus noise per image (0..55), so that classes can be learned.
class SyntheticSource : public ImageSource {
 public:
  /// `class_sizes`: images of each class. `size`: height and width in pixels.
  SyntheticSource(std::vector<int> class_sizes, int size, int channels = 1, std::string split = "train")
      : class_sizes_(std::move(class_sizes)), size_(size), channels_(channels) {
    info_.dataset = "synthetic";
    info_.split = std::move(split);
    info_.form = "memory";
    info_.crop = "none";
    for (size_t c = 0; c < class_sizes_.size(); ++c) names_.push_back("class" + std::to_string(c));
  }
  SyntheticSource(int classes, int images, int size, int channels = 1, std::string split = "train")
      : SyntheticSource(std::vector<int>(classes, images), size, channels, std::move(split)) {}

  const SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(class_sizes_.size()); }
  const std::string& class_name(int c) const override { return names_.at(c); }
  int class_size(int c) const override { return class_sizes_.at(c); }
  std::span<const int> image_groups(int c) const override {
    return groups_.empty() ? std::span<const int>() : std::span<const int>(groups_.at(c));
  }
  void set_groups(std::vector<std::vector<int>> groups) { groups_ = std::move(groups); }
  int height() const override { return size_; }
  int width() const override { return size_; }
  int channels() const override { return channels_; }

  ImageView image(const ImageRef& ref) const override {
    if (ref.image_index < 0 || ref.image_index >= class_size(ref.class_index)) throw std::out_of_range("image index");
    auto pixels = std::make_shared<std::vector<uint8_t>>();
    Random noise{uint64_t(ref.class_index), uint64_t(ref.image_index), ref.augment_key};
    const int c = ref.class_index;
    for (int y = 0; y < size_; ++y)
      for (int x = 0; x < size_; ++x)
        for (int channel = 0; channel < channels_; ++channel)
          pixels->push_back(static_cast<uint8_t>((c * 53 + y * (c + 1) * 7 + x * (2 * c + 3) * 5 + channel * 17) % 200 +
                                                 noise.below(56)));
    return {pixels->data(), size_, size_, channels_, pixels};
  }

 private:
  std::vector<int> class_sizes_;
  std::vector<std::vector<int>> groups_;  // by class; empty: none
  int size_;
  int channels_;
  SourceInfo info_;
  std::vector<std::string> names_;
};

}  // namespace fewatoms::test
