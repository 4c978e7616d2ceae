#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

#include "backbones/safetensors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

// Runs the program as a user does. A start takes most of a second, so tests share runs and look at all of what one
// printed.
namespace fewatoms::test {

using Arguments = std::vector<std::string>;

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// What a program that has ended leaves: its exit code, or minus the signal that killed it.
struct Finished {
  int code = 0;
  std::string out, err;
};

/// The program, started with its output going to files, as in a log.
class Running {
 public:
  explicit Running(const Arguments& arguments) {
    std::vector<std::string> words = Arguments{FEWATOMS_PROGRAM} + arguments;
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, (folder_ / "out").c_str(), O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, (folder_ / "err").c_str(), O_WRONLY | O_CREAT, 0600);
    posix_spawnattr_t attributes;  // as in a terminal, also where the tests run in the background
    sigset_t usual;
    sigemptyset(&usual);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&usual, signal);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    const int error = posix_spawn(&process_, argv[0], &files, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) throw std::runtime_error("cannot start " + words[0] + ": " + std::strerror(error));
  }
  ~Running() {
    if (process_ == 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  void send(int signal) const { ::kill(process_, signal); }
  std::string err() const { return read_file(folder_ / "err"); }

  /// Waits until `condition` holds; fails the test if the program ends before, or after two minutes.
  template <class Condition>
  bool wait_until(Condition&& condition) {
    for (const auto end = Clock::now() + kLimit; Clock::now() < end; std::this_thread::sleep_for(kPause)) {
      if (condition()) return true;
      if (ended()) break;
    }
    ADD_FAILURE() << "what was waited for did not come; stderr: " << err();
    return false;
  }

  Finished wait() {
    for (const auto end = Clock::now() + kLimit; !ended(); std::this_thread::sleep_for(kPause))
      if (Clock::now() > end) {
        ADD_FAILURE() << "the program did not end; stderr: " << err();
        ::kill(process_, SIGKILL);
      }
    return {WIFEXITED(*status_) ? WEXITSTATUS(*status_) : -WTERMSIG(*status_), read_file(folder_ / "out"), err()};
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kLimit{120};
  static constexpr std::chrono::milliseconds kPause{5};

  bool ended() {
    int status = 0;
    if (!status_ && ::waitpid(process_, &status, WNOHANG) == process_) {
      status_ = status;
      process_ = 0;
    }
    return status_.has_value();
  }

  TemporaryFolder folder_;
  pid_t process_ = 0;
  std::optional<int> status_;
};

inline Finished run_program(const Arguments& arguments) { return Running(arguments).wait(); }

/// What a shell command prints; it must succeed.
inline std::string shell(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string out;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) out += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0) << command << "\n" << out;
  return out;
}

/// A file beside the tests of the program.
inline std::string script(const char* name) {
  return (std::filesystem::path(FEWATOMS_SOURCE_DIR) / "tests" / "apps" / name).string();
}

/// Runs the program, which must succeed.
inline Finished run_well(const Arguments& arguments) {
  const Finished finished = run_program(arguments);
  EXPECT_EQ(finished.code, 0) << ::testing::PrintToString(arguments) << "\n" << finished.err;
  return finished;
}

/// A call that must fail, and words of its message.
struct Refusal {
  Arguments arguments;
  std::vector<std::string> words;
  int code = 2;  // the caller's mistake; 1: bad data
};

/// Exactly one line on stderr that starts with the program's name and has the words; the right exit code.
inline void expect_refusal(const Refusal& refusal, const Finished& finished) {
  SCOPED_TRACE(::testing::PrintToString(refusal.arguments));
  EXPECT_EQ(finished.code, refusal.code);
  EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
  EXPECT_THAT(finished.err, ::testing::StartsWith("fewatoms: "));
  EXPECT_THAT(finished.err, ::testing::EndsWith("\n"));
  EXPECT_LT(finished.err.size(), 600U) << finished.err;
  for (const std::string& word : refusal.words) EXPECT_THAT(finished.err, ::testing::HasSubstr(word));
  EXPECT_EQ(finished.out, "");
}

/// As many at a time as there are cores.
inline void expect_refusals(const std::vector<Refusal>& refusals) {
  const size_t cores = std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
  std::vector<std::unique_ptr<Running>> started;
  for (size_t i = 0; i < refusals.size(); ++i) {
    while (started.size() < std::min(i + cores, refusals.size()))
      started.push_back(std::make_unique<Running>(refusals[started.size()].arguments));
    expect_refusal(refusals[i], started[i]->wait());
    started[i].reset();
  }
}

