#include "episodes/grouped_draw.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace fewatoms {
namespace {

constexpr int kNever = std::numeric_limits<int>::max();

/// least[i][s]: the smallest number of support images, at least `shots`, that is reached from s of them (s < shots) by
/// adding some of the groups i and after, one at a time until there are enough; kNever if none is.
std::vector<std::vector<int>> least_support(const std::vector<int>& sizes, int shots) {
  std::vector<std::vector<int>> least(sizes.size() + 1, std::vector<int>(shots, kNever));
  for (size_t i = sizes.size(); i-- > 0;)
    for (int s = 0; s < shots; ++s) {
      const int next = s + sizes[i];
      least[i][s] = std::min(least[i + 1][s], next >= shots ? next : least[i + 1][next]);
    }
  return least;
}

/// Images by group, in the order of the groups' numbers.
std::map<int, std::vector<int>> by_group(std::span<const int> groups) {
  std::map<int, std::vector<int>> images;
  for (size_t i = 0; i < groups.size(); ++i) images[groups[i]].push_back(static_cast<int>(i));
  return images;
}

void append_drawn(Random& random, const std::vector<int>& pool, int count, std::vector<int>& drawn) {
  for (const int i : draw_distinct(random, static_cast<int>(pool.size()), count)) drawn.push_back(pool[i]);
}

}  // namespace

std::vector<int> draw_distinct(Random& random, int n, int count) {
  std::vector<int> items(n);
  std::iota(items.begin(), items.end(), 0);
  for (int i = 0; i < count; ++i) std::swap(items[i], items[i + static_cast<int>(random.below(n - i))]);
  items.resize(count);
  return items;
}

int most_queries(std::span<const int> groups, int shots) {
  const auto total = static_cast<int>(groups.size());
  if (shots == 0) return total;
  std::vector<int> sizes;
  for (const auto& [group, images] : by_group(groups)) sizes.push_back(static_cast<int>(images.size()));
  const int least = least_support(sizes, shots)[0][0];
  return least == kNever ? -1 : total - least;
}

std::vector<int> draw_grouped(Random& random, std::span<const int> groups, int shots, int queries,
                              std::map<int, Side>& sides) {
  std::vector<int> support, query;
  std::vector<std::vector<int>> open;  // groups that no other class has placed
  std::vector<int> numbers;
  for (auto& [group, images] : by_group(groups)) {
    const auto placed = sides.find(group);
    if (placed == sides.end()) {
      open.push_back(std::move(images));
      numbers.push_back(group);
    } else {
      auto& pool = placed->second == Side::kSupport ? support : query;
      pool.insert(pool.end(), images.begin(), images.end());
    }
  }
  std::vector<int> order(open.size()), sizes;
  std::iota(order.begin(), order.end(), 0);
  random.shuffle(order);
  for (const int g : order) sizes.push_back(static_cast<int>(open[g].size()));

  // In random order, a group goes to support while support is short and the rest can still be served without it.
  const int most = static_cast<int>(groups.size()) - queries;
  const auto least = least_support(sizes, shots);
  for (size_t i = 0; i < order.size(); ++i) {
    const auto have = static_cast<int>(support.size());
    const int next = have + sizes[i];
    const bool to_support = have < shots && (next >= shots ? next : least[i + 1][next]) <= most;
    auto& pool = to_support ? support : query;
    pool.insert(pool.end(), open[order[i]].begin(), open[order[i]].end());
    sides[numbers[order[i]]] = to_support ? Side::kSupport : Side::kQuery;
  }
  if (static_cast<int>(support.size()) < shots || static_cast<int>(query.size()) < queries) return {};
  std::vector<int> drawn;
  append_drawn(random, support, shots, drawn);
  append_drawn(random, query, queries, drawn);
  return drawn;
}

}  // namespace fewatoms
