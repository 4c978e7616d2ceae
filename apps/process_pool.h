#pragma once

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace fewatoms {

/// One command of this program, run as a process of its own.
struct JobStage {
  std::string what;  // "train"
  /// Its arguments, asked for when its turn comes: {"train", "--out", ...}; nothing if there is nothing to do.
  /// `--threads` is added.
  std::function<std::optional<std::vector<std::string>>()> arguments;
  std::filesystem::path log;           // its output; in an existing folder
  std::function<void()> done = [] {};  // after it ended well; may throw
  bool needed = false;                 // by the stages behind it
};

/// Stages that run one after the other.
struct Job {
  std::string name;
  int64_t bytes = 0;  // of memory, about
  std::vector<JobStage> stages;
};

struct PoolLimits {
  int threads = 1;            // of all processes together
  int jobs = 0;               // at a time; 0: as many as threads and memory carry
  int64_t bytes = INT64_MAX;  // of all processes together; a job alone may be larger
};

struct JobFailure {
  std::string job, what, reason;  // reason: one line
};

/// What is going on, for whoever shows it.
struct PoolEvent {
  enum Kind { kStarted, kEnded, kFailed, kJobEnded } kind;
  const Job* job;
  std::string what;  // stage
  std::string text;  // the reason of a failure
};

struct PoolState {
  int jobs_ended = 0;
  std::vector<std::string> running;  // "name 178/400" where the log ends with how far it is, else "name training"
};

struct PoolOptions {
  PoolLimits limits;
  std::function<int()> stop_signal;  // 0: go on; otherwise the signal that processes are stopped with
  std::function<void(const PoolEvent&)> on_event;
  std::function<void(const PoolState&)> on_wait;  // twice a second; reads the ends of logs
};

/// Runs jobs as processes, as many at a time as the limits let, in their order where memory allows. A stage that fails
/// is listed and ends its job if it is needed; other jobs go on. After a stop every process has been sent the signal
/// and has ended. Processes end with this one, however it ends.
std::vector<JobFailure> run_jobs(const std::vector<Job>& jobs, const PoolOptions& options);

}  // namespace fewatoms
