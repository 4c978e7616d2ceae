#include <chrono>
#include <cstdio>
#include <iostream>

#include <unistd.h>
#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/json_text.h"
#include "apps/stop_signal.h"
#include "backbones/safetensors.h"
#include "datasets/class_split.h"
#include "datasets/file_tree.h"
#include "datasets/known_splits.h"
#include "datasets/pack.h"
#include "datasets/survey.h"
#include "datasets/table.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

struct DatasetCommand {
  Settings settings;  // of which the data set's part counts
  std::string out, samples;
  bool json = false, quick = false;
  int threads = 0;

  DatasetOptions data() const {
    DatasetOptions options = settings.data;
    if (!options.split_file.empty()) options.split_file = std::filesystem::absolute(options.split_file);
    return options;
  }
};

/// "12,000 of 60,000 images" on standard error: a line that renews itself on a terminal, one every ten seconds in a
/// log.
class ImageProgress {
 public:
  explicit ImageProgress(const char* doing) : doing_(doing), terminal_(::isatty(STDERR_FILENO) == 1) {}
  ~ImageProgress() {
    if (terminal_ && shown_any_) std::fputs("\r\033[K", stderr);
  }
  void operator()(int64_t done, int64_t total) {
    obey_stop();
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < (terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10))) return;
    shown_ = now;
    shown_any_ = true;
    std::fprintf(stderr, terminal_ ? "\r%s: %lld of %lld images" : "%s: %lld of %lld images\n", doing_,
                 static_cast<long long>(done), static_cast<long long>(total));
    std::fflush(stderr);
  }

 private:
  const char* doing_;
  bool terminal_, shown_any_ = false;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

std::string size_text(const std::pair<int, int>& size) {
  return std::to_string(size.first) + "x" + std::to_string(size.second);
}

/// What stands in a table of `dataset inspect` for a split.
struct SplitReport {
  SplitSummary summary;
  std::shared_ptr<const ImageSource> source;
  KnownSplit known;                                         // the published split that has these classes
  std::vector<std::pair<std::string, std::string>> serves;  // "5-way 1-shot", and why not, or nothing
  int64_t orientation_tags = 0;                             // images whose camera's tag asks to turn them
};

SplitReport report_of(const SplitSummary& summary, const DatasetOptions& data) {
  SplitReport report{.summary = summary, .source = open_dataset(data, summary.split), .known = {}, .serves = {}};
  report.orientation_tags = count_orientation_tags(*report.source);
  std::vector<std::string> names;
  for (int c = 0; c < report.source->classes(); ++c) names.push_back(report.source->class_name(c));
  report.known = known_split(names);
  for (const EpisodeSpec& spec :
       {EpisodeSpec{5, 1, 15}, EpisodeSpec{5, 5, 15}, EpisodeSpec{20, 1, 15}, EpisodeSpec{20, 5, 15}}) {
    std::string reason;
    try {
      require_servable(*report.source, spec);
    } catch (const std::exception& e) {
      reason = e.what();
    }
    report.serves.emplace_back(std::to_string(spec.ways) + "-way " + std::to_string(spec.shots) + "-shot", reason);
  }
  return report;
}

std::string known_text(const KnownSplit& known) {
  return known.dataset.empty() ? "unknown" : known.dataset + " " + known.rule + " " + known.split;
}

json survey_json(const SplitSurvey& survey) {
  json sizes = json::array(), broken = json::array();
  for (const auto& [size, images] : survey.sizes)
    sizes.push_back({{"width", size.first}, {"height", size.second}, {"images", images}});
  for (const BadImage& bad : survey.bad)
    broken.push_back({{"class", bad.class_name}, {"image", bad.index}, {"reason", bad.reason}});
  return {{"sizes", sizes}, {"grey_images", survey.grey}, {"broken", broken}};
}

