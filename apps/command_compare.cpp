#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/compare_table.h"
#include "apps/folder_lock.h"
#include "apps/grid.h"
#include "apps/json_text.h"
#include "apps/process_pool.h"
#include "apps/progress.h"
#include "apps/run_folder.h"
#include "apps/stop_signal.h"
#include "backbones/safetensors.h"
#include "datasets/pack.h"
#include "episodes/errors.h"
#include "episodes/text.h"
#include "meta/checkpoint.h"
#include "meta/memory.h"

namespace fewatoms {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct CompareCommand {
  std::string config, out;
  std::vector<std::string> target_roots;
  bool dry_run = false, quiet = false, allow_class_overlap = false;
  int jobs = 0, report_episodes = 100;
  Settings shown;  // what the help text shows as defaults
};

/// Sources that were opened, so that each is opened once.
class OpenSources {
 public:
  std::shared_ptr<const ImageSource> open(const DatasetOptions& data, const std::string& split) {
    auto& source = opened_[{texts_of(data), split}];
    if (!source) source = open_dataset(data, split);
    return source;
  }
  TrainingSources training(const Settings& s) {
    auto& sources = training_[key_of(s)];
    if (!sources.train) sources = open_training_sources(s);
    return sources;
  }
  /// Of those sources.
  std::shared_ptr<const RunClasses> classes(const Settings& s) {
    auto& classes = classes_[key_of(s)];
    if (!classes)
      classes = std::make_shared<const RunClasses>(classes_of(
          s, training(s), [&](const DatasetOptions& data, const std::string& split) { return open(data, split); }));
    return classes;
  }

