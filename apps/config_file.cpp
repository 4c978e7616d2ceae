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

std::string forbidden_changes(Settings stored, Settings asked) {
  std::vector<std::string> names, before, after;
  const auto collect = [&](Settings& from, std::vector<std::string>& values) {
    values.push_back(toml_string(from.learner.method));
    for_each_option(from, [&](const OptionText& option, auto& value) {
      if (option.identity && std::string(option.name) != "iterations") values.push_back(toml_text(value));
    });
  };
  names.emplace_back("method");
  for_each_option(stored, [&](const OptionText& option, auto&) {
    if (option.identity && std::string(option.name) != "iterations") names.emplace_back(option.name);
  });
  collect(stored, before);
  collect(asked, after);
  std::string text;
  for (size_t i = 0; i < names.size(); ++i)
    if (before[i] != after[i])
      text += (text.empty() ? "" : ", ") + names[i] + " is " + before[i] + " there, " + after[i] + " was given";
  if (asked.trainer.iterations < stored.trainer.iterations)
    text += (text.empty() ? "" : ", ") +
            ("iterations is " + std::to_string(stored.trainer.iterations) + " there and can only be raised, " +
             std::to_string(asked.trainer.iterations) + " was given");
  return text;
}

}  // namespace fewatoms
