#include "apps/run_classes.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "backbones/safetensors.h"
#include "datasets/rotations.h"
#include "episodes/digest.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* kFormat = "fewatoms-classes";
constexpr int kVersion = 1;
constexpr int kLookedAt = 32;          // classes of which an image is looked at
constexpr double kSameBrightness = 1;  // of 255; decoders differ by less
constexpr const char* kCut = "val-from-train";

/// "'a', 'b', 'c' and 4 more"
std::string some(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::string text;
  for (size_t i = 0; i < std::min(kShown, names.size()); ++i) text += (i == 0 ? "'" : ", '") + names[i] + "'";
  return text + (names.size() > kShown ? " and " + std::to_string(names.size() - kShown) + " more" : "");
}

/// "1 class ('a')", "2 classes ('a', 'b')"
std::string classes_text(const std::vector<std::string>& names) {
  return std::to_string(names.size()) + (names.size() == 1 ? " class (" : " classes (") + some(names) + ")";
}

/// A hash of the names of a class's images; empty where they are but numbers.
std::string hash_of_files(const ImageSource& source, int c) {
  if (source.class_size(c) == 0 || source.image_name({c, 0, 0}) == source.ImageSource::image_name({c, 0, 0})) return "";
  Sha256 hash;
  for (int i = 0; i < source.class_size(c); ++i) hash.add(source.image_name({c, i, 0}) + "\n");
  return hash.digits().substr(0, 16);
}

std::string hash_of_all(const RunClasses& classes) {
  Sha256 hash;
  for (const SplitClasses& split : classes.splits) hash.add(split.split + " " + hash_of(split) + "\n");
  for (const std::string& name : classes.trained_before) hash.add(name + "\n");
  return hash.digits();
}

/// Splits by class. With `as_in_data`, what validation took out of train is train.
std::map<std::string, std::set<std::string>> splits_by_class(const RunClasses& classes, bool as_in_data) {
  std::map<std::string, std::set<std::string>> splits;
  for (const SplitClasses& split : classes.splits)
    for (const KnownClass& c : split.classes)
      splits[c.name].insert(as_in_data && split.split == kCut ? "train" : split.split);
  return splits;
}

bool has_split(const RunClasses& classes, const std::string& split) {
  return std::any_of(classes.splits.begin(), classes.splits.end(),
                     [&](const SplitClasses& s) { return s.split == split; });
}

std::string list_of(const std::set<std::string>& splits) {
  std::string text;
  for (const std::string& split : splits) text += (text.empty() ? "" : " and ") + split;
  return text;
}

/// Classes that were in one split and are in another now; each with both.
struct Moved {
  std::vector<std::string> names;
  std::string first;  // "class 'owl' was in train and is in test now"
  void add(const std::string& name, const std::set<std::string>& was, const std::string& is) {
    if (names.empty()) first = "class '" + name + "' was in " + list_of(was) + " and is in " + is + " now";
    names.push_back(name);
  }
  std::string text() const {
    return first +
           (names.size() > 1 ? ", and " + std::to_string(names.size() - 1) + " more are not where they were" : "");
  }
};

std::string run_text(const std::filesystem::path& run) { return "run '" + run.string() + "'"; }

constexpr const char* kAllow = " (--allow-class-overlap goes on all the same)";

void add_changes(std::vector<std::string>& notices, const std::filesystem::path& run, const std::string& split,
                 const std::vector<std::string>& added, const std::vector<std::string>& gone) {
  if (!added.empty())
    notices.push_back("split " + split + " has " + classes_text(added) + " that " + run_text(run) +
                      " did not have when it was trained");
  if (!gone.empty())
    notices.push_back("split " + split + " lacks " + classes_text(gone) + " that " + run_text(run) +
                      " had when it was trained");
}

/// What is different between the images of a class; empty: nothing.
std::string difference(const KnownClass& before, const KnownClass& now) {
  const std::string name = "class '" + now.name + "' ";
  if (before.images != now.images)
    return name + "has " + std::to_string(now.images) + " images, it had " + std::to_string(before.images);
  if (!before.files.empty() && !now.files.empty() && before.files != now.files)
    return name + "has images of other names or in another order";
  if (before.brightness >= 0 && now.brightness >= 0 && std::abs(before.brightness - now.brightness) > kSameBrightness)
    return name + "has other pictures under the same names";
  return "";
}

}  // namespace

