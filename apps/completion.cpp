#include "apps/completion.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "apps/settings.h"

namespace fewatoms {
namespace {

/// Choices of the settings by option name.
std::map<std::string, std::vector<std::string>> setting_choices() {
  std::map<std::string, std::vector<std::string>> choices;
  choices["--method"] = method_names();
  Settings any;
  for_each_option(any, [&](const OptionText& text, auto& value) {
    if (!text.choices.empty()) choices["--" + std::string(text.name)] = text.choices;
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>) choices["--" + std::string(text.name)] = {};
  });
  return choices;
}

std::string joined(const std::vector<std::string>& words, const std::string& between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

ArgumentDescription describe_argument(const CLI::Option& option) {
  ArgumentDescription a;
  if (option.get_positional())
    a.names = {option.get_single_name()};
  else {
    for (const std::string& name : option.get_snames()) a.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) a.names.push_back("--" + name);
  }
  a.help = option.get_description();
  a.initial = option.get_default_str();
  if (option.get_items_expected_max() == 0) {
    a.initial.clear();
    return a;
  }
  const std::string type = option.get_type_name();  // "TEXT:{best,last}", with what validators say
  a.value = type.substr(0, type.find(':'));
  if (const size_t open = type.find('{'), close = type.find('}');
      open != std::string::npos && close != std::string::npos) {
    std::istringstream list(type.substr(open + 1, close - open - 1));
    for (std::string choice; std::getline(list, choice, ',');) a.choices.push_back(choice);
  } else if (!option.get_positional()) {
    static const auto kChoices = setting_choices();
    if (const auto found = kChoices.find(a.names.back()); found != kChoices.end()) a.choices = found->second;
  }
  return a;
}

/// Calls f(path, command) for a command and all below it: path "" is the program, then " dataset", " dataset inspect".
void for_each_command(const CommandDescription& command,
                      const std::function<void(const std::string&, const CommandDescription&)>& f,
                      const std::string& path = "") {
  f(path, command);
  for (const CommandDescription& c : command.commands) for_each_command(c, f, path + " " + c.name);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

/// In single quotes, as bash and zsh read them.
std::string quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

bool takes_files(const ArgumentDescription& a) {
  return a.choices.empty() && !a.value.starts_with("INT") && !a.value.starts_with("UINT") && a.value != "NUMBER" &&
         a.value != "FLOAT";
}

// --- zsh ---

std::string zsh_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '[' || c == ']' || c == ':') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string zsh_action(const ArgumentDescription& a) {
  return !a.choices.empty() ? "(" + joined(a.choices, " ") + ")"
         : a.value == "DIR" ? "_files -/"
         : takes_files(a)   ? "_files"
                            : " ";
}

std::string zsh_function(const std::string& path) { return "_fewatoms" + replaced(path, " ", "_"); }

// --- fish ---

std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

// --- man ---

/// Text as roff reads it: no request at the start of a line, hyphens that can be copied, ASCII alone.
std::string roff(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c < 0x80U)
      out += static_cast<char>(c);
    else {
      const int more = c >= 0xF0U ? 3 : c >= 0xE0U ? 2 : 1;
      uint32_t code = c & (0x3FU >> more);
      for (int k = 0; k < more && i + 1 < text.size(); ++k)
        code = code << 6U | (static_cast<unsigned char>(text[++i]) & 0x3FU);
      char name[16];
      std::snprintf(name, sizeof name, "\\[u%04X]", code);
      out += name;
    }
  }
  return out;
}

std::string man_argument(const ArgumentDescription& a) {
  std::string text = ".TP\n";
  for (size_t i = 0; i < a.names.size(); ++i) text += (i > 0 ? ", " : "") + ("\\fB" + roff(a.names[i]) + "\\fR");
  if (!a.value.empty() && a.names.front().starts_with('-')) text += " \\fI" + roff(a.value) + "\\fR";
  text += "\n" + roff(a.help);
  if (!a.choices.empty() && a.help.find(a.choices.front()) == std::string::npos)
    text += roff(" One of: " + joined(a.choices, " ") + ".");
  if (!a.initial.empty()) text += " (default " + roff(a.initial) + ")";
  return text + "\n";
}

}  // namespace

