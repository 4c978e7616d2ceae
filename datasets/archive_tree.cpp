#include "datasets/archive_tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "datasets/files.h"
#include "datasets/mapped_file.h"
#include "datasets/name_encoding.h"
#include "episodes/errors.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

// Images hardly compress, and arrays of them by a factor of a few: what unpacks to more is no data set.
constexpr uint64_t kLargestRatio = 100;
constexpr uint64_t kAlwaysAllowed = uint64_t{64} << 20;  // bytes

/// libarchive gives names in the encoding of the locale: while one of these lives that is UTF-8, in this thread.
class Utf8Locale {
 public:
  Utf8Locale() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = uselocale(locale_);
  }
  ~Utf8Locale() {
    if (locale_ == nullptr) return;
    uselocale(before_);
    freelocale(locale_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t locale_ = nullptr, before_ = nullptr;
};

using Reader = std::unique_ptr<archive, int (*)(archive*)>;

/// A reader that is not open yet. `charset`: of names that do not say theirs; null: their bytes as they are.
Reader new_reader(const char* charset) {
  Reader reader(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_zip(reader.get());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_zstd(reader.get());
  if (charset != nullptr) archive_read_set_format_option(reader.get(), nullptr, "hdrcharset", charset);
  return reader;
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 128; });
}

/// Where an entry's bytes are.
struct Span {
  bool spilled = false;  // in the temporary file, else in the archive itself
  uint64_t start = 0, size = 0;
};

enum class Kind { kFile, kFolder, kLink, kHardLink, kSpecial /* a pipe or a device */ };

struct Entry {
  std::string name, target;  // of a link; as the archive has them
  Kind kind = Kind::kFile;
  Span span = {};
};

struct Link {
  std::string target;
  bool is_hard = false;  // its target is relative to the archive's top, a symbolic link's to the link's folder
};

class ArchiveTree final : public FileTree {
 public:
  ArchiveTree(FileBytes archive, std::string name, const std::string& name_encoding)
      : archive_(std::move(archive)), name_(std::move(name)) {
    const Utf8Locale utf8;
    std::vector<Entry> entries = read_entries();
    read_names(entries, name_encoding);
    for (const Entry& entry : entries) add_entry(entry);
    if (files_.empty() && links_.empty()) fail("holds no files, expected an archive of a data set");
    if (spill_) spilled_ = spill_->map();
    spill_.reset();
    make_listings();
  }

  bool is_folder(const std::string& path) const override { return folders_.contains(located(path)); }
  bool is_file(const std::string& path) const override { return files_.contains(located(path)); }

  FolderListing list(const std::string& folder) const override {
    const auto found = folders_.find(located(folder));
    if (found == folders_.end())
      throw DataError("folder " + this->name(folder) + " cannot be listed: it is not in the archive");
    return found->second;
  }

  FileBytes read(const std::string& path) const override { return map(path); }
  FileBytes map(const std::string& path) const override {
    const auto found = files_.find(located(path));
    if (found == files_.end()) throw DataError(this->name(path) + " cannot be opened, expected a readable file");
    const Span& span = found->second;
    const FileBytes& from = span.spilled ? spilled_ : archive_;
    return {from.owner, from.view.substr(span.start, span.size)};
  }

  std::shared_ptr<const fs::path> file_for_library(const std::string& path) const override {
    return named_copy(map(path).view);
  }

  std::string version(const std::string& path) const override {
    return name_ + "|" + located(path) + "|" + std::to_string(number_);
  }
  std::string real_path(const std::string& folder) const override { return located(folder); }
  std::string name(const std::string& path) const override {
    return in_quotes(path.empty() ? name_ : name_ + ":" + path);
  }
  std::vector<std::string> notices() const override { return notices_; }

 private:
  [[noreturn]] void fail(const std::string& text) const { throw DataError(in_quotes(name_) + " " + text); }

  /// A path without "./", doubled and trailing '/'. Throws DataError if it leaves the archive.
  std::string cleaned(const std::string& path) const {
    if (path.empty()) return path;
    if (!stays_below(path))
      throw DataError(in_quotes(name_) + " has '" + as_line(path) +
                      "', which leaves the archive: expected names without '..' and not absolute");
    std::string result = fs::path(path).lexically_normal().generic_string();
    while (!result.empty() && result.back() == '/') result.pop_back();
    return result == "." ? "" : result;
  }

  static std::pair<std::string, std::string> split_path(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return {"", path};
    return {path.substr(0, slash), path.substr(slash + 1)};
  }