/// Every file below a folder with its bytes: what must not change.
inline std::map<std::string, std::string> contents(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[std::filesystem::relative(entry.path(), folder).string()] = read_file(entry.path());
  return files;
}

inline std::string bytes_of(const torch::Tensor& tensor) {
  const torch::Tensor whole = tensor.contiguous();
  return {static_cast<const char*>(whole.data_ptr()), whole.nbytes()};
}

/// Both checkpoints hold the same tensors, Adam's moments included, bit by bit, and the same counters.
inline void expect_same_checkpoint(const std::filesystem::path& a, const std::filesystem::path& b) {
  SafeTensors left = read_safetensors(a), right = read_safetensors(b);
  left.metadata.erase("seconds");
  right.metadata.erase("seconds");
  EXPECT_EQ(left.metadata, right.metadata);
  std::set<std::string> names;
  for (const auto& [name, tensor] : left.tensors) names.insert(name);
  for (const auto& [name, tensor] : right.tensors) names.insert(name);
  size_t moments = 0;
  for (const std::string& name : names) {
    ASSERT_EQ(left.tensors.count(name) + right.tensors.count(name), 2U) << name << " is in one of them only";
    EXPECT_EQ(left.tensors[name].sizes(), right.tensors[name].sizes()) << name;
    EXPECT_TRUE(bytes_of(left.tensors[name]) == bytes_of(right.tensors[name])) << name << " differs";
    moments += name.starts_with("adam.");
  }
  EXPECT_GT(moments, 0U);
  EXPECT_GT(names.size(), moments);
}

/// The lines of metrics.jsonl without what the clock decides.
inline std::vector<nlohmann::json> metrics_of(const std::filesystem::path& run) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    lines.push_back(nlohmann::json::parse(line));
    lines.back().erase("seconds");
  }
  return lines;
}

/// Settings that train in a blink. Later options win.
inline Arguments small_training(const std::filesystem::path& out, const Arguments& more = {}) {
  return Arguments{"train", "--out",        out.string(), "--method",      "acdc-maml", "--width",
                   "8",     "--ways",       "3",          "--shots",       "1",         "--queries",
                   "2",     "--meta-batch", "2",          "--inner-steps", "1",         "--val-every",
                   "0",     "--iterations", "1",          "--threads",     "1"} +
         more;
}

/// What the run that all tests share is made with: all that must survive a resume (running statistics, augmentation, a
/// schedule, validations) takes part.
inline Arguments shared_training(const std::filesystem::path& out, const Arguments& more = {}) {
  return small_training(out, Arguments{"--norm",
                                       "running",
                                       "--augment",
                                       "crop-jitter-flip",
                                       "--meta-batch",
                                       "3",
                                       "--seed",
                                       "5",
                                       "--lr-schedule",
                                       "step",
                                       "--lr-step",
                                       "3",
                                       "--val-every",
                                       "2",
                                       "--val-episodes",
                                       "3",
                                       "--eval-inner-steps",
                                       "0,1",
                                       "--iterations",
                                       "4",
                                       "--threads",
                                       "2"} +
                                 more);
}

/// That run, made at first use. Tests must leave it as it is.
struct SharedRun {
  SharedRun() : finished(run_well(shared_training(folder / "run"))), path(folder / "run") {}
  TemporaryFolder folder;
  Finished finished;
  std::filesystem::path path;
};
inline const SharedRun& shared_run() {
  static const SharedRun run;
  return run;
}

/// A copy of it that a test may damage.
inline std::filesystem::path copy_of_shared_run(const TemporaryFolder& folder, const std::string& name = "copy") {
  std::filesystem::copy(shared_run().path, folder / name, std::filesystem::copy_options::recursive);
  return folder / name;
}

/// `classes` folders of `images` pictures in each of train (class0, ...), val (val-class0, ...) and test.
inline void write_class_folders(const std::filesystem::path& root, int classes, int images,
                                const std::string& extension = ".png") {
  for (const char* split : {"train", "val", "test"})
    for (int c = 0; c < classes; ++c)
      for (int i = 0; i < images; ++i)
        write_image(
            root / split /
                ((split == std::string("train") ? "" : std::string(split) + "-") + "class" + std::to_string(c)) /
                (std::to_string(i) + extension),
            32, 32, {40.0 + 60 * c, 250.0 - 60 * c, 20.0 * i});
}

}  // namespace fewatoms::test
