#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "episodes/digest.h"
#include "tests/testing.h"

// Small archives, whole and odd.
namespace fewatoms::test {

struct Entry {
  std::string path;
  std::string content;
  std::string link = "";  // target of a symbolic link
};

/// Writes a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz by the file's extension.
inline void write_archive(const std::filesystem::path& file, const std::vector<Entry>& entries, bool stored = false) {
  archive* writer = archive_write_new();
  const std::string extension = file.extension();
  const bool zip = extension == ".zip";
  zip ? archive_write_set_format_zip(writer) : archive_write_set_format_pax_restricted(writer);
  if (zip && stored) archive_write_zip_set_compression_store(writer);
  if (extension == ".gz" || extension == ".tgz") archive_write_add_filter_gzip(writer);
  if (extension == ".bz2") archive_write_add_filter_bzip2(writer);
  if (extension == ".xz") archive_write_add_filter_xz(writer);
  ASSERT_EQ(archive_write_open_filename(writer, file.c_str()), ARCHIVE_OK);
  for (const Entry& e : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.path.c_str());
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_filetype(entry, e.link.empty() ? AE_IFREG : AE_IFLNK);
    if (!e.link.empty()) archive_entry_set_symlink(entry, e.link.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(e.content.size()));
    archive_write_header(writer, entry);
    archive_write_data(writer, e.content.data(), e.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
}

/// An entry of a .zip with the bytes of its name, and whether it says that they are UTF-8.
struct RawEntry {
  std::string name, content;
  bool says_utf8 = false;
};

/// The bytes of a .zip that stores its entries, as a program of another system may have written it.
inline std::string raw_zip(const std::vector<RawEntry>& entries) {
  const auto number = [](uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
  };
  std::string files, directory;
  for (const RawEntry& e : entries) {
    const std::string common = number(10, 2) + number(e.says_utf8 ? 0x800 : 0, 2) + number(0, 2) + number(0, 4) +
                               number(crc32_of(e.content), 4) + number(e.content.size(), 4) +
                               number(e.content.size(), 4) + number(e.name.size(), 2) + number(0, 2);
    directory += "PK\x01\x02" + number(0x0314, 2) + common + number(0, 2) + number(0, 2) + number(0, 2) +
                 number(0100644u << 16, 4) + number(files.size(), 4) + e.name;
    files += "PK\x03\x04" + common + e.name + e.content;
  }
  return files + directory + "PK\x05\x06" + number(0, 4) + number(entries.size(), 2) + number(entries.size(), 2) +
         number(directory.size(), 4) + number(files.size(), 4) + number(0, 2);
}

}  // namespace fewatoms::test