  /// What the archive holds, with names as they are in it.
  std::vector<Entry> read_entries() {
    const Reader reader = opened(nullptr);
    std::vector<Entry> entries;
    for (archive_entry* entry = nullptr; next_header(reader.get(), &entry);) {
      const char* name = name_of(entry);
      if (name == nullptr || *name == '\0') fail("has an entry without a name");
      if (archive_entry_is_encrypted(entry)) fail("is encrypted, expected an archive without a password");
      is_zip_ = (archive_format(reader.get()) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP;
      Entry& added = entries.emplace_back();
      added.name = name;
      if (const char* target = archive_entry_hardlink(entry)) {
        added.kind = Kind::kHardLink;
        added.target = target;
      } else if (archive_entry_filetype(entry) == AE_IFLNK) {
        const char* to = archive_entry_symlink(entry);
        added.kind = Kind::kLink;
        added.target = to == nullptr ? "" : to;
      } else if (archive_entry_filetype(entry) == AE_IFDIR) {
        added.kind = Kind::kFolder;
      } else if (archive_entry_filetype(entry) == AE_IFREG) {
        added.span = read_data(reader.get(), added.name);
      } else {
        added.kind = Kind::kSpecial;
      }
    }
    return entries;
  }

  Reader opened(const char* charset) const {
    Reader reader = new_reader(charset);
    if (archive_read_open_memory(reader.get(), archive_.view.data(), archive_.view.size()) != ARCHIVE_OK)
      fail("cannot be read as an archive: " + reason(reader.get()));
    return reader;
  }

  bool next_header(archive* reader, archive_entry** entry) const {
    const int status = archive_read_next_header(reader, entry);
    // Names in an unknown encoding are a warning, with the name as it is.
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN && status != ARCHIVE_EOF)
      fail("is damaged or truncated: " + reason(reader));
    return status != ARCHIVE_EOF;
  }

  static const char* name_of(archive_entry* entry) {
    const char* name = archive_entry_pathname(entry);
    return name != nullptr ? name : archive_entry_pathname_utf8(entry);
  }

  /// Makes the entries' names and targets UTF-8.
  void read_names(std::vector<Entry>& entries, const std::string& name_encoding) {
    std::vector<bool> says_utf8(entries.size(), true);
    if (std::any_of(entries.begin(), entries.end(), [](const Entry& e) { return !is_ascii(e.name + e.target); }))
      says_utf8 = which_say_utf8(entries);
    const auto is_open = [&](size_t i) { return !says_utf8[i] && !is_ascii(entries[i].name + entries[i].target); };
    bool all_utf8 = true;
    size_t first = entries.size();
    for (size_t i = 0; i < entries.size(); ++i) {
      if (!is_open(i)) continue;
      first = std::min(first, i);
      all_utf8 = all_utf8 && is_utf8(entries[i].name) && is_utf8(entries[i].target);
    }
    const std::string assumed = !name_encoding.empty() ? name_encoding : is_zip_ && !all_utf8 ? "CP437" : "UTF-8";
    int64_t unreadable = 0;
    for (size_t i = 0; i < entries.size(); ++i) {
      Entry& e = entries[i];
      const bool open = is_open(i);
      for (std::string* text : {&e.name, &e.target}) {
        const auto converted = open ? utf8_from(*text, assumed) : *text;
        unreadable += converted ? 0 : 1;
        *text = escaped(converted.value_or(*text));
      }
    }
    const bool is_usual = !is_zip_ && name_encoding.empty() && unreadable == 0;  // UTF-8 in a .tar
    if (first == entries.size() || is_usual) return;
    notices_.push_back("names in " + in_quotes(name_) + " do not say their encoding: read as " + assumed + ", '" +
                       entries[first].name + "' for example" +
                       (unreadable > 0 ? ", and " + std::to_string(unreadable) + " escaped that are not" : "") +
                       " (--name-encoding changes it)");
  }

  /// Which names the archive marks as UTF-8 (a flag in a .zip, a header of the pax form in a .tar): those that stay the
  /// same when all others are read as CP437, which has no letter twice.
  std::vector<bool> which_say_utf8(const std::vector<Entry>& entries) {
    std::vector<bool> result(entries.size(), false);
    const Reader reader = opened("CP437");
    size_t i = 0;
    for (archive_entry* entry = nullptr; i < entries.size() && next_header(reader.get(), &entry); ++i) {
      const char *name = name_of(entry), *target = archive_entry_hardlink(entry);
      if (target == nullptr) target = archive_entry_symlink(entry);
      result[i] = name != nullptr && entries[i].name == name && entries[i].target == (target == nullptr ? "" : target);
    }
    return result;
  }

