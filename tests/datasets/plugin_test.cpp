#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "datasets/dataset.h"
#include "datasets/prepared_source.h"
#include "episodes/episode.h"
#include "episodes/errors.h"
#include "episodes/plugin.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

// Data sets of the user's own: plugins (tests/plugins and examples/plugin_dataset), and sources registered in the
// program.

namespace fewatoms {
namespace {

using test::message_of;
using test::pixels;
using test::SyntheticSource;
using testing::HasSubstr;
using testing::Not;

DatasetOptions plugin(const std::string& name, std::vector<std::string> options = {}) {
  return {.name = "plugin",
          .image_size = 28,
          .plugin = std::string(FEWATOMS_PLUGINS) + "/lib" + name + ".so",
          .plugin_options = std::move(options)};
}

TEST(Plugin, ServesItsSplitsInTheSizeAsked) {
  const DatasetOptions options = plugin("birds", {"species=30"});
  const auto splits = summarise(options);
  ASSERT_EQ(splits.size(), 3u);
  EXPECT_EQ(splits[0].classes, 18);
  EXPECT_EQ(splits[0].images, 720);
  const auto train = open_dataset(options, "train"), test = open_dataset(options, "test");
  EXPECT_EQ(train->info().dataset, "plugin");
  EXPECT_EQ(train->info().form, "birds");
  EXPECT_EQ(train->info().split, "train");
  EXPECT_EQ(train->class_name(17), "species17");
  EXPECT_EQ(test->class_name(0), "species24");
  const ImageView view = train->image({3, 5, 0});
  EXPECT_EQ(view.width, 28);
  EXPECT_EQ(view.height, 28);
  EXPECT_EQ(view.channels, 3);
  EXPECT_EQ(pixels(*train, 3, 5), pixels(*open_dataset(options, "train"), 3, 5));
  EXPECT_NE(pixels(*train, 3, 5), pixels(*train, 3, 6));
  EXPECT_NO_THROW(require_servable(*train, {}));
}

TEST(Plugin, GetsItsOptions) {
  EXPECT_NE(pixels(*open_dataset(plugin("birds", {"seed=1"}), "train"), 0, 0),
            pixels(*open_dataset(plugin("birds", {"seed=2"}), "train"), 0, 0));
  DatasetOptions grey = plugin("birds");
  grey.channels = 1;
  EXPECT_EQ(open_dataset(grey, "val")->image({0, 0, 0}).channels, 1);
}

TEST(Plugin, OutlivesWhatOpenedIt) {
  ImageView view;
  {
    const auto source = open_dataset(plugin("birds"), "train");
    view = source->image({0, 0, 0});
  }
  EXPECT_GT(std::accumulate(view.pixels, view.pixels + view.bytes(), 0), 0);
}

// Each of these is one line that names the file and what was wrong or expected.
TEST(Plugin, RefusesWhatIsNoPluginOfThisVersion) {
  const auto data_error = [](const std::string& name, std::vector<std::string> options = {}) {
    const std::string text = message_of<DataError>([&] {
      open_dataset(plugin(name, std::move(options)), "train")->image({2, 3, 0});
    });
    EXPECT_THAT(text, HasSubstr("lib" + name + ".so'"));
    EXPECT_THAT(text, Not(HasSubstr("\n")));
    return text;
  };
  EXPECT_THAT(
      data_error("other_abi"),
      HasSubstr("was built for 'fewatoms-plugin-0 c++abi-1002 cxx11-strings-0', expected '" FEWATOMS_PLUGIN_ABI "'"));
  EXPECT_THAT(data_error("no_symbol"),
              HasSubstr("has no symbol 'fewatoms_plugin_abi', expected a library with FEWATOMS_PLUGIN"));
  EXPECT_THAT(data_error("undefined"), HasSubstr("cannot be loaded: undefined symbol: "));
  EXPECT_THAT(data_error("throwing", {"at=splits"}), HasSubstr("so': 'birds.db' line 3: expected a name"));
  EXPECT_THAT(data_error("throwing", {"at=names"}),
              HasSubstr("has the splits train, holdout, expected some of train, val and test"));
  EXPECT_THAT(data_error("throwing", {"at=open"}), HasSubstr("it failed with 'no film in the camera'"));
  EXPECT_THAT(data_error("throwing", {"at=null"}), HasSubstr("opened nothing for split 'train'"));
  EXPECT_THAT(data_error("throwing", {"at=image"}),
              HasSubstr("image 3 of class 'train2': it failed with 'the film was torn'"));
  EXPECT_THAT(data_error("throwing", {"at=other"}),
              HasSubstr("image 3 of class 'train2': it threw something that is no std::exception"));
  EXPECT_THAT(message_of<DataError>([] {
                open_dataset(plugin("throwing", {"at=size"}), "train")->image({2, 3, 0});
              }),
              HasSubstr("image 'train2/3' is 4x8x1, expected 8x8x1"));
}

TEST(Plugin, RefusesTheCallersMistakes) {
  const auto usage_error = [](const DatasetOptions& options, const std::string& split = "train") {
    return message_of<UsageError>([&] { open_dataset(options, split); });
  };
  EXPECT_THAT(usage_error({.name = "plugin"}), HasSubstr("needs a shared library: --plugin FILE"));
  EXPECT_THAT(usage_error(plugin("absent")), HasSubstr("there is no plugin '"));
  EXPECT_THAT(usage_error({.name = "plugin", .plugin = FEWATOMS_PLUGINS}),
              HasSubstr("is no file, expected a shared library"));
  EXPECT_THAT(usage_error(plugin("birds", {"specis=20"})),
              HasSubstr("libbirds.so': unknown plugin option 'specis', did you mean 'species'?"));
  EXPECT_THAT(usage_error(plugin("birds", {"species=14"})),
              HasSubstr("plugin option 'species' is '14', expected a whole number from 15 to 10000"));
  EXPECT_THAT(usage_error(plugin("birds", {"species"})), HasSubstr("plugin option 'species' is not key=value"));
  EXPECT_THAT(usage_error(plugin("throwing"), "val"), HasSubstr("has no split 'val': there is train, test"));
  EXPECT_THAT(usage_error({.name = "strokes", .plugin = "x.so"}),
              HasSubstr("go with data set 'plugin', the data set is 'strokes'"));
}

std::vector<std::string> one_split(const DatasetOptions&) { return {"train"}; }

TEST(RegisterDataset, MakesASourceADataSet) {
  register_dataset({.name = "registered",
                    .summary = "drawn here",
                    .needs_root = false,
                    .usual_size = 16,
                    .usual_channels = 3,
                    .splits = one_split,
                    .open = [](const DatasetOptions& o, const std::string&) {
                      return prepared_source(std::make_shared<SyntheticSource>(6, 20, 8), o);
                    }});
  const DatasetOptions options = resolve({.name = "registered"});
  EXPECT_EQ(options.image_size, 16);
  const auto source = open_dataset(options, "train");
  const ImageView view = source->image({1, 2, 0});
  EXPECT_EQ(view.width, 16);
  EXPECT_EQ(view.channels, 3);
  EXPECT_EQ(summarise(options)[0].images, 120);
  EXPECT_THAT(message_of<UsageError>([] { register_dataset({.name = "registered", .splits = one_split}); }),
              HasSubstr("already"));
  EXPECT_THAT(message_of<UsageError>([] { register_dataset({.name = "half", .splits = one_split}); }),
              HasSubstr("no open"));
}

TEST(PreparedSource, LeavesPixelsOfTheSizeAskedAlone) {
  const auto raw = std::make_shared<SyntheticSource>(3, 4, 8, 3);
  const auto source = prepared_source(raw, {.image_size = 8, .channels = 3});
  EXPECT_EQ(pixels(*source, 2, 3), pixels(*raw, 2, 3));
  EXPECT_EQ(source->image_name({2, 3, 0}), "class2/3");
}

TEST(PreparedSource, RefusesSourcesThatCannotBe) {
  const auto refusal = [](std::vector<int> sizes) {
    return message_of<DataError>([&] {
      prepared_source(std::make_shared<SyntheticSource>(std::move(sizes), 8), {.image_size = 8, .channels = 1});
    });
  };
  EXPECT_THAT(refusal({}), HasSubstr("synthetic split 'train' has no classes"));
  EXPECT_THAT(refusal({3, 0}), HasSubstr("class 'class1' of synthetic split 'train' is empty"));
}

}  // namespace
}  // namespace fewatoms