 private:
  static OptionTexts texts_of(const DatasetOptions& data) {
    Settings settings;
    settings.data = data;
    return option_texts(settings);
  }
  using Key = std::tuple<OptionTexts, int, bool>;
  static Key key_of(const Settings& s) { return {texts_of(s.data), s.val_from_train, s.val_every > 0}; }
  std::map<std::pair<OptionTexts, std::string>, std::shared_ptr<const ImageSource>> opened_;
  std::map<Key, TrainingSources> training_;
  std::map<Key, std::shared_ptr<const RunClasses>> classes_;
};

/// What a point takes, and what it is trained and tested on.
struct PointCost {
  PointSize size;
  int64_t bytes = 0;              // one task at a time, decoded images included
  double iteration_seconds = 0;   // one thread; 0: not measured
  double evaluation_seconds = 0;  // of one run on all targets
  std::shared_ptr<const RunClasses> classes;
  std::vector<EvaluationData> tested;  // by target, without its images
};

/// Memory for decoded images; packed ones are mapped and shared by all.
int64_t cache_bytes(const DatasetOptions& data, const ImageSource* source) {
  if (source == nullptr || is_pack(data.root)) return 0;
  int64_t images = 0;
  for (int c = 0; c < source->classes(); ++c) images += source->class_size(c);
  return std::min(data.cache_mb << 20, images * source->height() * source->width() * source->channels());
}

/// Refuses what would be refused when a point trains or is evaluated, and counts. With `measure` it also runs one task
/// of each.
PointCost check_point(GridPoint& point, const Grid& grid, OpenSources& open, bool measure) {
  Settings& first = point.runs[0].settings;
  TrainingSources sources;
  if (first.learner.train_on == "classes" && first.learner.classes == 0) {  // the data say how many
    sources = open.training(first);
    for (GridRun& run : point.runs) run.settings.learner.classes = sources.train->classes();
  }
  ParameterSet parameters;
  const Learner learner(first.learner, parameters);
  if (!sources.train) sources = open.training(first);
  require_trainable(learner, *sources.train, first.trainer);
  require_memory(learner, first.trainer.spec, first.trainer.meta_batch, 1);
  if (first.val_every > 0) require_evaluable(learner, *sources.validation, evaluation_options(first));

  PointCost cost;
  cost.classes = open.classes(first);
  cost.size.conv_weights = convolution_weights(*learner.schema());
  for (const auto& [role, count] : learner.adapted_count()) cost.size.adapted += count;
  cost.size.spec = evaluation_options(first).spec;
  cost.bytes = estimated_bytes(learner, first.trainer.spec, first.trainer.meta_batch, 1) +
               cache_bytes(first.data, sources.train.get()) + cache_bytes(first.data, sources.validation.get());
  const auto seconds_of_second =
      [](const auto& work) {  // the first warms up; of all threads, whatever else the machine does
        work();
        const std::clock_t begin = std::clock();
        work();
        return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
      };
  if (measure) {
    const TrainerOptions& t = first.trainer;
    const auto labels = learner.trains_on_classes() ? TaskLabels::kClasses : TaskLabels::kWithinEpisode;
    const std::vector<Task> tasks = load_tasks(*sources.train, t.spec, t.seed, 0, 1, t.augmented, t.pixel_norm, labels);
    const ParameterSet start = parameters.leaves(false);
    cost.iteration_seconds = t.meta_batch * seconds_of_second([&] { task_gradient(learner, start, tasks[0]); });
  }
  for (const GridTarget& target : grid.targets) {
    std::shared_ptr<const ImageSource> source;
    EvaluationOptions options;
    try {
      cost.tested.push_back(open_evaluation_data(
          first, *cost.classes, target.choice,
          [&](const DatasetOptions& data, const std::string& split) { return open.open(data, split); }));
      source.swap(cost.tested.back().source);
      options = chosen_evaluation(first, target.choice);
      if (!target.steps.empty()) options.inner_steps = parse_steps("eval-inner-steps", target.steps);
      require_evaluable(learner, *source, options);
    } catch (const UsageError& e) {
      throw UsageError("target '" + target.name + "': " + e.what());
    }
    if (!measure) continue;
    options.episodes = 1;
    cost.evaluation_seconds +=
        target.choice.episodes * seconds_of_second([&] { evaluate(learner, parameters, *source, options); });
  }
  return cost;
}

/// A run of the grid with its folder.
struct PlannedRun {
  const GridPoint* point;
  const GridRun* run;
  const PointCost* cost;
  fs::path folder;
  int64_t done = 0;  // iterations
  bool finished = false;
  int64_t iterations() const { return run->settings.trainer.iterations; }
};

void look_at_progress(PlannedRun& planned) {
  const fs::path file = RunPaths(planned.folder).last();
  if (!fs::exists(file)) return;
  const CheckpointProgress last = read_progress(file);
  planned.done = last.iteration;
  planned.finished = planned.done >= planned.iterations() &&
                     !validation_due(planned.run->settings.val_every, planned.done, last.last_validation);
}

/// Refuses a run whose data have changed since it was trained, in a way that its results would not bear, and one that
/// would be tested on what it was trained on; returns what else is to be said.
std::vector<std::string> look_at_classes(const PlannedRun& planned, const Grid& grid, bool allow_overlap) {
  std::optional<RunClasses> trained = *planned.cost->classes;
  if (planned.done > 0) trained = read_run_classes(planned.folder);
  if (!trained) return {unknown_classes_notice(planned.folder)};
  std::vector<std::string> notices;
  const auto add = [&](const std::vector<std::string>& more) {
    notices.insert(notices.end(), more.begin(), more.end());
  };
  if (planned.done > 0 && !planned.finished)
    add(check_resumed(planned.folder, *trained, *planned.cost->classes, false, allow_overlap));
  for (size_t t = 0; t < grid.targets.size(); ++t) {
    const EvaluationData& tested = planned.cost->tested[t];
    add(tested.notices);
    add(check_tested(planned.folder, *trained, tested.classes, tested.own,
                     allow_overlap || grid.targets[t].choice.allow_class_overlap));
  }
  return notices;
}

/// What is to be said of all runs: once, with the number of runs that it holds for.
std::vector<std::string> class_notices(const std::vector<PlannedRun>& planned, const Grid& grid, bool allow_overlap) {
  std::vector<std::pair<std::string, std::string>> first;  // without the run's name, and with it
  std::map<std::string, std::set<const PlannedRun*>> runs;
  for (const PlannedRun& run : planned)
    for (const std::string& notice : look_at_classes(run, grid, allow_overlap)) {
      std::string text = notice;
      if (const size_t at = text.find(run.folder.string()); at != text.npos) text.erase(at, run.folder.string().size());
      if (runs[text].insert(&run).second && runs[text].size() == 1) first.emplace_back(text, notice);
    }
  std::vector<std::string> notices;
  for (const auto& [text, notice] : first) {
    const size_t more = runs[text].size() - 1;
    notices.push_back(more == 0 || text == notice
                          ? notice
                          : notice + " (and " + std::to_string(more) + (more == 1 ? " more run)" : " more runs)"));
  }
  return notices;
}

/// A folder's settings as they decide what is trained.
OptionTexts identity_of(const Settings& settings) {
  OptionTexts texts = option_texts(settings);
  Settings any;
  for_each_option(any, [&](const OptionText& option, auto&) {
    if (!option.identity) texts.erase(option.name);
  });
  return texts;
}

/// The runs with their folders: of a run that was made with the same settings, whatever its name, otherwise a new one.
/// Throws UsageError if a folder of a run's name holds other settings.
std::vector<PlannedRun> plan_runs(const Grid& grid, const std::vector<PointCost>& costs, const fs::path& runs) {
  std::map<OptionTexts, fs::path> existing;
  std::map<fs::path, OptionTexts> identities;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(runs, none)) {
    try {
      if (!fs::exists(RunPaths(entry.path()).config())) continue;
      identities[entry.path()] = identity_of(read_run_settings(entry.path()));
      existing[identities[entry.path()]] = entry.path();
    } catch (const UsageError&) {  // no run of ours; if its name is wanted, that is said below
    }
  }
  // A run in the folder of its name stays there: two may differ in nothing but where their data lie.
  const auto is_at_home = [&](const GridRun& run) {
    const auto found = identities.find(runs / run.name);
    return found != identities.end() && found->second == identity_of(run.settings);
  };
  std::set<fs::path> taken;
  for (const GridPoint& point : grid.points)
    for (const GridRun& run : point.runs)
      if (is_at_home(run)) taken.insert(runs / run.name);
  std::vector<PlannedRun> planned;
  for (size_t p = 0; p < grid.points.size(); ++p)
    for (const GridRun& run : grid.points[p].runs) {
      PlannedRun one{&grid.points[p], &run, &costs[p], runs / run.name};
      const auto same = existing.find(identity_of(run.settings));
      const bool home = is_at_home(run);
      if (!home && same != existing.end() && taken.insert(same->second).second) {
        one.folder = same->second;
      } else if (!home && fs::exists(RunPaths(one.folder).config())) {
        const std::string changes = forbidden_changes(read_run_settings(one.folder), run.settings);
        if (!changes.empty())
          throw UsageError("'" + one.folder.string() + "' holds a run of other settings: " + changes +
                           "; another --out, or that folder elsewhere, was expected");
      }
      look_at_progress(one);
      planned.push_back(std::move(one));
    }
  return planned;
}