void print_json(const std::vector<SplitReport>& reports, const std::vector<SplitSurvey>& surveys,
                const Duplicates& duplicates) {
  json list = json::array();
  for (size_t i = 0; i < reports.size(); ++i) {
    const SplitSummary& s = reports[i].summary;
    const ImageSource& source = *reports[i].source;
    json classes = json::object(), serves = json::object();
    for (int c = 0; c < source.classes(); ++c) classes[source.class_name(c)] = source.class_size(c);
    for (const auto& [episodes, reason] : reports[i].serves) serves[episodes] = reason.empty();
    json split{{"split", s.split},
               {"classes", s.classes},
               {"images", s.images},
               {"images_per_class", {{"fewest", s.fewest}, {"median", s.median}, {"most", s.most}}},
               {"published_split", known_text(reports[i].known)},
               {"serves", serves},
               {"skipped_images", source.info().skipped},
               {"orientation_tags", reports[i].orientation_tags},
               {"notices", source.info().notices},
               {"class_sizes", classes}};
    if (!surveys.empty()) split.update(survey_json(surveys[i]));
    list.push_back(split);
  }
  const ImageSource& source = *reports.front().source;
  const SourceInfo& info = source.info();
  json result{{"dataset", info.dataset},
              {"form", info.form},
              {"split_rule", info.split_rule},
              {"crop", info.crop},
              {"image_size", source.height()},
              {"channels", source.channels()},
              {"splits", list}};
  if (!surveys.empty()) {
    json examples = json::array();
    for (const Duplicate& d : duplicates.examples) examples.push_back({d.first, d.second});
    result["duplicates"] = {{"across_splits", duplicates.across_splits},
                            {"within_splits", duplicates.within_splits},
                            {"examples", examples}};
  }
  std::cout << json_text(result) << "\n";
}

void print_survey(const std::vector<SplitSurvey>& surveys, const Duplicates& duplicates) {
  for (const SplitSurvey& s : surveys) {
    std::string sizes;
    if (s.sizes.size() == 1) {
      sizes = "all " + size_text(s.sizes.begin()->first) + " pixels";
    } else if (!s.sizes.empty()) {
      int narrowest = s.sizes.begin()->first.first, widest = narrowest, lowest = s.sizes.begin()->first.second,
          highest = lowest;
      for (const auto& [size, images] : s.sizes) {
        narrowest = std::min(narrowest, size.first);
        widest = std::max(widest, size.first);
        lowest = std::min(lowest, size.second);
        highest = std::max(highest, size.second);
      }
      sizes = std::to_string(narrowest) + " to " + std::to_string(widest) + " wide, " + std::to_string(lowest) +
              " to " + std::to_string(highest) + " high";
    }
    std::printf("  pictures of %s: %s; %lld in colour, %lld grey, %zu broken\n", s.split.c_str(), sizes.c_str(),
                static_cast<long long>(s.images - s.grey - static_cast<int64_t>(s.bad.size())),
                static_cast<long long>(s.grey), s.bad.size());
    for (const BadImage& bad : s.bad) std::printf("    broken: %s\n", bad.reason.c_str());
  }
  std::printf("  images that repeat another: %lld across splits, %lld within a split\n",
              static_cast<long long>(duplicates.across_splits), static_cast<long long>(duplicates.within_splits));
  for (const Duplicate& d : duplicates.examples)
    std::printf("    equal: %s and %s\n", d.first.c_str(), d.second.c_str());
}

/// Whose classes are too few to split can be looked at all the same: as one split. `note` says so.
DatasetOptions with_splits(DatasetOptions data, std::string& note) {
  try {
    present_splits(data);
  } catch (const TooFewClasses& e) {
    data.split_fractions = "0,0,1";
    note = std::string(e.what()) + ": all of them are shown as test";
  }
  return data;
}

void print_notices(const std::vector<std::pair<std::string, Notices>>& by_split, const char* start) {
  for (const std::string& notice : merged_notices(by_split)) std::printf("%snote%s\n", start, notice.c_str());
}

