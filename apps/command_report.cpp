#include <cstdio>

#include "apps/command_line.h"
#include "apps/report.h"

namespace fewatoms {
namespace {

struct ReportCommand {
  std::vector<std::string> runs;
  std::string out;
  ReportOptions options;
  int threads = 0;
};

int run_report(const ReportCommand& command) {
  const std::vector<std::filesystem::path> runs(command.runs.begin(), command.runs.end());
  with_threads(command.threads, [&] { write_report(runs, command.options, command.out); });
  const auto bytes = static_cast<double>(std::filesystem::file_size(command.out));
  std::printf("%s: %zu run%s, %.1f MB\n", command.out.c_str(), runs.size(), runs.size() == 1 ? "" : "s", bytes / 1e6);
  return 0;
}

}  // namespace

Command setup_report(CLI::App& program) {
  auto command = std::make_shared<ReportCommand>();
  ReportCommand& c = *command;
  CLI::App* app = program.add_subcommand(
      "report", "one HTML page about runs, to look at and to send: curves, atoms, episodes, mistakes");
  app->add_option("RUN", c.runs, "run folders")->required();
  app->add_option("--out", c.out, "file to write")->required()->type_name("FILE");
  add_choice_options(*app, c.options.choice);
  app->add_option("--shots", c.options.choice.shots,
                  "support images per class, or a range as 1..10; left out: the run's own");
  app->add_option("--steps,--eval-inner-steps", c.options.steps,
                  "inner steps of the curve; each run's own number is added")
      ->capture_default_str();
  add_number(*app, "--samples", c.options.samples, "episodes shown with their pictures, besides each run's worst one",
             0, 20)
      ->capture_default_str();
  app->add_option("--title", c.options.title, "of the page")->capture_default_str();
  app->add_option("--checkpoint", c.options.checkpoint, "best or last; left out: best if there is one")
      ->check(CLI::IsMember({"best", "last"}));
  add_number(*app, "--timed-tasks", c.options.timed_tasks,
             "tasks to measure times on, one after the other on one thread; 0: no times", 0, 1000)
      ->capture_default_str();
  add_number(*app, "--threads", c.threads, "0: all cores; accuracies do not depend on it", 0, 1024);
  last_one_counts(*app);
  return [command] { return run_report(*command); };
}

}  // namespace fewatoms
