#include "episodes/episode.h"

#include <map>
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

/// Images of each drawn class, support first; [] if groups of images that several classes share came in each other's way.
std::vector<std::vector<int>> draw_images(const ImageSource& source, Random& random, const std::vector<int>& classes,
                                          const EpisodeSpec& spec) {
  std::vector<std::vector<int>> images;
  std::map<int, Side> sides;
  for (const int c : classes) {
    const auto groups = source.image_groups(c);
    if (groups.empty() || spec.shots == 0)
      images.push_back(draw_distinct(random, source.class_size(c), spec.shots + spec.queries));
    else
      images.push_back(draw_grouped(random, groups, spec.shots, spec.queries, sides));
    if (images.back().empty()) return {};
  }
  return images;
}

/// Throws DataError if the groups of a class's images cannot be told apart into support and query.
void require_sides(const ImageSource& source, const EpisodeSpec& spec, const std::string& where) {
  for (int c = 0; c < source.classes(); ++c) {
    const auto groups = source.image_groups(c);
    if (groups.empty() || can_be_split(groups, spec.shots, spec.queries)) continue;
    throw DataError(where + ": the " + plural(static_cast<int>(std::set<int>(groups.begin(), groups.end()).size()), "group", "groups") +
                    " of class '" + source.class_name(c) + "' with " + plural(source.class_size(c), "image", "images") +
                    " cannot serve " + plural(spec.shots, "shot", "shots") + " and " +
                    plural(spec.queries, "query", "queries") + " with each group on one side");
  }
}

}  // namespace

void require_servable(const ImageSource& source, const EpisodeSpec& spec) {
  if (spec.ways < 2) throw UsageError("ways is " + std::to_string(spec.ways) + ", at least 2 are needed");
  if (spec.shots < 1) throw UsageError("shots is " + std::to_string(spec.shots) + ", at least 1 is needed");
  if (spec.queries < 1) throw UsageError("queries is " + std::to_string(spec.queries) + ", at least 1 is needed");
  const std::string where = source.info().dataset + " split '" + source.info().split + "'";
  if (spec.ways > source.classes())
    throw UsageError(where + " has " + plural(source.classes(), "class", "classes") + ", fewer than the " +
                     std::to_string(spec.ways) + " ways asked for");

  const int needed = spec.shots + spec.queries;
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
  if (short_of_images > kNamed) names += ", and " + std::to_string(short_of_images - kNamed) + " classes more are short";
  throw DataError(where + ": " + names + ", " + std::to_string(needed) + " are needed (" +
                  plural(spec.shots, "shot", "shots") + " + " + plural(spec.queries, "query", "queries") + ")");
}

Episode draw_episode(const ImageSource& source, const EpisodeSpec& spec, uint64_t seed, uint64_t index, bool augment) {
  const uint64_t where = mix_key({text_key(source.info().dataset), text_key(source.info().split)});
  const auto ways = static_cast<uint64_t>(spec.ways), shots = static_cast<uint64_t>(spec.shots),
             queries = static_cast<uint64_t>(spec.queries);
  Random random{seed, stream(Stream::kEpisode), where, ways, shots, queries, index};

  Episode episode;
  episode.spec = spec;
  std::vector<std::vector<int>> drawn;
  for (int attempt = 0; drawn.empty(); ++attempt) {
    if (attempt == kMostAttempts)
      throw DataError(source.info().dataset + " split '" + source.info().split + "': no " + std::to_string(spec.ways) +
                      " classes were found whose groups of images can each be on one side");
    episode.classes = draw_distinct(random, source.classes(), spec.ways);
    drawn = draw_images(source, random, episode.classes, spec);
  }
  uint64_t position = 0;
  for (int label = 0; label < spec.ways; ++label) {
    const int c = episode.classes[label];
    const std::vector<int>& images = drawn[label];
    for (int k = 0; k < spec.shots + spec.queries; ++k) {
      EpisodeImage image{{c, images[k], 0}, label};
      if (augment) {
        image.ref.augment_key = mix_key({seed, stream(Stream::kAugment), where, ways, shots, queries, index, position}) | 1;
        ++position;
      }
      (k < spec.shots ? episode.support : episode.query).push_back(image);
    }
  }
  return episode;
}

}  // namespace fewatoms
