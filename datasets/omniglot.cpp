#include <algorithm>
#include <array>
#include <map>

#include "datasets/class_folders.h"
#include "datasets/entries.h"
#include "datasets/files.h"
#include "datasets/forms.h"
#include "episodes/errors.h"

// Omniglot (Lake, Salakhutdinov, Tenenbaum 2015) as few-shot work prepares it: small, white on black, and each
// character turned by 0, 90, 180 and 270 degrees (counter-clockwise) as four classes.

namespace fewatoms {
namespace {

// The validation alphabets of the split of Vinyals et al. (2016), all of the background set.
constexpr std::array kValidation{"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"};

bool is_validation(const std::string& alphabet) {
  return std::find(kValidation.begin(), kValidation.end(), alphabet) != kValidation.end();
}

/// The two parts that Omniglot is published in.
enum class Part { kBackground, kEvaluation };
std::string folder_of(Part part) { return part == Part::kBackground ? "images_background" : "images_evaluation"; }

/// The split of a character, "" if it is in none.
std::string split_of(const std::string& rule, Part part, const std::string& alphabet, const std::string& character) {
  if (rule == "background-evaluation") return part == Part::kBackground ? "train" : "test";
  if (part == Part::kBackground) return is_validation(alphabet) ? "val" : "train";
  if (rule == "alphabets") return "test";
  // Vinyals et al. train on the first 1,028 characters beside validation: the evaluation set's up to the 41st of
  // Gurmukhi.
  return std::pair(alphabet, character) <= std::pair<std::string, std::string>("Gurmukhi", "character41") ? "train"
                                                                                                          : "test";
}

// Characters of the complete data set in each split, before turning.
int official_characters(const std::string& rule, const std::string& split) {
  if (rule == "vinyals") return split == "train" ? 1028 : split == "val" ? 172 : 423;
  if (rule == "background-evaluation") return split == "train" ? 964 : split == "val" ? 0 : 659;
  return split == "train" ? 792 : split == "val" ? 172 : 659;
}

const std::vector<Form>& omniglot_forms() {
  const auto none = [](const FileTreePtr&, const DatasetOptions&, const FoundSplit&) { return ImageSet(); };
  static const std::vector<Form> forms{
      {.name = "alphabet-folders",
       .expected = "images_background/<Alphabet>/<characterNN>/*.png and images_evaluation/",
       .find = find_by_name({{"train", "images_background"}, {"test", "images_evaluation"}}),
       .open = none},
      {.name = "zip-files",
       .expected = "images_background.zip and images_evaluation.zip",
       .find = find_by_name({{"train", "images_background.zip"}, {"test", "images_evaluation.zip"}}),
       .open = none},
  };
  return forms;
}

/// A part's alphabets: the tree in which they lie, and their folder there.
struct Alphabets {
  Part part;
  FileTreePtr tree;
  std::string folder;
};

struct Found {
  std::string form;
  std::vector<Alphabets> parts;
};

Found find_parts(const DatasetOptions& options) {
  const FileTreePtr tree = open_root(options);
  const Form& form = find_form(*tree, omniglot_forms(), options);
  Found found{form.name, {}};
  for (const FoundSplit& f : form.find(*tree, options)) {
    Alphabets alphabets{f.split == "train" ? Part::kBackground : Part::kEvaluation, tree, f.path};
    if (form.name == "zip-files") {
      alphabets.tree = open_archive_in(tree, f.path, options.name_encoding);
      // The zip holds the folder of its name; one made by hand may hold the alphabets themselves.
      alphabets.folder = alphabets.tree->is_folder(folder_of(alphabets.part)) ? folder_of(alphabets.part) : "";
    }
    found.parts.push_back(std::move(alphabets));
  }
  return found;
}

std::vector<std::string> omniglot_splits(const DatasetOptions& options) {
  const Found found = find_parts(options);
  std::vector<std::string> present;
  for (const char* split : {"train", "val", "test"}) {
    const bool is_there = std::any_of(found.parts.begin(), found.parts.end(), [&](const Alphabets& part) {
      const auto alphabets = part.tree->list(part.folder).folders;
      return std::any_of(alphabets.begin(), alphabets.end(), [&](const auto& alphabet) {
        return split_of(options.split_rule, part.part, alphabet, "character01") == split ||
               split_of(options.split_rule, part.part, alphabet, "character99") == split;
      });
    });
    if (is_there) present.emplace_back(split);
  }
  return present;
}

std::shared_ptr<const ImageSource> open_omniglot(const DatasetOptions& options, const std::string& split) {
  const Found found = find_parts(options);
  const auto present = omniglot_splits(options);
  if (std::find(present.begin(), present.end(), split) == present.end())
    throw UsageError(
        options.name + " has no split '" + split + "' by rule '" + options.split_rule + "' in " +
        in_quotes(options.root) + ": expected " +
        (split == "val"
             ? "validation alphabets (Armenian, ...) in images_background, which rule 'background-evaluation' has not"
             : "alphabets in " +
                   in_quotes(options.root / folder_of(split == "test" ? Part::kEvaluation : Part::kBackground))) +
        "; there is " + joined(present));
  SourceInfo info{.dataset = options.name,
                  .split = split,
                  .form = found.form,
                  .split_rule = options.split_rule,
                  .crop = "none",
                  .notices = {}};

  // Images of both parts may come from two archives, so each class remembers its tree: one set per part, joined below.
  ImageSet set;
  std::vector<PictureLoader> loaders;         // of each part
  std::vector<std::pair<size_t, int>> where;  // of each class: its part and its index there
  int characters = 0;
  ReadingNotes notes;
  for (const Alphabets& part : found.parts) {
    std::vector<FileClass> classes;
    for (const auto& alphabet : part.tree->list(part.folder).folders) {
      for (const FileClass& character : find_class_folders(*part.tree, joined_path(part.folder, alphabet), notes)) {
        if (split_of(options.split_rule, part.part, alphabet, character.name) != split) continue;
        ++characters;
        static constexpr const char* kTurns[] = {"rot000", "rot090", "rot180", "rot270"};
        for (int turn = 0; turn < 4; ++turn)
          classes.push_back({alphabet + "/" + character.name + "/" + kTurns[turn], character.images, turn, alphabet});
      }
    }
    ImageSet of_part = file_images(part.tree, std::move(classes), options, /*inverted=*/true);
    for (size_t c = 0; c < of_part.classes.size(); ++c) where.emplace_back(loaders.size(), static_cast<int>(c));
    loaders.push_back(std::move(of_part.load));
    std::move(of_part.classes.begin(), of_part.classes.end(), std::back_inserter(set.classes));
  }
  if (set.classes.empty())
    throw UsageError(in_quotes(options.root) + " has no images for split '" + split +
                     "', expected <Alphabet>/<characterNN>/*.png");
  set.notices = notes.lines();
  if (characters != official_characters(options.split_rule, split))
    set.notices.push_back("split '" + split + "' has " + std::to_string(characters) + " of " +
                          std::to_string(official_characters(options.split_rule, split)) + " characters");
  info.notices = std::move(set.notices);
  return cached_source(std::move(info), set.classes, options,
                       {[loaders, where](int class_index, int image_index) {
                          const auto& [part, index] = where[class_index];
                          return loaders[part](index, image_index);
                        },
                        [loaders, where](int class_index, int image_index) {
                          const auto& [part, index] = where[class_index];
                          return loaders[part].header(index, image_index);
                        }});
}

}  // namespace

DatasetEntry omniglot_entry() {
  return {.name = "omniglot",
          .summary = "Omniglot characters, each in four rotations as classes of their own",
          .usual_size = 28,
          .usual_channels = 1,
          .split_rules = {"alphabets", "vinyals", "background-evaluation"},
          .has_rotations = true,
          .splits = omniglot_splits,
          .open = open_omniglot};
}

}  // namespace fewatoms
