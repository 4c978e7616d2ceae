#include "episodes/episode_file.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "episodes/errors.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* kFormat = "fewatoms-episodes";

/// Finds classes and images of a source by their names; a class's images are listed when it is first asked for.
class Names {
 public:
  explicit Names(const ImageSource& source) : source_(source), images_(source.classes()) {
    for (int c = 0; c < source.classes(); ++c) classes_.emplace(as_utf8(source.class_name(c)), c);
  }
  int class_of(const std::string& name) const {
    const auto found = classes_.find(name);
    if (found == classes_.end()) throw DataError("names class '" + name + "', which " + place() + " does not have");
    return found->second;
  }
  int image_of(int class_index, const std::string& name) {
    std::map<std::string, int>& images = images_[class_index];
    if (images.empty())
      for (int i = 0; i < source_.class_size(class_index); ++i)
        images.emplace(as_utf8(source_.image_name({class_index, i})), i);
    const auto found = images.find(name);
    if (found == images.end())
      throw DataError("names image '" + name + "', which class '" + source_.class_name(class_index) + "' of " +
                      place() + " does not have: its images are called as '" + source_.image_name({class_index, 0}) +
                      "'");
    return found->second;
  }

 private:
  std::string place() const {
    return source_.info().dataset + " split '" + source_.info().split + "' (" + source_.info().form + ")";
  }

  const ImageSource& source_;
  std::map<std::string, int> classes_;
  std::vector<std::map<std::string, int>> images_;
};

Episode read_episode(const json& text, Names& names) {
  const auto classes = text.at("classes").get<std::vector<std::string>>();
  if (classes.size() < 2)
    throw DataError("has " + std::to_string(classes.size()) + " classes, at least 2 were expected");
  Episode episode;
  for (const std::string& name : classes) {
    episode.classes.push_back(names.class_of(name));
    if (std::count(classes.begin(), classes.end(), name) > 1) throw DataError("has class '" + name + "' twice");
  }
  std::set<std::pair<int, int>> seen;
  size_t shots = 0, queries = 0, fewest_queries = SIZE_MAX;
  for (const char* side : {"support", "query"}) {
    const bool is_support = side[0] == 's';
    const auto by_class = text.at(side).get<std::vector<std::vector<std::string>>>();
    if (by_class.size() != classes.size())
      throw DataError("has " + std::to_string(by_class.size()) + " lists of " + side + " images for " +
                      std::to_string(classes.size()) + " classes");
    for (size_t label = 0; label < by_class.size(); ++label) {
      if (by_class[label].empty())
        throw DataError("has no " + std::string(side) + " images of class '" + classes[label] + "'");
      size_t& most = is_support ? shots : queries;
      most = std::max(most, by_class[label].size());
      if (!is_support) fewest_queries = std::min(fewest_queries, by_class[label].size());
      for (const std::string& name : by_class[label]) {
        const int c = episode.classes[label], i = names.image_of(c, name);
        if (!seen.emplace(c, i).second) throw DataError("has image '" + name + "' twice");
        (is_support ? episode.support : episode.query).push_back({{c, i}, static_cast<int>(label)});
      }
    }
  }
  episode.spec = {
      .ways = static_cast<int>(classes.size()), .shots = static_cast<int>(shots), .queries = static_cast<int>(queries)};
  if (episode.support.size() != classes.size() * shots) {  // imbalanced
    std::vector<int> counts(classes.size());
    for (const EpisodeImage& image : episode.support) ++counts[image.label];
    episode.spec.fewest_shots = *std::min_element(counts.begin(), counts.end());
    episode.spec.imbalanced = true;
  }
  if (fewest_queries < queries) episode.spec.fewest_queries = static_cast<int>(fewest_queries);
  return episode;
}

}  // namespace

std::string episodes_to_json(const ImageSource& source, const std::vector<Episode>& episodes) {
  json all = json::array();
  for (const Episode& episode : episodes) {
    json classes = json::array(), support(episode.classes.size(), json::array()), query = support;
    for (const int c : episode.classes) classes.push_back(as_utf8(source.class_name(c)));
    for (const EpisodeImage& image : episode.support)
      support[image.label].push_back(as_utf8(source.image_name(image.ref)));
    for (const EpisodeImage& image : episode.query) query[image.label].push_back(as_utf8(source.image_name(image.ref)));
    all.push_back({{"classes", classes}, {"support", support}, {"query", query}});
  }
  const SourceInfo& info = source.info();
  const json head = {{"format", kFormat},
                     {"version", 1},
                     {"dataset", info.dataset},
                     {"split", info.split},
                     {"split_rule", info.split_rule}};
  // One episode on a line: a file of 600 can be looked at, and compared by line.
  std::string text = head.dump();
  text.back() = ',';
  text += " \"episodes\": [";
  for (size_t i = 0; i < all.size(); ++i) text += (i == 0 ? "\n" : ",\n") + all[i].dump();
  return text + "\n]}\n";
}

std::vector<Episode> read_episodes(const std::filesystem::path& file, const ImageSource& source) {
  const std::string name = "'" + file.string() + "'";
  std::ifstream in(file, std::ios::binary);
  if (!in || std::filesystem::is_directory(file)) throw UsageError("episodes file " + name + " cannot be read");
  json text;
  try {
    text = json::parse(in);
  } catch (const json::exception&) {
    throw DataError(name + " is no JSON: a file as --save-episodes writes was expected");
  }
  if (!text.is_object() || text.value("format", "") != kFormat || text.value("version", 0) != 1)
    throw DataError(name + " is not of format '" + kFormat +
                    "', version 1: a file as --save-episodes writes was expected");
  if (!text.contains("episodes") || !text["episodes"].is_array() || text["episodes"].empty())
    throw DataError(name + " has no episodes");
  Names names(source);
  std::vector<Episode> episodes;
  for (const json& episode : text["episodes"]) {
    const std::string place = name + " episode " + std::to_string(episodes.size());
    try {
      episodes.push_back(read_episode(episode, names));
    } catch (const DataError& e) {
      throw DataError(place + " " + e.what());
    } catch (const json::exception&) {
      throw DataError(place +
                      " was expected to have the lists 'classes', 'support' and 'query', the last two with a list of "
                      "names for each class");
    }
  }
  return episodes;
}

EpisodeSpec spec_of(const std::vector<Episode>& episodes) {
  EpisodeSpec all = episodes.at(0).spec;
  const auto fewest = [](const Episode& e, int EpisodeSpec::*least, int EpisodeSpec::*most) {
    return e.spec.*least > 0 ? e.spec.*least : e.spec.*most;
  };
  int ways = all.ways, shots = all.shots, queries = all.queries;
  for (const Episode& episode : episodes) {
    ways = std::min(ways, fewest(episode, &EpisodeSpec::fewest_ways, &EpisodeSpec::ways));
    shots = std::min(shots, fewest(episode, &EpisodeSpec::fewest_shots, &EpisodeSpec::shots));
    queries = std::min(queries, fewest(episode, &EpisodeSpec::fewest_queries, &EpisodeSpec::queries));
    all.ways = std::max(all.ways, episode.spec.ways);
    all.shots = std::max(all.shots, episode.spec.shots);
    all.queries = std::max(all.queries, episode.spec.queries);
    all.imbalanced = all.imbalanced || episode.spec.imbalanced;
  }
  all.fewest_ways = ways < all.ways ? ways : 0;
  all.fewest_shots = shots < all.shots ? shots : 0;
  all.fewest_queries = queries < all.queries ? queries : 0;
  return all;
}

}  // namespace fewatoms
