#include "apps/report.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>
#include <tuple>

#include <torch/version.h>

#include "apps/bench_machine.h"
#include "apps/json_text.h"
#include "apps/report_resources.h"
#include "apps/report_run.h"
#include "apps/run_results.h"
#include "backbones/safetensors.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

using json = ReportJson;

constexpr int64_t kPictureBytes = 12'000'000;  // of all pictures of a page, as text
constexpr size_t kDetailedRuns = 30;           // with pictures, atoms and maps
constexpr size_t kPairedRuns = 6;              // of which every pair is compared
constexpr int kMostEpisodes = 100'000;

/// Runs that see the same episodes.
struct Group {
  DatasetOptions data;
  std::string split;
  EvaluationOptions options;
  std::vector<size_t> runs;
};

/// Whether their pixels are the same, too. Augmentation counts: it leaves a margin around images, which is cut off
/// where nothing is random.
bool same_pixels(const DatasetOptions& a, const DatasetOptions& b) {
  const auto key = [](const DatasetOptions& d) {
    return std::tie(d.image_size, d.channels, d.crop_margin, d.exif, d.background, d.exact_decode, d.augment);
  };
  return same_episodes(a, b) && key(a) == key(b);
}

/// Reads the runs; what can be refused without looking at images is refused here.
std::vector<ReportedRun> read_runs(const std::vector<std::filesystem::path>& folders, const ReportOptions& options) {
  std::vector<ReportedRun> runs;
  for (const std::filesystem::path& folder : folders) {
    ReportedRun r{.folder = folder, .run = read_run(folder, options.checkpoint), .data = {}, .options = {}};
    r.options = chosen_evaluation(r.run.settings, options.choice);
    r.options.keep_predictions = true;
    const std::vector<int> steps = parse_steps("--steps", options.steps);
    std::set<int> marks(steps.begin(), steps.end());
    marks.insert(own_steps(r.run));
    if (r.run.learner->adapted().empty()) marks = {0};
    r.options.inner_steps.assign(marks.begin(), marks.end());
    runs.push_back(std::move(r));
  }
  return runs;
}

/// Opens their images; runs that see them alike share a source.
void open_sources(std::vector<ReportedRun>& runs, const EvaluationChoice& choice) {
  EvaluationChoice unsaved = choice;
  unsaved.save_episodes.clear();
  for (size_t i = 0; i < runs.size(); ++i) {
    ReportedRun& r = runs[i];
    const OpenSource open = [&](const DatasetOptions& data, const std::string& split) {
      for (size_t j = 0; j < i; ++j)
        if (same_pixels(runs[j].data.options, data) && runs[j].data.split == split) return runs[j].source;
      return open_dataset(data, split);
    };
    const std::optional<RunClasses> trained = read_run_classes(r.folder);
    try {
      r.data = open_evaluation_data(r.run.settings, trained, choice, open);
      r.source = r.data.source;
      choose_episodes(i == 0 ? choice : unsaved, *r.source, r.options);
      require_evaluable(*r.run.learner, *r.source, r.options);
    } catch (const UsageError& e) {
      throw UsageError("run '" + r.folder.string() + "': " + e.what());
    }
    check_evaluation_data(r.folder, trained, choice, r.data);
    for (const std::string& notice : r.data.notices) std::fprintf(stderr, "note: %s\n", notice.c_str());
  }
}

std::vector<Group> groups_of(const std::vector<ReportedRun>& runs) {
  std::vector<Group> groups;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto same = [&](const Group& g) {
      return same_episodes(g.data, runs[i].data.options) && g.split == runs[i].data.split &&
             g.options.spec == runs[i].options.spec;
    };
    auto group = std::find_if(groups.begin(), groups.end(), same);
    if (group == groups.end()) {
      groups.push_back({runs[i].data.options, runs[i].data.split, runs[i].options, {}});
      group = groups.end() - 1;
    }
    group->runs.push_back(i);
  }
  return groups;
}

/// Accuracies of the episodes at the run's own number of steps.
std::vector<double> own_accuracies(const ReportedRun& r) {
  std::vector<double> values;
  for (const auto& episode : r.evaluation.accuracies) values.push_back(episode[r.own_mark()]);
  return values;
}

