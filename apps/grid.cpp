#include "apps/grid.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "apps/command_line.h"
#include "apps/config_file.h"
#include "apps/toml_file.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr const char* kWeightsOf = "weights of ";  // of a width: "weights of 32"

/// Of a key with its line (0: the command line). A choice is the texts of one value: more than one only where an option
/// is given several times.
struct Key {
  std::string name;
  int line = 0;
  std::vector<std::vector<std::string>> choices;
};
using Keys = std::vector<Key>;

struct Row {
  std::string name;
  int line = 0;
  Keys keys;
};

/// One value of each key.
struct Choice {
  const Key* key;
  std::vector<std::string> texts;
  bool from_row;
};

int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

class GridReader {
 public:
  GridReader(std::filesystem::path path, const GridOverrides& overrides)
      : path_(std::move(path)), overrides_(overrides) {
    Settings any;
    names_ = {"method"};
    for_each_option(any, [&](const OptionText& text, auto& value) {
      names_.emplace_back(text.name);
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::vector<std::string>>) several_.insert(text.name);
    });
  }

  Grid read() {
    const toml::table table = read_toml(path_);
    std::vector<std::string> known = names_;
    known.insert(known.end(), {"row", "target", "reference"});
    require_known(table, known, "");
    Keys common = keys_of(table, {"row", "target", "reference"});
    apply_overrides(common, true);
    std::vector<Row> rows = rows_of(table);
    find_axes(common, rows);
    for (const Row& row : rows) expand(common, row);
    read_targets(table);
    read_reference(table, rows);
    return std::move(grid_);
  }

 private:
  std::string at(int line) const {
    return "'" + path_.string() + "'" + (line > 0 ? " line " + std::to_string(line) : "") + ": ";
  }

  void require_known(const toml::table& table, const std::vector<std::string>& known, const std::string& where) const {
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      if (std::find(known.begin(), known.end(), name) == known.end())
        throw UsageError(at(line_of(node)) + "unknown key '" + name + "'" + where + ", did you mean '" +
                         nearest_name(name, known) + "'?");
    }
  }

  std::string text_of(const toml::node& node, const std::string& name) const {
    const auto text = scalar_text(node);
    if (!text)
      throw UsageError(at(line_of(node)) + "key '" + name +
                       "' is neither a number, a text, true or false, nor a list of those");
    return *text;
  }

  /// What is wrong with a value by itself is said with its line.
  void check_value(const std::string& name, const std::string& text, int line) const {
    std::string value = text;
    if (name == "width" && value.starts_with(kWeightsOf)) value = value.substr(std::string(kWeightsOf).size());
    Settings any;
    CLI::App app;
    add_setting_options(app, any);
    try {
      app.parse(std::vector<std::string>{"--" + name + "=" + value});
    } catch (const CLI::ParseError& e) {
      const std::string what = e.what(), option = "--" + name + ": ";
      throw UsageError(at(line) + "key '" + name +
                       "': " + (what.starts_with(option) ? what.substr(option.size()) : what));
    }
  }

  Keys keys_of(const toml::table& table, const std::set<std::string>& without) const {
    Keys keys;
    for (const auto& [key, node] : table) {
      const std::string name(key.str());
      if (without.contains(name)) continue;
      Key found{name, line_of(node), {}};
      const auto* list = node.as_array();
      if (list != nullptr && list->empty())
        throw UsageError(at(found.line) + "key '" + name +
                         "' is an empty list, so the product is empty and there is nothing to run");
      const auto texts = [&](const toml::node& value) {
        const std::string text = text_of(value, name);
        if (text.empty()) return std::vector<std::string>();  // the default
        check_value(name, text, found.line);
        return std::vector<std::string>{text};
      };
      if (list == nullptr) {
        found.choices.push_back(texts(node));
      } else if (several_.contains(name)) {
        found.choices.emplace_back();
        for (const auto& value : *list) found.choices.back().push_back(text_of(value, name));
      } else {
        for (const auto& value : *list) found.choices.push_back(texts(value));
      }
      keys.push_back(std::move(found));
    }
    std::stable_sort(keys.begin(), keys.end(), [](const Key& a, const Key& b) { return a.line < b.line; });
    return keys;
  }

  /// Replaces keys by what the command line says; with `add`, also where there was none.
  void apply_overrides(Keys& keys, bool add) const {
    std::set<std::string> fresh;
    for (const std::string& argument : overrides_.settings) {
      const size_t equals = argument.find('=');
      const std::string name = argument.substr(2, equals - 2), text = argument.substr(equals + 1);
      const bool first = fresh.insert(name).second;
      auto found = std::find_if(keys.begin(), keys.end(), [&](const Key& k) { return k.name == name; });
      if (!add) {
        if (found != keys.end()) keys.erase(found);
        continue;
      }
      if (found == keys.end()) found = keys.insert(keys.begin(), Key{name, 0, {}});
      if (first) found->choices = {{}};
      found->choices.front().push_back(text);
    }
  }

  std::vector<Row> rows_of(const toml::table& table) const {
    const toml::node* node = table.get("row");
    if (node == nullptr) return {Row{}};
    const auto* list = node->as_array();
    if (list == nullptr || !std::all_of(list->begin(), list->end(), [](const auto& r) { return r.is_table(); }))
      throw UsageError(at(line_of(*node)) + "'row' is for tables, [[row]] was expected");
    if (list->empty()) throw UsageError(at(line_of(*node)) + "'row' is an empty list, so there is nothing to run");
    std::vector<Row> rows;
    std::vector<std::string> known = names_;
    known.emplace_back("name");
    for (const auto& element : *list) {
      const toml::table& keys = *element.as_table();
      Row row{"", line_of(element), {}};
      require_known(keys, known, " of a row");
      const auto* name = keys.get("name");
      row.name = name != nullptr ? text_of(*name, "name") : "";
      if (row.name.empty()) throw UsageError(at(row.line) + "this row has no name");
      for (const Row& other : rows)
        if (other.name == row.name)
          throw UsageError(at(row.line) + "there is a row '" + row.name + "' in line " + std::to_string(other.line) +
                           " already");
      row.keys = keys_of(keys, {"name"});
      apply_overrides(row.keys, false);
      rows.push_back(std::move(row));
    }
    return rows;
  }

  void find_axes(const Keys& common, const std::vector<Row>& rows) {
    const auto add = [&](const Keys& keys) {
      for (const Key& key : keys)
        if (key.choices.size() > 1 && key.name != "seed" && key.name != "threads" &&
            std::find(grid_.axes.begin(), grid_.axes.end(), key.name) == grid_.axes.end())
          grid_.axes.push_back(key.name);
    };
    add(common);
    for (const Row& row : rows) add(row.keys);
  }

  /// All combinations of one row; the first key changes slowest.
  void expand(const Keys& common, const Row& row) {
    const auto named = [](const Keys& all, const std::string& name) -> const Key* {
      const auto found = std::find_if(all.begin(), all.end(), [&](const Key& k) { return k.name == name; });
      return found != all.end() ? &*found : nullptr;
    };
    if (const Key* threads = named(common, "threads"); threads != nullptr && !threads->choices[0].empty())
      grid_.threads = read_number<int>(threads->choices[0][0]);
    const Key* seeds = named(row.keys, "seed") != nullptr ? named(row.keys, "seed") : named(common, "seed");
    std::vector<std::pair<const Key*, bool>> keys;  // whether it is the row's own
    const auto add = [&](const Key& key, bool own) {
      if (key.name != "seed" && key.name != "threads") keys.emplace_back(&key, own);
    };
    for (const Key& key : common)
      if (named(row.keys, key.name) == nullptr) add(key, false);
    for (const Key& key : row.keys) add(key, true);

    std::vector<Choice> chosen;
    const std::function<void(size_t)> next = [&](size_t k) {
      if (k == keys.size()) return add_point(row, chosen, seeds);
      for (const auto& texts : keys[k].first->choices) {
        chosen.push_back({keys[k].first, texts, keys[k].second});
        next(k + 1);
        chosen.pop_back();
      }
    };
    next(0);
  }

  std::string label_of(const Row& row, const std::vector<Choice>& chosen) const {
    std::string label = row.name;
    for (const Choice& c : chosen)
      if (c.key->choices.size() > 1 && !c.texts.empty())
        label += (label.empty() ? "" : " ") + c.key->name + "=" + c.texts[0];
    return label;
  }

  void add_point(const Row& row, const std::vector<Choice>& chosen, const Key* seeds) {
    GridPoint point;
    point.row = row.name;
    const std::string combination = label_of(row, chosen);
    try {
      // A key above the rows is for those in which it means something.
      std::vector<std::string> deciding, arguments;
      for (const Choice& c : chosen)
        for (const std::string& text : c.texts)
          if (c.key->name == "method" || c.key->name == "conv") deciding.push_back("--" + c.key->name + "=" + text);
      const std::string kind = settings_from_arguments(deciding).learner.network.conv.kind;
      int standard_width = 0;
      for (const Choice& c : chosen) {
        if (!c.from_row && !misplaced(c.key->name, kind).empty()) continue;
        for (const std::string& text : c.texts) {
          const bool by_weights = c.key->name == "width" && text.starts_with(kWeightsOf);
          const std::string value = by_weights ? text.substr(std::string(kWeightsOf).size()) : text;
          if (by_weights) standard_width = read_number<int>(value);
          arguments.push_back("--" + c.key->name + "=" + value);
        }
      }
      const std::vector<std::vector<std::string>> own{{}};
      for (const auto& seed : seeds != nullptr ? seeds->choices : own) {
        std::vector<std::string> all = arguments;
        for (const std::string& text : seed) all.push_back("--seed=" + text);
        GridRun run{"", settings_from_arguments(all)};
        NetworkOptions& network = run.settings.learner.network;
        if (standard_width > 0)
          network.width = point.runs.empty() ? width_by_weights(network, standard_width)
                                             : point.runs[0].settings.learner.network.width;
        if (std::none_of(point.runs.begin(), point.runs.end(), [&](const GridRun& other) {
              return other.settings.trainer.seed == run.settings.trainer.seed;
            }))
          point.runs.push_back(std::move(run));
      }
    } catch (const UsageError& e) {
      throw UsageError(at(row.line) + (combination.empty() ? "" : "'" + combination + "': ") + e.what());
    }
    point.keys = option_texts(point.runs[0].settings);
    point.keys["row"] = row.name;
    point.label = row.name;
    for (const std::string& axis : grid_.axes)
      if (const auto value = point.keys.find(axis); value != point.keys.end())
        point.label += (point.label.empty() ? "" : " ") + axis + "=" + value->second;
    if (point.label.empty()) point.label = point.keys["method"];

    const OptionTexts trained = what_is_trained(point);
    if (const auto found = trained_.find(trained); found != trained_.end()) {
      const GridPoint& first = grid_.points[found->second];
      const bool sharing = first.keys.contains("sharing") && first.keys.at("sharing") != point.keys.at("sharing");
      grid_.notices.push_back("'" + (combination.empty() ? point.label : combination) + "' trains what '" +
                              first.label + "' does" +
                              (sharing ? ", as " + point.keys["backbone"] + " shares alike by " +
                                             first.keys.at("sharing") + " and " + point.keys["sharing"]
                                       : "") +
                              ": left out");
      return;
    }
    trained_[trained] = grid_.points.size();
    name_runs(point);
    grid_.points.push_back(std::move(point));
  }

  /// Its options, with one name for rules of sharing that come to the same in its network.
  static OptionTexts what_is_trained(const GridPoint& point) {
    OptionTexts keys = point.keys;
    for (const char* other : {"row", "seed", "threads", "cache-mb", "checkpoint-every"}) keys.erase(other);
    const NetworkOptions& network = point.runs[0].settings.learner.network;
    Schema schema;
    const auto backbone = make_backbone(network, schema);
    const auto groups = [&](const std::string& sharing) {
      ConvOptions conv = network.conv;
      conv.sharing = sharing;
      return sharing_groups(backbone->layers(), conv);
    };
    for (const char* sharing : {"layer", "net", "stage", "block", "sandwich"})
      if (groups(sharing) == groups(network.conv.sharing)) {
        keys["sharing"] = sharing;
        break;
      }
    return keys;
  }

  /// The width, a multiple of the group, whose convolution weights come nearest to those of the standard network of
  /// width `standard`.
  static int width_by_weights(NetworkOptions network, int standard) {
    const auto weights = [](const NetworkOptions& options) {
      Schema schema;
      make_backbone(options, schema);
      return convolution_weights(schema);
    };
    NetworkOptions plain = network;
    plain.conv = {};
    plain.width = standard;
    const int64_t wanted = weights(plain);
    const int step = std::max(1, network.conv.group);
    const auto at = [&](int k) {
      network.width = k * step;
      return weights(network);
    };
    const int most = 1024 / step;
    int low = 0, high = std::clamp(standard / step, 1, most);  // at low too few, at high enough
    while (high < most && at(high) < wanted) {
      low = high;
      high = std::min(most, 2 * high);
    }
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (at(middle) < wanted ? low : high) = middle;
    }
    if (low == 0) return high * step;
    return (wanted - at(low) <= std::abs(at(high) - wanted) ? low : high) * step;
  }

  static std::string slug(const std::string& text) {
    std::string name;
    for (const char c : text) {
      const bool plain =
          std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '+' || c == '-' || c == '=';
      if (plain)
        name += c;
      else if (!name.empty() && name.back() != '-')
        name += '-';
    }
    return name.empty() ? "run" : name;
  }

  void name_runs(GridPoint& point) {
    std::string base = slug(point.row.empty() ? point.keys["method"] : point.row);
    for (const std::string& axis : grid_.axes)
      if (const auto value = point.keys.find(axis);
          value != point.keys.end() && !(point.row.empty() && axis == "method"))
        base += "_" + slug(axis + "-" + std::filesystem::path(value->second).filename().string());
    for (GridRun& run : point.runs) {
      const std::string wanted = base + "_seed-" + std::to_string(run.settings.trainer.seed);
      run.name = wanted;
      for (int i = 2; !run_names_.insert(run.name).second; ++i) run.name = wanted + "_" + std::to_string(i);
    }
  }

  void read_targets(const toml::table& table) {
    std::map<std::string, std::string> roots;
    for (const std::string& text : overrides_.target_roots) {
      const size_t equals = text.find('=');
      if (equals == 0 || equals == std::string::npos) throw UsageError("--target-root '" + text + "' is not NAME=DIR");
      roots[text.substr(0, equals)] = text.substr(equals + 1);
    }
    const toml::node* node = table.get("target");
    const auto* list = node != nullptr ? node->as_array() : nullptr;
    if (node != nullptr &&
        (list == nullptr || !std::all_of(list->begin(), list->end(), [](const auto& t) { return t.is_table(); })))
      throw UsageError(at(line_of(*node)) + "'target' is for tables, [[target]] was expected");
    if (list == nullptr || list->empty()) {
      add_target(toml::table{}, 0, roots);
    } else {
      for (const auto& element : *list) add_target(*element.as_table(), line_of(element), roots);
    }
    std::vector<std::string> names;
    for (const GridTarget& target : grid_.targets) names.push_back(target.name);
    for (const auto& [name, root] : roots)
      if (std::find(names.begin(), names.end(), name) == names.end())
        throw UsageError("--target-root: " + unknown_name("target", name, names));
  }

  void add_target(const toml::table& keys, int line, const std::map<std::string, std::string>& roots) {
    GridTarget target;
    CLI::App app;
    app.set_help_flag();
    add_choice_options(app, target.choice);
    app.add_option("--shots", target.choice.shots);
    app.add_option("--eval-inner-steps", target.steps);
    app.add_option("--checkpoint", target.checkpoint)->check(CLI::IsMember({"best", "last"}));
    std::vector<std::string> known = {"name"};
    for (const CLI::Option* option : app.get_options()) known.push_back(option->get_lnames().at(0));
    require_known(keys, known, " of a target");
    const auto add = [&](const std::string& key, const std::string& text) {
      target.arguments.push_back("--" + key + "=" + text);
    };
    for (const auto& [key, node] : keys) {
      const std::string name(key.str());
      if (name == "name") {
        target.name = text_of(node, name);
      } else if (const auto* list = node.as_array(); list != nullptr && name == "plugin-option") {
        for (const auto& value : *list) add(name, text_of(value, name));
      } else if (const std::string text = text_of(node, name); !text.empty()) {
        add(name, text);
      }
    }
    const auto parse = [&] {
      try {
        std::vector<std::string> reversed(target.arguments.rbegin(), target.arguments.rend());
        app.parse(reversed);
        if (!target.choice.dataset.empty()) resolve({.name = target.choice.dataset});
        if (!target.steps.empty()) parse_steps("eval-inner-steps", target.steps);
      } catch (const CLI::ParseError& e) {
        throw UsageError(at(line) + "target: " + e.what());
      } catch (const UsageError& e) {
        throw UsageError(at(line) + "target: " + e.what());
      }
    };
    parse();
    if (target.name.empty()) {
      const auto several = [&](const GridPoint& p) {
        return p.keys.at("dataset") != grid_.points[0].keys.at("dataset");
      };
      const bool own = target.choice.dataset.empty();
      target.name = !own ? target.choice.dataset
                    : std::any_of(grid_.points.begin(), grid_.points.end(), several)
                        ? "own"
                        : grid_.points[0].keys.at("dataset");
      if (target.choice.split != "test") target.name += "-" + target.choice.split;
    }
    for (const GridTarget& other : grid_.targets)
      if (slug(other.name) == slug(target.name))
        throw UsageError(at(line) + "there is a target '" + target.name + "' already; another name was expected");
    if (const auto root = roots.find(target.name); root != roots.end()) {
      target.choice.data_root = root->second;
      std::erase_if(target.arguments, [](const std::string& a) { return a.starts_with("--data-root="); });
      add("data-root", root->second);
    }
    grid_.targets.push_back(std::move(target));
  }

  void read_reference(const toml::table& table, const std::vector<Row>& rows) {
    const toml::node* node = table.get("reference");
    if (node == nullptr) return;
    if (const auto* keys = node->as_table()) {
      std::vector<std::string> known = names_;
      known.emplace_back("row");
      require_known(*keys, known, " of the reference");
      for (const auto& [key, value] : *keys) {
        const std::string name(key.str());
        grid_.reference[name] = text_of(value, name);
        grid_.reference_name += (grid_.reference_name.empty() ? "" : " ") + name + "=" + grid_.reference[name];
      }
    } else {
      grid_.reference_name = grid_.reference["row"] = text_of(*node, "reference");
      std::vector<std::string> names;
      for (const Row& row : rows) names.push_back(row.name);
      if (std::find(names.begin(), names.end(), grid_.reference_name) == names.end())
        throw UsageError(at(line_of(*node)) + (rows[0].name.empty()
                                                   ? "reference '" + grid_.reference_name +
                                                         "' is the name of a row, but there are none; a table of keys "
                                                         "is an alternative, { method = \"maml\" }"
                                                   : unknown_name("reference row", grid_.reference_name, names)));
    }
    if (std::none_of(grid_.points.begin(), grid_.points.end(),
                     [&](const GridPoint& p) { return is_reference(grid_, p); }))
      throw UsageError(at(line_of(*node)) + "nothing in the grid has the reference's " + grid_.reference_name);
  }

  std::filesystem::path path_;
  const GridOverrides& overrides_;
  std::vector<std::string> names_;  // of all options of `train`
  std::set<std::string> several_;   // those that may be given several times
  Grid grid_;
  std::map<OptionTexts, size_t> trained_;  // index of the point that trains this
  std::set<std::string> run_names_;
};

}  // namespace

OptionTexts option_texts(const Settings& settings) {
  OptionTexts texts;
  for (const auto& [key, node] : toml::parse(config_text(settings))) {
    std::string text;
    if (const auto* list = node.as_array())
      for (const auto& value : *list) text.append(text.empty() ? "" : " ").append(scalar_text(value).value_or(""));
    else
      text = scalar_text(node).value_or("");
    texts[std::string(key.str())] = text;
  }
  return texts;
}

Grid read_grid(const std::filesystem::path& path, const GridOverrides& overrides) {
  return GridReader(path, overrides).read();
}

bool is_reference(const Grid& grid, const GridPoint& point) {
  return !grid.reference.empty() && std::all_of(grid.reference.begin(), grid.reference.end(), [&](const auto& wanted) {
    const auto found = point.keys.find(wanted.first);
    return found != point.keys.end() && found->second == wanted.second;
  });
}

}  // namespace fewatoms
