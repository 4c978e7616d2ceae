#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "episodes/errors.h"
#include "meta/learner.h"
#include "meta/statistics.h"

namespace fewatoms {
namespace {

using nlohmann::json;

DataError not_a_result(const std::string& path) {
  return DataError("'" + path + "' is not a result of `fewatoms eval --json`");
}

json read_result(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UsageError("there is no result file '" + path + "'");
  const json result = json::parse(file, nullptr, /*allow_exceptions=*/false);
  const auto is = [](const json& j, const char* key, bool (json::*type)() const noexcept) {
    return j.is_object() && j.contains(key) && (j[key].*type)();
  };
  bool whole = is(result, "by_steps", &json::is_array) && !result["by_steps"].empty();
  for (const char* key : {"method", "scope", "dataset", "split"}) whole = whole && is(result, key, &json::is_string);
  for (const char* key :
       {"conv_weights", "parameters_adapted", "train_seconds", "ways", "shots", "queries", "episodes"})
    whole = whole && is(result, key, &json::is_number);
  if (whole)
    for (const json& step : result["by_steps"])
      whole = whole && is(step, "inner_steps", &json::is_number) && is(step, "accuracy", &json::is_number) &&
              (is(step, "ci95", &json::is_number) || is(step, "ci95", &json::is_null));
  if (!whole) throw not_a_result(path);
  return result;
}

/// What two results must share to stand in one table: "mini-imagenet test, 5-way 1-shot, 15 queries, 600 episodes".
std::string tested_on(const json& r) {
  const auto range = [&](const char* key) {
    const int most = r.at(key).get<int>(), fewest = r.value("fewest_" + std::string(key), most);
    return range_text(fewest == most ? 0 : fewest, most);
  };
  const auto text = [&](const char* key) {
    return r.contains(key) && r[key].is_string() ? r[key].get<std::string>() : std::string();
  };
  std::string all = text("dataset") + " " + text("split");
  if (!text("split_rule").empty()) all += " (" + text("split_rule") + ")";
  if (!text("crop").empty() && text("crop") != "none") all += ", crop " + text("crop");
  all += ", " + range("ways") + "-way " + range("shots") + "-shot, " + range("queries") + " queries, ";
  all += std::to_string(r.at("episodes").get<int>()) + " episodes";
  if (r.value("imbalanced", false)) all += ", imbalanced";
  if (r.value("within_group", false)) all += ", within groups";
  if (r.value("unique_classes", false)) all += ", unique classes";
  if (const uint64_t seed = r.value("eval_seed", uint64_t{0}); seed != 0) all += ", eval seed " + std::to_string(seed);
  if (!text("episodes_file").empty()) all += " of '" + text("episodes_file") + "'";
  if (const int64_t skipped = r.value("skipped_images", int64_t{0}); skipped > 0)
    all += ", " + std::to_string(skipped) + " images left out";
  return all;
}

std::vector<int> steps_of(const json& result) {
  std::vector<int> steps;
  for (const json& step : result.at("by_steps")) steps.push_back(step.at("inner_steps").get<int>());
  return steps;
}

std::optional<double> optional_number(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

void print_group(const std::vector<std::pair<std::string, json>>& results) {
  const std::vector<int> steps = steps_of(results.front().second);
  std::printf("%-12s %9s", "method", "scope");
  for (const int step : steps) std::printf("  %8s %-3d", "steps", step);
  std::printf("  %8s %8s %8s\n", "weights", "adapted", "seconds");
  for (const auto& [file, r] : results) {
    std::printf("%-12s %9s", r.at("method").get<std::string>().c_str(), r.at("scope").get<std::string>().c_str());
    for (const json& step : r.at("by_steps")) {
      const auto ci95 = optional_number(step.at("ci95"));
      std::printf("  %5.1f%-*s", 100 * step.at("accuracy").get<double>(), ci95 ? 8 : 7,  // ± has two bytes
                  ci95 ? interval_text(ci95, 1).c_str() : "");
    }
    std::printf("  %8lld %8lld %8.0f\n", r.at("conv_weights").get<long long>(),
                r.at("parameters_adapted").get<long long>(), r.at("train_seconds").get<double>());
  }
}

int run_table(const std::vector<std::string>& files) {
  std::vector<std::pair<std::string, std::vector<std::pair<std::string, json>>>> groups;  // as they come
  for (const std::string& file : files) {
    json result;
    std::string heading;
    try {
      result = read_result(file);
      heading = tested_on(result);
    } catch (const json::exception&) {
      throw not_a_result(file);
    }
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == heading; });
    if (group == groups.end()) {
      groups.emplace_back(heading, std::vector<std::pair<std::string, json>>());
      group = groups.end() - 1;
    }
    group->second.emplace_back(file, std::move(result));
    const auto& [first, other] = group->second.front();
    if (steps_of(group->second.back().second) != steps_of(other))
      throw UsageError("'" + file + "' was evaluated at other inner steps than '" + first + "'");
  }
  // What was tested differently is no row of one table.
  for (const auto& [heading, results] : groups) {
    if (groups.size() > 1) std::printf("%s%s\n", &results == &groups.front().second ? "" : "\n", heading.c_str());
    print_group(results);
  }
  return 0;
}

}  // namespace

Command setup_table(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "table", "Print results of `eval --json` in one table: accuracy by inner steps, sizes and seconds.");
  auto files = std::make_shared<std::vector<std::string>>();
  app->add_option("RESULT", *files, "The results are in these JSON files, which `fewatoms eval --json` wrote.")
      ->required();
  return [files] { return run_table(*files); };
}

}  // namespace fewatoms