/// Differences between the runs of a group, paired by episode: every pair, or where there are many runs each with the
/// best.
json paired_json(const std::vector<ReportedRun>& runs, const Group& group, std::vector<std::string>& left_out) {
  std::vector<std::pair<size_t, size_t>> pairs;
  if (group.runs.size() <= kPairedRuns) {
    for (size_t i = 0; i < group.runs.size(); ++i)
      for (size_t j = i + 1; j < group.runs.size(); ++j) pairs.emplace_back(group.runs[i], group.runs[j]);
  } else {
    const auto own = [&](size_t i) { return runs[i].evaluation.by_steps[runs[i].own_mark()].accuracy; };
    const size_t best =
        *std::max_element(group.runs.begin(), group.runs.end(), [&](size_t a, size_t b) { return own(a) < own(b); });
    for (const size_t i : group.runs)
      if (i != best) pairs.emplace_back(best, i);
    left_out.push_back("differences between runs other than with the best one");
  }
  json list = json::array();
  for (const auto& [a, b] : pairs) {
    const MeanInterval d = paired_difference(own_accuracies(runs[a]), own_accuracies(runs[b]));
    list.push_back({{"run", a}, {"minus", b}, {"difference", d.mean}, {"ci95", number_or_null(d.ci95)}});
  }
  return list;
}

json group_json(const std::vector<ReportedRun>& runs, const Group& group) {
  const ReportedRun& first = runs[group.runs.front()];
  const SourceInfo& info = first.source->info();
  const EpisodeSpec& spec = first.options.spec;
  std::vector<std::string> notices = info.notices;
  for (const size_t i : group.runs)
    for (const std::string& notice : runs[i].data.notices)
      if (std::find(notices.begin(), notices.end(), notice) == notices.end()) notices.push_back(notice);
  json result = {{"dataset", info.dataset},
                 {"split", info.split},
                 {"split_rule", info.split_rule},
                 {"crop", info.crop},
                 {"form", info.form},
                 {"notices", notices},
                 {"classes", first.source->classes()},
                 {"episodes", first.options.episodes},
                 {"first_episode", first.options.first_episode},
                 {"eval_seed", first.options.seed},
                 {"runs", group.runs}};
  result.update(describe_spec(spec));
  return result;
}

json measured_json(ReportedRun& r, const ReportOptions& options) {
  std::fprintf(stderr, "%s: %d episodes\n", r.folder.c_str(), r.options.episodes);
  const Learner& learner = *r.run.learner;
  const ParameterSet& parameters = r.run.state.parameters;
  r.evaluation = evaluate(learner, parameters, *r.source, r.options);
  std::vector<double> seconds;
  if (options.timed_tasks > 0)
    seconds = adaptation_seconds(learner, parameters, *r.source, r.options, options.timed_tasks);

  json result = {{"name", run_name(r.folder)}};
  result.update(run_json(r.folder.string(), r.run));
  json by_steps = json::array();
  for (size_t i = 0; i < r.evaluation.by_steps.size(); ++i) {
    by_steps.push_back(step_json(r.evaluation.by_steps[i]));
    by_steps.back()["milliseconds"] = seconds.empty() ? json(nullptr) : json(1000 * seconds[i]);
  }
  const StepAccuracy& own = r.evaluation.by_steps[r.own_mark()];
  result["by_steps"] = by_steps;
  result["own_steps"] = own.inner_steps;
  result["accuracy"] = own.accuracy;
  result["ci95"] = number_or_null(own.ci95);
  result["loss"] = own.loss;
  result["config"] = config_text(r.run.settings);
  result["training"] = training_json(r.folder);
  result["training"]["seconds"] = r.run.state.seconds;
  result["layers"] = layers_json(r.run);
  result["confusion"] = confusion_json(r);
  result["worst"] = worst_json(r, options.choice);
  return result;
}

/// A template with each @NAME@ of the map replaced, in one pass: what is put in is not looked at again.
std::string filled(std::string_view text, const std::map<std::string, std::string, std::less<>>& parts) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t mark = text.find('@', at), end = mark == text.npos ? text.npos : text.find('@', mark + 1);
    result += text.substr(at, mark - at);
    if (end == text.npos) break;
    const auto part = parts.find(text.substr(mark + 1, end - mark - 1));
    if (part == parts.end()) throw std::logic_error("page.html has a mark that nothing fills");
    result += part->second;
    at = end + 1;
  }
  return result;
}