CommandDescription describe_commands(const CLI::App& program) {
  CommandDescription d{program.get_name(), program.get_description(), {}, {}, {}};
  for (const CLI::Option* option : program.get_options())
    (option->get_positional() ? d.positionals : d.options).push_back(describe_argument(*option));
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; }))
    d.commands.push_back(describe_commands(*command));
  // The data sets' commands take a data set's name.
  if (d.name == "dataset")
    for (CommandDescription& command : d.commands)
      for (ArgumentDescription& a : command.positionals)
        if (a.names.front() == "NAME") a.choices = dataset_names();
  return d;
}

std::string bash_completion(const CommandDescription& program) {
  std::vector<std::string> paths;
  std::map<std::string, std::vector<std::string>> values;  // choices joined -> options that have them
  std::string words, flags;
  for_each_command(program, [&](const std::string& path, const CommandDescription& command) {
    if (!path.empty()) paths.push_back(quoted(path));
    std::vector<std::string> first, options;
    for (const CommandDescription& c : command.commands) first.push_back(c.name);
    for (const ArgumentDescription& a : command.positionals)
      first.insert(first.end(), a.choices.begin(), a.choices.end());
    for (const ArgumentDescription& a : command.options)
      for (const std::string& name : a.names) {
        options.push_back(name);
        if (!a.value.empty()) values[joined(a.choices, " ")].push_back(quoted(path + " " + name));
      }
    words += "    " + quoted(path) + ") words=" + quoted(joined(first, " ")) +
             " options=" + quoted(joined(options, " ")) + " ;;\n";
  });
  std::string cases;
  for (const auto& [choices, options] : values)
    cases += "    " + joined(options, " | ") + ")\n      " +
             (choices.empty() ? "" : "COMPREPLY=($(compgen -W " + quoted(choices) + " -- \"$current\"))\n      ") +
             "return ;;\n";
  return "# bash completion for fewatoms, made by `fewatoms completion bash`.\n"
         "_fewatoms() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= words= options= i\n"
         "  COMPREPLY=()\n"
         "  # bash cuts --width=32 into three words.\n"
         "  if [[ $current == = ]]; then\n"
         "    current=\n"
         "  elif [[ $previous == = ]]; then\n"
         "    previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
         "  fi\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
         "    case \"$command ${COMP_WORDS[i]}\" in\n"
         "    " +
         joined(paths, " | ") +
         ") command+=\" ${COMP_WORDS[i]}\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case \"$command $previous\" in  # the value of an option; files where nothing is offered\n" +
         cases +
         "  esac\n"
         "  case $command in\n" +
         words +
         "  esac\n"
         "  [[ $current == -* ]] && words=$options\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "}\n"
         "complete -o bashdefault -o default -F _fewatoms fewatoms\n";
}

std::string zsh_completion(const CommandDescription& program) {
  std::string text = "#compdef fewatoms\n# zsh completion for fewatoms, made by `fewatoms completion zsh`.\n";
  for_each_command(program, [&](const std::string& path, const CommandDescription& command) {
    text += "\n" + zsh_function(path) + "() {\n";
    if (!command.commands.empty()) text += "  local context state state_descr line\n  typeset -A opt_args\n";
    text += std::string("  _arguments") + (command.commands.empty() ? "" : " -C");
    for (const ArgumentDescription& a : command.options)
      for (const std::string& name : a.names)
        text += " \\\n    " + quoted(a.value.empty() ? name + "[" + zsh_text(a.help) + "]"
                                                     : "*" + name + (name.starts_with("--") ? "=" : "") + "[" +
                                                           zsh_text(a.help) + "]:" + a.value + ":" + zsh_action(a));
    for (size_t i = 0; i < command.positionals.size(); ++i) {  // the last may be many
      const ArgumentDescription& a = command.positionals[i];
      text += " \\\n    " + quoted((i + 1 == command.positionals.size() ? "*" : std::to_string(i + 1)) + ":" +
                                   a.names.front() + ":" + zsh_action(a));
    }
    if (!command.commands.empty()) text += " \\\n    '1: :->command' '*:: :->arguments'";
    text += "\n";
    if (!command.commands.empty()) {
      std::string described, cases;
      for (const CommandDescription& c : command.commands) {
        described += " \\\n        " + quoted(c.name + ":" + zsh_text(c.help));
        cases += "        " + c.name + ") " + zsh_function(path + " " + c.name) + " ;;\n";
      }
      text += "  case $state in\n    command)\n      local -a commands=(" + described +
              ")\n      _describe command commands ;;\n    arguments)\n      case $words[1] in\n" + cases +
              "      esac ;;\n  esac\n";
    }
    text += "}\n";
  });
  return text + "\n_fewatoms \"$@\"\n";
}