SplitClasses classes_of(const ImageSource& source, const DatasetOptions& data) {
  SplitClasses split{.split = source.info().split, .skipped = source.info().skipped, .classes = {}};
  const std::string opened_as = split.split == kCut ? "val" : split.split;  // open_training_sources turns it so
  const bool turned = turns_classes(data.rotations, opened_as);
  for (int c = 0; c < source.classes(); c += turned ? 4 : 1) {
    const std::string& name = source.class_name(c);
    split.classes.push_back({.name = turned ? name_before_turning(name) : name,
                             .images = source.class_size(c),
                             .files = hash_of_files(source, c)});
  }
  return split;
}

std::string hash_of(const SplitClasses& split) {
  Sha256 hash;
  for (const KnownClass& c : split.classes) hash.add(c.name + "\n" + std::to_string(c.images) + " " + c.files + "\n");
  return hash.digits();
}

RunClasses classes_of(const Settings& settings, const TrainingSources& sources, const OpenSource& open) {
  const SourceInfo& info = sources.train->info();
  RunClasses classes{
      .dataset = info.dataset, .form = info.form, .split_rule = info.split_rule, .splits = {}, .trained_before = {}};
  classes.splits.push_back(classes_of(*sources.train, settings.data));
  if (sources.validation) classes.splits.push_back(classes_of(*sources.validation, settings.data));
  DatasetOptions data = settings.data;
  data.skip_bad = false;  // it would decode images that training does not need
  for (const char* split : {"val", "test"}) {
    if (has_split(classes, split)) continue;
    try {
      classes.splits.push_back(classes_of(*open(data, split), data));
    } catch (const std::exception&) {  // not there, or damaged: training does not need it
    }
  }
  return classes;
}

void look_at_images(RunClasses& classes, const ImageSource& train, const DatasetOptions& data) {
  SplitClasses& split = classes.splits.front();
  const int turns = turns_classes(data.rotations, "train") ? 4 : 1, count = static_cast<int>(split.classes.size());
  for (int i = 0; i < std::min(kLookedAt, count); ++i) {
    const int c = static_cast<int>(int64_t{i} * count / std::min(kLookedAt, count));
    try {
      const ImageView view = train.image({c * turns, 0, 0});
      int64_t sum = 0;
      for (size_t b = 0; b < view.bytes(); ++b) sum += view.pixels[b];
      split.classes[c].brightness = static_cast<double>(sum) / static_cast<double>(view.bytes());
    } catch (const DataError&) {  // whoever needs the image says so
    }
  }
}

bool same_classes(const RunClasses& a, const RunClasses& b) { return hash_of_all(a) == hash_of_all(b); }

std::vector<std::string> trained_classes(const RunClasses& classes) {
  std::set<std::string> names(classes.trained_before.begin(), classes.trained_before.end());
  for (const SplitClasses& split : classes.splits)
    if (split.split == "train")
      for (const KnownClass& c : split.classes) names.insert(c.name);
  return {names.begin(), names.end()};
}

