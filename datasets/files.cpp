#include "datasets/files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "episodes/errors.h"

namespace fewatoms {

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
    if (text.find_first_not_of(" \t") != std::string::npos) lines.push_back({number, std::move(text)});
    start = end + 1;
  }
  return lines;
}

nlohmann::json read_json(const FileTree& tree, const std::string& path) {
  const FileBytes bytes = tree.read(path);
  try {
    return nlohmann::json::parse(bytes.view);
  } catch (const nlohmann::json::parse_error& error) {
    throw DataError(tree.name(path) + " is no JSON: it goes wrong at byte " + std::to_string(error.byte));
  }
}

std::string place(const FileTree& tree, const std::string& path, const TextLine& line) {
  return tree.name(path) + " line " + std::to_string(line.number);
}

bool has_image_extension(const std::string& name) {
  static constexpr std::array kExtensions{".jpg",  ".jpeg", ".png", ".bmp", ".webp", ".tif",
                                          ".tiff", ".ppm",  ".pgm", ".jp2", ".npy",  ".npz"};
  std::string extension = std::filesystem::path(name).extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

std::string counted(int64_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
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
