#include "episodes/episode.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "episodes/errors.h"
#include "episodes/grouped_draw.h"
#include "episodes/random.h"

namespace fewatoms {
namespace {

constexpr int kMostAttempts = 1000;  // to draw classes whose shared groups do not collide

uint64_t text_key(const std::string& text) {
  uint64_t key = 0xCBF29CE484222325ULL;  // FNV-1a
  for (const char c : text) key = (key ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return key;
}

std::string plural(int n, const std::string& one, const std::string& many) {
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

std::string place_of(const ImageSource& source) {
  return source.info().dataset + " split '" + source.info().split + "'";
}

/// The fewest query images of a class.
int least_queries(const EpisodeSpec& spec) { return spec.fewest_queries > 0 ? spec.fewest_queries : spec.queries; }

/// Images of each drawn class, support first; [] if groups of images that several classes share came in each other's
/// way.
std::vector<std::vector<int>> draw_images(const ImageSource& source, Random& random, const std::vector<int>& classes,
                                          const std::vector<int>& shots, const EpisodeSpec& spec) {
  std::vector<std::vector<int>> images;
  std::map<int, Side> sides;
  for (size_t label = 0; label < classes.size(); ++label) {
    const int c = classes[label], least = least_queries(spec), needed = shots[label] + least;
    if (needed < 1 || needed > source.class_size(c))
      throw DataError(place_of(source) + ": class '" + source.class_name(c) + "' has " +
                      plural(source.class_size(c), "image", "images") + ", an episode needs " + std::to_string(needed));
    const auto groups = source.image_groups(c);
    const bool grouped = !groups.empty() && shots[label] > 0;
    const int left =
        grouped && spec.fewest_queries > 0 ? most_queries(groups, shots[label]) : source.class_size(c) - shots[label];
    const int queries = std::clamp(left, least, spec.queries);
    if (grouped)
      images.push_back(draw_grouped(random, groups, shots[label], queries, sides));
    else
      images.push_back(draw_distinct(random, source.class_size(c), shots[label] + queries));
    if (images.back().empty()) return {};
  }
  return images;
}

/// Throws DataError if the groups of a class's images cannot be told apart into support and query.
void require_sides(const ImageSource& source, const EpisodeSpec& spec, const std::string& where) {
  for (int c = 0; c < source.classes(); ++c) {
    const auto groups = source.image_groups(c);
    if (groups.empty() || most_queries(groups, spec.shots) >= least_queries(spec)) continue;
    throw DataError(where + ": the " +
                    plural(static_cast<int>(std::set<int>(groups.begin(), groups.end()).size()), "group", "groups") +
                    " of class '" + source.class_name(c) + "' with " + plural(source.class_size(c), "image", "images") +
                    " cannot serve " + plural(spec.shots, "shot", "shots") + " and " +
                    plural(least_queries(spec), "query", "queries") + " with each group on one side");
  }
}

int fewest_ways(const EpisodeSpec& spec) { return spec.fewest_ways > 0 ? spec.fewest_ways : spec.ways; }

/// The classes of each group that has enough of them, by name of the group. Throws UsageError if there is none.
std::vector<std::vector<int>> groups_to_draw(const ImageSource& source, const EpisodeSpec& spec) {
  std::map<std::string, std::vector<int>> groups;
  for (int c = 0; c < source.classes(); ++c) groups[source.class_group(c)].push_back(c);
  groups.erase("");
  if (groups.empty()) throw UsageError(place_of(source) + " has no groups of classes to draw episodes within");
  std::vector<std::vector<int>> large;
  std::string largest;
  size_t most = 0;
  for (auto& [name, classes] : groups) {
    if (classes.size() > most) largest = name;
    most = std::max(most, classes.size());
    if (static_cast<int>(classes.size()) >= fewest_ways(spec)) large.push_back(std::move(classes));
  }
  if (large.empty())
    throw UsageError(place_of(source) + " has no group of " + std::to_string(fewest_ways(spec)) +
                     " classes: the largest, '" + largest + "', has " + std::to_string(most));
  return large;
}

/// Evenly from fewest to most; nothing is drawn where there is but one.
int draw_number(Random& random, int fewest, int most) {
  return fewest == most ? most : fewest + static_cast<int>(random.below(static_cast<uint64_t>(most - fewest) + 1));
}

void require_valid(const EpisodeSpec& spec) {
  if (spec.ways < 2) throw UsageError("ways is " + std::to_string(spec.ways) + ", at least 2 are needed");
  if (spec.shots < 1) throw UsageError("shots is " + std::to_string(spec.shots) + ", at least 1 is needed");
  if (spec.queries < 1) throw UsageError("queries is " + std::to_string(spec.queries) + ", at least 1 is needed");
  const auto range = [](const std::string& what, int fewest, int most, int least) {
    if (fewest != 0 && (fewest < least || fewest > most))
      throw UsageError(what + " is " + std::to_string(fewest) + ".." + std::to_string(most) + ", expected " +
                       std::to_string(least) + " or more, and the smaller number first");
  };
  range("ways", spec.fewest_ways, spec.ways, 2);
  range("shots", spec.fewest_shots, spec.shots, 1);
  range("queries", spec.fewest_queries, spec.queries, 1);
  if (spec.imbalanced && spec.fewest_shots == 0)
    throw UsageError("imbalanced shots need a range of shots, such as 1..10, shots is " + std::to_string(spec.shots));
}

}  // namespace

void require_servable(const ImageSource& source, const EpisodeSpec& spec) {
  require_valid(spec);
  const std::string where = place_of(source);
  if (spec.ways > source.classes())
    throw UsageError(where + " has " + plural(source.classes(), "class", "classes") + ", fewer than the " +
                     std::to_string(spec.ways) + " ways asked for");

  if (spec.within_group) groups_to_draw(source, spec);

  const int needed = spec.shots + least_queries(spec);
  constexpr int kNamed = 3;
  int short_of_images = 0;
  std::string names;
  for (int c = 0; c < source.classes(); ++c) {
    if (source.class_size(c) >= needed) continue;
    if (++short_of_images <= kNamed)
      names += (names.empty() ? "class '" : ", class '") + source.class_name(c) + "' has " +
               plural(source.class_size(c), "image", "images");
  }
  if (short_of_images == 0) return require_sides(source, spec, where);
  if (short_of_images > kNamed)
    names += ", and " + std::to_string(short_of_images - kNamed) + " classes more are short";
  throw DataError(where + ": " + names + ", " + std::to_string(needed) + " are needed (" +
                  plural(spec.shots, "shot", "shots") + " + " + plural(least_queries(spec), "query", "queries") + ")");
}

Episode draw_episode(const ImageSource& source, const EpisodeSpec& spec, uint64_t seed, uint64_t index,
                     Augmented augmented) {
  const uint64_t where = mix_key({text_key(source.info().dataset), text_key(source.info().split)});
  const auto ways = static_cast<uint64_t>(spec.ways), shots = static_cast<uint64_t>(spec.shots),
             queries = static_cast<uint64_t>(spec.queries);
  // What plain specifications draw does not depend on what the others know.
  const bool plain = spec.fixed() && !spec.within_group;
  const uint64_t more = mix_key({static_cast<uint64_t>(spec.fewest_ways), static_cast<uint64_t>(spec.fewest_shots),
                                 static_cast<uint64_t>(spec.imbalanced), static_cast<uint64_t>(spec.within_group)});
  Random random = plain ? Random{seed, stream(Stream::kEpisode), where, ways, shots, queries, index}
                        : Random{seed, stream(Stream::kEpisode), where, ways, shots, queries, index, more};

  Episode episode;
  episode.spec = {
      .ways = spec.ways, .shots = spec.shots, .queries = spec.queries, .fewest_queries = spec.fewest_queries};
  std::vector<int> group;  // to draw from; empty: all classes
  if (spec.within_group) {
    const auto groups = groups_to_draw(source, spec);
    group = groups[random.below(groups.size())];
  }
  const int there = spec.within_group ? static_cast<int>(group.size()) : source.classes();
  if (spec.fewest_ways > 0)
    episode.spec.ways = draw_number(random, spec.fewest_ways, std::max(spec.fewest_ways, std::min(spec.ways, there)));
  if (episode.spec.ways < 1 || episode.spec.ways > there)
    throw UsageError(place_of(source) + " has " + plural(there, "class", "classes") + ", an episode of " +
                     std::to_string(episode.spec.ways) + " ways cannot be drawn");
  if (spec.fewest_shots > 0 && !spec.imbalanced)
    episode.spec.shots = draw_number(random, spec.fewest_shots, spec.shots);
  std::vector<std::vector<int>> drawn;
  std::vector<int> shots_of;
  for (int attempt = 0; drawn.empty(); ++attempt) {
    if (attempt == kMostAttempts)
      throw DataError(place_of(source) + ": no " + std::to_string(episode.spec.ways) +
                      " classes were found whose groups of images can each be on one side");
    episode.classes = draw_distinct(random, there, episode.spec.ways);
    if (spec.within_group)
      for (int& c : episode.classes) c = group[c];
    shots_of.assign(episode.spec.ways, episode.spec.shots);
    if (spec.imbalanced)
      for (int& own : shots_of) own = draw_number(random, spec.fewest_shots, spec.shots);
    drawn = draw_images(source, random, episode.classes, shots_of, spec);
  }
  if (spec.imbalanced) episode.spec.shots = *std::max_element(shots_of.begin(), shots_of.end());

  uint64_t position = 0;
  for (int label = 0; label < episode.spec.ways; ++label) {
    const int c = episode.classes[label];
    const std::vector<int>& images = drawn[label];
    for (int k = 0; k < static_cast<int>(images.size()); ++k) {
      EpisodeImage image{{c, images[k], 0}, label};
      const bool is_support = k < shots_of[label];
      if (augmented == Augmented::kBoth || augmented == (is_support ? Augmented::kSupport : Augmented::kQuery))
        image.ref.augment_key =
            mix_key({seed, stream(Stream::kAugment), where, ways, shots, queries, index, position}) | 1;
      ++position;
      (is_support ? episode.support : episode.query).push_back(image);
    }
  }
  return episode;
}

std::vector<Episode> draw_episodes_of_unique_classes(const ImageSource& source, const EpisodeSpec& spec, uint64_t seed,
                                                     int count) {
  constexpr int kRepeats = 10'000;  // in a row: next to nothing is left
  std::vector<Episode> episodes;
  std::set<std::vector<int>> seen;
  for (uint64_t index = 0, repeats = 0; static_cast<int>(episodes.size()) < count; ++index) {
    Episode episode = draw_episode(source, spec, seed, index);
    std::vector<int> classes = episode.classes;
    std::sort(classes.begin(), classes.end());
    if (seen.insert(std::move(classes)).second) {
      episodes.push_back(std::move(episode));
      repeats = 0;
    } else if (++repeats == kRepeats) {
      throw UsageError(place_of(source) + " has about " + plural(static_cast<int>(episodes.size()), "set", "sets") +
                       " of classes for such episodes, fewer than the " + std::to_string(count) +
                       " of unique classes asked for");
    }
  }
  return episodes;
}

}  // namespace fewatoms
