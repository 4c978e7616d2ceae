#include "datasets/files.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "episodes/errors.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

template <size_t N>
bool has_extension(const std::string& name, const std::array<const char*, N>& extensions) {
  const std::string extension = lower_case(std::filesystem::path(name).extension().string());
  return std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
}

}  // namespace

std::vector<TextLine> read_lines(const FileTree& tree, const std::string& path) {
  const FileBytes file = tree.read(path);
  std::string_view bytes = file.view;
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  std::vector<TextLine> lines;
  int number = 0;
  for (size_t start = 0; start < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', start), bytes.size());
    std::string text(bytes.substr(start, end - start));
    if (!text.empty() && text.back() == '\r') text.pop_back();
    ++number;
    if (text.find_first_not_of(" \t") != std::string::npos) lines.push_back({number, as_utf8(text)});
    start = end + 1;
  }
  return lines;
}

nlohmann::json read_json(const FileTree& tree, const std::string& path) {
  const FileBytes bytes = tree.read(path);
  try {
    return nlohmann::json::parse(bytes.view);
  } catch (const nlohmann::json::parse_error& error) {
    require_not_foreign(bytes.view, tree.name(path), "JSON");
    throw DataError(tree.name(path) + " is no JSON: it goes wrong at byte " + std::to_string(error.byte));
  }
}

std::string place(const FileTree& tree, const std::string& path, const TextLine& line) {
  return tree.name(path) + " line " + std::to_string(line.number);
}

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

bool has_image_extension(const std::string& name) {
  static constexpr std::array kExtensions{".jpg", ".jpeg", ".jpe", ".jfif", ".png",  ".apng", ".gif",  ".bmp",
                                          ".dib", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".ppm",
                                          ".pgm", ".pbm",  ".pnm", ".jp2",  ".j2k",  ".npy",  ".npz"};
  return has_extension(name, kExtensions);
}

bool has_unread_picture_extension(const std::string& name) {
  static constexpr std::array kExtensions{".ico", ".tga", ".svg", ".svgz", ".psd", ".xcf", ".eps", ".ai",  ".pdf",
                                          ".pcx", ".jxl", ".jxr", ".exr",  ".hdr", ".dds", ".dcm", ".raw", ".dng",
                                          ".cr2", ".cr3", ".nef", ".arw",  ".orf", ".rw2", ".raf", ".mp4", ".mov"};
  return has_extension(name, kExtensions);
}

std::string foreign_content(std::string_view bytes) {
  std::string start(bytes.substr(0, 512));
  if (start.starts_with("\xEF\xBB\xBF")) start.erase(0, 3);
  start.erase(0, start.find_first_not_of(" \t\r\n"));
  start = lower_case(std::move(start));
  const auto begins = [&](std::string_view with) { return start.starts_with(with); };
  const auto contains = [&](std::string_view text) { return start.find(text) != std::string::npos; };
  if (begins("<!doctype html") || begins("<html") || begins("<head") || begins("<script") || begins("<body") ||
      ((begins("<?xml") || begins("<!--")) && contains("<html")))
    return "a web page (HTML)";
  if (begins("<svg") || ((begins("<?xml") || begins("<!--") || begins("<!doctype svg")) && contains("<svg")))
    return "a drawing (SVG)";
  if (begins("<?xml")) return "a text (XML)";
  if (begins("version https://git-lfs")) return "a pointer of Git LFS to a file that was not fetched";
  if (begins("%pdf-")) return "a PDF document";
  if (begins("%!ps")) return "a PostScript document";
  if (begins("8bps")) return "a Photoshop file";
  if (begins(std::string_view("\0\0\1\0", 4))) return "an icon (ICO)";
  if (begins("\xFF\x0A") || begins(std::string_view("\0\0\0\x0Cjxl ", 8))) return "a JPEG XL image";
  return "";
}

void require_not_foreign(std::string_view bytes, const std::string& name, const std::string& expected) {
  const std::string found = foreign_content(bytes);
  if (!found.empty()) throw DataError(name + " is " + found + ", expected " + expected);
}

std::string counted(int64_t number, const std::string& what, const std::string& plural) {
  return std::to_string(number) + " " + (number == 1 ? what : plural.empty() ? what + "s" : plural);
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string alternatives(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return text;
}

}  // namespace fewatoms
