#include "apps/config_file.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <type_traits>

#include "apps/command_line.h"
#include "apps/toml_file.h"
#include "episodes/numbers.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

std::string toml_string(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(escaped(text));  // paths may have any bytes
  return out.str();
}

template <class T>
std::string toml_text(const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    return toml_string(value);
  else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    std::string list;
    for (const std::string& text : value) list += (list.empty() ? "" : ", ") + toml_string(text);
    return "[" + list + "]";
  } else if constexpr (std::is_same_v<T, NumberRange>)
    return *value.fewest == 0 ? std::to_string(*value.most) : toml_string(range_text(*value.fewest, *value.most));
  else if constexpr (std::is_same_v<T, std::filesystem::path>)
    return toml_string(value.string());
  else if constexpr (std::is_same_v<T, bool>)
    return value ? "true" : "false";
  else if constexpr (std::is_same_v<T, uint64_t>)  // a seed; TOML's numbers end at 2^63 - 1
    return value > static_cast<uint64_t>(INT64_MAX) ? toml_string(number_text(value)) : number_text(value);
  else
    return number_text(value);
}

}  // namespace

std::vector<std::string> arguments_from_config(const std::filesystem::path& path) {
  const toml::table table = read_toml(path);
  std::vector<std::string> keys = {"method"};
  Settings any;
  std::set<std::string> lists;  // keys that may be given several times
  for_each_option(any, [&](const OptionText& text, auto& value) {
    keys.emplace_back(text.name);
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::vector<std::string>>) lists.emplace(text.name);
  });
  std::vector<std::string> arguments;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (std::find(keys.begin(), keys.end(), name) == keys.end())
      throw UsageError("'" + path.string() + "': unknown key '" + name + "', did you mean '" +
                       nearest_name(name, keys) + "'?");
    if (const auto* list = node.as_array(); list != nullptr && lists.contains(name)) {
      for (const auto& element : *list) {
        const auto* text = element.as_string();
        if (text == nullptr)
          throw UsageError("'" + path.string() + "': key '" + name + "' is a list of more than texts");
        arguments.push_back("--" + name + "=" + unescaped(text->get()));
      }
      continue;
    }
    const auto scalar = scalar_text(node);
    if (!scalar)
      throw UsageError("'" + path.string() + "': key '" + name + "' is neither a number, a text, nor true or false");
    if (scalar->empty()) continue;  // what an empty text stands for is the default
    arguments.push_back("--" + name + "=" + *scalar);
  }
  return arguments;
}

std::string config_text(Settings settings) {
  std::string text = "method = " + toml_string(settings.learner.method) + "\n", group;
  for_each_option(settings, [&](const OptionText& option, auto& value) {
    if (!misplaced(option.name, settings.learner.network.conv.kind).empty()) return;  // it says nothing here
    if (group != option.group) text += std::string("\n# ") + option.group + "\n";
    group = option.group;
    text += std::string(option.name) + " = " + toml_text(value) + "\n";
  });
  return text;
}

Settings read_run_settings(const std::filesystem::path& run) {
  const RunPaths paths(run);
  std::error_code error;
  if (!std::filesystem::is_directory(run, error)) throw UsageError("there is no run folder '" + run.string() + "'");
  if (!std::filesystem::is_regular_file(paths.config(), error))
    throw UsageError("'" + run.string() + "' is not a run folder: it has no config.toml");
  return settings_from_arguments(arguments_from_config(paths.config()));
}

namespace {

struct Change {
  std::string name, group, before, after;
};

/// Of all options that a resumed run must not change.
std::vector<Change> changes(Settings& stored, Settings& asked) {
  std::vector<Change> all{{"method", "Method", toml_string(stored.learner.method), toml_string(asked.learner.method)}};
  const auto decides = [](const OptionText& option) {
    return option.identity && std::string(option.name) != "iterations";
  };
  for_each_option(stored, [&](const OptionText& option, auto& value) {
    if (decides(option)) all.push_back({option.name, option.group, toml_text(value), ""});
  });
  size_t next = 1;
  for_each_option(asked, [&](const OptionText& option, auto& value) {
    if (decides(option)) all[next++].after = toml_text(value);
  });
  std::erase_if(all, [](const Change& change) { return change.before == change.after; });
  return all;
}

}  // namespace

std::string forbidden_changes(Settings stored, Settings asked) {
  std::string text;
  for (const Change& change : changes(stored, asked))
    text +=
        (text.empty() ? "" : ", ") + change.name + " is " + change.before + " there, " + change.after + " was given";
  if (asked.trainer.iterations < stored.trainer.iterations)
    text += (text.empty() ? "" : ", ") +
            ("iterations is " + std::to_string(stored.trainer.iterations) + " there and can only be raised, " +
             std::to_string(asked.trainer.iterations) + " was given");
  return text;
}

bool only_training_changes(Settings stored, Settings asked) {
  const std::vector<Change> all = changes(stored, asked);
  return std::all_of(all.begin(), all.end(),
                     [](const Change& change) { return change.group != "Network" && change.group != "Data"; });
}

}  // namespace fewatoms