std::string fish_completion(const CommandDescription& program) {
  std::vector<std::string> paths;
  std::string rules;
  for_each_command(program, [&](const std::string& path, const CommandDescription& command) {
    if (!path.empty()) paths.push_back(fish_quoted(path));
    const std::string at = "complete -c fewatoms -n " + fish_quoted("test (__fewatoms_command) = " + fish_quoted(path));
    for (const CommandDescription& c : command.commands)
      rules += at + " -f -a " + c.name + " -d " + fish_quoted(c.help) + "\n";
    for (const ArgumentDescription& a : command.positionals)
      if (!a.choices.empty()) rules += at + " -a " + fish_quoted(joined(a.choices, " ")) + "\n";
    for (const ArgumentDescription& a : command.options) {
      rules += at;
      for (const std::string& name : a.names)
        rules += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!a.choices.empty())
        rules += " -x -a " + fish_quoted(joined(a.choices, " "));
      else if (!a.value.empty())
        rules += takes_files(a) ? " -r" : " -x";
      rules += " -d " + fish_quoted(a.help) + "\n";
    }
  });
  return "# fish completion for fewatoms, made by `fewatoms completion fish`.\n"
         "function __fewatoms_command --description 'the commands so far'\n"
         "    set -l command ''\n"
         "    for word in (commandline -opc)[2..-1]\n"
         "        contains -- \"$command $word\" " +
         joined(paths, " ") +
         "; and set command \"$command $word\"\n"
         "    end\n"
         "    echo \"$command\"\n"
         "end\n" +
         rules;
}

std::string man_page(const CommandDescription& program, const std::string& version) {
  std::string text = ".TH FEWATOMS 1 \"\" \"fewatoms " + roff(version) +
                     "\" \"User Commands\"\n.SH NAME\nfewatoms \\- " +
                     roff(program.help.substr(program.help.find(':') + 2)) +
                     "\n.SH SYNOPSIS\n.B fewatoms\n.I COMMAND\n.RI [ OPTION ...]\n.SH DESCRIPTION\n"
                     "FewAtoms writes every convolution kernel as a few atoms mixed by coefficients, shares the "
                     "coefficients across the network,\n"
                     "and lets a new task change the atoms alone.\n.SH OPTIONS\n";
  for (const ArgumentDescription& a : program.options) text += man_argument(a);
  text += ".SH COMMANDS\n";
  std::set<std::string> shown;  // options that a command before has in the same words
  for_each_command(program, [&](const std::string& path, const CommandDescription& command) {
    if (path.empty()) return;
    text += ".SS \"fewatoms" + roff(path);
    for (const ArgumentDescription& a : command.positionals) text += " " + roff(a.names.front());
    if (!command.commands.empty()) text += " COMMAND";
    text += "\"\n" + roff(command.help) + "\n";
    for (const ArgumentDescription& a : command.positionals) text += man_argument(a);
    size_t repeated = 0;
    for (const ArgumentDescription& a : command.options) {
      if (a.names.back() == "--help") continue;
      const bool setting = path != " train" && shown.contains(a.names.back() + a.help);
      repeated += setting;
      if (!setting) text += man_argument(a);
      if (path == " train") shown.insert(a.names.back() + a.help);
    }
    if (repeated > 0) text += ".PP\nAlso, as for \\fBfewatoms train\\fR:";
    size_t listed = 0;
    for (const ArgumentDescription& a : command.options)
      if (repeated > 0 && a.names.back() != "--help" && shown.contains(a.names.back() + a.help))
        text += "\n\\fB" + roff(a.names.back()) + "\\fR" + (++listed < repeated ? "," : ".\n");
  });
  return text +
         ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nthe run failed: bad data inside a file, a file missing that a data "
         "set names\n"
         ".TP\n2\na bad option or value, or a given path that does not exist\n.TP\n130, 143\nstopped by a signal; "
         "\\fBtrain "
         "\\-\\-resume\\fR continues\n"
         ".SH FILES\n.TP\n\\fIRUN\\fR/config.toml\nthe run's configuration, "
         "complete\n.TP\n\\fIRUN\\fR/metrics.jsonl\na line of "
         "JSON for each iteration and validation\n"
         ".TP\n\\fIRUN\\fR/last.safetensors, best.safetensors\nparameters, moments of the optimizer, counters\n"
         ".TP\n\\fIRUN\\fR/events.out.tfevents.fewatoms\nthe same for TensorBoard, with histograms and images\n";
}

}  // namespace fewatoms
