#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace fewatoms {

/// An option or a positional argument of a command line.
struct ArgumentDescription {
  std::vector<std::string> names;  // "--width"; of a positional argument its name alone
  std::string help;
  std::string value;                 // kind of its value: FILE, DIR, TEXT, INT, NUMBER; empty: a flag
  std::string initial;               // its default; empty: none
  std::vector<std::string> choices;  // the values there are; empty: any
};

/// A command with what can follow it.
struct CommandDescription {
  std::string name, help;
  std::vector<ArgumentDescription> options, positionals;
  std::vector<CommandDescription> commands;
};

/// All that the program's help texts say. Choices are those that CLI11 checks, and those of the settings of that name.
CommandDescription describe_commands(const CLI::App& program);

/// Completion scripts for one program: commands, options, and the values of options that have choices; files elsewhere.
std::string bash_completion(const CommandDescription& program);
std::string zsh_completion(const CommandDescription& program);
std::string fish_completion(const CommandDescription& program);

/// The manual page, section 1, in the macros of man(7).
std::string man_page(const CommandDescription& program, const std::string& version);

}  // namespace fewatoms
