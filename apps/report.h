#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/evaluation_choice.h"

namespace fewatoms {

/// What a report looks at.
struct ReportOptions {
  /// Of images and episodes, 100 of them; runs with equal ones see the same episodes.
  EvaluationChoice choice = [] {
    EvaluationChoice c;
    c.episodes = 100;
    return c;
  }();
  std::string steps = "0,1,2,3,5,10";  // inner steps of the curve; each run's own number is added
  std::string checkpoint;              // best, last, or empty: best if there is one
  std::string title = "FewAtoms report";
  int samples = 3;      // episodes shown with their pictures, besides the worst one of each run; 0..20
  int timed_tasks = 3;  // tasks to measure times on; 0: no times
};

/// Everything that the page shows: docs/report.md has the keys. Progress goes to standard error, a line for each run.
/// Runs of different data sets, ways or shots are in groups of their own. Throws UsageError on a folder that is no run,
/// one without checkpoint and a run that cannot be evaluated so, naming it; and what reading images throws.
nlohmann::ordered_json report_data(const std::vector<std::filesystem::path>& runs, const ReportOptions& options);

/// The page that shows such data: one HTML file that refers to nothing outside of itself.
std::string report_page(const nlohmann::ordered_json& data);

/// Writes the report of some runs to `out`, whole or not at all. Throws as report_data does, and UsageError before any
/// work if `out` cannot be written to.
void write_report(const std::vector<std::filesystem::path>& runs, const ReportOptions& options,
                  const std::filesystem::path& out);

}  // namespace fewatoms