int run_inspect(const DatasetCommand& command) {
  const ArchivesStayOpen while_looking;
  std::string note;
  const DatasetOptions data = with_splits(command.data(), note);
  const auto splits = summarise(data);
  if (splits.empty()) throw UsageError("data set '" + data.name + "': no split found under " + in_quotes(data.root));
  std::vector<SplitReport> reports;
  for (const SplitSummary& s : splits) reports.push_back(report_of(s, data));
  std::vector<SplitSurvey> surveys;
  if (!command.quick) {
    ImageProgress progress("looking at");
    with_threads(command.threads, [&] { surveys = survey(data, std::ref(progress)); });
  }
  const Duplicates duplicates = find_duplicates(surveys);
  if (!command.samples.empty()) write_contact_sheet(data, command.samples);
  if (command.json) {
    print_json(reports, surveys, duplicates);
    return 0;
  }

  const ImageSource& source = *reports.front().source;
  const SourceInfo& info = source.info();
  std::printf("%s: form %s%s%s, read as %dx%d %s\n", info.dataset.c_str(), info.form.c_str(),
              info.split_rule.empty() ? "" : ", split ", info.split_rule.c_str(), source.width(), source.height(),
              source.channels() == 3 ? "RGB" : "grey");
  std::printf("  %-6s %8s %9s   images per class: fewest median most   published split\n", "split", "classes",
              "images");
  for (const SplitReport& r : reports)
    std::printf("  %-6s %8d %9lld   %24d %6d %4d   %s\n", r.summary.split.c_str(), r.summary.classes,
                static_cast<long long>(r.summary.images), r.summary.fewest, r.summary.median, r.summary.most,
                known_text(r.known).c_str());
  for (const SplitReport& r : reports) {
    std::string can, cannot;
    for (const auto& [episodes, reason] : r.serves)
      (reason.empty() ? can : cannot) += ((reason.empty() ? can : cannot).empty() ? "" : ", ") + episodes;
    std::printf("  %s serves up to %d ways, and %d shots and queries together; with 15 queries %s%s%s\n",
                r.summary.split.c_str(), r.summary.classes, r.summary.fewest, can.empty() ? "none of " : can.c_str(),
                can.empty()      ? cannot.c_str()
                : cannot.empty() ? ""
                                 : ", not ",
                can.empty() ? "" : cannot.c_str());
  }
  for (const SplitReport& r : reports)
    if (r.orientation_tags > 0)
      std::printf("  orientation tags: %lld pictures of %s have one that asks to turn them, which is %s\n",
                  static_cast<long long>(r.orientation_tags), r.summary.split.c_str(),
                  data.exif ? "followed (--exif=false leaves them as they are stored)" : "not followed (--exif=false)");
  if (!command.quick) print_survey(surveys, duplicates);
  std::vector<std::pair<std::string, Notices>> notices;
  for (const SplitReport& r : reports) notices.emplace_back(r.summary.split, r.source->info().notices);
  print_notices(notices, "  ");
  if (!note.empty()) std::printf("  note: %s\n", note.c_str());
  return 0;
}

int run_verify(const DatasetCommand& command) {
  std::string note;
  const DatasetOptions data = with_splits(command.data(), note);
  std::vector<SplitSurvey> surveys;
  {
    ImageProgress progress("verifying");
    with_threads(command.threads, [&] { surveys = survey(data, std::ref(progress)); });
  }
  int64_t images = 0, bad = 0;
  std::vector<std::pair<std::string, Notices>> notices;
  for (const SplitSurvey& s : surveys) {
    notices.emplace_back(s.split, s.notices);
    images += s.images;
    bad += static_cast<int64_t>(s.bad.size());
  }
  if (command.json) {
    json list = json::array();
    for (const SplitSurvey& s : surveys)
      for (const BadImage& b : s.bad)
        list.push_back({{"split", s.split}, {"class", b.class_name}, {"image", b.index}, {"reason", b.reason}});
    json notes = json::object();
    for (const auto& [split, of_split] : notices) notes[split] = of_split;
    std::cout << json_text({{"images", images}, {"bad", list}, {"notices", notes}}) << "\n";
  } else {
    print_notices(notices, "");
    for (const SplitSurvey& s : surveys)
      for (const BadImage& b : s.bad)
        std::printf("%s class '%s': %s\n", s.split.c_str(), b.class_name.c_str(), b.reason.c_str());
  }
  std::fflush(stdout);
  if (bad > 0)
    throw DataError(std::to_string(bad) + " of " + std::to_string(images) + " images of " + in_quotes(data.root) +
                    " are bad (--skip-bad goes on without them)");
  if (is_pack(data.root)) verify_pack(data.root);
  if (!command.json)
    std::printf("%s: %lld images of %zu splits, all good\n", data.name.c_str(), static_cast<long long>(images),
                surveys.size());
  return 0;
}

