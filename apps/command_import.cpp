#include <cstdio>
#include <iostream>

#include "apps/command_line.h"
#include "apps/folder_lock.h"
#include "apps/run_folder.h"
#include "backbones/safetensors.h"
#include "backbones/torch_names.h"
#include "episodes/errors.h"
#include "meta/checkpoint.h"

namespace fewatoms {
namespace {

struct ImportCommand {
  std::string file, source, out, config;
  Settings shown;
};

int run_import(const CLI::App& app, const ImportCommand& c) {
  const RunPaths paths(c.out);
  require_no_run(c.out);
  const SafeTensors file = read_safetensors(c.file);
  const NetworkOptions network = network_of_torch(file, c.file, c.source, {});

  std::vector<std::string> arguments = {"--method=protonet", "--backbone=" + network.backbone,
                                        "--width=" + std::to_string(network.width),
                                        "--channels=" + std::to_string(network.channels), "--val-every=0"};
  if (!network.backbone.starts_with("conv")) arguments.emplace_back("--pool=mean");
  const auto append = [&](const std::vector<std::string>& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
  };
  if (!c.config.empty()) append(arguments_from_config(c.config));
  append(setting_arguments(app));
  const Settings settings = settings_from_arguments(arguments);
  if (settings.learner.network.conv.kind != "standard")
    throw UsageError("the network of a file has standard convolutions, but '" + settings.learner.network.conv.kind +
                     "' was asked for; fewatoms decompose comes afterwards");
  ParameterSet initial;
  const Learner learner(settings.learner, initial);
  const TorchImport made = import_torch(file, c.file, c.source, learner.backbone(), initial);

  make_folder(c.out);
  const FolderLock lock(c.out, "training");
  if (!lock.notice().empty()) std::cerr << "note: " << lock.notice() << std::endl;
  require_no_run(c.out);
  make_run_folder(c.out, settings);
  TrainState state;
  state.parameters = made.parameters;
  save_checkpoint(paths.last(), state);

  std::printf("%s, width %d, %d channels; names of %s\n", network.backbone.c_str(), network.width, network.channels,
              made.names.c_str());
  std::printf("%d of %zu tensors taken\n", made.taken, file.tensors.size());
  for (const std::string& name : made.dropped) std::printf("  not needed: %s\n", name.c_str());
  for (const std::string& name : made.left_over) std::printf("  left over: %s\n", name.c_str());
  return 0;
}

}  // namespace

Command setup_import(CLI::App& program) {
  CLI::App* app = program.add_subcommand("import", "Turn a network that was trained in PyTorch into a run.");
  auto command = std::make_shared<ImportCommand>();
  command->shown = default_settings("protonet", "strokes");
  app->add_option("FILE", command->file,
                  "The network's tensors are in this safetensors file, under PyTorch's names (docs/methods.md).")
      ->required();
  app->add_option("--from", command->source, "The file has the names and the network of this source.")
      ->required()
      ->check([](const std::string& given) {
        const auto names = torch_sources();
        return std::find(names.begin(), names.end(), given) != names.end() ? std::string()
                                                                           : unknown_name("source", given, names);
      });
  app->add_option("--out", command->out, "The new run is written to this folder.")->required()->type_name("DIR");
  app->add_option("--config", command->config, "Options are read from this TOML file, whose keys are option names.")
      ->type_name("FILE");
  add_setting_options(*app, command->shown);
  return [app, command] { return run_import(*app, *command); };
}

}  // namespace fewatoms
