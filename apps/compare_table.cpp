#include "apps/compare_table.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "datasets/table.h"
#include "episodes/numbers.h"
#include "meta/adaptation_curve.h"

namespace fewatoms {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

using EpisodeAccuracies = std::vector<std::vector<double>>;  // [episode][mark]

std::vector<int> marks_of(const json& result) {
  std::vector<int> marks;
  for (const json& step : result.at("by_steps")) marks.push_back(step.at("inner_steps").get<int>());
  return marks;
}

std::vector<double> after(const json& result, int steps) {
  return accuracies_after(result.at("accuracy_by_episode").get<EpisodeAccuracies>(), marks_of(result), steps);
}

double mean_of(const std::vector<double>& values) { return mean_interval(values).mean; }

/// Element by element.
std::vector<double> mean_of_all(const std::vector<std::vector<double>>& of_seeds) {
  std::vector<double> mean = of_seeds.at(0);
  for (size_t s = 1; s < of_seeds.size(); ++s)
    for (size_t e = 0; e < mean.size(); ++e) mean[e] += of_seeds[s].at(e);
  for (double& value : mean) value /= static_cast<double>(of_seeds.size());
  return mean;
}

/// Results from before there were ranges of queries do not have them.
int fewest_queries(const json& result) { return result.value("fewest_queries", result.at("queries").get<int>()); }

/// Whether two results of `eval` saw the same episodes.
bool same_episodes(const json& a, const json& b) {
  for (const char* key : {"dataset", "split", "split_rule", "crop", "skipped_images", "ways", "shots", "queries",
                          "fewest_ways", "fewest_shots", "imbalanced", "within_group", "episodes", "eval_seed"})
    if (a.at(key) != b.at(key)) return false;
  return fewest_queries(a) == fewest_queries(b);
}

/// Axes on which two points have the same value.
int agreement(const Grid& grid, const GridPoint& a, const GridPoint& b) {
  int count = 0;
  for (const std::string& axis : grid.axes) {
    const auto x = a.keys.find(axis), y = b.keys.find(axis);
    count += (x == a.keys.end()) == (y == b.keys.end()) && (x == a.keys.end() || x->second == y->second);
  }
  return count;
}

/// One result for each seed that has one.
struct Seeded {
  std::vector<uint64_t> seeds;
  std::vector<std::string> runs;
  std::vector<const json*> results;
};

Seeded seeded(const GridPoint& point, const std::vector<std::vector<json>>& results, size_t target) {
  Seeded found;
  for (size_t r = 0; r < point.runs.size(); ++r) {
    if (results[r][target].is_null()) continue;
    found.seeds.push_back(point.runs[r].settings.trainer.seed);
    found.runs.push_back(point.runs[r].name);
    found.results.push_back(&results[r][target]);
  }
  return found;
}

ComparedCell cell_of(const GridPoint& point, const Seeded& s) {
  ComparedCell cell;
  cell.seeds = s.seeds;
  cell.runs = s.runs;
  for (const int steps : marks_of(*s.results[0])) {
    std::vector<std::vector<double>> episodes;
    std::vector<double> means;
    for (const json* result : s.results) {
      episodes.push_back(after(*result, steps));
      means.push_back(mean_of(episodes.back()));
    }
    ComparedCell::Mark mark{steps, mean_interval(mean_of_all(episodes)), std::nullopt};
    if (means.size() > 1) mark.over_seeds = mean_interval(means);
    cell.marks.push_back(mark);
    cell.accuracy_by_seed = means;
  }
  cell.sample = *s.results[0];
  cell.sample.erase("accuracy_by_episode");
  if (cell.sample.at("dataset") == point.keys.at("dataset") &&
      cell.sample.at("fewest_ways") == cell.sample.at("ways") &&
      cell.sample.at("fewest_shots") == cell.sample.at("shots"))
    cell.published = published_figures(point.runs[0].settings, cell.sample.at("ways").get<int>(),
                                       cell.sample.at("shots").get<int>());
  return cell;
}

std::optional<Difference> difference_of(const Seeded& a, const Seeded& b, const GridPoint& reference) {
  Difference d{reference.label, {}, {}, std::nullopt};
  std::vector<std::vector<double>> of_a, of_b;
  std::vector<double> by_seed;
  for (size_t i = 0; i < a.seeds.size(); ++i) {
    const auto same = std::find(b.seeds.begin(), b.seeds.end(), a.seeds[i]);
    if (same == b.seeds.end()) continue;
    const json &x = *a.results[i], &y = *b.results[static_cast<size_t>(same - b.seeds.begin())];
    d.seeds.push_back(a.seeds[i]);
    of_a.push_back(after(x, marks_of(x).back()));
    of_b.push_back(after(y, marks_of(y).back()));
    by_seed.push_back(mean_of(of_a.back()) - mean_of(of_b.back()));
  }
  if (d.seeds.empty()) return std::nullopt;
  d.over_episodes = paired_difference(mean_of_all(of_a), mean_of_all(of_b));
  if (by_seed.size() > 1) d.over_seeds = mean_interval(by_seed);
  return d;
}

std::string with_commas(int64_t number) {
  std::string text = std::to_string(number);
  for (size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

/// A table of texts under a title, with lines below.
struct Section {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> notes;
};

std::string accuracy_text(const ComparedCell& cell) {
  const ComparedCell::Mark& last = cell.marks.back();
  const MeanInterval& interval = last.over_seeds ? *last.over_seeds : last.over_episodes;
  return fixed_text(100 * interval.mean, 2) + interval_text(interval.ci95, 2);
}

std::string difference_text(const ComparedCell& cell) {
  if (cell.is_reference) return "reference";
  if (!cell.difference) return "";
  const Difference& d = *cell.difference;
  const double points = 100 * d.over_episodes.mean;
  std::string text = std::abs(points) < 0.005 ? "+0.00" : (points > 0 ? "+" : "") + fixed_text(points, 2);
  text += interval_text(d.over_episodes.ci95, 2);
  if (d.over_seeds) text += " (" + fixed_text(100 * *d.over_seeds->ci95, 2) + ")";
  return text;
}

std::string shape_of(const PointSize& size) {
  return range_text(size.spec.fewest_ways, size.spec.ways) + "-way " +
         range_text(size.spec.fewest_shots, size.spec.shots) + "-shot";
}

std::string value_of(const GridPoint& point, const std::string& axis) {
  const auto value = point.keys.find(axis);
  return value != point.keys.end() ? value->second : "-";
}

/// "mini-imagenet: test split of mini-imagenet, 5-way 1-shot, 15 queries, 600 episodes"
std::string target_note(const GridTarget& target, const json& r) {
  const auto range = [&](int fewest, const char* most) {
    const int number = r.at(most).get<int>();
    return range_text(fewest == number ? 0 : fewest, number);
  };
  return target.name + ": " + r.at("dataset").get<std::string>() + ", split " + r.at("split").get<std::string>() +
         ", " + range(r.at("fewest_ways").get<int>(), "ways") + "-way " +
         range(r.at("fewest_shots").get<int>(), "shots") + "-shot, " + range(fewest_queries(r), "queries") +
         " queries, " + std::to_string(r.at("episodes").get<int>()) + " episodes, images of " +
         std::to_string(r.at("image_size").get<int>()) + " pixels";
}

std::vector<Section> sections_of(const ComparisonTable& table) {
  const Grid& grid = *table.grid;
  std::vector<std::string> shapes;
  for (const PointSize& size : table.sizes)
    if (std::find(shapes.begin(), shapes.end(), shape_of(size)) == shapes.end()) shapes.push_back(shape_of(size));
  const bool several_seeds =
      std::any_of(grid.points.begin(), grid.points.end(), [](const GridPoint& p) { return p.runs.size() > 1; });

  std::vector<Section> sections;
  for (const std::string& shape : shapes) {
    std::vector<size_t> points;
    for (size_t p = 0; p < grid.points.size(); ++p)
      if (shape_of(table.sizes[p]) == shape) points.push_back(p);
    const auto differs = [&](const std::string& axis) {
      return std::any_of(points.begin(), points.end(), [&](size_t p) {
        return value_of(grid.points[p], axis) != value_of(grid.points[points[0]], axis);
      });
    };
    std::vector<std::string> axes;
    for (const std::string& axis : grid.axes)
      if (differs(axis)) axes.push_back(axis);
    const bool rows = !grid.points[0].row.empty();
    const auto any_cell = [&](const auto& condition) {
      for (const size_t p : points)
        for (const auto& cell : table.cells[p])
          if (cell && condition(*cell)) return true;
      return false;
    };
    const auto transductive = [](const ComparedCell& c) { return c.sample.at("transductive").get<bool>(); };
    const bool some = any_cell(transductive), all = !any_cell([&](const ComparedCell&c) { return !transductive(c); });

    Section section;
    section.title = shape;
    if (rows || axes.empty()) section.header.emplace_back(rows ? "row" : "method");
    section.header.insert(section.header.end(), axes.begin(), axes.end());
    section.header.insert(section.header.end(), {"conv weights", "adapted"});
    if (several_seeds) section.header.emplace_back("seeds");
    if (some && !all) section.header.emplace_back("transductive");
    std::vector<bool> published(grid.targets.size()), compared(grid.targets.size());
    std::vector<std::string> sources;
    for (size_t t = 0; t < grid.targets.size(); ++t) {
      for (const size_t p : points) {
        const auto& cell = table.cells[p][t];
        if (!cell) continue;
        published[t] = published[t] || !cell->published.empty();
        compared[t] = compared[t] || cell->difference;
      }
      section.header.push_back(grid.targets[t].name + " %");
      if (compared[t]) section.header.emplace_back("- reference");
      if (published[t]) section.header.emplace_back("published");
    }
    for (const size_t p : points) {
      const GridPoint& point = grid.points[p];
      std::vector<std::string> row;
      if (rows || axes.empty()) row.push_back(rows ? point.row : value_of(point, "method"));
      for (const std::string& axis : axes) row.push_back(value_of(point, axis));
      row.push_back(with_commas(table.sizes[p].conv_weights));
      row.push_back(with_commas(table.sizes[p].adapted));
      if (several_seeds) {
        size_t least = point.runs.size();
        for (const auto& cell : table.cells[p]) least = std::min(least, cell ? cell->seeds.size() : 0);
        row.push_back((least < point.runs.size() ? std::to_string(least) + "/" : "") +
                      std::to_string(point.runs.size()));
      }
      if (some && !all) {
        const auto any =
            std::find_if(table.cells[p].begin(), table.cells[p].end(), [](const auto& c) { return c.has_value(); });
        row.emplace_back(any == table.cells[p].end() ? "" : transductive(**any) ? "yes" : "no");
      }
      for (size_t t = 0; t < grid.targets.size(); ++t) {
        const auto& cell = table.cells[p][t];
        row.push_back(cell ? accuracy_text(*cell) : "-");
        if (compared[t]) row.push_back(cell ? difference_text(*cell) : "");
        if (!published[t]) continue;
        std::string text;
        for (const Published& figure : cell ? cell->published : std::vector<Published>()) {
          auto source = std::find(sources.begin(), sources.end(), figure.where);
          if (source == sources.end()) source = sources.insert(sources.end(), figure.where);
          text += (text.empty() ? "" : ", ") + fixed_text(100 * figure.accuracy, 2) +
                  (figure.ci95 > 0 ? interval_text(figure.ci95, 2) : "") + " [" +
                  std::to_string(source - sources.begin() + 1) + "]";
        }
        row.push_back(text);
      }
      section.rows.push_back(std::move(row));
    }

    for (size_t t = 0; t < grid.targets.size(); ++t)
      for (const size_t p : points)
        if (table.cells[p][t]) {
          section.notes.push_back(target_note(grid.targets[t], table.cells[p][t]->sample));
          break;
        }
    section.notes.emplace_back(
        std::string("±: 95 %") +
        (several_seeds ? ", over training seeds (Student's t) where there are two or more, else over episodes"
                       : " over episodes") +
        (all    ? "; all rows are transductive"
         : some ? ""
                : "; no row is transductive"));
    if (std::find(compared.begin(), compared.end(), true) != compared.end())
      section.notes.push_back("- reference: minus '" + grid.reference_name + "' in points, paired by episode" +
                              (several_seeds ? ", ± over episodes (over seeds)" : ""));
    for (size_t i = 0; i < sources.size(); ++i)
      section.notes.push_back("[" + std::to_string(i + 1) + "] " + sources[i] + ", on the test classes at 84x84");
    sections.push_back(std::move(section));
  }
  return sections;
}

std::vector<std::string> failure_lines(const ComparisonTable& table) {
  std::vector<std::string> lines;
  for (const JobFailure& f : table.failures) lines.push_back("failed: " + f.job + " (" + f.what + "): " + f.reason);
  return lines;
}

/// Characters that a text takes on a terminal: bytes that begin one.
size_t columns_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string replaced(const std::string& text, const std::vector<std::pair<std::string, std::string>>& by) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto found = std::find_if(by.begin(), by.end(),
                                    [&](const auto& b) { return text.compare(i, b.first.size(), b.first) == 0; });
    out += found != by.end() ? found->second : text.substr(i, 1);
    i += found != by.end() ? found->first.size() : 1;
  }
  return out;
}

std::string tex(const std::string& text) {
  return replaced(text, {{"\\", "\\textbackslash{}"},
                         {"&", "\\&"},
                         {"%", "\\%"},
                         {"$", "\\$"},
                         {"#", "\\#"},
                         {"_", "\\_"},
                         {"{", "\\{"},
                         {"}", "\\}"},
                         {"~", "\\textasciitilde{}"},
                         {"^", "\\textasciicircum{}"},
                         {"±", "$\\pm$"}});
}

std::string joined(const std::vector<std::string>& cells, const std::string& between) {
  std::string text;
  for (size_t i = 0; i < cells.size(); ++i) text += (i == 0 ? "" : between) + cells[i];
  return text;
}

template <class F>
std::vector<std::string> each(const std::vector<std::string>& cells, F&& f) {
  std::vector<std::string> out;
  for (const std::string& cell : cells) out.push_back(f(cell));
  return out;
}

ordered_json interval_json(const std::optional<MeanInterval>& interval) {
  return number_or_null(interval ? interval->ci95 : std::nullopt);
}

}  // namespace

