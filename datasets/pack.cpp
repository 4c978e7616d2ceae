#include "datasets/pack.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "datasets/cached_source.h"
#include "datasets/class_split.h"
#include "datasets/files.h"
#include "datasets/mapped_file.h"
#include "episodes/digest.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

namespace fs = std::filesystem;
namespace ipc = boost::interprocess;
using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "packs are little-endian");

/// The start of the file. Then come the index (JSON), a CRC per image, zeros up to images_at, and the images.
struct Header {
  char magic[8];
  uint32_t version;
  uint32_t crc;  // of everything from index_bytes up to images_at
  uint64_t index_bytes, images, image_bytes, images_at;
};
static_assert(sizeof(Header) == 48);
constexpr char kMagic[] = "FEWATOMS";
constexpr uint32_t kVersion = 1;
constexpr size_t kCheckedFrom = offsetof(Header, index_bytes);
constexpr uint64_t kPage = 4096;

std::string_view bytes_of(const ImageView& view) { return {reinterpret_cast<const char*>(view.pixels), view.bytes()}; }

/// What decides which images a data set has, beside its files.
json preparation(const DatasetOptions& options) {
  return {{"crop", options.crop}, {"crop-margin", options.crop_margin}, {"split-rule", options.split_rule},
          {"exif", options.exif}, {"background", options.background},   {"channels", options.channels}};
}

/// The names of a class's images, so that episodes drawn from a pack can be told to those who have the files; empty
/// where there are no files.
std::vector<std::string> names_of_files(const ImageSource& source, int c) {
  std::vector<std::string> names;
  for (int i = 0; i < source.class_size(c); ++i) names.push_back(source.image_name({c, i}));
  if (!names.empty() && names[0] == source.ImageSource::image_name({c, 0})) names.clear();
  return names;
}

/// Text before a split's and a class's images in the hash.
std::string hash_line(const std::string& kind, const std::string& name, int64_t count) {
  return kind + "\n" + name + "\n" + std::to_string(count) + "\n";
}

// --- reading

struct PackedClass {
  std::string name, group;
  std::vector<int> image_groups;
  std::vector<std::string> image_names;  // empty: "class/number"
  size_t first = 0;                      // number of its first image in the file
  int images = 0;
};

struct PackedSplit {
  std::string name, split_rule;
  std::vector<std::string> notices;
  int64_t skipped = 0;
  std::vector<PackedClass> classes;
};

class Pack {
 public:
  explicit Pack(const fs::path& file) : name_(in_quotes(file)) {
    std::error_code error;
    const uint64_t size = fs::file_size(file, error);
    if (error) throw DataError(name_ + " cannot be opened, expected a readable file");
    if (size < sizeof(Header))
      throw DataError(name_ + " is truncated: a pack has more than its " + std::to_string(size) + " bytes");
    try {
      region_ = ipc::mapped_region(ipc::file_mapping(file.c_str(), ipc::read_only), ipc::read_only);
    } catch (const ipc::interprocess_exception& e) {
      throw DataError(name_ + " cannot be mapped: " + e.what());
    }
    std::memcpy(&header_, data(), sizeof header_);
    if (std::memcmp(header_.magic, kMagic, sizeof header_.magic) != 0)
      throw DataError(name_ + " is no pack, expected a file that 'dataset pack' wrote");
    if (header_.version != kVersion)
      throw DataError(name_ + " is a pack of version " + std::to_string(header_.version) + ", expected " +
                      std::to_string(kVersion));
    require_sizes(size);
    if (crc32_of({data() + kCheckedFrom, header_.images_at - kCheckedFrom}) != header_.crc)
      throw DataError(name_ + " was altered or damaged: its index does not have the checksum written in it");
    try {
      index_ = json::parse(std::string_view(data() + sizeof(Header), header_.index_bytes));
      read_splits();
    } catch (const json::exception&) {  // a right checksum says nothing of who wrote it
      fail_to_describe("it is not the JSON that 'dataset pack' writes");
    }
    checked_ = std::vector<std::atomic<uint8_t>>(header_.images);
  }

