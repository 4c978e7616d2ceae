#include "datasets/reading_notes.h"

#include <algorithm>

#include "datasets/files.h"
#include "datasets/labels.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {
constexpr const char* kIgnored = "ignored ";
}

void ReadingNotes::count(const std::string& start, const std::string& what, const std::string& end,
                         const std::string& example) {
  auto line = std::find_if(lines_.begin(), lines_.end(),
                           [&](const Line& l) { return l.start == start && l.what == what && l.end == end; });
  if (line == lines_.end()) line = lines_.insert(lines_.end(), {start, what, end, 0, example});
  ++line->count;
}

void ReadingNotes::ignored(const std::string& what, const std::string& why, const std::string& example) {
  count(kIgnored, what, why, example);
}

void ReadingNotes::ignored(const FileTree& tree, const std::string& folder, const FolderListing& listing) {
  for (const LeftOut& left : listing.left_out)
    if (left.kind != "hidden file" || has_image_extension(left.name))
      ignored(left.kind, "", tree.name(joined_path(folder, left.name)));
}

void ReadingNotes::add_ignored(const ReadingNotes& others) {
  for (const Line& line : others.lines_) {
    if (line.start != kIgnored) continue;
    for (int64_t i = 0; i < line.count; ++i) ignored(line.what, line.end, line.example);
  }
}

void ReadingNotes::read_inside(const std::string& example) {
  count("read ", "image", " in folders inside class folders", example);
}

std::string ReadingNotes::label(const std::string& given) {
  std::string label = clean_label(given);
  if (label.size() < as_line(given).size()) count("trimmed the spaces of ", "label", "", "'" + as_line(given) + "'");
  return label;
}

std::vector<std::string> ReadingNotes::lines() const {
  std::vector<std::string> lines;
  for (const Line& l : lines_)
    lines.push_back(l.start + counted(l.count, l.what) + l.end + (l.count == 1 ? ": " : ", such as ") + l.example);
  return lines;
}

}  // namespace fewatoms