ComparisonTable compare_results(const Grid& grid, std::vector<PointSize> sizes,
                                const std::vector<std::vector<std::vector<json>>>& results,
                                std::vector<JobFailure> failures) {
  ComparisonTable table{&grid, std::move(sizes), {}, std::move(failures)};
  for (size_t p = 0; p < grid.points.size(); ++p) {
    const GridPoint& point = grid.points[p];
    table.cells.emplace_back(grid.targets.size());
    for (size_t t = 0; t < grid.targets.size(); ++t) {
      const Seeded own = seeded(point, results[p], t);
      if (own.seeds.empty()) continue;
      ComparedCell cell = cell_of(point, own);
      if (is_reference(grid, point)) {
        cell.is_reference = true;
      } else {
        // Of the reference's points that saw the same episodes the one most alike.
        int best = -1;
        for (size_t q = 0; q < grid.points.size(); ++q) {
          const Seeded other = seeded(grid.points[q], results[q], t);
          if (!is_reference(grid, grid.points[q]) || other.seeds.empty() ||
              !same_episodes(*own.results[0], *other.results[0]))
            continue;
          const int alike = agreement(grid, point, grid.points[q]);
          if (alike <= best) continue;
          if (auto difference = difference_of(own, other, grid.points[q])) {
            cell.difference = std::move(difference);
            best = alike;
          }
        }
      }
      table.cells[p][t] = std::move(cell);
    }
  }
  return table;
}