fs::path result_file(const PlannedRun& run, const GridTarget& target) {
  std::string name = target.name;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '+' && c != '-') c = '-';
  return run.folder / ("eval-" + name + ".json");
}

/// The arguments of `eval` that decide its result.
std::vector<std::string> evaluation_arguments(const PlannedRun& run, const GridTarget& target) {
  std::vector<std::string> arguments = target.arguments;
  const DatasetOptions& data = run.run->settings.data;
  const bool own = target.choice.dataset.empty() || target.choice.dataset == data.name;
  if (own && target.choice.data_root.empty() && !data.root.empty())
    arguments.push_back("--data-root=" + data.root.string());  // it may have moved
  return arguments;
}

/// Arguments as JSON holds them.
std::vector<std::string> stored(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) argument = as_utf8(argument);
  return arguments;
}

/// The result of an evaluation with the same arguments of the checkpoint as it is; null if there is none.
json kept_result(const PlannedRun& run, const Grid& grid, const GridTarget& target) {
  std::ifstream file(result_file(run, target));
  const json result = file ? json::parse(file, nullptr, /*allow_exceptions=*/false) : json();
  if (!result.is_object() || !result.contains("evaluated_with") ||
      result.at("evaluated_with") != json(stored(evaluation_arguments(run, target))))
    return nullptr;
  const EvaluationData& tested = run.cost->tested[static_cast<size_t>(&target - grid.targets.data())];
  if (result.value("classes_hash", hash_of(tested.classes)) != hash_of(tested.classes)) return nullptr;
  const RunPaths paths(run.folder);
  const bool best = target.checkpoint.empty() ? fs::exists(paths.best()) : target.checkpoint == "best";
  const fs::path file_of = best ? paths.best() : paths.last();
  const bool same = fs::exists(file_of) && result.at("checkpoint") == (best ? "best" : "last") &&
                    result.at("iteration") == read_progress(file_of).iteration;
  return same ? result : nullptr;
}

