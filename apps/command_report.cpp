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
      "report", "Write one HTML page about runs, to look at and to send: curves, atoms, episodes and mistakes.");
  app->add_option("RUN", c.runs, "The runs are in these folders, which `fewatoms train` wrote.")->required();
  app->add_option("--out", c.out, "The page is written to this file.")->required()->type_name("FILE");
  add_choice_options(*app, c.options.choice);
  app->add_option("--shots", c.options.choice.shots,
                  "Each class of an episode has this many support images, or a number from a range such as 1..10; by "
                  "default the run's own.");
  app->add_option("--steps,--eval-inner-steps", c.options.steps,
                  "The curve shows these numbers of inner steps, and each run's own number.")
      ->capture_default_str();
  add_number(*app, "--samples", c.options.samples,
             "This many episodes are shown with their pictures, besides each run's worst one.", 0, 20)
      ->capture_default_str();
  app->add_option("--title", c.options.title, "The page has this title.")->capture_default_str();
  app->add_option("--checkpoint", c.options.checkpoint,
                  "The weights are those of the best or the last checkpoint; by default the best if there is one.")
      ->check(CLI::IsMember({"best", "last"}));
  add_number(*app, "--timed-tasks", c.options.timed_tasks,
             "Times are measured on this many tasks, one after the other on one thread; 0 measures no times.", 0, 1000)
      ->capture_default_str();
  add_number(*app, "--threads", c.threads,
             "The program uses this many threads, 0 for all cores; accuracies do not depend on it.", 0, 1024);
  last_one_counts(*app);
  return [command] { return run_report(*command); };
}

}  // namespace fewatoms