std::string table_text(const ComparisonTable& table) {
  std::string text;
  for (const Section& s : sections_of(table)) {
    std::vector<size_t> widths;
    for (const std::string& cell : s.header) widths.push_back(columns_of(cell));
    for (const auto& row : s.rows)
      for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], columns_of(row[c]));
    const auto line = [&](const std::vector<std::string>& cells) {
      std::string out;
      for (size_t c = 0; c < cells.size(); ++c) {
        const std::string pad(widths[c] - columns_of(cells[c]), ' ');
        out += (c == 0 ? "" : "  ") + (c == 0 ? cells[c] + pad : pad + cells[c]);
      }
      return out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
    };
    text += (text.empty() ? "" : "\n") + s.title + "\n" + line(s.header);
    for (const auto& row : s.rows) text += line(row);
    for (const std::string& note : s.notes) text += "  " + note + "\n";
  }
  for (const std::string& line : failure_lines(table)) text += line + "\n";
  return text;
}

std::string table_markdown(const ComparisonTable& table) {
  const auto plain = [](const std::string& cell) { return replaced(cell, {{"|", "\\|"}}); };
  std::string text;
  for (const Section& s : sections_of(table)) {
    text += (text.empty() ? "" : "\n") + std::string("## ") + s.title + "\n\n| " +
            joined(each(s.header, plain), " | ") + " |\n|";
    for (size_t c = 0; c < s.header.size(); ++c) text += c == 0 ? " --- |" : " ---: |";
    text += "\n";
    for (const auto& row : s.rows) text += "| " + joined(each(row, plain), " | ") + " |\n";
    text += "\n";
    for (const std::string& note : s.notes) text += "* " + note + "\n";
  }
  for (const std::string& line : failure_lines(table)) text += "\n" + line + "\n";
  return text;
}

