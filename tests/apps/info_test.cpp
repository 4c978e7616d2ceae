#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/apps/program.h"

namespace fewatoms::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json info_of(const TemporaryFolder& folder, const Arguments& more) {
  const auto file = folder / "info.json";
  run_well(Arguments{"info", "--json", file.string()} + more);
  return json::parse(std::ifstream(file));
}

const Arguments kResNet18 = {"--backbone", "resnet18", "--width", "64",   "--image-size", "84",
                             "--channels", "3",        "--pool",  "mean", "--conv",       "acdc"};

TEST(Info, LayersAddUpToTheTotals) {
  const TemporaryFolder folder;
  const json info = info_of(folder, kResNet18 + Arguments{"--group", "16"});
  ASSERT_EQ(info.at("layers").size(), 20U);  // the stem, 16 of 3x3, 3 shortcuts
  int64_t kernels = 0, coefficients = 0, atoms = 0, composed = 0, maps = 0;
  for (const json& layer : info.at("layers")) {
    kernels += layer.at("kernel_parameters").get<int64_t>();
    coefficients += layer.at("coefficient_parameters").get<int64_t>();
    atoms += layer.at("atom_parameters").get<int64_t>();
    composed += layer.at("multiply_adds_composed").get<int64_t>();
    maps += layer.at("activation_bytes").get<int64_t>();
  }
  EXPECT_EQ(kernels, info.at("parameters").at("kernel"));
  EXPECT_EQ(coefficients, info.at("parameters").at("coefficient"));
  EXPECT_EQ(atoms, info.at("parameters").at("atom"));
  EXPECT_EQ(kernels + coefficients + atoms, info.at("convolution_weights"));
  EXPECT_EQ(composed, info.at("multiply_adds_composed"));
  EXPECT_EQ(maps, info.at("activation_bytes"));
  EXPECT_EQ(info.at("standard_convolution_weights"),
            11'166'912);  // torchvision's resnet18 without norms and classifier
  EXPECT_LT(info.at("share_of_standard"), 0.05);
}

TEST(Info, FlagsAreOptionsToo) {
  const TemporaryFolder folder;
  const auto weights = [&](const Arguments& more) {
    return info_of(folder, kResNet18 + more).at("convolution_weights").get<int64_t>();
  };
  const int64_t plain = weights({}), pointwise = weights({"--decompose-pointwise"});
  EXPECT_LT(pointwise, plain);
  EXPECT_EQ(weights({"--decompose-pointwise=false"}), plain);
  std::ofstream(folder / "options.toml") << "decompose-pointwise = true\n";
  EXPECT_EQ(weights({"--config", (folder / "options.toml").string()}), pointwise);
  EXPECT_EQ(weights({"--config", (folder / "options.toml").string(), "--decompose-pointwise=false"}), plain);
}

TEST(Info, MistakesAreRefused) {
  expect_refusals({
      {{"info", "--backbone", "resnet19"}, {"resnet19", "resnet18"}},
      {{"info", "--conv", "acdc", "--group", "5"}, {"group is 5", "does not divide"}},
      {{"info", "--conv", "standard", "--group", "8"}, {"--group", "acdc"}},
      {{"info", "--conv", "standard", "--decompose-stem"},
       {"--decompose-stem goes with --conv acdc or separable", "'standard'"}},
      {{"info", "--conv", "separable", "--atoms", "3"}, {"--atoms goes with --conv acdc", "'separable'"}},
      {{"info", "--conv", "acdc", "--decompose-stem=maybe"}, {"decompose-stem", "maybe"}},
      {{"info", "--drop-rate", "0.1"}, {"resnet12"}},
      {{"info", "--backbone", "resnet12", "--method", "maml", "--norm", "grp"}, {"grp", "group"}},
  });
}

}  // namespace
}  // namespace fewatoms::test