void write_run_classes(const std::filesystem::path& run, const RunClasses& classes) {
  json splits = json::array();
  for (const SplitClasses& split : classes.splits) {
    json list = json::array();
    for (const KnownClass& c : split.classes) {
      list.push_back({{"name", c.name}, {"images", c.images}});
      if (!c.files.empty()) list.back()["files"] = c.files;
      if (c.brightness >= 0) list.back()["brightness"] = std::round(100 * c.brightness) / 100;
    }
    splits.push_back({{"split", split.split}, {"skipped", split.skipped}, {"classes", list}});
  }
  const json text = {{"format", kFormat},
                     {"version", kVersion},
                     {"dataset", classes.dataset},
                     {"form", classes.form},
                     {"split_rule", classes.split_rule},
                     {"splits", splits},
                     {"trained_before", classes.trained_before},
                     {"hash", hash_of_all(classes)}};
  write_file_atomically(RunPaths(run).classes(), text.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

std::optional<RunClasses> read_run_classes(const std::filesystem::path& run) {
  const std::filesystem::path path = RunPaths(run).classes();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  RunClasses classes;
  std::string hash;
  try {
    std::ifstream file(path);
    const json text = json::parse(file);
    const auto format = text.at("format").get<std::string>();
    const auto version = text.at("version").get<int>();
    if (format != kFormat || version != kVersion)
      throw DataError("'" + path.string() + "' is " + format + " of version " + std::to_string(version) +
                      ", expected " + kFormat + " of version " + std::to_string(kVersion));
    classes.dataset = text.at("dataset");
    classes.form = text.at("form");
    classes.split_rule = text.at("split_rule");
    for (const json& s : text.at("splits")) {
      SplitClasses split{.split = s.at("split"), .skipped = s.at("skipped"), .classes = {}};
      for (const json& c : s.at("classes"))
        split.classes.push_back({.name = c.at("name"),
                                 .images = c.at("images"),
                                 .files = c.value("files", ""),
                                 .brightness = c.value("brightness", -1.0)});
      classes.splits.push_back(std::move(split));
    }
    classes.trained_before = text.at("trained_before").get<std::vector<std::string>>();
    hash = text.at("hash");
  } catch (const json::exception&) {
    throw DataError("'" + path.string() + "' is damaged, expected the JSON that train wrote there");
  }
  if (hash != hash_of_all(classes))
    throw DataError("'" + path.string() + "' was altered: its classes do not have the hash written in it");
  return classes;
}

std::string unknown_classes_notice(const std::filesystem::path& run) {
  return run_text(run) +
         " does not say which classes it was trained on (it has no classes.json, as runs of earlier versions and "
         "imported networks): nothing checks that others are tested";
}

std::vector<std::string> check_resumed(const std::filesystem::path& run, const RunClasses& before,
                                       const RunClasses& now, bool same_images, bool allow_overlap) {
  const auto was = splits_by_class(before, false), is = splits_by_class(now, false);
  Moved moved;
  const auto left = [](const std::set<std::string>& from, const std::set<std::string>& to, const RunClasses& to_all) {
    return std::any_of(from.begin(), from.end(), [&](const std::string& split) {  // splits that both know
      return !to.contains(split) && has_split(to_all, split);
    });
  };
  for (const auto& [name, splits] : is)
    if (const auto earlier = was.find(name);
        earlier != was.end() && (left(earlier->second, splits, now) || left(splits, earlier->second, before)))
      moved.add(name, earlier->second, list_of(splits));
  if (!moved.names.empty() && !(allow_overlap && !same_images))
    throw UsageError("since " + run_text(run) + " was trained its classes were split anew: " + moved.text() +
                     "; expected each where it was" +
                     (same_images ? "" : ", as dataset split and --split-file keep them" + std::string(kAllow)));

  std::vector<std::string> notices;
  if (!moved.names.empty())
    notices.push_back("since " + run_text(run) + " was trained its classes were split anew: " + moved.text());
  std::string other_images;
  int64_t missing = 0, may_miss = 0;
  for (const SplitClasses& split : now.splits) {
    const auto earlier = std::find_if(before.splits.begin(), before.splits.end(),
                                      [&](const SplitClasses& s) { return s.split == split.split; });
    if (earlier == before.splits.end()) continue;
    std::map<std::string, const KnownClass*> old;
    for (const KnownClass& c : earlier->classes) old[c.name] = &c;
    std::vector<std::string> added, gone;
    may_miss += split.skipped + earlier->skipped;
    for (const KnownClass& c : split.classes) {
      const auto found = old.find(c.name);
      if (found == old.end()) {
        if (!was.contains(c.name)) added.push_back(c.name);
        continue;
      }
      const std::string text = difference(*found->second, c);
      if (!text.empty() && other_images.empty()) other_images = "in split " + split.split + " " + text;
      if (!text.empty()) missing += std::abs(int64_t{c.images} - found->second->images);
    }
    for (const KnownClass& c : earlier->classes)
      if (!is.contains(c.name)) gone.push_back(c.name);
    add_changes(notices, run, split.split, added, gone);
  }
  if (missing > 0 && missing <= may_miss) other_images.clear();  // images that --skip-bad leaves out, now or then
  if (!same_images) {
    if (!other_images.empty()) notices.push_back("since " + run_text(run) + " was trained: " + other_images);
    return notices;
  }
  if (notices.empty() && other_images.empty()) return notices;
  throw UsageError("--resume goes on with the images of " + run_text(run) +
                   ", but the data root has others: " + (notices.empty() ? other_images : notices.front()) +
                   "; --init starts a new run in another --out from its weights");
}

RunClasses with_history(RunClasses now, const RunClasses& before) {
  const std::vector<std::string> trained = trained_classes(before);
  std::set<std::string> names(trained.begin(), trained.end());
  for (const SplitClasses& split : now.splits)
    if (split.split == "train")
      for (const KnownClass& c : split.classes) names.erase(c.name);
  for (const std::string& name : now.trained_before) names.insert(name);
  for (const std::string& name : before.trained_before) names.insert(name);
  now.trained_before.assign(names.begin(), names.end());
  return now;
}

std::vector<std::string> check_tested(const std::filesystem::path& run, const RunClasses& trained,
                                      const SplitClasses& tested, bool own, bool allow_overlap) {
  const auto splits = splits_by_class(trained, true);
  std::set<std::string> earlier(trained.trained_before.begin(), trained.trained_before.end()), trained_now;
  for (const SplitClasses& split : trained.splits)
    if (split.split == "train")
      for (const KnownClass& c : split.classes) trained_now.insert(c.name);

  const bool is_split = own && tested.split != "all" && has_split(trained, tested.split);
  std::vector<std::string> overlap, shared, validated, added, gone;
  Moved moved;
  std::set<std::string> present;
  for (const KnownClass& c : tested.classes) {
    present.insert(c.name);
    const auto found = splits.find(c.name);
    const bool known = found != splits.end(), here = is_split && known && found->second.contains(tested.split);
    const bool was_trained = trained_now.contains(c.name) || earlier.contains(c.name);
    if (here && was_trained && (tested.split == "train" || trained_now.contains(c.name)))
      shared.push_back(c.name);  // on purpose: split train, or a data set whose splits have the same classes
    else if (was_trained)
      overlap.push_back(c.name);
    else if (is_split && !known)
      added.push_back(c.name);
    if (is_split && known && !here) moved.add(c.name, found->second, tested.split);
    if (!is_split && known && !was_trained && (found->second.contains("val") || found->second.contains("train")))
      validated.push_back(c.name);
  }
  if (is_split)
    for (const auto& [name, in] : splits)
      if (in.contains(tested.split) && !present.contains(name)) gone.push_back(name);

  std::vector<std::string> notices;
  if (!overlap.empty() || !moved.names.empty()) {
    std::string text = overlap.empty() ? "since " + run_text(run) + " was trained its classes were split anew"
                                       : run_text(run) + " was trained on " + std::to_string(overlap.size()) +
                                             " of the " + std::to_string(tested.classes.size()) + " classes of split " +
                                             tested.split + " (" + some(overlap) + ")";
    if (!moved.names.empty()) text += ": " + moved.text();
    if (!allow_overlap)
      throw UsageError(text + (overlap.empty() ? "; expected each where it was" : "; expected classes new to it") +
                       kAllow);
    notices.push_back(text);
  }
  if (!shared.empty())
    notices.push_back(run_text(run) + " was trained on " +
                      (shared.size() == tested.classes.size() ? "the" : std::to_string(shared.size()) + " of the") +
                      " classes of split " + tested.split + ": the result says nothing of new classes");
  if (!validated.empty())
    notices.push_back(run_text(run) + " was validated on " + classes_text(validated) + " of those tested");
  add_changes(notices, run, tested.split, added, gone);
  return notices;
}

}  // namespace fewatoms