std::string table_latex(const ComparisonTable& table) {
  std::string text = "% Needs \\usepackage{booktabs} and UTF-8.\n";
  for (const Section& s : sections_of(table)) {
    text += "\\begin{table}\n\\centering\n\\caption{" + tex(s.title) + ". " + tex(joined(s.notes, ". ")) +
            ".}\n\\begin{tabular}{l" + std::string(s.header.size() - 1, 'r') + "}\n\\toprule\n" +
            joined(each(s.header, tex), " & ") + " \\\\\n\\midrule\n";
    for (const auto& row : s.rows) text += joined(each(row, tex), " & ") + " \\\\\n";
    text += "\\bottomrule\n\\end{tabular}\n\\end{table}\n";
  }
  for (const std::string& line : failure_lines(table)) text += "% " + line + "\n";
  return text;
}

std::string table_csv(const ComparisonTable& table) {
  const Grid& grid = *table.grid;
  std::vector<std::string> keys = {"method", "backbone", "width", "conv", "sharing", "atoms", "scope"};
  for (const std::string& axis : grid.axes)
    if (std::find(keys.begin(), keys.end(), axis) == keys.end() && axis != "ways" && axis != "shots" &&
        axis != "queries" && axis != "dataset")
      keys.push_back(axis);
  std::string text = "row," + joined(keys, ",") +
                     ",trained_on,target,dataset,split,ways,shots,queries,episodes,seeds,inner_steps,accuracy,ci95_"
                     "episodes,ci95_seeds,reference,"
                     "difference,difference_ci95_episodes,difference_ci95_seeds,conv_weights,parameters_adapted,"
                     "published,published_ci95,published_where\n";
  for (size_t p = 0; p < grid.points.size(); ++p)
    for (size_t t = 0; t < grid.targets.size(); ++t) {
      const auto& cell = table.cells[p][t];
      if (!cell) continue;
      const json& r = cell->sample;
      const auto number = [&](const char* key) { return std::to_string(r.at(key).get<int64_t>()); };
      for (const ComparedCell::Mark& mark : cell->marks) {
        const bool last = &mark == &cell->marks.back();
        std::vector<std::string> fields = {grid.points[p].row};
        for (const std::string& key : keys) {
          const auto value = grid.points[p].keys.find(key);
          fields.push_back(value != grid.points[p].keys.end() ? value->second : "");
        }
        const auto half = [](const std::optional<MeanInterval>& i) {
          return i && i->ci95 ? number_text(*i->ci95) : std::string();
        };
        fields.insert(fields.end(),
                      {grid.points[p].keys.at("dataset"), grid.targets[t].name, r.at("dataset").get<std::string>(),
                       r.at("split").get<std::string>(), number("ways"), number("shots"), number("queries"),
                       number("episodes"), std::to_string(cell->seeds.size()), std::to_string(mark.inner_steps),
                       number_text(mark.over_episodes.mean), half(mark.over_episodes), half(mark.over_seeds)});
        if (last && cell->difference) {
          const Difference& d = *cell->difference;
          fields.insert(fields.end(),
                        {d.reference, number_text(d.over_episodes.mean), half(d.over_episodes), half(d.over_seeds)});
        } else {
          fields.insert(fields.end(), 4, "");
        }
        fields.insert(fields.end(),
                      {std::to_string(table.sizes[p].conv_weights), std::to_string(table.sizes[p].adapted)});
        if (last && !cell->published.empty()) {
          const Published& figure = cell->published.front();
          fields.insert(fields.end(),
                        {number_text(figure.accuracy), figure.ci95 > 0 ? number_text(figure.ci95) : "", figure.where});
        } else {
          fields.insert(fields.end(), 3, "");
        }
        text += joined(each(fields, csv_field), ",") + "\n";
      }
    }
  return text;
}

