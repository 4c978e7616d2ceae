#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <set>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "apps/config_file.h"
#include "backbones/safetensors.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

struct InfoCommand {
  std::string config, json_file;
  Settings shown;  // what the help text shows as defaults
};

int64_t millions(int64_t n) { return (n + 500'000) / 1'000'000; }

int run_info(const CLI::App& app, const InfoCommand& command) {
  std::vector<std::string> arguments;
  if (!command.config.empty()) arguments = arguments_from_config(command.config);
  for (const std::string& more : setting_arguments(app)) arguments.push_back(more);
  const Settings settings = settings_from_arguments(arguments);
  const NetworkOptions& network = settings.learner.network;
  const ConvOptions& conv = network.conv;
  const Learner learner(settings.learner);
  const Schema& schema = *learner.schema();
  NetworkOptions plain = learner.options().network;
  plain.conv = {};
  Schema plain_schema;
  make_backbone(plain, plain_schema);

  json layers = json::array();
  int64_t composed = 0, cheapest = 0, activations = 0;
  std::set<std::string> counted;  // what layers share counts where it comes first
  std::printf("%s, width %d, %dx%d, conv %s", network.backbone.c_str(), network.width, network.image_size,
              network.image_size, conv.kind.c_str());
  if (conv.sharing != default_sharing("standard")) std::printf(", sharing %s", conv.sharing.c_str());
  if (conv.kind == "acdc") {
    std::printf(", %d atoms", conv.atoms);
    if (conv.group > 0) std::printf(", groups of %d channels", conv.group);
  }
  std::printf(", norm %s\n\n%-28s %11s %3s %2s %9s | %9s %9s %9s | %9s %9s | %8s  %s\n", settings.learner.norm.c_str(),
              "layer", "channels", "k", "/", "pixels", "kernel", "coeffic.", "atoms", "M mul-add", "cheaper", "KiB map",
              "shares");
  const std::vector<ConvLayer>& shapes = learner.backbone().layers();
  for (const LayerInfo& layer : learner.backbone().describe()) {
    const auto shape = std::find_if(shapes.begin(), shapes.end(), [&](const auto& s) { return s.name == layer.name; });
    int64_t kernel = 0, coefficients = 0, atoms = 0;
    std::string shared;  // the tensor that other layers use too
    for (const size_t i : layer.weights) {
      const ParameterSpec& p = schema[i];
      const bool first = counted.insert(p.name).second;
      if (p.role == Role::kCoefficient || !p.name.starts_with(layer.name + ".")) shared = p.name;
      if (p.role == Role::kKernel && first) kernel += p.numel();
      if (p.role == Role::kAtom && first) atoms += p.numel();
      if (p.role == Role::kCoefficient && first) coefficients += p.numel();
    }
    const int64_t dense = layer.multiply_adds, other = layer.fewest_multiply_adds, map = 4 * layer.map();
    composed += dense;
    cheapest += other;
    activations += map;
    const std::string channels = std::to_string(layer.in) + " -> " + std::to_string(layer.out);
    const std::string pixels = std::to_string(layer.size) + " -> " + std::to_string(layer.out_size);
    std::printf("%-28s %11s %3d %2d %9s | %9lld %9lld %9lld | %9.2f %9.2f | %8.1f  %s\n", layer.name.c_str(),
                channels.c_str(), shape->kernel, shape->stride, pixels.c_str(), static_cast<long long>(kernel),
                static_cast<long long>(coefficients), static_cast<long long>(atoms), 1e-6 * static_cast<double>(dense),
                1e-6 * static_cast<double>(other), static_cast<double>(map) / 1024, shared.c_str());
    layers.push_back({{"name", layer.name},
                      {"in", layer.in},
                      {"out", layer.out},
                      {"kernel", shape->kernel},
                      {"stride", shape->stride},
                      {"size", layer.size},
                      {"out_size", layer.out_size},
                      {"kernel_parameters", kernel},
                      {"coefficient_parameters", coefficients},
                      {"atom_parameters", atoms},
                      {"multiply_adds_composed", dense},
                      {"multiply_adds_factored", other},
                      {"activation_bytes", map},
                      {"coefficients", shared}});
  }

  json roles = json::object();
  std::printf("\nparameters:");
  int64_t total = 0;
  for (const auto& [role, count] : schema.count()) {
    std::printf(" %lld %s,", static_cast<long long>(count), to_string(role).c_str());
    roles[to_string(role)] = count;
    total += count;
  }
  std::printf(" %lld in all\n", static_cast<long long>(total));
  const int64_t weights = convolution_weights(schema), standard = convolution_weights(plain_schema);
  const double share = static_cast<double>(weights) / static_cast<double>(standard);
  std::printf("convolution weights: %lld, %.2f %% of the standard network's %lld\n", static_cast<long long>(weights),
              100 * share, static_cast<long long>(standard));
  int64_t adapted = 0;
  for (const auto& [role, count] : schema.count(learner.adapted())) adapted += count;
  std::printf("adapted by the inner loop (scope %s): %lld\n", settings.learner.scope.c_str(),
              static_cast<long long>(adapted));
  std::printf("one image: %lld M multiply-adds with dense kernels, %lld M in stages; %.1f MiB of maps; %lld features\n",
              static_cast<long long>(millions(composed)), static_cast<long long>(millions(cheapest)),
              static_cast<double>(activations) / (1 << 20), static_cast<long long>(learner.backbone().features()));
  if (!command.json_file.empty())
    write_file_atomically(command.json_file, json{{"backbone", network.backbone},
                                                  {"width", network.width},
                                                  {"image_size", network.image_size},
                                                  {"conv", conv.kind},
                                                  {"sharing", conv.sharing},
                                                  {"atoms", conv.atoms},
                                                  {"group", conv.group},
                                                  {"layers", layers},
                                                  {"parameters", roles},
                                                  {"parameters_total", total},
                                                  {"convolution_weights", weights},
                                                  {"standard_convolution_weights", standard},
                                                  {"share_of_standard", share},
                                                  {"parameters_adapted", adapted},
                                                  {"multiply_adds_composed", composed},
                                                  {"multiply_adds_factored", cheapest},
                                                  {"activation_bytes", activations},
                                                  {"features", learner.backbone().features()}}
                                                     .dump(2) +
                                                 "\n");
  return 0;
}

}  // namespace

Command setup_info(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "info", "Print a network by layers: shapes, parameters by role, multiply-adds, memory and sharing.");
  auto command = std::make_shared<InfoCommand>();
  command->shown = default_settings("acdc-maml", "strokes");
  app->add_option("--config", command->config, "Options are read from this TOML file, whose keys are option names.")
      ->type_name("FILE");
  app->add_option("--json", command->json_file, "Everything is written to this JSON file.")->type_name("FILE");
  add_setting_options(*app, command->shown);
  return [app, command] { return run_info(*app, *command); };
}

}  // namespace fewatoms
