#include <fstream>

#include <nlohmann/json.hpp>

#include "apps/run_folder.h"
#include "backbones/convolution.h"
#include "backbones/safetensors.h"
#include "tests/apps/program.h"

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

json decompose(const fs::path& run, const fs::path& out, const Arguments& more) {
  const fs::path file = out.string() + ".json";
  run_well(Arguments{"decompose", run.string(), "--out", out.string(), "--json", file.string(), "--episodes", "10",
                     "--threads", "1"} +
           more);
  return json::parse(std::ifstream(file));
}

TEST(Decompose, NineAtomsOfEachLayerLoseNothingAndFewerLoseLess) {
  const TemporaryFolder folder;
  const fs::path run = folder / "standard";
  run_well(small_training(run, {"--method", "protonet", "--inner-steps", "0", "--norm", "running"}));
  const json whole = decompose(run, folder / "nine", {"--sharing", "layer", "--atoms", "9"});
  ASSERT_EQ(whole.at("layers").size(), 3U);  // the stem stays
  for (const json& layer : whole.at("layers")) EXPECT_LT(layer.at("relative_error").get<double>(), 1e-5);
  EXPECT_NEAR(whole.at("decomposed").at("accuracy").get<double>(), whole.at("standard").at("accuracy").get<double>(),
              0.01);

  const json six =
      decompose(run, folder / "six", {"--sharing", "net", "--atoms", "4", "--finetune", "2", "--outer-lr", "0.0005"});
  EXPECT_LT(six.at("convolution_weights"), six.at("standard_convolution_weights"));
  for (const json& layer : six.at("layers")) EXPECT_GT(layer.at("relative_error").get<double>(), 0.01);
  EXPECT_EQ(six.at("finetune_iterations"), 2);
  EXPECT_EQ(read_run((folder / "six").string(), "last").settings.trainer.outer_lr, "0.0005");
  EXPECT_NE(read_run(run.string(), "last").settings.trainer.outer_lr, "0.0005");
  // What came out is a run: it can be evaluated and trained further.
  EXPECT_THAT(run_well({"eval", (folder / "six").string(), "--episodes", "5", "--threads", "1"}).out,
              HasSubstr("iteration 2"));
  run_well({"train", "--resume", "--out", (folder / "six").string(), "--iterations", "3", "--quiet"});

  expect_refusals({
      {{"decompose", (folder / "six").string(), "--out", (folder / "x").string()}, {"convolutions 'acdc'", "standard"}},
      {{"decompose", run.string(), "--out", run.string()}, {"holds a run already"}},
      {{"decompose", run.string(), "--out", (folder / "x").string(), "--group", "3"},
       {"group is 3", "does not divide"}},
      {{"decompose", run.string(), "--out", (folder / "x").string(), "--atoms", "122"}, {"--atoms", "122"}},
      {{"decompose", run.string(), "--out", (folder / "x").string(), "--outer-lr", "0.1"},
       {"--outer-lr", "--finetune"}},
      {{"decompose", run.string(), "--out", (folder / "x").string(), "--finetune", "1", "--outer-lr", "-1"},
       {"outer rate", "-1"}},
      {{"decompose", (folder / "none").string(), "--out", (folder / "x").string()}, {"none"}},
  });
  EXPECT_FALSE(fs::exists(folder / "x"));
}

TEST(Import, AFileOfPyTorchsTensorsIsARun) {
  const TemporaryFolder folder;
  SafeTensors file;
  for (int block = 0; block < 4; ++block) {
    const std::string name = "encoder." + std::to_string(block);
    file.tensors[name + ".0.weight"] = normal_tensor({8, block == 0 ? 1 : 8, 3, 3}, 0.2, 1, name);
    file.tensors[name + ".1.weight"] = at::ones({8});
    file.tensors[name + ".1.bias"] = at::zeros({8});
    file.tensors[name + ".1.running_mean"] = at::zeros({8});
    file.tensors[name + ".1.running_var"] = at::ones({8});
    file.tensors[name + ".1.num_batches_tracked"] = at::zeros({}, at::kLong);
  }
  file.tensors["classifier.weight"] = at::zeros({5, 8});
  const fs::path path = folder / "net.safetensors";
  write_safetensors(path, file);
  const Finished made = run_well(
      {"import", path.string(), "--from", "torch-conv4", "--out", (folder / "run").string(), "--image-size", "28"});
  EXPECT_THAT(made.out, HasSubstr("conv4, width 8, 1 channels"));
  EXPECT_THAT(made.out, HasSubstr("20 of 25 tensors taken"));
  EXPECT_THAT(made.out, HasSubstr("left over: classifier.weight [5, 8]"));
  const SafeTensors last = read_safetensors(folder / "run" / "last.safetensors");
  for (const auto& [name, type] :
       std::map<std::string, at::ScalarType>{{"half", at::kHalf}, {"brain", at::kBFloat16}}) {
    SafeTensors small = file;  // half precision becomes whole
    for (auto& [tensor, value] : small.tensors)
      if (value.scalar_type() == at::kFloat) value = value.to(type);
    write_safetensors(folder / name, small);
    run_well({"import", (folder / name).string(), "--from", "torch-conv4", "--out", (folder / ("run-" + name)).string(),
              "--image-size", "28"});
    EXPECT_TRUE(read_safetensors(folder / ("run-" + name) / "last.safetensors")
                    .tensors.at("block3.conv.kernel")
                    .equal(file.tensors.at("encoder.2.0.weight").to(type).to(at::kFloat)))
        << name;
  }
  EXPECT_TRUE(last.tensors.at("block3.conv.kernel").equal(file.tensors.at("encoder.2.0.weight")));
  EXPECT_THAT(run_well({"eval", (folder / "run").string(), "--episodes", "5", "--threads", "1"}).out,
              HasSubstr("5-way 1-shot"));
  run_well({"decompose", (folder / "run").string(), "--out", (folder / "acdc").string(), "--episodes", "5", "--threads",
            "1"});

  const std::string x = (folder / "x").string();
  expect_refusals({
      {{"import", path.string(), "--from", "torch-conv5", "--out", x}, {"torch-conv5", "torch-conv4"}},
      {{"import", path.string(), "--from", "torch-conv4", "--out", (folder / "run").string()}, {"holds a run already"}},
      {{"import", path.string(), "--from", "torch-conv4", "--out", x, "--width", "16"},
       {"block1.conv.kernel", "[8, 1, 3, 3]", "[16, 1, 3, 3]"},
       1},
      {{"import", path.string(), "--from", "torch-conv4", "--out", x, "--conv", "acdc"}, {"decompose"}},
      {{"import", path.string(), "--from", "feat-resnet12", "--out", x},
       {"has not the names of feat-resnet12", "encoder.0.0.weight"},
       1},
      {{"import", (folder / "none.safetensors").string(), "--from", "torch-conv4", "--out", x}, {"none.safetensors"}},
  });
  EXPECT_FALSE(fs::exists(x));
}

}  // namespace
}  // namespace fewatoms::test
