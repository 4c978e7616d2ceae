#include "datasets/archive_tree.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <map>
#include <optional>
#include <set>

#include "datasets/files.h"
#include "datasets/mapped_file.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

// Images hardly compress, and arrays of them by a factor of a few: what unpacks to more is no data set.
constexpr uint64_t kLargestRatio = 100;
constexpr uint64_t kAlwaysAllowed = uint64_t{64} << 20;  // bytes

/// Where an entry's bytes are.
struct Span {
  bool spilled = false;  // in the temporary file, else in the archive itself
  uint64_t start = 0, size = 0;
};

class ArchiveTree final : public FileTree {
 public:
  ArchiveTree(FileBytes archive, std::string name) : archive_(std::move(archive)), name_(std::move(name)) {
    folders_[""];
    read_entries();
    if (spill_) spilled_ = spill_->map();
    for (auto& [folder, listing] : folders_) {
      std::sort(listing.folders.begin(), listing.folders.end());
      std::sort(listing.files.begin(), listing.files.end());
    }
  }

  bool is_folder(const std::string& path) const override { return folders_.contains(cleaned(path)); }
  bool is_file(const std::string& path) const override { return files_.contains(cleaned(path)); }

  FolderListing list(const std::string& folder) const override {
    const auto found = folders_.find(cleaned(folder));
    if (found == folders_.end())
      throw DataError("folder " + this->name(folder) + " cannot be listed: it is not in the archive");
    return found->second;
  }

  FileBytes read(const std::string& path) const override { return map(path); }
  FileBytes map(const std::string& path) const override {
    const auto found = files_.find(cleaned(path));
    if (found == files_.end()) throw DataError(this->name(path) + " cannot be opened, expected a readable file");
    const Span& span = found->second;
    const FileBytes& from = span.spilled ? spilled_ : archive_;
    return {from.owner, from.view.substr(span.start, span.size)};
  }

  std::shared_ptr<const fs::path> file_for_library(const std::string& path) const override {
    return named_copy(map(path).view);
  }

  std::string version(const std::string& path) const override {
    return name_ + "|" + cleaned(path) + "|" + std::to_string(number_);
  }
  std::string name(const std::string& path) const override {
    return in_quotes(path.empty() ? name_ : name_ + ":" + path);
  }

 private:
  [[noreturn]] void fail(const std::string& text) const { throw DataError(in_quotes(name_) + " " + text); }

  /// An entry's name without "./", doubled and trailing '/'. Throws DataError if it leaves the archive.
  std::string cleaned(const std::string& path) const {
    if (path.empty()) return path;
    if (!stays_below(path))
      throw DataError(in_quotes(name_) + " has '" + path +
                      "', which leaves the archive: expected names without '..' and not absolute");
    std::string result = fs::path(path).lexically_normal().generic_string();
    while (!result.empty() && result.back() == '/') result.pop_back();
    return result == "." ? "" : result;
  }

  /// Makes the folder and those above it.
  void add_folder(const std::string& path) {
    if (!folders_.try_emplace(path).second) return;
    const auto [folder, last] = split_path(path);
    add_folder(folder);
    if (last.front() != '.' && last != "__MACOSX") folders_[folder].folders.push_back(last);
  }

  void add_file(const std::string& path, const Span& span) {
    const auto [folder, last] = split_path(path);
    if (last.empty()) return;
    add_folder(folder);
    if (!files_.insert_or_assign(path, span).second)
      return;  // a later entry replaces an earlier one, as unpacking does
    if (last.front() != '.') folders_[folder].files.push_back(last);
  }

  static std::pair<std::string, std::string> split_path(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return {"", path};
    return {path.substr(0, slash), path.substr(slash + 1)};
  }

  void read_entries() {
    const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
    archive_read_support_format_tar(reader.get());
    archive_read_support_format_zip(reader.get());
    archive_read_support_filter_gzip(reader.get());
    if (archive_read_open_memory(reader.get(), archive_.view.data(), archive_.view.size()) != ARCHIVE_OK)
      fail("cannot be read as an archive: " + reason(reader.get()));
    std::map<std::string, std::string> links;
    archive_entry* entry = nullptr;
    while (true) {
      const int status = archive_read_next_header(reader.get(), &entry);
      if (status == ARCHIVE_EOF) break;
      // Names in an unknown encoding are a warning, with the name as it is.
      if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail("is damaged or truncated: " + reason(reader.get()));
      add_entry(reader.get(), entry, links);
    }
    if (files_.empty() && links.empty()) fail("holds no files, expected an archive of a data set");
    for (const auto& [path, target] : links) {
      const auto found = files_.find(target);
      if (found == files_.end()) fail("has a link '" + path + "' to '" + target + "', which is not in the archive");
      add_file(path, found->second);
    }
  }

