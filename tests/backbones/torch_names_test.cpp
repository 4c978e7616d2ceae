#include <fstream>
#include <regex>

#include <nlohmann/json.hpp>

#include "backbones/torch_names.h"
#include "episodes/errors.h"
#include "tests/backbones/formula.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using nlohmann::json;
using test::formula;

/// The file that tests/golden/make_imports.py took features of, by the same formulas.
SafeTensors file_of(const json& golden) {
  SafeTensors file;
  for (const auto& [name, tensor] : golden.at("tensors").items())
    if (!tensor.contains("copy_of"))
      file.tensors[name] =
          formula(name, tensor.at("shape").get<std::vector<int64_t>>(), tensor.at("scale"), tensor.at("offset"));
  for (const auto& [name, tensor] : golden.at("tensors").items())
    if (tensor.contains("copy_of")) file.tensors[name] = file.tensors.at(tensor.at("copy_of").get<std::string>());
  file.tensors["counter.num_batches_tracked"] = at::zeros({}, at::kLong);
  return file;
}

json goldens() {
  std::ifstream file(std::string(FEWATOMS_SOURCE_DIR) + "/tests/golden/imports.json");
  return json::parse(file);
}

struct Network {
  ParameterSet initial;
  std::unique_ptr<Backbone> backbone;

  Network(const SafeTensors& file, const std::string& source, int size, bool running = true) {
    NetworkOptions options;
    options.image_size = size;
    options.pool = source == "torch-conv4" ? "flatten" : "mean";
    options.running_statistics = running;
    backbone = make_backbone(network_of_torch(file, "file", source, options), 0, initial);
  }
};

class ImportedNetwork : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Sources, ImportedNetwork, ::testing::ValuesIn(torch_sources()),
                         [](const auto& info) { return std::regex_replace(info.param, std::regex("-"), "_"); });

TEST_P(ImportedNetwork, GivesTheFeaturesOfPyTorchsModule) {
  const json golden = goldens().at(GetParam());
  const int size = golden.at("size");
  const SafeTensors file = file_of(golden);
  const Network network(file, GetParam(), size);
  const TorchImport made = import_torch(file, "file", GetParam(), *network.backbone, network.initial);
  const Tensor y =
      network.backbone
          ->forward(formula("images", {2, 3, size, size}, 1, 0).to(at::kFloat), made.parameters, NormMode::kRunning)
          .x;
  const std::vector<double> expected = golden.at("features");
  ASSERT_EQ(y.numel(), static_cast<int64_t>(expected.size()));
  const Tensor difference = (y.flatten().to(at::kDouble) - at::tensor(expected, at::kDouble)).abs();
  EXPECT_LT(difference.max().item<double>(), 2e-4 * at::tensor(expected, at::kDouble).abs().max().item<double>());

  // Every tensor of the file is taken, not needed, or left over.
  EXPECT_EQ(made.taken + made.dropped.size() + made.left_over.size(), file.tensors.size());
  const bool classifies = file.tensors.contains("fc.weight");
  EXPECT_EQ(made.left_over.size(), classifies ? 2U : 0U);
}

TEST(TorchNames, WithoutRunningStatisticsTheyAreNotNeeded) {
  const json golden = goldens().at("torch-conv4");
  const SafeTensors file = file_of(golden);
  const Network network(file, "torch-conv4", 32, /*running=*/false);
  const TorchImport made = import_torch(file, "file", "torch-conv4", *network.backbone, network.initial);
  EXPECT_EQ(made.taken, 12);
  EXPECT_EQ(made.taken + made.dropped.size() + made.left_over.size(), file.tensors.size());
}

TEST(TorchNames, OtherNamingsOfConv4AreTheSameNetwork) {
  const SafeTensors closerlook = file_of(goldens().at("torch-conv4"));
  const Network network(closerlook, "torch-conv4", 32);
  const ParameterSet expected =
      import_torch(closerlook, "file", "torch-conv4", *network.backbone, network.initial).parameters;
  for (const auto& [conv, norm] : {std::pair{"features.@0.conv", "features.@0.normalize"},
                                   {"net.layer@1.conv", "net.layer@1.norm"},
                                   {"encoder.@0.0", "encoder.@0.1"}}) {
    SafeTensors other;
    for (int block = 0; block < 4; ++block) {
      const auto named = [&](std::string text) {
        text = std::regex_replace(text, std::regex("@0"), std::to_string(block));
        return std::regex_replace(text, std::regex("@1"), std::to_string(block + 1));
      };
      const std::string from = "feature.trunk." + std::to_string(block);
      for (const char* part : {".weight", ".bias"})
        other.tensors[named(conv) + part] = closerlook.tensors.at(from + ".C" + part);
      for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"})
        other.tensors[named(norm) + part] = closerlook.tensors.at(from + ".BN" + part);
    }
    const ParameterSet made = import_torch(other, "file", "torch-conv4", *network.backbone, network.initial).parameters;
    for (size_t i = 0; i < made.size(); ++i)
      EXPECT_TRUE(made.tensor(i).equal(expected.tensor(i))) << conv << " " << made[i].name;
  }
}

TEST(TorchNames, MistakesAreNamed) {
  const SafeTensors file = file_of(goldens().at("torch-conv4"));
  const Network network(file, "torch-conv4", 32);
  const auto data_error = [&](const SafeTensors& f, const std::string& source) {
    return test::message_of<DataError>([&] {
      network_of_torch(f, "net.safetensors", source, {});
      import_torch(f, "net.safetensors", source, *network.backbone, network.initial);
    });
  };
  EXPECT_NE(data_error(file, "torchvision-resnet18").find("net.safetensors' has not the names of torchvision-resnet18"),
            std::string::npos);
  SafeTensors lacking = file;
  lacking.tensors.erase("feature.trunk.2.BN.weight");
  EXPECT_NE(data_error(lacking, "torch-conv4").find("lacks feature.trunk.2.BN.weight"), std::string::npos);
  SafeTensors odd = file;
  odd.tensors["feature.trunk.2.C.weight"] = at::zeros({4, 5, 3, 3});
  EXPECT_NE(data_error(odd, "torch-conv4").find("[4, 5, 3, 3]"), std::string::npos);
  EXPECT_NE(test::message_of<UsageError>([&] { network_of_torch(file, "f", "torch-conv", {}); }).find("torch-conv4"),
            std::string::npos);
}

}  // namespace
}  // namespace fewatoms
