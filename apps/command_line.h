#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "apps/settings.h"

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

/// A check for options of unsigned numbers, which CLI11 would wrap around: what is wrong with the text, or nothing.
std::string not_negative(const std::string& given);

/// Runs `body` with so many threads (0: all cores).
void with_threads(int threads, const std::function<void()>& body);

}  // namespace fewatoms
