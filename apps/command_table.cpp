#include <cstdio>
#include <fstream>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

using nlohmann::json;

json read_result(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UsageError("there is no result file '" + path + "'");
  const json result = json::parse(file, nullptr, /*allow_exceptions=*/false);
  bool whole =
      result.is_object() && result.contains("by_steps") && result["by_steps"].is_array() && !result["by_steps"].empty();
  for (const char* key : {"method", "scope", "conv_weights", "parameters_adapted", "train_seconds"})
    whole = whole && result.contains(key);
  if (!whole) throw DataError("'" + path + "' is not a result of `fewatoms eval --json`");
  return result;
}

int run_table(const std::vector<std::string>& files) {
  std::vector<json> results;
  for (const std::string& file : files) results.push_back(read_result(file));
  const json& steps = results.front().at("by_steps");
  std::printf("%-12s %9s", "method", "scope");
  for (const json& step : steps) std::printf("  %8s %-3d", "steps", step.at("inner_steps").get<int>());
  std::printf("  %8s %8s %8s\n", "weights", "adapted", "seconds");
  for (size_t i = 0; i < results.size(); ++i) {
    const json& r = results[i];
    if (r.at("by_steps").size() != steps.size())
      throw UsageError("'" + files[i] + "' was evaluated at other inner steps than '" + files.front() + "'");
    std::printf("%-12s %9s", r.at("method").get<std::string>().c_str(), r.at("scope").get<std::string>().c_str());
    for (const json& step : r.at("by_steps"))
      std::printf("  %5.1f ± %-4.1f", 100 * step.at("accuracy").get<double>(), 100 * step.at("ci95").get<double>());
    std::printf("  %8lld %8lld %8.0f\n", r.at("conv_weights").get<long long>(),
                r.at("parameters_adapted").get<long long>(), r.at("train_seconds").get<double>());
  }
  return 0;
}

}  // namespace

Command setup_table(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("table", "compare results of `eval --json`: accuracy by inner steps, sizes, seconds");
  auto files = std::make_shared<std::vector<std::string>>();
  app->add_option("RESULT", *files, "JSON files")->required();
  return [files] { return run_table(*files); };
}

}  // namespace fewatoms
