#include <cstdio>
#include <iostream>
#include <thread>

#include "apps/bench.h"
#include "apps/command_line.h"
#include "apps/config_file.h"
#include "apps/json_text.h"
#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "meta/memory.h"

namespace fewatoms {
namespace {

/// One benchmark: a subcommand.
struct Bench {
  const char* name;
  const char* help;
  BenchResult (*run)(const BenchOptions&);
  const char* method;                      // default of --method
  bool trains = true;                      // on whole episodes, which must fit in memory
  std::vector<std::string> defaults = {};  // settings that come before those given
};

const std::vector<Bench>& benches() {
  static const std::vector<Bench> all = {
      {"iteration", "Measure the seconds of an outer iteration on random images, beside the machine's peak.",
       bench_iteration, "maml"},
      {"inner-step",
       "Measure the seconds of one inner step, beside a step of a standard network that adapts everything.",
       bench_inner_step, "acdc-maml"},
      {"evaluate",
       "Measure the seconds of --val-episodes episodes, beside one pass over the split's images.",
       bench_evaluate,
       "protonet",
       false,
       {"--shots=5", "--val-episodes=10000"}},
      {"loader",
       "Measure images per second beside cv::imread in a loop, and an iteration with images from the cache beside "
       "images in memory.",
       bench_loader, "maml"},
      {"kernels", "Measure the seconds of convolutions and norm blocks by shape, on one thread.", bench_kernels, "maml",
       false},
  };
  return all;
}

struct BenchCommand {
  int repeat = 7;
  bool scaling = false;
  std::string json_file, split = "test";
  Settings shown;
};

BenchResult to_json(const MachineRates& rates) {
  return {{"threads", rates.threads}, {"gflops", rates.gflops}, {"copy_gb_per_s", rates.copy_gb_per_s}};
}

BenchResult to_json(const Machine& m) {
  return {{"processor", m.processor},
          {"cores", m.cores},
          {"instructions", m.instructions},
          {"allocator", m.allocator},
          {"openblas_core", m.openblas_core},
          {"onednn_isa", m.onednn_isa},
          {"aten_capability", m.aten_capability},
          {"one_thread", to_json(m.one)},
          {"all_threads", to_json(m.all)},
          {"fma_scaling", m.fma_scaling()}};
}

void print(const Machine& m) {
  std::printf("%s, %d core%s; allocator %s, OpenBLAS core %s, oneDNN %s, LibTorch %s\n", m.processor.c_str(), m.cores,
              m.cores == 1 ? "" : "s", m.allocator.c_str(), m.openblas_core.c_str(), m.onednn_isa.c_str(),
              m.aten_capability.c_str());
  std::printf(
      "peak with 1 thread: %.1f GFLOP/s (%s), copying %.1f GB/s; with %d: %.1f GFLOP/s (%.2f times), %.1f GB/s (%.2f "
      "times)\n",
      m.one.gflops, m.instructions.c_str(), m.one.copy_gb_per_s, m.all.threads, m.all.gflops, m.fma_scaling(),
      m.all.copy_gb_per_s, m.all.copy_gb_per_s / m.one.copy_gb_per_s);
}

BenchResult settings_json(const Settings& s) {
  const NetworkOptions& network = s.learner.network;
  const EpisodeSpec& spec = s.trainer.spec;
  return {{"method", s.learner.method},
          {"scope", s.learner.scope},
          {"order", s.learner.order},
          {"inner_steps", s.learner.inner_steps},
          {"backbone", network.backbone},
          {"width", network.width},
          {"image_size", network.image_size},
          {"channels", network.channels},
          {"conv", network.conv.kind},
          {"sharing", network.conv.sharing},
          {"atoms", network.conv.atoms},
          {"compute", network.conv.compute},
          {"ways", spec.ways},
          {"shots", spec.shots},
          {"queries", spec.queries},
          {"meta_batch", s.trainer.meta_batch},
          {"seed", s.trainer.seed}};
}

/// Every setting that differs from those of `train`: without more, the reference job.
std::vector<std::string> default_arguments(const Bench& bench) {
  std::vector<std::string> arguments = {std::string("--method=") + bench.method, "--image-size=84", "--channels=3"};
  arguments.insert(arguments.end(), bench.defaults.begin(), bench.defaults.end());
  return arguments;
}

int run_bench(const CLI::App& app, const Bench& bench, const BenchCommand& command) {
  std::vector<std::string> arguments = default_arguments(bench);
  const std::vector<std::string> given = setting_arguments(app);
  arguments.insert(arguments.end(), given.begin(), given.end());
  BenchOptions options;
  options.settings = settings_from_arguments(arguments);
  options.repeat = command.repeat;
  options.scaling = command.scaling;
  options.split = command.split;
  if (bench.trains) {
    if (options.settings.learner.train_on == "classes")
      throw UsageError("method '" + options.settings.learner.method +
                       "' trains on classes, but this bench draws episodes");
    ParameterSet parameters;
    const Learner learner(options.settings.learner, parameters);
    const TrainerOptions& t = options.settings.trainer;
    require_memory(learner, t.spec, t.meta_batch, tasks_in_flight(options.settings));
  }
  const bool one_width = app.get_option("--width")->count() > 0;
  options.widths = one_width ? std::vector<int>{options.settings.learner.network.width} : std::vector<int>{32, 64};
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.threads = threads_of(options.settings);
  if (options.threads > cores)
    std::cerr << "note: " << options.threads << " threads were asked for, the machine has " << cores << std::endl;
  options.machine = measure_machine(std::min(options.threads, cores));
  reset_peak_memory();  // what measuring took is not the job's
  print(options.machine);
  std::fflush(stdout);

  BenchResult result = {{"bench", bench.name},
                        {"threads", options.threads},
                        {"machine", to_json(options.machine)},
                        {"settings", settings_json(options.settings)}};
  result.update(bench.run(options));
  if (!command.json_file.empty()) write_file_atomically(command.json_file, json_text(result) + "\n");
  return 0;
}

}  // namespace

Command setup_bench(CLI::App& program) {
  CLI::App* app = program.add_subcommand("bench", "Time the program on this machine, beside what the machine can do.");
  app->require_subcommand(1);
  std::vector<std::function<int()>> runs;
  for (const Bench& bench : benches()) {
    auto command = std::make_shared<BenchCommand>();
    CLI::App* sub = app->add_subcommand(bench.name, bench.help);
    command->shown = default_settings(bench.method, "strokes");
    add_number(*sub, "--repeat", command->repeat, "The time is the median of this many measurements.", 1, 100'000)
        ->group("Benchmark")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
        ->capture_default_str();
    sub->add_option("--json", command->json_file, "All figures are written to this JSON file.")
        ->group("Benchmark")
        ->type_name("FILE")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    if (bench.run == bench_iteration)
      sub->add_flag("--scaling", command->scaling, "The same is measured on 1 thread, too.")->group("Benchmark");
    if (bench.run == bench_evaluate)
      sub->add_option("--split", command->split, "The images come from this split: train, val or test.")
          ->check(CLI::IsMember({"train", "val", "test"}))
          ->group("Benchmark")
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
          ->capture_default_str();
    add_setting_options(*sub, command->shown);
    for (const std::string& argument : default_arguments(bench)) {
      const size_t equals = argument.find('=');
      sub->get_option(argument.substr(0, equals))
          ->default_str(argument.substr(equals + 1));  // what the help text shows
    }
    runs.emplace_back([sub, &bench, command] { return run_bench(*sub, bench, *command); });
  }
  return [app, runs] {
    const std::string name = app->get_subcommands().front()->get_name();
    for (size_t i = 0; i < runs.size(); ++i)
      if (benches()[i].name == name) return runs[i]();
    throw UsageError("unknown benchmark '" + name + "'");
  };
}

}  // namespace fewatoms
