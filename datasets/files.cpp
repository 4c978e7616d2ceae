#include "datasets/files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>

#include "episodes/errors.h"

namespace fewatoms {

namespace fs = std::filesystem;

std::string read_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::error_code error;
  const auto size = fs::is_regular_file(file, error) ? fs::file_size(file, error) : 0;
  if (!in || error) throw DataError(in_quotes(file) + " cannot be opened, expected a readable file");
  std::string bytes(size, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(size));
  if (static_cast<uintmax_t>(in.gcount()) != size) throw DataError(in_quotes(file) + " cannot be read to its end");
  return bytes;
}

std::vector<TextLine> read_lines(const fs::path& file) {
  const std::string bytes = read_bytes(file);
  std::vector<TextLine> lines;
  int number = 0;
  for (size_t start = 0; start < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', start), bytes.size());
    std::string text = bytes.substr(start, end - start);
    if (!text.empty() && text.back() == '\r') text.pop_back();
    ++number;
    if (text.find_first_not_of(" \t") != std::string::npos) lines.push_back({number, std::move(text)});
    start = end + 1;
  }
  return lines;
}

std::string place(const fs::path& file, const TextLine& line) {
  return in_quotes(file) + " line " + std::to_string(line.number);
}

FolderListing list_folder(const fs::path& folder) {
  FolderListing listing;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code broken_link;
    if (name.front() != '.') (entry->is_directory(broken_link) ? listing.folders : listing.files).push_back(name);
  }
  if (error) throw DataError("folder " + in_quotes(folder) + " cannot be listed: " + error.message());
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

bool has_image_extension(const std::string& name) {
  static constexpr std::array kExtensions{".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"};
  std::string extension = fs::path(name).extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

void require_folder(const fs::path& root, const std::string& dataset) {
  if (root.empty()) throw UsageError("data set '" + dataset + "' needs a data root, none was given");
  std::error_code error;
  if (!fs::exists(root, error)) throw UsageError("data root " + in_quotes(root) + " does not exist");
  if (!fs::is_directory(root, error)) throw UsageError("data root " + in_quotes(root) + " is not a folder");
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void require_split(const std::string& dataset, const std::string& split, const std::vector<std::string>& present,
                   const std::string& expected) {
  if (std::find(present.begin(), present.end(), split) != present.end()) return;
  throw UsageError(dataset + " has no split '" + split + "' here: expected " + expected +
                   (present.empty() ? ", and no other split is there" : "; there is " + joined(present)));
}

}  // namespace fewatoms
