#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "apps/bench_machine.h"
#include "apps/settings.h"

namespace fewatoms {

/// What every benchmark is told.
struct BenchOptions {
  Settings settings;
  int repeat = 7;              // measurements, after warm-up; >= 1
  int threads = 1;             // as asked for, or all cores
  bool scaling = false;        // iteration: with 1 thread too
  std::string split = "test";  // evaluate
  std::vector<int> widths;     // kernels
  Machine machine;
};

/// The benchmarks. Each prints what it found, and returns it as the fields of the JSON file.
using BenchResult = nlohmann::ordered_json;
BenchResult bench_iteration(const BenchOptions& options);
BenchResult bench_inner_step(const BenchOptions& options);
BenchResult bench_evaluate(const BenchOptions& options);
BenchResult bench_loader(const BenchOptions& options);
BenchResult bench_kernels(const BenchOptions& options);

/// Seconds of equal pieces of work, one by one.
struct Timing {
  std::vector<double> seconds;

  double median() const;
  double minimum() const;
  double spread() const;  // (largest - smallest) / median
};
/// Seconds that `work` takes.
double seconds_of(const std::function<void()>& work);
/// {median_s, min_s, spread, repeats}
BenchResult to_json(const Timing& timing);
/// One line: what was timed, median, minimum and spread.
void print(const char* what, const Timing& timing);

constexpr int kWarmUp = 2;  // repetitions that do not count: first allocations, primitives that oneDNN creates
/// The tasks of a training iteration.
std::vector<Task> tasks_of(const ImageSource& source, const TrainerOptions& options, int64_t iteration);
/// The same job with no limit to its iterations.
TrainerOptions endless(TrainerOptions options);

}  // namespace fewatoms
