#include "episodes/episode_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "episodes/errors.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using nlohmann::json;
using test::message_of;
using test::SyntheticSource;
using test::TemporaryFolder;
using test::write_file;
using testing::HasSubstr;

std::vector<Episode> some_episodes(const ImageSource& source, const EpisodeSpec& spec, int count) {
  std::vector<Episode> episodes;
  for (int e = 0; e < count; ++e) episodes.push_back(draw_episode(source, spec, 7, e));
  return episodes;
}

void expect_equal(const std::vector<EpisodeImage>& a, const std::vector<EpisodeImage>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].label, b[i].label);
    EXPECT_EQ(a[i].ref.class_index, b[i].ref.class_index);
    EXPECT_EQ(a[i].ref.image_index, b[i].ref.image_index);
  }
}

TEST(EpisodeFile, EpisodesAreReadAsTheyWereWritten) {
  const TemporaryFolder folder;
  const auto expect_same = [&](const SyntheticSource& source, const EpisodeSpec& spec) {
    const std::vector<Episode> written = some_episodes(source, spec, 20);
    write_file(folder / "e.json", episodes_to_json(source, written));
    const std::vector<Episode> read = read_episodes(folder / "e.json", source);
    ASSERT_EQ(read.size(), written.size());
    for (size_t e = 0; e < read.size(); ++e) {
      EXPECT_EQ(read[e].classes, written[e].classes);
      expect_equal(read[e].support, written[e].support);
      expect_equal(read[e].query, written[e].query);
    }
    EXPECT_EQ(spec_of(read), spec);
  };
  const SyntheticSource source(8, 20, 4);
  expect_same(source, {.ways = 3, .shots = 2, .queries = 4});
  expect_same(source, {.ways = 6, .shots = 5, .queries = 2, .fewest_ways = 2, .fewest_shots = 1, .imbalanced = true});
  // Classes of five images have three left.
  expect_same(SyntheticSource({20, 5, 8, 20, 5, 20}, 4), {.ways = 3, .shots = 2, .queries = 9, .fewest_queries = 3});
}

TEST(EpisodeFile, NamesImagesForOtherPrograms) {
  const SyntheticSource source(5, 6, 4);
  const Episode episode = draw_episode(source, {.ways = 3, .shots = 1, .queries = 2}, 1, 0);
  const json text = json::parse(episodes_to_json(source, {episode}));
  EXPECT_EQ(text.at("dataset"), source.info().dataset);
  for (int label = 0; label < 3; ++label) {
    EXPECT_EQ(text.at("episodes")[0].at("classes")[label], source.class_name(episode.classes[label]));
    EXPECT_EQ(text.at("episodes")[0].at("support")[label],
              json::array({source.image_name(episode.support[label].ref)}));
    EXPECT_EQ(text.at("episodes")[0].at("query")[label][1], source.image_name(episode.query[2 * label + 1].ref));
  }
}

TEST(EpisodeFile, RefusesWhatCannotBeMeant) {
  const TemporaryFolder folder;
  const SyntheticSource source(5, 6, 4);
  const std::string good = episodes_to_json(source, some_episodes(source, {.ways = 3, .shots = 1, .queries = 2}, 2));
  const auto refusal = [&](const auto& change) {
    json text = json::parse(good);
    change(text);
    write_file(folder / "e.json", text.dump());
    return message_of<DataError>([&] { read_episodes(folder / "e.json", source); });
  };
  write_file(folder / "e.json", json::parse(good).dump());
  EXPECT_EQ(read_episodes(folder / "e.json", source).size(), 2u);
  const auto episode = [](json& text) -> json& { return text["episodes"][1]; };
  const struct {
    std::function<void(json&)> change;
    std::string words;
  } cases[] = {
      {[](json& t) { t["format"] = "x"; }, "is not of format 'fewatoms-episodes', version 1"},
      {[](json& t) { t = json::array(); }, "is not of format"},
      {[](json& t) { t["episodes"] = json::array(); }, "has no episodes"},
      {[&](json& t) { episode(t)["classes"][0] = "gone"; }, "episode 1 names class 'gone', which"},
      {[&](json& t) { episode(t)["classes"][0] = episode(t)["classes"][1]; }, "twice"},
      {[&](json& t) { episode(t)["classes"] = json::array({"a"}); }, "has 1 classes, at least 2"},
      {[&](json& t) { episode(t)["support"][0][0] = "gone.png"; }, "names image 'gone.png', which class '"},
      {[&](json& t) { episode(t)["support"][0] = json::array(); }, "has no support images of class '"},
      {[&](json& t) { episode(t)["support"].erase(0); }, "has 2 lists of support images for 3 classes"},
      {[&](json& t) { episode(t)["query"][0][0] = episode(t)["support"][0][0]; }, "twice"},
      {[&](json& t) { episode(t)["query"][2] = json::array(); }, "has no query images of class '"},
      {[&](json& t) { episode(t).erase("query"); }, "episode 1 was expected to have the lists"},
      {[&](json& t) { episode(t)["classes"] = 5; }, "episode 1 was expected to have the lists"},
  };
  for (const auto& c : cases) EXPECT_THAT(refusal(c.change), HasSubstr(c.words));
  write_file(folder / "e.json", good.substr(0, good.size() / 2));
  EXPECT_THAT(message_of<DataError>([&] { read_episodes(folder / "e.json", source); }), HasSubstr("is no JSON"));
  EXPECT_THAT(message_of<UsageError>([&] { read_episodes(folder / "gone.json", source); }),
              HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace fewatoms
