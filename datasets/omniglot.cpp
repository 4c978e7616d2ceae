#include <algorithm>
#include <array>

#include "datasets/class_folders.h"
#include "datasets/entries.h"
#include "datasets/files.h"
#include "episodes/errors.h"

// Omniglot (Lake, Salakhutdinov, Tenenbaum 2015) as few-shot work prepares it: small, white on black, and each
// character turned by 0, 90, 180 and 270 degrees (counter-clockwise) as four classes.

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

// The validation alphabets of the split of Vinyals et al. (2016); train is the rest of the background set.
constexpr std::array kValidation{"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"};

// Characters of the complete data set in each split, before turning.
int official_characters(const std::string& split) { return split == "train" ? 792 : split == "val" ? 172 : 659; }

fs::path folder_of(const DatasetOptions& options, const std::string& split) {
  return options.root / (split == "test" ? "images_evaluation" : "images_background");
}

bool in_split(const std::string& alphabet, const std::string& split) {
  if (split == "test") return true;
  return (std::find(kValidation.begin(), kValidation.end(), alphabet) != kValidation.end()) == (split == "val");
}

std::vector<std::string> omniglot_splits(const DatasetOptions& options) {
  std::vector<std::string> present;
  for (const char* split : {"train", "val", "test"}) {
    const fs::path folder = folder_of(options, split);
    if (!fs::is_directory(folder)) continue;
    const auto alphabets = list_folder(folder).folders;
    if (std::any_of(alphabets.begin(), alphabets.end(), [&](const auto& name) { return in_split(name, split); }))
      present.emplace_back(split);
  }
  if (present.empty())
    throw UsageError(in_quotes(options.root) +
                     " holds no omniglot: expected images_background/<Alphabet>/<characterNN>/*.png");
  return present;
}

std::shared_ptr<const ImageSource> open_omniglot(const DatasetOptions& options, const std::string& split) {
  const fs::path folder = folder_of(options, split);
  require_split(options.name, split, omniglot_splits(options),
                (split == "val" ? "validation alphabets (Armenian, ...) in " : "alphabets in ") + in_quotes(folder));
  SourceInfo info{.dataset = options.name,
                  .split = split,
                  .form = "alphabet-folders",
                  .split_rule = options.split_rule,
                  .crop = "none",
                  .notices = {}};

  std::vector<FileClass> classes;
  for (const auto& alphabet : list_folder(folder).folders) {
    if (!in_split(alphabet, split)) continue;
    ClassFolders found = find_class_folders(folder / alphabet);
    for (auto& notice : found.notices) info.notices.push_back(std::move(notice));
    for (const FileClass& character : found.classes) {
      static constexpr const char* kTurns[] = {"rot000", "rot090", "rot180", "rot270"};
      for (int turn = 0; turn < 4; ++turn)
        classes.push_back({alphabet + "/" + character.name + "/" + kTurns[turn], character.images, turn});
    }
  }
  if (classes.empty())
    throw UsageError(in_quotes(folder) + " has no images for split '" + split +
                     "', expected <Alphabet>/<characterNN>/*.png");
  const auto characters = static_cast<int>(classes.size() / 4);
  if (characters != official_characters(split))
    info.notices.push_back("split '" + split + "' has " + std::to_string(characters) + " of " +
                           std::to_string(official_characters(split)) + " characters");
  return file_source(std::move(info), std::move(classes), options, /*inverted=*/true);
}

}  // namespace

DatasetEntry omniglot_entry() {
  return {.name = "omniglot",
          .summary = "Omniglot characters, each in four rotations as classes of their own",
          .usual_size = 28,
          .usual_channels = 1,
          .split_rules = {"alphabets"},
          .splits = omniglot_splits,
          .open = open_omniglot};
}

}  // namespace fewatoms
