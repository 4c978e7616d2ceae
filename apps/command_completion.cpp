#include <cstdio>

#include "apps/command_line.h"
#include "apps/completion.h"

namespace fewatoms {

Command setup_completion(CLI::App& program) {
  CLI::App* app = program.add_subcommand("completion", "Print a shell's completion script, or the manual page.");
  auto shell = std::make_shared<std::string>();
  app->add_option("SHELL", *shell, "The script is for bash, zsh or fish; man prints the manual page.")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish", "man"}));
  return [&program, shell] {
    const CommandDescription all = describe_commands(program);
    const std::string text = *shell == "bash"   ? bash_completion(all)
                             : *shell == "zsh"  ? zsh_completion(all)
                             : *shell == "fish" ? fish_completion(all)
                                                : man_page(all, FEWATOMS_VERSION);
    std::fputs(text.c_str(), stdout);
    return 0;
  };
}

}  // namespace fewatoms