/// Training, and an evaluation for each target. Each stage is a command that a user may type.
Job job_of(const PlannedRun& run, const Grid& grid, const fs::path& logs, bool allow_overlap) {
  Job job{run.run->name, run.cost->bytes, {}};
  JobStage train;
  train.what = "training";
  train.needed = true;
  train.log = logs / (run.run->name + ".train.log");
  train.arguments = [&run, allow_overlap]() -> std::optional<std::vector<std::string>> {
    if (run.finished) return std::nullopt;
    const Settings& settings = run.run->settings;
    if (!fs::exists(RunPaths(run.folder).config())) make_run_folder(run.folder, settings);
    std::vector<std::string> arguments = {"train", "--resume", "--out=" + run.folder.string(),
                                          "--iterations=" + std::to_string(run.iterations())};
    if (!settings.data.root.empty()) arguments.push_back("--data-root=" + settings.data.root.string());
    if (allow_overlap) arguments.emplace_back("--allow-class-overlap");
    return arguments;
  };
  job.stages.push_back(train);
  for (const GridTarget& target : grid.targets) {
    const fs::path file = result_file(run, target), made = file.string() + ".new";
    JobStage evaluation;
    evaluation.what = "evaluation on " + target.name;
    evaluation.log = logs / (run.run->name + "." + file.stem().string() + ".log");
    evaluation.arguments = [&run, &grid, &target, made, allow_overlap]() -> std::optional<std::vector<std::string>> {
      if (!kept_result(run, grid, target).is_null()) return std::nullopt;
      std::vector<std::string> arguments = {"eval", run.folder.string(), "--json=" + made.string()};
      if (allow_overlap) arguments.emplace_back("--allow-class-overlap");
      for (const std::string& more : evaluation_arguments(run, target)) arguments.push_back(more);
      return arguments;
    };
    evaluation.done = [&run, &target, file, made] {
      std::ifstream in(made);
      json result = json::parse(in);
      result["evaluated_with"] = stored(evaluation_arguments(run, target));
      write_file_atomically(file, result.dump() + "\n");
      fs::remove(made);
    };
    job.stages.push_back(std::move(evaluation));
  }
  return job;
}

/// What is going on, on standard error: lines, and on a terminal one more that renews itself.
class CompareProgress {
 public:
  CompareProgress(size_t jobs, bool quiet) : jobs_(jobs), quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}
  ~CompareProgress() { clear(); }

  void line(const std::string& text) {
    if (quiet_) return;
    clear();
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  bool anything_ran() const { return !started_.empty(); }
  void event(const PoolEvent& event) {
    if (event.kind == PoolEvent::kFailed) line(event.job->name + ": " + event.what + " failed: " + event.text);
    if (event.kind == PoolEvent::kStarted) {
      line(event.job->name + ": " + event.what);
      started_.insert(event.job);
    }
    if (event.kind != PoolEvent::kJobEnded) return;
    ++ended_;
    if (started_.contains(event.job))
      line("[" + std::to_string(ended_) + "/" + std::to_string(jobs_) + "] " + event.job->name);
  }
  bool is_shown() const { return !quiet_ && terminal_; }  // the line that renews itself
  void wait(const PoolState& state) {
    std::string text = std::to_string(state.jobs_ended) + "/" + std::to_string(jobs_);
    for (const std::string& running : state.running) text += " | " + running;
    clear();
    std::fprintf(stderr, "%s", text.substr(0, terminal_columns()).c_str());
    std::fflush(stderr);
    drawn_ = true;
  }

 private:
  void clear() {
    if (drawn_) std::fputs("\r\033[K", stderr);
    drawn_ = false;
  }

  size_t jobs_;
  bool quiet_, terminal_, drawn_ = false;
  int ended_ = 0;
  std::set<const Job*> started_;  // the others had nothing to do
};

std::string duration_of(double seconds) {
  return seconds >= 48 * 3600 ? std::to_string(static_cast<long>(seconds / 86400 + 0.5)) + " days"
                              : duration_text(seconds);
}

void print_plan(const std::vector<PlannedRun>& planned, int threads) {
  size_t width = 3;
  for (const PlannedRun& run : planned) width = std::max(width, run.folder.filename().string().size());
  std::printf("%-*s  %12s  %10s  %8s  %9s  %12s  %s\n", static_cast<int>(width), "run", "conv weights", "adapted",
              "MiB", "time", "iterations", "state");
  double sum = 0, longest = 0;
  size_t finished = 0;
  for (const PlannedRun& run : planned) {
    const double left = static_cast<double>(std::max<int64_t>(0, run.iterations() - run.done));
    const double seconds = left * run.cost->iteration_seconds + run.cost->evaluation_seconds;
    sum += run.finished ? 0 : seconds;
    longest = std::max(longest, run.finished ? 0 : seconds);
    finished += run.finished ? 1 : 0;
    const std::string state = run.finished ? "finished" : run.done > 0 ? "at " + std::to_string(run.done) : "new";
    std::printf("%-*s  %12lld  %10lld  %8lld  %9s  %12lld  %s\n", static_cast<int>(width),
                run.folder.filename().c_str(), static_cast<long long>(run.cost->size.conv_weights),
                static_cast<long long>(run.cost->size.adapted), static_cast<long long>(run.cost->bytes >> 20),
                run.finished ? "-" : duration_of(seconds).c_str(), static_cast<long long>(run.iterations()),
                state.c_str());
  }
  std::printf("%zu runs, %zu of them finished; about %s on one thread, %s on %d; estimated from one task of each\n",
              planned.size(), finished, duration_of(sum).c_str(),
              duration_of(std::max(sum / threads, longest / threads)).c_str(), threads);
}