  const std::string& name() const { return name_; }
  const json& index() const { return index_; }
  const std::vector<PackedSplit>& splits() const { return splits_; }
  int image_size() const { return index_.at("image_size"); }
  int channels() const { return index_.at("channels"); }
  uint64_t image_bytes() const { return header_.image_bytes; }

  /// An image's bytes, checked when they are first asked for. `what` is for messages.
  const uint8_t* image(size_t number, const std::string& what) const {
    const char* at = data() + header_.images_at + number * header_.image_bytes;
    if (checked_[number].load(std::memory_order_relaxed) == 0) {
      uint32_t crc = 0;
      std::memcpy(&crc, data() + sizeof(Header) + header_.index_bytes + number * sizeof crc, sizeof crc);
      if (crc32_of({at, header_.image_bytes}) != crc)
        throw DataError(name_ + " was altered or damaged: " + what + " does not have the checksum in the index");
      checked_[number].store(1, std::memory_order_relaxed);
    }
    return reinterpret_cast<const uint8_t*>(at);
  }

 private:
  const char* data() const { return static_cast<const char*>(region_.get_address()); }

  /// The numbers are checked before they are used: they may be anything.
  void require_sizes(uint64_t size) const {
    const Header& h = header_;
    const bool sane = h.images_at <= size && h.images_at >= sizeof(Header) &&
                      h.index_bytes <= h.images_at - sizeof(Header) &&
                      h.images <= (h.images_at - sizeof(Header) - h.index_bytes) / sizeof(uint32_t) &&
                      h.image_bytes > 0 && h.images <= UINT64_MAX / 2 / h.image_bytes;
    const uint64_t expected = sane ? h.images_at + h.images * h.image_bytes : 0;
    if (sane && size == expected) return;
    throw DataError(name_ + (sane && size > expected ? " was altered: it" : " is truncated or altered: it") + " has " +
                    std::to_string(size) + " bytes" + (sane ? ", expected " + std::to_string(expected) : ""));
  }

  [[noreturn]] void fail_to_describe(const std::string& what) const {
    throw DataError(name_ + " was altered or damaged: its index does not describe its images, " + what);
  }

  /// Every number and text of the index is looked at here, so that nothing after this can fail for what it says.
  void read_splits() {
    uint64_t next = 0;
    for (const json& s : index_.at("splits")) {
      PackedSplit split{.name = s.at("split"),
                        .split_rule = s.at("split_rule"),
                        .notices = s.at("notices"),
                        .skipped = s.at("skipped"),
                        .classes = {}};
      for (const json& c : s.at("classes")) {
        PackedClass read{c.at("name"),
                         c.at("group"),
                         c.at("image_groups"),
                         c.value("image_names", std::vector<std::string>()),
                         next,
                         0};
        const json& images = c.at("images");
        if (!images.is_number_unsigned() || images.get<uint64_t>() > header_.images - next ||
            images.get<uint64_t>() > INT32_MAX)
          fail_to_describe("class '" + read.name + "' has " + images.dump() + " images, expected 0 to " +
                           std::to_string(header_.images - next));
        read.images = images.get<int>();
        const auto count = static_cast<size_t>(read.images);
        if ((!read.image_groups.empty() && read.image_groups.size() != count) ||
            (!read.image_names.empty() && read.image_names.size() != count))
          fail_to_describe("class '" + read.name + "' has other numbers of groups or names than of images");
        next += count;
        split.classes.push_back(std::move(read));
      }
      splits_.push_back(std::move(split));
    }
    for (const char* key : {"dataset", "form", "split_choice", "source_hash"})
      if (!index_.at(key).is_string()) fail_to_describe(std::string(key) + " is no text");
    if (index_.at("source_hash").get_ref<const std::string&>().size() != 64) fail_to_describe("its hash is too short");
    const json known = preparation({});
    for (const auto& [option, value] : index_.at("preparation").items())
      if (!known.contains(option)) fail_to_describe("it was prepared with the unknown option '" + option + "'");
    if (!index_.at("preparation").at("crop").is_string()) fail_to_describe("crop is no text");
    const json &size = index_.at("image_size"), &channels = index_.at("channels");
    if (!size.is_number_unsigned() || size.get<uint64_t>() < 1 || size.get<uint64_t>() > 4096 ||
        !channels.is_number_unsigned() || (channels.get<uint64_t>() != 1 && channels.get<uint64_t>() != 3))
      fail_to_describe("images of " + size.dump() + "x" + size.dump() + "x" + channels.dump());
    if (next != header_.images ||
        size.get<uint64_t>() * size.get<uint64_t>() * channels.get<uint64_t>() != header_.image_bytes)
      fail_to_describe("it has other images");
  }

