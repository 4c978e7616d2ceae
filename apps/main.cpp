// The fewatoms program: subcommands, and the mapping of errors to exit codes.
// 0 done; 1 the run failed; 2 the caller's mistake; 128 + n stopped by signal n. Each failure is one line on stderr.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <opencv2/core/utility.hpp>
#include <opencv2/core/utils/logger.hpp>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include "apps/command_line.h"
#include "apps/stop_signal.h"
#include "datasets/remarks.h"
#include "episodes/errors.h"
#include "episodes/text.h"
#include "meta/task.h"

namespace fewatoms {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int fail(int code, const std::string& message) {
  std::cerr << "fewatoms: " << as_line(first_line(message)) << std::endl;
  return code;
}

/// The nearest option of the subcommand in use, for an argument that is none.
std::string unknown_argument(const CLI::App& program, const std::string& what) {
  const size_t at = what.find("--");
  const auto used = program.get_subcommands();
  if (at == std::string::npos || used.empty()) return what;
  const std::string given = what.substr(at, what.find_first_of("= ", at) - at);
  const CLI::App* app = used.front();
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  std::vector<std::string> names;
  for (const CLI::Option* option : app->get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return "unknown option '" + given + "', did you mean '" + nearest_name(given, names) + "'? (see fewatoms " +
         app->get_name() + " --help)";
}

/// A required subcommand that is missing, or has another name than was given.
std::string missing_argument(const CLI::App& program, int argc, char** argv, const std::string& what) {
  if (what.find("ubcommand") == std::string::npos) return what;
  const CLI::App* app = &program;
  int next = 1;
  for (; !app->get_subcommands().empty(); ++next) app = app->get_subcommands().front();
  std::vector<std::string> names;
  for (const CLI::App* command : app->get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  if (next < argc && argv[next][0] != '-') return unknown_name("command", argv[next], names);
  std::string text = "a command is missing after '" + app->get_name() + "', one of";
  for (const std::string& name : names) text += " " + name;
  return text + " was expected";
}

int run(int argc, char** argv) {
  CLI::App program{"FewAtoms: few-shot meta-learning by atom-coefficient decomposed convolutions", "fewatoms"};
  program.require_subcommand(1);
  program.set_help_flag("-h,--help", "Print this help message and exit.");
  program.set_version_flag("--version", std::string("fewatoms ") + FEWATOMS_VERSION, "Print the version and exit.");
  std::map<std::string, Command> commands;
  commands["train"] = setup_train(program);
  commands["eval"] = setup_eval(program);
  commands["dataset"] = setup_dataset(program);
  commands["table"] = setup_table(program);
  commands["bench"] = setup_bench(program);
  commands["info"] = setup_info(program);
  commands["import"] = setup_import(program);
  commands["decompose"] = setup_decompose(program);
  commands["speed"] = setup_speed(program);
  commands["adapt"] = setup_adapt(program);
  commands["predict"] = setup_predict(program);
  commands["adapter"] = setup_adapter(program);
  commands["export"] = setup_export(program);
  commands["compare"] = setup_compare(program);
  commands["report"] = setup_report(program);
  commands["completion"] = setup_completion(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ExtrasError& e) {
    return fail(2, unknown_argument(program, e.what()));
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return program.exit(e);
    return fail(2, e.get_name() == "RequiredError" ? missing_argument(program, argc, argv, e.what()) : e.what());
  }
  const int code = commands.at(program.get_subcommands().front()->get_name())();
  for (const Remark& remark : take_remarks()) std::cerr << "note: " << remark.text << std::endl;
  std::cout.flush();
  if (code == 0 && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0 || !std::cout))
    return fail(1, "the result cannot be written to standard output: " + std::string(std::strerror(errno)));
  return code;
}

}  // namespace

void last_one_counts(CLI::App& app) {
  for (CLI::Option* option : app.get_options())
    if (option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw && option->get_items_expected_max() == 1)
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

void with_threads(int threads, const std::function<void()>& body) {
  if (threads == 0) return body();
  tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(threads));
  tbb::task_arena arena(threads);
  arena.execute(body);
}

}  // namespace fewatoms

int main(int argc, char** argv) {
  using namespace fewatoms;
  // The process is ours: what the libraries leave to their caller.
  cv::setNumThreads(0);  // OpenCV's own threads would compete with TBB's
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);  // an error is one line, the program's
  std::signal(SIGXFSZ, SIG_IGN);  // beyond the limit on file sizes a write fails, and says so
  const OneThreadPerOperation one_thread;
  end_at_signals();
  try {
    return run(argc, argv);
  } catch (const Stopped&) {
    return 128 + stop_signal();
  } catch (const UsageError& e) {
    return fail(2, e.what());
  } catch (const c10::Error& e) {
    return fail(1, e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory");
  } catch (const std::exception& e) {
    return fail(1, e.what());
  }
}
