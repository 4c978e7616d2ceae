#include "apps/pictures.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <sstream>

#include "datasets/cached_source.h"
#include "datasets/class_folders.h"
#include "datasets/decode.h"
#include "datasets/reading_notes.h"
#include "episodes/errors.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

/// A file, or the bytes of one.
struct Picture {
  std::string path;
  std::shared_ptr<const std::string> bytes;  // null: in the file
};

void add_path(std::string path, std::vector<Picture>& pictures, ReadingNotes& notes) {
  std::error_code error;
  if (!fs::exists(path, error)) throw UsageError("there is no picture or folder " + in_quotes(path));
  if (!fs::is_directory(path, error)) {
    pictures.push_back({path, nullptr});
    return;
  }
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  ReadingNotes inside;
  std::vector<std::string> found;
  for (const FileImage& image : images_in(*open_anywhere(), escaped(path), inside))
    found.push_back(unescaped(image.path));
  if (found.empty())
    throw UsageError("folder " + in_quotes(path) + " holds no pictures (.jpg, .png, ...)" +
                     (inside.lines().empty() ? "" : "; " + inside.lines().front()));
  notes.add_ignored(inside);
  std::sort(found.begin(), found.end());
  for (std::string& file : found) pictures.push_back({std::move(file), nullptr});
}

void add_input(std::vector<Picture>& pictures, ReadingNotes& notes) {
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  if (input.find('\0') != std::string::npos) {  // no path has one, and every picture's header does
    pictures.push_back({"-", std::make_shared<const std::string>(input)});
    return;
  }
  const size_t before = pictures.size();
  std::istringstream lines(input);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) add_path(line, pictures, notes);
  }
  if (pictures.size() == before) throw UsageError("standard input holds no picture and no paths");
}

}  // namespace

DatasetOptions picture_options(const Settings& settings, const fs::path& root) {
  DatasetOptions options = settings.data;
  options.name = "folders";
  options.root = root;
  options.split_rule.clear();
  options.crop = "none";
  options.min_images = 0;
  options.allow_outside = true;  // links among one's own pictures are one's own
  return options;
}

Pictures open_pictures(const std::vector<std::string>& arguments, const Settings& settings) {
  std::vector<Picture> pictures;
  ReadingNotes notes;
  for (const std::string& argument : arguments) {
    if (argument == "-")
      add_input(pictures, notes);
    else
      add_path(argument, pictures, notes);
  }
  Pictures result;
  result.notices = notes.lines();
  std::vector<fs::path> files;
  for (const Picture& p : pictures) {
    result.names.push_back(escaped(p.path));
    files.emplace_back(p.path);
  }
  const bool from_input =
      std::any_of(pictures.begin(), pictures.end(), [](const Picture& p) { return p.bytes != nullptr; });
  DatasetOptions options = picture_options(settings);
  if (!from_input) {
    result.source = open_images(files, options);
    return result;
  }
  const auto shared = std::make_shared<const std::vector<Picture>>(std::move(pictures));
  result.source = cached_source(
      {.dataset = "images", .split = "all", .form = "files", .split_rule = "", .crop = "none", .notices = {}},
      {{"images", static_cast<int>(shared->size())}}, options, [shared, options](int, int image) {
        const Picture& p = shared->at(image);
        if (!p.bytes) {
          const auto bytes = open_anywhere()->read(escaped(p.path));
          return decode_image(bytes.view, in_quotes(p.path), pixel_rules(options));
        }
        return decode_image(*p.bytes, "standard input", pixel_rules(options));
      });
  return result;
}

}  // namespace fewatoms