  const std::string name_;
  ipc::mapped_region region_;
  Header header_{};
  json index_;
  std::vector<PackedSplit> splits_;
  mutable std::vector<std::atomic<uint8_t>> checked_;
};

std::string image_text(const PackedClass& c, int image) {
  return "image " + std::to_string(image) + " of class '" + c.name + "'";
}

SourceInfo info_of(const Pack& pack, const PackedSplit& split) {
  return {.dataset = pack.index().at("dataset"),
          .split = split.name,
          .form = "pack of " + pack.index().at("form").get<std::string>(),
          .split_rule = split.split_rule,
          .crop = pack.index().at("preparation").at("crop"),
          .notices = split.notices,
          .skipped = split.skipped};
}

/// Images as they lie in the file.
class PackSource final : public ImageSource, public StoredPictures {
 public:
  PackSource(std::shared_ptr<const Pack> pack, const PackedSplit& split)
      : pack_(std::move(pack)), split_(split), info_(info_of(*pack_, split)) {}

  const SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(split_.classes.size()); }
  const std::string& class_name(int c) const override { return split_.classes.at(c).name; }
  int class_size(int c) const override { return split_.classes.at(c).images; }
  const std::string& class_group(int c) const override { return split_.classes.at(c).group; }
  std::span<const int> image_groups(int c) const override { return split_.classes.at(c).image_groups; }
  std::string image_name(const ImageRef& ref) const override {
    const std::vector<std::string>& names = split_.classes.at(ref.class_index).image_names;
    return names.empty() ? ImageSource::image_name(ref) : names.at(ref.image_index);
  }
  int height() const override { return pack_->image_size(); }
  int width() const override { return pack_->image_size(); }
  int channels() const override { return pack_->channels(); }

  ImageView image(const ImageRef& ref) const override {
    const PackedClass& c = split_.classes.at(ref.class_index);
    if (ref.image_index < 0 || ref.image_index >= c.images)
      throw std::out_of_range(image_text(c, ref.image_index) + ", which has " + std::to_string(c.images));
    const uint8_t* pixels = pack_->image(c.first + ref.image_index, image_text(c, ref.image_index));
    return {pixels, height(), width(), channels(), pack_};
  }

  cv::Mat stored_picture(int class_index, int image_index) const override {
    const ImageView view = image({class_index, image_index, 0});
    return cv::Mat(view.height, view.width, CV_8UC(view.channels), const_cast<uint8_t*>(view.pixels)).clone();
  }

 private:
  const std::shared_ptr<const Pack> pack_;
  const PackedSplit& split_;  // of the pack
  const SourceInfo info_;
};