/// The report of all runs that have a result on the first target, on some of its episodes: `fewatoms report`.
Job report_job(const Grid& grid, const std::vector<PlannedRun>& planned, int episodes, const fs::path& out) {
  const GridTarget& target = grid.targets[0];
  std::vector<std::string> arguments = {"report"};
  bool one_data_set = true;
  for (const PlannedRun& run : planned) {
    if (kept_result(run, grid, target).is_null()) continue;
    arguments.push_back(run.folder.string());
    one_data_set = one_data_set && run.run->settings.data.name == planned[0].run->settings.data.name;
  }
  if (arguments.size() == 1) return {"report", 0, {}};
  const std::vector<std::string> of_target = one_data_set ? evaluation_arguments(planned[0], target) : target.arguments;
  arguments.insert(arguments.end(), of_target.begin(), of_target.end());
  if (target.choice.episodes_file.empty())
    arguments.push_back("--episodes=" + std::to_string(std::min(episodes, target.choice.episodes)));
  arguments.push_back("--out=" + (out / "report.html").string());
  JobStage stage;
  stage.what = "page on " + target.name;
  stage.log = out / "logs" / "report.log";
  stage.arguments = [arguments] { return std::optional(arguments); };
  return {"report", 0, {stage}};
}

int run_compare(const CLI::App& app, const CompareCommand& command) {
  Grid grid = read_grid(command.config, {setting_arguments(app), command.target_roots});
  OpenSources open;
  std::vector<PointCost> costs;
  for (GridPoint& point : grid.points) {
    try {
      costs.push_back(check_point(point, grid, open, command.dry_run));
    } catch (const UsageError& e) {
      throw UsageError("'" + command.config + "': '" + point.label + "': " + e.what());
    } catch (const DataError& e) {
      throw DataError("'" + command.config + "': '" + point.label + "': " + e.what());
    }
  }
  open = {};
  const fs::path out = command.out, runs = out / "runs", logs = out / "logs";
  const int threads =
      grid.threads > 0 ? grid.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const auto plan = [&] {
    std::vector<PlannedRun> planned = plan_runs(grid, costs, runs);
    const std::vector<std::string> notices = class_notices(planned, grid, command.allow_class_overlap);
    grid.notices.insert(grid.notices.end(), notices.begin(), notices.end());
    return planned;
  };
  if (command.dry_run) {
    const std::vector<PlannedRun> planned = plan();
    for (const std::string& notice : grid.notices) std::cerr << "note: " << notice << std::endl;
    print_plan(planned, threads);
    return 0;
  }

  std::error_code error;
  for (const fs::path& folder : {runs, logs}) {
    fs::create_directories(folder, error);
    if (error) throw UsageError("cannot make folder '" + folder.string() + "': " + error.message());
  }
  const FolderLock lock(out, "comparison");  // its processes hold it too
  const std::vector<PlannedRun> planned = plan();
  if (!lock.notice().empty()) grid.notices.push_back(lock.notice());
  std::vector<Job> jobs;
  for (const PlannedRun& run : planned) jobs.push_back(job_of(run, grid, logs, command.allow_class_overlap));

  CompareProgress progress(jobs.size(), command.quiet);
  for (const std::string& notice : grid.notices) progress.line("note: " + notice);
  const auto count = [&](const auto& which) {
    return std::to_string(std::count_if(planned.begin(), planned.end(), which));
  };
  progress.line(std::to_string(planned.size()) + " runs: " + count([](const PlannedRun& r) { return r.finished; }) +
                " finished, " + count([](const PlannedRun& r) { return !r.finished && r.done > 0; }) + " to go on, " +
                count([](const PlannedRun& r) { return !r.finished && r.done == 0; }) + " to start");
  PoolOptions pool;
  pool.limits = {.threads = threads, .jobs = command.jobs, .bytes = memory_limit()};
  pool.stop_signal = stop_signal;
  pool.on_event = [&](const PoolEvent& event) { progress.event(event); };
  if (progress.is_shown()) pool.on_wait = [&](const PoolState& state) { progress.wait(state); };
  remember_signals();  // a second one ends the program at once, and its processes with it
  std::vector<JobFailure> failures = run_jobs(jobs, pool);
  const auto stopped = [&] {
    if (stop_signal() != 0) progress.line("stopped; the same command goes on");
    return stop_signal() != 0;
  };
  if (stopped()) return 128 + stop_signal();

  std::vector<PointSize> sizes;
  std::vector<std::vector<std::vector<json>>> results;
  size_t next = 0;
  for (size_t p = 0; p < grid.points.size(); ++p) {
    sizes.push_back(costs[p].size);
    results.emplace_back();
    for (size_t r = 0; r < grid.points[p].runs.size(); ++r, ++next) {
      results[p].emplace_back();
      for (const GridTarget& target : grid.targets) results[p][r].push_back(kept_result(planned[next], grid, target));
    }
  }
  ComparisonTable table = compare_results(grid, std::move(sizes), results, std::move(failures));
  write_file_atomically(out / "table.csv", table_csv(table));
  write_file_atomically(out / "table.md", table_markdown(table));
  write_file_atomically(out / "table.tex", table_latex(table));
  write_file_atomically(out / "table.json", json_text(table_json(table)) + "\n");
  std::fputs(table_text(table).c_str(), stdout);
  std::fflush(stdout);
  if (command.report_episodes > 0 && (progress.anything_ran() || !fs::exists(out / "report.html"))) {
    const std::vector<Job> report = {report_job(grid, planned, command.report_episodes, out)};
    CompareProgress report_progress(1, command.quiet);
    pool.on_event = [&](const PoolEvent& event) { report_progress.event(event); };
    if (progress.is_shown()) pool.on_wait = [&](const PoolState& state) { report_progress.wait(state); };
    for (JobFailure& failure : run_jobs(report, pool)) table.failures.push_back(std::move(failure));
    if (stopped()) return 128 + stop_signal();
  }
  if (table.failures.empty()) return 0;
  std::cerr << "fewatoms: " << table.failures.size() << (table.failures.size() == 1 ? " part" : " parts")
            << " of the comparison failed, the first: " << table.failures[0].job << " (" << table.failures[0].what
            << "): " << table.failures[0].reason << std::endl;
  return 1;
}

}  // namespace