ordered_json table_json(const ComparisonTable& table) {
  const Grid& grid = *table.grid;
  ordered_json rows = ordered_json::array(), failures = ordered_json::array();
  for (size_t p = 0; p < grid.points.size(); ++p) {
    const GridPoint& point = grid.points[p];
    ordered_json runs = ordered_json::array(), targets = ordered_json::array(), axes = ordered_json::object();
    for (const std::string& axis : grid.axes)
      if (const auto value = point.keys.find(axis); value != point.keys.end()) axes[axis] = value->second;
    for (const GridRun& run : point.runs) runs.push_back({{"name", run.name}, {"seed", run.settings.trainer.seed}});
    for (size_t t = 0; t < grid.targets.size(); ++t) {
      const auto& cell = table.cells[p][t];
      if (!cell) continue;
      const json& r = cell->sample;
      const ComparedCell::Mark& last = cell->marks.back();
      ordered_json one = {{"target", grid.targets[t].name}};
      for (const char* key : {"dataset", "split", "split_rule", "crop", "image_size", "ways", "shots", "queries",
                              "episodes", "eval_seed", "norm", "transductive"})
        one[key] = r.at(key);
      one["fewest_queries"] = fewest_queries(r);
      one.update({{"inner_steps", last.inner_steps},
                  {"accuracy", last.over_episodes.mean},
                  {"ci95_episodes", number_or_null(last.over_episodes.ci95)},
                  {"ci95_seeds", interval_json(last.over_seeds)}});
      one["by_seed"] = ordered_json::array();
      for (size_t s = 0; s < cell->seeds.size(); ++s)
        one["by_seed"].push_back(
            {{"run", cell->runs[s]}, {"seed", cell->seeds[s]}, {"accuracy", cell->accuracy_by_seed[s]}});
      one["by_steps"] = ordered_json::array();
      for (const ComparedCell::Mark& mark : cell->marks)
        one["by_steps"].push_back({{"inner_steps", mark.inner_steps},
                                   {"accuracy", mark.over_episodes.mean},
                                   {"ci95_episodes", number_or_null(mark.over_episodes.ci95)},
                                   {"ci95_seeds", interval_json(mark.over_seeds)}});
      one["is_reference"] = cell->is_reference;
      one["difference"] = nullptr;
      if (const auto& d = cell->difference)
        one["difference"] = {{"reference", d->reference},
                             {"seeds", d->seeds},
                             {"mean", d->over_episodes.mean},
                             {"ci95_episodes", number_or_null(d->over_episodes.ci95)},
                             {"ci95_seeds", interval_json(d->over_seeds)}};
      one["published"] = ordered_json::array();
      for (const Published& figure : cell->published)
        one["published"].push_back({{"accuracy", figure.accuracy},
                                    {"ci95", figure.ci95 > 0 ? ordered_json(figure.ci95) : ordered_json(nullptr)},
                                    {"where", figure.where}});
      targets.push_back(one);
    }
    rows.push_back({{"row", point.row},
                    {"label", point.label},
                    {"axes", axes},
                    {"settings", point.keys},
                    {"conv_weights", table.sizes[p].conv_weights},
                    {"parameters_adapted", table.sizes[p].adapted},
                    {"runs", runs},
                    {"targets", targets}});
  }
  for (const JobFailure& f : table.failures)
    failures.push_back({{"run", f.job}, {"what", f.what}, {"reason", f.reason}});
  return {{"version", kResultVersion},
          {"reference", grid.reference_name},
          {"rows", rows},
          {"failed", failures},
          {"notices", grid.notices}};
}

}  // namespace fewatoms
