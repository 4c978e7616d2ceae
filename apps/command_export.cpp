#include <cstdio>

#include "apps/command_line.h"
#include "apps/run_folder.h"
#include "backbones/safetensors.h"
#include "backbones/standard_form.h"
#include "datasets/augment.h"
#include "episodes/errors.h"
#include "meta/torch_script.h"

namespace fewatoms {
namespace {

struct ExportCommand {
  std::string run, adapter, out, checkpoint, format = "standard";
};

int run_export(const ExportCommand& command) {
  Adapter adapter;
  if (!command.adapter.empty()) adapter = load_adapter(command.adapter);
  const std::string where = "adapter '" + command.adapter + "'";
  const Run run = command.adapter.empty() ? read_run(command.run, command.checkpoint)
                                          : read_run_of(adapter, where, command.run, command.checkpoint);
  const NetworkOptions& network = run.settings.learner.network;
  ParameterSet parameters = run.state.parameters;
  if (command.format == "torchscript") {
    TorchScript script = command.adapter.empty() ? torch_script(*run.learner, parameters)
                                                 : torch_script(*run.learner, parameters, adapter, where);
    script.pixel_norm = run.settings.pixel_norm;
    if (run.settings.data.augment != "none") script.resize = size_before_crop(network.image_size);
    save_torch_script(command.out, script);
    const char* answer = !command.adapter.empty()    ? "scores of the adapter's classes"
                         : run.learner->fixed_ways() ? "scores of the head as meta-learned"
                                                     : "features";
    std::printf("%s: %zu tensors; forward gives %s\n", command.out.c_str(), script.tensors.size(), answer);
    return 0;
  }
  if (!command.adapter.empty()) parameters = TaskClassifier(*run.learner, parameters, adapter, where).parameters();
  const SafeTensors file{.tensors = standard_form(run.learner->backbone(), network.conv, parameters),
                         .metadata = {{"format", "pt"},
                                      {"backbone", network.backbone},
                                      {"width", std::to_string(network.width)},
                                      {"image_size", std::to_string(network.image_size)},
                                      {"channels", std::to_string(network.channels)},
                                      {"norm", run.settings.learner.norm},
                                      {"pixel_norm", run.settings.pixel_norm}}};
  write_safetensors(command.out, file);
  int64_t numbers = 0;
  for (const auto& [name, tensor] : file.tensors) numbers += tensor.numel();
  std::printf("%s: %zu tensors, %lld numbers\n", command.out.c_str(), file.tensors.size(),
              static_cast<long long>(numbers));
  return 0;
}

}  // namespace

Command setup_export(CLI::App& program) {
  auto command = std::make_shared<ExportCommand>();
  ExportCommand& c = *command;
  CLI::App* app = program.add_subcommand(
      "export", "Write a run's network for PyTorch, as plain kernels under its names or as TorchScript.");
  app->add_option("RUN", c.run, "The run is in this folder, which `fewatoms train` wrote.")->required();
  app->add_option(
         "--format", c.format,
         "The file is safetensors of plain layers (standard), or a module that torch.jit.load opens (torchscript).")
      ->check(CLI::IsMember({"standard", "torchscript"}))
      ->capture_default_str();
  app->add_option("--adapter", c.adapter,
                  "The network is written as the task of this file of `fewatoms adapt` changed it.")
      ->type_name("FILE");
  app->add_option("--checkpoint", c.checkpoint,
                  "The weights are those of the best or the last checkpoint; by default the adapter's, or the best if "
                  "there is one.")
      ->check(CLI::IsMember({"best", "last"}));
  app->add_option("--out", c.out, "The network is written to this file.")->required()->type_name("FILE");
  last_one_counts(*app);
  return [command] { return run_export(*command); };
}

}  // namespace fewatoms