  void add_entry(archive* reader, archive_entry* entry, std::map<std::string, std::string>& links) {
    const char* raw = archive_entry_pathname(entry);
    if (raw == nullptr || *raw == '\0') fail("has an entry without a name");
    const std::string path = cleaned(raw);
    if (archive_entry_is_encrypted(entry)) fail("is encrypted, expected an archive without a password");
    if (const char* target = archive_entry_hardlink(entry)) {
      links[path] = cleaned(target);
    } else if (archive_entry_filetype(entry) == AE_IFLNK) {
      const fs::path target = archive_entry_symlink(entry) == nullptr ? "" : archive_entry_symlink(entry);
      const std::string joined = (fs::path(path).parent_path() / target).lexically_normal().generic_string();
      if (target.is_absolute() || !stays_below(joined))
        fail("has a link '" + path + "' out of the archive, to '" + target.string() + "'");
      links[path] = cleaned(joined);
    } else if (archive_entry_filetype(entry) == AE_IFDIR) {
      if (!path.empty()) add_folder(path);
    } else if (archive_entry_filetype(entry) == AE_IFREG) {
      add_file(path, read_data(reader, path));
    }
  }

  /// The entry's bytes: left in the archive if they lie there in one piece, else spilled.
  Span read_data(archive* reader, const std::string& path) {
    Span span;
    bool first = true;
    while (true) {
      const void* block = nullptr;
      size_t length = 0;
      la_int64_t offset = 0;
      const int status = archive_read_data_block(reader, &block, &length, &offset);
      if (status == ARCHIVE_EOF) return span;
      if (status != ARCHIVE_OK) fail("is damaged or truncated at entry '" + path + "': " + reason(reader));
      if (length == 0) continue;
      const auto* bytes = static_cast<const char*>(block);
      const bool inside =
          bytes >= archive_.view.data() && bytes + length <= archive_.view.data() + archive_.view.size();
      const auto at = static_cast<uint64_t>(bytes - archive_.view.data());
      if (static_cast<uint64_t>(offset) != span.size) fail("has a sparse entry '" + path + "', which is not supported");
      if (first && inside) {
        span.start = at;
      } else if (!span.spilled && !(inside && at == span.start + span.size)) {
        const std::string_view kept = archive_.view.substr(first ? 0 : span.start, span.size);
        if (!spill_) spill_.emplace();
        span = {true, spill_->size(), span.size};
        spill(kept);
      }
      if (span.spilled) spill({bytes, length});
      span.size += length;
      first = false;
    }
  }

  void spill(std::string_view bytes) {
    if (spill_->size() + bytes.size() > kAlwaysAllowed + kLargestRatio * archive_.view.size())
      fail("unpacks to more than " + std::to_string(kLargestRatio) + " times its size of " +
           std::to_string(archive_.view.size()) + " bytes, which no data set does");
    spill_->append(bytes);
  }

  static std::string reason(archive* reader) {
    const char* text = archive_error_string(reader);
    std::string result = text == nullptr ? "no reason given" : text;
    std::replace(result.begin(), result.end(), '\n', ' ');
    return result;
  }

  static uint64_t next_number() {
    static std::atomic<uint64_t> next{0};
    return next++;
  }

  const uint64_t number_ = next_number();  // tells archives of one name apart
  const FileBytes archive_;
  const std::string name_;
  std::map<std::string, FolderListing> folders_;
  std::map<std::string, Span> files_;
  std::optional<SpillFile> spill_;
  FileBytes spilled_;
};

}  // namespace

bool has_archive_extension(const std::string& name) {
  std::string lower = name;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* end : {".tar", ".tar.gz", ".tgz", ".zip"})
    if (lower.ends_with(end)) return true;
  return false;
}

FileTreePtr open_archive(FileBytes archive, const std::string& name) {
  require_not_foreign(archive.view, in_quotes(name), "an archive");
  return std::make_shared<ArchiveTree>(std::move(archive), name);
}

}  // namespace fewatoms
