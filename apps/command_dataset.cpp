#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

struct InspectCommand {
  DatasetOptions data;
  std::string root;
  bool json = false;
};

int run_inspect(const InspectCommand& command) {
  DatasetOptions data = command.data;
  data.root = command.root;
  const auto splits = summarise(data);
  if (splits.empty()) throw UsageError("data set '" + data.name + "': no split found under '" + command.root + "'");
  const auto source = open_dataset(data, splits.front().split);
  const SourceInfo& info = source->info();
  if (command.json) {
    json list = json::array();
    for (const SplitSummary& s : splits) {
      const auto opened = open_dataset(data, s.split);
      json classes = json::object();
      for (int c = 0; c < opened->classes(); ++c) classes[opened->class_name(c)] = opened->class_size(c);
      list.push_back({{"split", s.split}, {"classes", s.classes}, {"images", s.images}, {"images_per_class", {{"fewest", s.fewest}, {"median", s.median}, {"most", s.most}}},
                      {"notices", opened->info().notices}, {"class_sizes", classes}});
    }
    std::cout << json{{"dataset", info.dataset}, {"form", info.form}, {"split_rule", info.split_rule}, {"crop", info.crop},
                      {"image_size", source->height()}, {"channels", source->channels()}, {"splits", list}}.dump(2) << "\n";
    return 0;
  }
  std::printf("%s: form %s%s%s, read as %dx%d %s\n", info.dataset.c_str(), info.form.c_str(), info.split_rule.empty() ? "" : ", split ",
              info.split_rule.c_str(), source->width(), source->height(), source->channels() == 3 ? "RGB" : "grey");
  std::printf("  %-6s %8s %9s   images per class: fewest median most\n", "split", "classes", "images");
  for (const SplitSummary& s : splits)
    std::printf("  %-6s %8d %9lld   %24d %6d %4d\n", s.split.c_str(), s.classes, static_cast<long long>(s.images), s.fewest, s.median, s.most);
  for (const SplitSummary& s : splits) {
    const auto opened = open_dataset(data, s.split);
    for (const std::string& notice : opened->info().notices) std::printf("  note (%s): %s\n", s.split.c_str(), notice.c_str());
  }
  return 0;
}

}  // namespace

Command setup_dataset(CLI::App& program) {
  CLI::App* app = program.add_subcommand("dataset", "look at a data set");
  app->require_subcommand(1);
  auto command = std::make_shared<InspectCommand>();
  CLI::App* inspect = app->add_subcommand("inspect", "what is there: form, splits, classes, images");
  std::string summary = "data set:";
  for (const DatasetEntry& entry : dataset_registry()) summary += "\n  " + entry.name + ": " + entry.summary;
  inspect->add_option("NAME", command->data.name, summary)->required();
  inspect->add_option("--data-root", command->root, "folder of its files");
  inspect->add_option("--plugin", command->data.plugin, "data set plugin: the shared library");
  inspect->add_option("--plugin-option", command->data.plugin_options, "data set plugin: an option of its own, as key=value; again for each")
      ->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  inspect->add_option("--rotations", command->data.rotations, "each class as four turned ones: none, train or all")->capture_default_str();
  inspect->add_option("--split-rule", command->data.split_rule, "which published split");
  inspect->add_option("--split-seed", command->data.split_seed, "class split of `folders` without split folders")
      ->check(not_negative)->capture_default_str();
  inspect->add_flag("--json", command->json, "print JSON with every class");
  return [command] { return run_inspect(*command); };
}

}  // namespace fewatoms