int run_split(const DatasetCommand& command) {
  const ArchivesStayOpen over_all_splits;
  const DatasetOptions data = command.data();
  std::string text = "label,split\n", counts;
  std::vector<std::pair<std::string, Notices>> notices;
  for (const std::string& split : present_splits(data)) {
    const auto source = open_dataset(data, split);
    notices.emplace_back(split, source->info().notices);
    for (int c = 0; c < source->classes(); ++c) text += csv_field(source->class_name(c)) + "," + split + "\n";
    counts += (counts.empty() ? "" : ", ") + std::to_string(source->classes()) + " " + split;
  }
  write_file_atomically(command.out, text);
  std::printf("%s: classes %s\n", command.out.c_str(), counts.c_str());
  print_notices(notices, "");
  return 0;
}

int run_pack(const DatasetCommand& command) {
  PackSummary summary;
  const DatasetOptions data = command.data();
  {
    remember_signals();  // what is written of the file by then is removed
    ImageProgress progress("packing");
    with_threads(command.threads, [&] { summary = write_pack(data, command.out, std::ref(progress)); });
  }
  std::printf("%s: %lld images, %.1f MB, source hash %s\n", command.out.c_str(), static_cast<long long>(summary.images),
              static_cast<double>(summary.bytes) / 1e6, summary.source_hash.c_str());
  print_notices(summary.notices, "");
  return 0;
}

}  // namespace

Command setup_dataset(CLI::App& program) {
  CLI::App* app = program.add_subcommand("dataset", "Look at a data set, check it, split it or pack it.");
  app->require_subcommand(1);
  auto chosen = std::make_shared<std::function<int()>>();
  const auto add = [&](const std::string& name, const std::string& help, int (*run)(const DatasetCommand&)) {
    auto command = std::make_shared<DatasetCommand>();
    CLI::App* sub = app->add_subcommand(name, help);
    std::string summary = "data set:";
    for (const DatasetEntry& entry : dataset_registry()) summary += "\n  " + entry.name + ": " + entry.summary;
    sub->add_option("NAME", command->settings.data.name, summary)->required();
    add_data_options(*sub, command->settings);
    add_number(*sub, "--threads", command->threads, "The program uses this many threads, 0 for all cores.", 0, 1024);
    sub->callback([chosen, command, run] { *chosen = [command, run] { return run(*command); }; });
    return std::pair{sub, command};
  };
  const auto [inspect, inspecting] =
      add("inspect",
          "Print what is there: form, splits, classes, images, sizes, broken files, duplicates and possible episodes.",
          run_inspect);
  inspect->add_flag("--json", inspecting->json, "The answer is printed as JSON.");
  inspect->add_flag("--quick", inspecting->quick,
                    "No image is decoded, so sizes, broken files and duplicates are left out.");
  inspect->add_option("--samples", inspecting->samples, "Some images of each class are drawn into this image file.")
      ->type_name("FILE");

  const auto [verify, verifying] =
      add("verify", "Decode every image and list the bad ones; the exit code is 1 if there are any.", run_verify);
  verify->add_flag("--json", verifying->json, "The answer is printed as JSON.");

  const auto [split, splitting] =
      add("split", "Write which class is in which split as CSV, for --split-file.", run_split);
  split->add_option("--out", splitting->out, "The pack is written to this file.")->required()->type_name("FILE");

  const auto [pack, packing] =
      add("pack", "Write all images, decoded and resized, into one file that --data-root takes.", run_pack);
  pack->add_option("--out", packing->out, "The pack is written to this file.")->required()->type_name("FILE");
  return [chosen] { return (*chosen)(); };
}

}  // namespace fewatoms
