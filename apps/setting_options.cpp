#include <algorithm>
#include <set>

#include "apps/command_line.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

/// A limit of an option as its type has it: what is beyond the type's own is that.
template <Number T>
T limit(double value) {
  if (value <= static_cast<double>(std::numeric_limits<T>::lowest())) return std::numeric_limits<T>::lowest();
  if (value >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(value);
}

template <class T>
void add_setting(CLI::App& app, const OptionText& text, T& value) {
  std::string help = text.help;
  if (!text.choices.empty()) {
    help += " One of:";
    for (const std::string& choice : text.choices) help += " " + choice;
    help += ".";
  }
  CLI::Option* option = nullptr;
  if constexpr (std::is_same_v<T, bool>)
    option = app.add_flag(std::string("--") + text.name, value, help);
  else if constexpr (std::is_same_v<T, NumberRange>)
    option = app.add_option_function<std::string>(
                    std::string("--") + text.name,
                    [range = value, text](const std::string& v) { set_range(range, v, text.low, text.high); }, help)
                 ->default_str(range_text(*value.fewest, *value.most))
                 ->check([text](const std::string& given) {
                   int fewest = 0, most = 0;
                   try {
                     set_range({&fewest, &most}, given, text.low, text.high);
                   } catch (const UsageError& e) {
                     return std::string(e.what());
                   }
                   return std::string();
                 });
  else if constexpr (std::is_same_v<T, std::filesystem::path>)
    option = app.add_option_function<std::string>(
        std::string("--") + text.name, [&value](const std::string& v) { value = v; }, help);
  else if constexpr (Number<T>)
    option = add_number(app, std::string("--") + text.name, value, help, limit<T>(text.low), limit<T>(text.high))
                 ->capture_default_str();
  else
    option = app.add_option(std::string("--") + text.name, value, help)->capture_default_str();
  option->group(text.group);
  if constexpr (std::is_same_v<T, std::vector<std::string>>)
    option->expected(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->default_str("");
  else
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  if (!text.choices.empty())  // refuses other texts, offering the nearest
    option->check([text](const std::string& given) {
      const bool known = std::find(text.choices.begin(), text.choices.end(), given) != text.choices.end();
      return known ? std::string() : unknown_name(text.name, given, text.choices);
    });
}

}  // namespace

void add_setting_options(CLI::App& app, Settings& settings) {
  std::string methods;
  for (const std::string& name : method_names()) methods += " " + name;
  app.add_option("--method", settings.learner.method,
                 "Tasks are learned by this method, which sets the defaults of other options. One of:" + methods + ".")
      ->group("Method")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->check([](const std::string& given) {
        const auto names = method_names();
        return std::find(names.begin(), names.end(), given) != names.end() ? std::string()
                                                                           : unknown_name("method", given, names);
      })
      ->capture_default_str();
  for_each_option(settings, [&](const OptionText& text, auto& value) { add_setting(app, text, value); });
}

void add_data_options(CLI::App& app, Settings& settings) {
  const std::set<std::string> others{"dataset", "augment", "pixel-norm",
                                     "cache-mb"};  // the name is an argument of its own
  for_each_option(settings, [&](const OptionText& text, auto& value) {
    if (std::string(text.group) == "Data" && !others.contains(text.name)) add_setting(app, text, value);
  });
}

std::vector<std::string> setting_arguments(const CLI::App& app) {
  std::vector<std::string> arguments;
  Settings any;
  const auto given = [&](const std::string& name) {
    const CLI::Option* option = app.get_option("--" + name);
    return option->count() > 0 ? option->results() : std::vector<std::string>();
  };
  const auto add = [&](const std::string& name, const std::string& value) {
    arguments.push_back("--" + name + "=" + value);
  };
  if (const auto method = given("method"); !method.empty()) add("method", method.back());
  for_each_option(any, [&](const OptionText& text, auto& value) {
    const auto values = given(text.name);
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::vector<std::string>>)
      for (const std::string& one : values) add(text.name, one);
    else if (!values.empty())
      add(text.name, values.back());
  });
  return arguments;
}

Settings settings_from_arguments(const std::vector<std::string>& arguments) {
  const auto parse = [&](Settings& settings) {
    CLI::App app;
    add_setting_options(app, settings);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    try {
      app.parse(reversed);
    } catch (const CLI::ParseError& e) {
      throw UsageError(e.what());
    }
    const std::string& kind = settings.learner.network.conv.kind;
    for_each_option(settings, [&](const OptionText& text, auto&) {
      if (const std::string wrong = misplaced(text.name, kind);
          !wrong.empty() && app.get_option("--" + std::string(text.name))->count() > 0)
        throw UsageError(wrong + ", but the convolutions are '" + kind + "'");
    });
  };
  // Which method and data set decides the defaults: a first look finds them.
  Settings first;
  first.learner.network.conv.kind = "acdc";  // lets --atoms pass here
  {
    CLI::App app;
    add_setting_options(app, first);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    try {
      app.parse(reversed);
    } catch (const CLI::ParseError& e) {
      throw UsageError(e.what());
    }
  }
  Settings settings = default_settings(first.learner.method, first.data.name);
  parse(settings);
  complete(settings);
  return settings;
}

}  // namespace fewatoms
