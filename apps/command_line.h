#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

#include "apps/settings.h"
#include "episodes/numbers.h"

namespace fewatoms {

/// A subcommand: one file, and one line in main.cpp. `setup` adds it to the program and returns what runs it; the
/// result of that is the exit code.
using Command = std::function<int()>;
Command setup_train(CLI::App& program);
Command setup_eval(CLI::App& program);
Command setup_dataset(CLI::App& program);
Command setup_table(CLI::App& program);
Command setup_bench(CLI::App& program);
Command setup_info(CLI::App& program);
Command setup_import(CLI::App& program);
Command setup_decompose(CLI::App& program);
Command setup_speed(CLI::App& program);
Command setup_adapt(CLI::App& program);
Command setup_predict(CLI::App& program);
Command setup_adapter(CLI::App& program);
Command setup_export(CLI::App& program);
Command setup_compare(CLI::App& program);
Command setup_report(CLI::App& program);
Command setup_completion(CLI::App& program);

/// Adds --method and every option of for_each_option, bound to `settings`.
void add_setting_options(CLI::App& app, Settings& settings);

/// Adds those options that say which images there are, without the data set's name.
void add_data_options(CLI::App& app, Settings& settings);

/// The arguments given to `app` that are settings, as {"--width=32", ...}.
std::vector<std::string> setting_arguments(const CLI::App& app);

/// Settings from arguments in the order of their weight, the last one winning: the method's and the data set's defaults
/// apply to whatever they leave out. Throws UsageError.
Settings settings_from_arguments(const std::vector<std::string>& arguments);

/// Of options given more than once the last one counts, but where all do.
void last_one_counts(CLI::App& app);

/// An option that is a number from low to high, read by episodes/numbers.h: CLI11's own reader takes leading zeros for
/// octal, cuts what is too large and follows the locale.
template <Number T>
CLI::Option* add_number(CLI::App& app, const std::string& names, T& value, const std::string& help,
                        std::type_identity_t<T> low, std::type_identity_t<T> high) {
  CLI::Option* option = app.add_option(
      names,
      [&value](const CLI::results_t& given) {
        value = parsed_number<T>(given.back()).value_or(value);  // the check has refused what is none
        return true;
      },
      help, /*defaulted=*/false, [&value] { return number_text(value); });
  return option->type_name(std::integral<T> ? "INT" : "NUMBER")->check([low, high](const std::string& given) {
    return number_error(given, low, high);
  });
}

/// Runs `body` with so many threads (0: all cores).
void with_threads(int threads, const std::function<void()>& body);

}  // namespace fewatoms
