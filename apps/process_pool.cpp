#include "apps/process_pool.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <system_error>
#include <thread>

namespace fewatoms {
namespace {

constexpr std::chrono::milliseconds kPause{30}, kShown{500};
constexpr std::streamoff kLogEnd = 4096;  // bytes of a log that its last line is looked for in

/// A job with a process at work.
struct Running {
  const Job* job;
  size_t stage;
  pid_t process;
  int threads;
};

/// In a group of its own, so that a terminal's interrupt comes once, through us. Between fork and exec only calls that
/// are safe there.
pid_t start(const std::vector<std::string>& arguments, const std::filesystem::path& log) {
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "fewatoms");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (output < 0) throw std::system_error(errno, std::generic_category(), "cannot write '" + log.string() + "'");
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t parent = ::getpid(), child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it ended in between
    ::signal(SIGINT, SIG_DFL);
    ::signal(SIGTERM, SIG_DFL);
    ::dup2(input, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::execv("/proc/self/exe", argv.data());  // this very program, also when another one lies in its place by now
    ::_exit(127);
  }
  const int error = errno;
  ::close(output);
  ::close(input);
  if (child < 0) throw std::system_error(error, std::generic_category(), "cannot start a process");
  ::setpgid(child, child);  // before a signal may go there
  return child;
}

std::string last_line(const std::filesystem::path& log) {
  std::ifstream file(log, std::ios::binary | std::ios::ate);
  file.seekg(std::max<std::streamoff>(0, file.tellg() - kLogEnd));
  std::string last;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) last = line;
  return last;
}

/// The program says in one line why it failed; a signal leaves no word.
std::string reason_of(int status, const std::filesystem::path& log) {
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    return std::string("ended by signal ") + std::to_string(number) + " (" + strsignal(number) + ")" +
           (number == SIGKILL ? ", as when memory runs out" : "");
  }
  const std::string line = last_line(log), prefix = "fewatoms: ";
  return line.starts_with(prefix) ? line.substr(prefix.size())
                                  : "exit code " + std::to_string(WEXITSTATUS(status)) + ", see '" + log.string() + "'";
}

class Pool {
 public:
  Pool(const std::vector<Job>& jobs, const PoolOptions& options) : options_(options) {
    for (const Job& job : jobs) waiting_.push_back(&job);
  }
  /// Only an exception leaves processes behind.
  ~Pool() {
    for (const Running& r : running_) {
      ::kill(-r.process, SIGKILL);
      ::waitpid(r.process, nullptr, 0);
    }
  }

  std::vector<JobFailure> run() {
    ::signal(SIGCHLD, SIG_DFL);  // whoever started this program may have it ignored, and exit codes are lost then
    bool stopped = false;
    auto shown = std::chrono::steady_clock::time_point();
    while (true) {
      const int signal = options_.stop_signal ? options_.stop_signal() : 0;
      if (signal != 0 && !stopped) {
        stopped = true;
        waiting_.clear();
        for (const Running& r : running_) ::kill(-r.process, signal);
      }
      collect(stopped);
      while (!waiting_.empty() && start_next()) {
      }
      if (running_.empty() && waiting_.empty()) return failures_;
      if (const auto now = std::chrono::steady_clock::now(); options_.on_wait && now - shown >= kShown) {
        shown = now;
        options_.on_wait(state());
      }
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  void tell(PoolEvent::Kind kind, const Job& job, const std::string& what, const std::string& text = {}) const {
    if (options_.on_event) options_.on_event({kind, &job, what, text});
  }

  PoolState state() const {
    PoolState state{ended_, {}};
    for (const Running& r : running_) {
      const JobStage& stage = r.job->stages[r.stage];
      const std::string line = last_line(stage.log), first = line.substr(0, line.find(' '));
      const bool counts =
          first.find('/') != std::string::npos && first.find_first_not_of("0123456789/") == std::string::npos;
      state.running.push_back(r.job->name + " " + (counts ? first : stage.what));
    }
    return state;
  }

  bool start_next() {
    const PoolLimits& limits = options_.limits;
    int threads = limits.threads;
    int64_t bytes = limits.bytes;
    for (const Running& r : running_) {
      threads -= r.threads;
      bytes -= std::min(bytes, r.job->bytes);
    }
    const int most = limits.jobs > 0 ? limits.jobs : limits.threads, places = most - static_cast<int>(running_.size());
    if (places <= 0 || (limits.jobs == 0 && threads <= 0)) return false;
    const auto fits = std::find_if(waiting_.begin(), waiting_.end(),
                                   [&](const Job* job) { return running_.empty() || job->bytes <= bytes; });
    if (fits == waiting_.end()) return false;
    const Job* job = *fits;
    const int sharers = std::min(places, static_cast<int>(waiting_.size()));
    waiting_.erase(fits);
    go_on(job, 0, std::max(1, threads / sharers));
    return true;
  }

  /// Starts the first stage from `stage` on that has something to do.
  void go_on(const Job* job, size_t stage, int threads) {
    for (; stage < job->stages.size(); ++stage) {
      const JobStage& next = job->stages[stage];
      try {
        auto arguments = next.arguments();
        if (!arguments) continue;
        arguments->push_back("--threads=" + std::to_string(threads));
        running_.push_back({job, stage, start(*arguments, next.log), threads});
        tell(PoolEvent::kStarted, *job, next.what);
        return;
      } catch (const std::exception& e) {
        fail(*job, next, e.what());
        if (next.needed) break;
      }
    }
    ++ended_;
    tell(PoolEvent::kJobEnded, *job, "");
  }

  void fail(const Job& job, const JobStage& stage, const std::string& reason) {
    const std::string line = reason.substr(0, reason.find('\n'));
    failures_.push_back({job.name, stage.what, line});
    tell(PoolEvent::kFailed, job, stage.what, line);
  }

  void collect(bool stopped) {
    for (size_t i = 0; i < running_.size();) {
      int status = 0;
      const Running r = running_[i];
      const pid_t ended = ::waitpid(r.process, &status, WNOHANG);
      const bool lost = ended < 0 && errno == ECHILD;  // somebody else took its exit code
      if (ended != r.process && !lost) {
        ++i;
        continue;
      }
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
      if (stopped) continue;
      const JobStage& stage = r.job->stages[r.stage];
      bool good = !lost && WIFEXITED(status) && WEXITSTATUS(status) == 0;
      std::string reason = lost ? "it ended, but how is not known" : good ? "" : reason_of(status, stage.log);
      if (good) try {
          stage.done();
        } catch (const std::exception& e) {
          good = false;
          reason = e.what();
        }
      if (good)
        tell(PoolEvent::kEnded, *r.job, stage.what);
      else
        fail(*r.job, stage, reason);
      go_on(r.job, !good && stage.needed ? r.job->stages.size() : r.stage + 1, r.threads);
    }
  }

  const PoolOptions& options_;
  std::vector<const Job*> waiting_;
  std::vector<Running> running_;
  std::vector<JobFailure> failures_;
  int ended_ = 0;
};

}  // namespace

std::vector<JobFailure> run_jobs(const std::vector<Job>& jobs, const PoolOptions& options) {
  return Pool(jobs, options).run();
}

}  // namespace fewatoms