Command setup_compare(CLI::App& program) {
  auto command = std::make_shared<CompareCommand>();
  CompareCommand& c = *command;
  CLI::App* app = program.add_subcommand(
      "compare", "Train and evaluate a grid of runs and put them in one table; started again, it goes on.");
  c.shown = default_settings("maml", "strokes");
  const char* group = "Comparison";
  app->add_option("--config", c.config,
                  "The grid is in this TOML file, as for train, whose values may be lists (docs/compare.md).")
      ->required()
      ->group(group)
      ->type_name("FILE");
  app->add_option("--out", c.out, "Runs, logs and tables are written to this folder.")
      ->required()
      ->group(group)
      ->type_name("DIR");
  app->add_flag("--dry-run", c.dry_run,
                "Nothing is trained; the runs, their parameters, and estimates of time and memory are printed.")
      ->group(group);
  add_number(*app, "--jobs", c.jobs,
             "This many runs go on at a time, 0 for as many as threads and memory carry; results do not depend on it.",
             0, 1024)
      ->capture_default_str()
      ->group(group);
  app->add_option(
         "--target-root", c.target_roots,
         "The data set of the target NAME is in the folder DIR, given as NAME=DIR; give it again for each target.")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  add_number(*app, "--report-episodes", c.report_episodes,
             "The page report.html shows this many episodes of the first target; 0 makes no page.", 0, 1'000'000)
      ->capture_default_str()
      ->group(group);
  app->add_flag("--allow-class-overlap", c.allow_class_overlap,
                "Runs go on although classes have changed their splits since they were trained, and are tested on "
                "trained classes too.")
      ->group(group);
  app->add_flag("--quiet", c.quiet, "Only the table and errors are printed.")->group(group);
  last_one_counts(*app);
  add_setting_options(*app, c.shown);
  return [app, command] { return run_compare(*app, *command); };
}

}  // namespace fewatoms
