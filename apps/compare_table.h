#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "apps/grid.h"
#include "apps/process_pool.h"
#include "apps/published.h"
#include "meta/statistics.h"

namespace fewatoms {

/// What is known of a point before anything is trained.
struct PointSize {
  int64_t conv_weights = 0, adapted = 0;  // numbers
  EpisodeSpec spec;                       // of its evaluations, but for what a target changes
};

/// A point against the reference on the same episodes; positive: better than it.
struct Difference {
  std::string reference;                   // label
  std::vector<uint64_t> seeds;             // that both have
  MeanInterval over_episodes;              // of the differences episode by episode, each the mean over seeds; fractions
  std::optional<MeanInterval> over_seeds;  // of the differences seed by seed, Student's; with two seeds or more
};

/// A point on a target, over the seeds that have a result.
struct ComparedCell {
  std::vector<uint64_t> seeds;
  struct Mark {
    int inner_steps = 0;
    MeanInterval over_episodes;              // of the means over seeds; with one seed that of `eval`
    std::optional<MeanInterval> over_seeds;  // Student's; with two seeds or more
  };
  std::vector<Mark> marks;  // ascending; the last one counts
  bool is_reference = false;
  std::optional<Difference> difference;
  std::vector<Published> published;
  nlohmann::json sample;                 // the first seed's result, without its episodes
  std::vector<double> accuracy_by_seed;  // at the last mark
  std::vector<std::string> runs;         // names
};

/// The whole comparison.
struct ComparisonTable {
  const Grid* grid = nullptr;
  std::vector<PointSize> sizes;                                 // [point]
  std::vector<std::vector<std::optional<ComparedCell>>> cells;  // [point][target]
  std::vector<JobFailure> failures;
};

/// results[point][run][target], JSON of `eval`, null where there is none.
ComparisonTable compare_results(const Grid& grid, std::vector<PointSize> sizes,
                                const std::vector<std::vector<std::vector<nlohmann::json>>>& results,
                                std::vector<JobFailure> failures);

/// The table for people, in sections by ways and shots.
std::string table_text(const ComparisonTable& table);
std::string table_markdown(const ComparisonTable& table);
std::string table_latex(const ComparisonTable& table);
/// One row per point, target and number of inner steps; docs/compare.md has the columns.
std::string table_csv(const ComparisonTable& table);
nlohmann::ordered_json table_json(const ComparisonTable& table);

}  // namespace fewatoms