void require_writable(const std::filesystem::path& out) {
  const std::filesystem::path folder = out.has_parent_path() ? out.parent_path() : ".";
  std::error_code ignored;
  if (std::filesystem::is_directory(out, ignored))
    throw UsageError("--out '" + out.string() + "' is a folder, a file was expected");
  if (!std::filesystem::is_directory(folder, ignored))
    throw UsageError("--out '" + out.string() + "': there is no folder '" + folder.string() + "'");
  std::string probe = (folder / "fewatoms-XXXXXX").string();  // permissions do not tell all
  const int file = ::mkstemp(probe.data());
  if (file < 0)
    throw UsageError("--out '" + out.string() + "': folder '" + folder.string() +
                     "' cannot be written to: " + std::strerror(errno));
  ::close(file);
  ::unlink(probe.c_str());
}

}  // namespace

json report_data(const std::vector<std::filesystem::path>& folders, const ReportOptions& options) {
  if (folders.empty()) throw UsageError("a report needs one run at least");
  if (options.choice.episodes > kMostEpisodes)
    throw UsageError("--episodes is " + std::to_string(options.choice.episodes) + ", a report takes 1 to 100000");
  std::vector<ReportedRun> runs = read_runs(folders, options);
  open_sources(runs, options.choice);
  const std::vector<Group> groups = groups_of(runs);
  std::vector<std::string> left_out;
  json data = {
      {"title", options.title},
      {"program", FEWATOMS_VERSION},
      {"machine",
       {{"processor", processor_name()}, {"cores", std::thread::hardware_concurrency()}, {"libtorch", TORCH_VERSION}}},
      {"groups", json::array()},
      {"runs", json::array()}};
  int64_t picture_bytes = kPictureBytes, refused = 0;
  std::map<size_t, json> measured;
  for (const Group& group : groups) {
    for (const size_t i : group.runs) measured[i] = measured_json(runs[i], options);
    json of_group = group_json(runs, group);
    of_group["paired"] = paired_json(runs, group, left_out);
    // The first episodes, and those that some run found hardest.
    const int samples = std::min(options.samples, group.options.episodes);
    std::vector<int> first(samples);
    for (int e = 0; e < samples; ++e) first[e] = e;
    std::set<int> shown(first.begin(), first.end());
    for (const size_t i : group.runs) {
      measured[i]["group"] = data["groups"].size();
      if (i >= kDetailedRuns) continue;
      std::vector<int> looked = first;
      const int worst = worst_episodes(runs[i], 1).front();
      if (worst >= samples) looked.push_back(worst);
      shown.insert(looked.begin(), looked.end());
      measured[i].update(looks_json(runs[i], looked, left_out));
    }
    PictureStore pictures(picture_bytes);
    json episodes = json::array();
    for (const int e : shown) episodes.push_back(episode_json(runs[group.runs.front()], e, pictures));
    refused += pictures.refused();
    of_group["sampled"] = samples;
    of_group["looked_at"] = episodes;
    of_group["pictures"] = pictures.list();
    data["groups"].push_back(of_group);
    for (const size_t i : group.runs) runs[i].evaluation = {};
  }
  for (const auto& [i, run] : measured) data["runs"].push_back(run);
  if (refused > 0)
    left_out.push_back(std::to_string(refused) + " pictures beyond " + std::to_string(kPictureBytes / 1'000'000) +
                       " MB");
  if (runs.size() > kDetailedRuns)
    left_out.push_back("episodes, atoms and maps of runs after the first " + std::to_string(kDetailedRuns));
  std::vector<std::string> once;
  for (const std::string& note : left_out)
    if (std::find(once.begin(), once.end(), note) == once.end()) once.push_back(note);
  data["left_out"] = once;
  return data;
}

std::string report_page(const json& data) {
  // "</script>" in a name must not end the block.
  std::string escaped;
  for (const char c : json_text(data, -1)) {
    if (c == '<')
      escaped += "\\u003c";
    else if (c == '>')
      escaped += "\\u003e";
    else if (c == '&')
      escaped += "\\u0026";
    else
      escaped += c;
  }
  std::string scripts;
  for (const char* name : {"elements.js", "charts.js", "drawings.js", "overview.js", "details.js", "main.js"})
    scripts += report_resource(name);
  const auto text = [](const char* name) { return std::string(report_resource(name)); };
  return filled(report_resource("page.html"), {{"STYLE", text("style.css")},
                                               {"DATA", escaped},
                                               {"CHART_JS_LICENCE", text("chart-js-licence.txt")},
                                               {"CHART_JS", text("chart.min.js")},
                                               {"SCRIPTS", scripts}});
}

void write_report(const std::vector<std::filesystem::path>& runs, const ReportOptions& options,
                  const std::filesystem::path& out) {
  require_writable(out);
  write_file_atomically(out, report_page(report_data(runs, options)));
}

}  // namespace fewatoms