  void add_entry(const Entry& entry) {
    const std::string path = cleaned(entry.name);
    if (path.empty()) return;
    switch (entry.kind) {
      case Kind::kFolder:
        add_folder(path);
        break;
      case Kind::kFile:  // a later entry replaces an earlier one, as unpacking does
        links_.erase(path);
        files_[path] = entry.span;
        break;
      case Kind::kLink:
      case Kind::kHardLink:
        files_.erase(path);
        links_[path] = {entry.target, entry.kind == Kind::kHardLink};
        break;
      case Kind::kSpecial:
        add_folder(split_path(path).first);
        folders_[split_path(path).first].left_out.push_back({split_path(path).second, "special file"});
        break;
    }
  }

  /// Makes the folder and those above it.
  void add_folder(const std::string& path) {
    if (!folders_.try_emplace(path).second || path.empty()) return;
    const auto [folder, last] = split_path(path);
    add_folder(folder);
    add_name(folder, last, /*is_folder=*/true);
  }

  void add_name(const std::string& folder, const std::string& name, bool is_folder) {
    FolderListing& listing = folders_[folder];
    if (std::string kind = left_out_kind(name, is_folder); !kind.empty())
      listing.left_out.push_back({name, std::move(kind)});
    else
      (is_folder ? listing.folders : listing.files).push_back(name);
  }

  void make_listings() {
    add_folder("");
    for (const auto& [path, span] : files_) add_folder(split_path(path).first);
    for (const auto& [path, link] : links_) add_folder(split_path(path).first);
    for (const auto& [path, span] : files_) add_name(split_path(path).first, split_path(path).second, false);
    for (const auto& [path, link] : links_) {
      const std::string target = located(path);
      const bool is_folder = folders_.contains(target);
      if (!is_folder && !files_.contains(target))
        fail("has a link '" + path + "' to '" + link.target + "', which is not in the archive");
      add_name(split_path(path).first, split_path(path).second, is_folder);
    }
    for (auto& [folder, listing] : folders_) {
      std::sort(listing.folders.begin(), listing.folders.end());
      std::sort(listing.files.begin(), listing.files.end());
    }
  }

  /// Where a path leads once links are followed, name by name as the system does. Throws DataError if that leaves the
  /// archive or does not end.
  std::string located(const std::string& path) const {
    constexpr int kMostLinks = 40;  // of one path, as in Linux
    std::string at = cleaned(path);
    if (links_.empty()) return at;
    std::vector<std::string> ahead;  // names to come, the last one first
    const auto put_ahead = [&](const std::string& names) {
      std::vector<std::string> parts;
      for (const fs::path& part : fs::path(names))
        if (!part.empty() && part != ".") parts.push_back(part.string());
      ahead.insert(ahead.end(), parts.rbegin(), parts.rend());
    };
    put_ahead(at);
    at.clear();
    for (int followed = 0; !ahead.empty();) {
      const std::string next = std::move(ahead.back());
      ahead.pop_back();
      if (next == "..") {
        if (at.empty()) fail("has a link '" + path + "' out of the archive");
        at = split_path(at).first;
        continue;
      }
      const auto link = links_.find(joined_path(at, next));
      if (link == links_.end()) {
        at = joined_path(at, next);
        continue;
      }
      if (++followed > kMostLinks) fail("has links that lead in a circle, at '" + path + "'");
      const std::string& target = link->second.target;
      if (fs::path(target).is_absolute()) fail("has a link '" + path + "' out of the archive, to '" + target + "'");
      if (link->second.is_hard) at.clear();
      put_ahead(link->second.is_hard ? cleaned(target) : target);
    }
    return at;
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
      if (status != ARCHIVE_OK) fail("is damaged or truncated at entry '" + as_line(path) + "': " + reason(reader));
      if (length == 0) continue;
      const auto* bytes = static_cast<const char*>(block);
      const bool inside =
          bytes >= archive_.view.data() && bytes + length <= archive_.view.data() + archive_.view.size();
      const auto at = static_cast<uint64_t>(bytes - archive_.view.data());
      if (static_cast<uint64_t>(offset) != span.size)
        fail("has a sparse entry '" + as_line(path) + "', which is not supported");
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
    return text == nullptr ? "no reason given" : as_line(text);
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
  std::map<std::string, Link> links_;
  bool is_zip_ = false;
  std::optional<SpillFile> spill_;  // while reading
  FileBytes spilled_;
  std::vector<std::string> notices_;
};

}  // namespace

bool has_archive_extension(const std::string& name) {
  std::string lower = name;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* end :
       {".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst"})
    if (lower.ends_with(end)) return true;
  return false;
}

FileTreePtr open_archive(FileBytes archive, const std::string& name, const std::string& name_encoding) {
  require_not_foreign(archive.view, in_quotes(name), "an archive");
  return std::make_shared<ArchiveTree>(std::move(archive), name, name_encoding);
}

}  // namespace fewatoms
