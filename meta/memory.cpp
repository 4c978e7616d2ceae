#include "meta/memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "episodes/numbers.h"
#include "meta/cost.h"

namespace fewatoms {
namespace {

// Calibrated against the peak of `fewatoms bench iteration`. In numbers per element of a convolution's output:
constexpr double kForward =
    1.6;  // a pass keeps the map itself, the pooled values before and after ReLU, their positions
constexpr double kStepBackward = 1.5;  // second order: the gradients of the map and of the pooled values, of every step
constexpr double kTemporary = 2;       // of the largest map only: gradients that live for a moment
constexpr double kProgram = 170e6;  // bytes: libraries, oneDNN's primitives and scratch memory, the allocator's caches

int64_t number_in(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text;
  in >> text;
  return parsed_number<int64_t>(text).value_or(INT64_MAX);  // "max", or no such file
}

int64_t total_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string name, kilobytes; file >> name >> kilobytes;) {
    if (name == "MemTotal:") return read_number<int64_t>(kilobytes) * 1024;
    file.ignore(100, '\n');
  }
  return INT64_MAX;
}

int64_t group_limit() {
  int64_t limit =
      std::min(number_in("/sys/fs/cgroup/memory.max"), number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("0::/")) continue;  // version 2: every group above counts
    for (std::filesystem::path group = line.substr(3); group != group.root_path(); group = group.parent_path())
      limit = std::min(limit, number_in("/sys/fs/cgroup" + group.string() + "/memory.max"));
  }
  return limit;
}

std::string gibibytes(int64_t bytes) { return fixed_text(static_cast<double>(bytes) / (int64_t{1} << 30), 1) + " GiB"; }

}  // namespace

int64_t estimated_bytes(const Learner& learner, const EpisodeSpec& spec, int meta_batch, int tasks_in_flight) {
  const NetworkOptions& network = learner.options().network;
  const double support = learner.trains_on_classes() ? 0 : static_cast<double>(spec.ways) * spec.shots,
               query = static_cast<double>(spec.ways) * spec.queries;
  const int steps = learner.trains_on_classes() ? 0 : learner.options().inner_steps;
  const bool second = learner.order() == Order::kSecond;
  double fixed = 0, adapting = 0,
         largest = 0;  // numbers per image: maps of the blocks before and from the first adapted one
  for (const LayerInfo& layer : learner.backbone().describe()) {
    const auto map = static_cast<double>(layer.map());
    (layer.block < learner.first_adapted_block() ? fixed : adapting) += map;
    largest = std::max(largest, map);
  }
  const double kept_steps = second ? steps * (kForward + kStepBackward) : std::min(steps, 1) * kForward;
  const double support_pass = !has_class_weights(learner.head()) ? kForward * adapting : 0;  // for the prototypes
  const double task = query * (kForward * (fixed + adapting) + kTemporary * largest) +
                      support * (kForward * fixed + support_pass + kept_steps * adapting);
  const double images = (support + query) * network.channels * network.image_size * network.image_size;
  double weights = 0;
  for (const auto& [role, count] : learner.schema()->count()) weights += static_cast<double>(count);
  const double adapted_copies = 3.0 * tasks_in_flight * (second ? steps : 1);  // values, gradients and theirs, per step
  const double sum =
      kProgram + 4 * (tasks_in_flight * task + 2.0 * meta_batch * images + (5 + adapted_copies) * weights);
  return static_cast<int64_t>(std::min(sum, 9e18));
}

int64_t memory_limit() { return std::min(total_memory(), group_limit()); }

void require_memory(const Learner& learner, const EpisodeSpec& spec, int meta_batch, int tasks_in_flight) {
  const int64_t needed = estimated_bytes(learner, spec, meta_batch, tasks_in_flight), there = memory_limit();
  if (needed <= there) return;
  throw UsageError("training on " + std::to_string(tasks_in_flight) + " episodes at a time of " +
                   std::to_string(spec.ways) + " ways, " + std::to_string(spec.shots) + " shots and " +
                   std::to_string(spec.queries) + " queries takes about " + gibibytes(needed) +
                   " of memory, there are " + gibibytes(there) +
                   "; smaller episodes, a smaller width or fewer --threads take less");
}

}  // namespace fewatoms