std::string value_text(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// The pack must hold what the options ask for: an option that has no effect would be a lie in the results.
void require_asked(const Pack& pack, const DatasetOptions& options) {
  const std::string dataset = pack.index().at("dataset");
  if (dataset != options.name)
    throw UsageError(pack.name() + " packs data set '" + dataset + "', not '" + options.name +
                     "': expected --dataset " + dataset);
  const json asked = preparation(options);
  for (const auto& [option, packed] : pack.index().at("preparation").items())
    if (asked.at(option) != packed)
      throw UsageError(pack.name() + " was packed with --" + option + (packed.is_boolean() ? "=" : " ") +
                       value_text(packed) + ", asked is " + value_text(asked.at(option)) + ": expected the same");
  const json usual = preparation({});
  for (const auto& [option, value] : asked.items())  // packs of before know fewer options
    if (!pack.index().at("preparation").contains(option) && value != usual.at(option))
      throw UsageError(pack.name() + " was packed before there was --" + option + ", asked is " + value_text(value) +
                       ": expected " + value_text(usual.at(option)) + ", or the data set packed anew");
  // A class split made by seed or list is what was packed; only who asks for another one is told so.
  const std::string chosen = pack.index().at("split_choice");
  const DatasetOptions defaults;
  std::string asked_split = seed_rule(options);
  if (!options.split_file.empty()) {
    std::vector<std::string> names;
    for (const PackedSplit& split : pack.splits())
      for (const PackedClass& c : split.classes) names.push_back(c.name);
    std::sort(names.begin(), names.end());
    asked_split = split_classes(names, options, pack.name()).rule;
  } else if (asked_split == seed_rule(defaults)) {
    return;
  }
  if (asked_split != chosen)
    throw UsageError(pack.name() + " holds the class split '" + (chosen.empty() ? "of its data" : chosen) +
                     "', asked is '" + asked_split + "': expected no other than the packed one");
}

}  // namespace

bool is_pack(const fs::path& root) {
  std::error_code error;
  if (root.empty() || !fs::is_regular_file(root, error)) return false;
  if (root.extension() == ".pack") return true;
  std::array<char, 8> start{};
  std::ifstream(root, std::ios::binary).read(start.data(), start.size());
  return std::memcmp(start.data(), kMagic, start.size()) == 0;
}

std::vector<std::string> pack_splits(const DatasetOptions& options) {
  const Pack pack(options.root);
  require_asked(pack, options);
  std::vector<std::string> names;
  for (const PackedSplit& split : pack.splits()) names.push_back(split.name);
  return names;
}

std::shared_ptr<const ImageSource> open_pack(const DatasetOptions& options, const std::string& split) {
  const auto pack = std::make_shared<const Pack>(options.root);
  require_asked(*pack, options);
  std::vector<std::string> present;
  for (const PackedSplit& packed : pack->splits()) {
    present.push_back(packed.name);
    if (packed.name != split) continue;
    const auto stored = std::make_shared<const PackSource>(pack, packed);
    if (options.image_size == pack->image_size() && options.augment == "none") return stored;
    SourceInfo info = stored->info();
    if (options.image_size != pack->image_size())
      info.notices.push_back("images are packed at " + std::to_string(pack->image_size()) + "x" +
                             std::to_string(pack->image_size()) + " pixels and resized to " +
                             std::to_string(options.image_size));
    std::vector<ClassSize> classes;
    for (int c = 0; c < stored->classes(); ++c) {
      const PackedClass& all = packed.classes[c];
      classes.push_back({.name = all.name,
                         .images = all.images,
                         .group = all.group,
                         .image_name =
                             [stored, c](int i) {
                               return stored->image_name({c, i});
                             },
                         .image_groups = all.image_groups});
    }
    return cached_source(std::move(info), classes, options,
                         [stored](int c, int i) { return stored->stored_picture(c, i); });
  }
  throw UsageError(pack->name() + " has no split '" + split + "': there is " + joined(present));
}

PackSummary write_pack(const DatasetOptions& given, const fs::path& out, const CountDone& progress) {
  DatasetOptions options = resolve(given);
  options.augment = "none";
  options.cache_mb = 0;  // every image is read once
  const ArchivesStayOpen over_all_splits;
  std::vector<std::shared_ptr<const ImageSource>> sources;
  PackSummary summary;
  json splits = json::array();
  for (const std::string& split : present_splits(options)) {
    sources.push_back(open_dataset(options, split));
    const ImageSource& source = *sources.back();
    json classes = json::array();
    for (int c = 0; c < source.classes(); ++c) {
      const auto groups = source.image_groups(c);
      classes.push_back({{"name", source.class_name(c)},
                         {"group", source.class_group(c)},
                         {"images", source.class_size(c)},
                         {"image_groups", std::vector<int>(groups.begin(), groups.end())},
                         {"image_names", names_of_files(source, c)}});
      summary.images += source.class_size(c);
    }
    const SourceInfo& info = source.info();
    splits.push_back({{"split", split},
                      {"split_rule", info.split_rule},
                      {"notices", info.notices},
                      {"skipped", info.skipped},
                      {"classes", classes}});
    summary.skipped += info.skipped;
    summary.notices.emplace_back(split, info.notices);
  }
  if (sources.empty()) throw UsageError("data set '" + options.name + "' has no split to pack");
  const SourceInfo& info = sources.front()->info();
  json index{{"dataset", info.dataset},
             {"image_size", options.image_size},
             {"channels", options.channels},
             {"form", info.form},
             {"preparation", preparation(options)},
             {"split_choice", info.split_rule != options.split_rule ? info.split_rule : ""},
             {"source_hash", std::string(64, '0')},
             {"splits", splits}};

  Header header{};
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  header.version = kVersion;
  header.index_bytes = index.dump().size();
  header.images = static_cast<uint64_t>(summary.images);
  header.image_bytes = static_cast<uint64_t>(options.image_size) * options.image_size * options.channels;
  header.images_at =
      (sizeof header + header.index_bytes + header.images * sizeof(uint32_t) + kPage - 1) / kPage * kPage;
  summary.bytes = static_cast<int64_t>(header.images_at + header.images * header.image_bytes);

  NewFile file(out, "pack", summary.bytes);
  const std::string zeros(header.images_at, '\0');
  file.write(zeros);
  Sha256 hash;
  std::vector<uint32_t> checksums;
  for (const auto& source : sources) {
    hash.add(hash_line("split", source->info().split, source->classes()));
    for (int c = 0; c < source->classes(); ++c) {
      hash.add(hash_line("class", source->class_name(c), source->class_size(c)));
      constexpr int kAtOnce = 256;  // images decoded in parallel, and held until they are written
      for (int first = 0; first < source->class_size(c); first += kAtOnce) {
        std::vector<ImageView> views(std::min(kAtOnce, source->class_size(c) - first));
        tbb::parallel_for(size_t{0}, views.size(), [&](size_t i) {
          views[i] = source->image({c, first + static_cast<int>(i), 0});
        });
        for (const ImageView& view : views) {
          hash.add(bytes_of(view));
          checksums.push_back(crc32_of(bytes_of(view)));
          file.write(bytes_of(view));
        }
        if (progress) progress(static_cast<int64_t>(checksums.size()), summary.images);
      }
    }
  }
  summary.source_hash = hash.digits();
  index["source_hash"] = summary.source_hash;

  std::string start(header.images_at, '\0');
  const std::string text = index.dump();
  std::memcpy(start.data(), &header, sizeof header);
  std::memcpy(start.data() + sizeof header, text.data(), text.size());
  std::memcpy(start.data() + sizeof header + text.size(), checksums.data(), checksums.size() * sizeof(uint32_t));
  header.crc = crc32_of(std::string_view(start).substr(kCheckedFrom));
  std::memcpy(start.data(), &header, sizeof header);
  file.write_at_start(start);
  file.put_in_place();
  return summary;
}

void verify_pack(const fs::path& path) {
  const Pack pack(path);
  Sha256 hash;
  for (const PackedSplit& split : pack.splits()) {
    hash.add(hash_line("split", split.name, static_cast<int64_t>(split.classes.size())));
    for (const PackedClass& c : split.classes) {
      hash.add(hash_line("class", c.name, c.images));
      for (int i = 0; i < c.images; ++i)
        hash.add({reinterpret_cast<const char*>(pack.image(c.first + i, image_text(c, i))), pack.image_bytes()});
    }
  }
  const std::string stored = pack.index().at("source_hash");
  const std::string found = hash.digits();
  if (stored != found)
    throw DataError(pack.name() + " was altered: its content has the hash " + found.substr(0, 16) +
                    "..., its index says " + stored.substr(0, 16) + "...");
}

}  // namespace fewatoms
