#include <fstream>

#include <torch/autograd.h>
#include <nlohmann/json.hpp>

#include "backbones/backbone.h"
#include "episodes/errors.h"
#include "tests/backbones/formula.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using nlohmann::json;
using test::formula;

NetworkOptions resnet(const std::string& backbone, int width, int size) {
  NetworkOptions options;
  options.backbone = backbone;
  options.width = width;
  options.image_size = size;
  options.pool = "mean";
  return options;
}

int64_t numbers_in(const ParameterSet& parameters, Role role) {
  const auto count = parameters.count();
  return count.count(role) > 0 ? count.at(role) : 0;
}

// ---- Against plain PyTorch (tests/golden/make_resnets.py).

class GoldenResNet : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Networks, GoldenResNet, ::testing::Values("resnet12", "resnet18"));

TEST_P(GoldenResNet, ForwardAndGradientEqualPlainPyTorch) {
  std::ifstream file(std::string(FEWATOMS_SOURCE_DIR) + "/tests/golden/resnets.json");
  const json golden = json::parse(file).at(GetParam());
  const int size = golden.at("size");
  ParameterSet initial, parameters;
  const auto backbone = make_backbone(resnet(GetParam(), golden.at("width"), size), 0, initial);
  for (const Parameter& p : initial) {
    const bool scale = p.name.ends_with(".scale"), shift = p.name.ends_with(".shift");
    const Tensor value = formula(p.name, p.tensor.sizes(), scale ? 0.3 : shift ? 0.2 : 0.4, scale ? 1 : 0);
    parameters.add(p.name, value.requires_grad_(true), p.role);
  }
  const Tensor images = formula("images", {golden.at("images"), 3, size, size}, 1, 0);
  const Tensor y = backbone->forward(images, parameters, NormMode::kBatch).x;
  const std::vector<double> expected = golden.at("output");
  ASSERT_EQ(y.numel(), static_cast<int64_t>(expected.size()));
  EXPECT_LT((y.flatten() - at::tensor(expected, at::kDouble)).abs().max().item<double>(), 1e-9);

  const Tensor loss = (y * formula("weights", y.sizes(), 1, 0)).sum();
  EXPECT_NEAR(loss.item<double>(), golden.at("loss").get<double>(), 1e-9);
  std::vector<Tensor> leaves;
  for (const Parameter& p : parameters) leaves.push_back(p.tensor);
  const auto gradients = torch::autograd::grad({loss}, leaves);
  EXPECT_EQ(golden.at("gradients").size(), leaves.size());
  for (size_t i = 0; i < leaves.size(); ++i) {
    const std::vector<double> g = golden.at("gradients").at(parameters[i].name);
    const double tolerance = 1e-8 * (1 + std::sqrt(g[1]));
    EXPECT_NEAR(gradients[i].sum().item<double>(), g[0], tolerance) << parameters[i].name;
    EXPECT_NEAR(gradients[i].pow(2).sum().item<double>(), g[1], 1e-8 * (1 + g[1])) << parameters[i].name;
    EXPECT_NEAR(gradients[i].flatten()[0].item<double>(), g[2], tolerance) << parameters[i].name;
  }
}

// ---- Counts.

TEST(ResNet, StandardParametersAsPublished) {
  // torchvision's resnet18 without its classifier: 11,176,512 parameters, of which 9,600 of norms.
  ParameterSet eighteen;
  make_backbone(resnet("resnet18", 64, 84), 0, eighteen);
  EXPECT_EQ(numbers_in(eighteen, Role::kKernel) + numbers_in(eighteen, Role::kNorm), 11'176'512);
  EXPECT_EQ(numbers_in(eighteen, Role::kNorm), 9'600);
  // ResNet-12 with 64-160-320-640: per block 9 (in out + 2 out^2) + in out.
  ParameterSet twelve;
  make_backbone(resnet("resnet12", 64, 84), 0, twelve);
  int64_t expected = 0, in = 3;
  for (const int64_t out : {64, 160, 320, 640}) {
    expected += 9 * (in * out + 2 * out * out) + in * out;
    in = out;
  }
  EXPECT_EQ(numbers_in(twelve, Role::kKernel), expected);
}

TEST(ResNet, GroupsBringResNet18BelowFivePercentOfTheStandardWeights) {
  NetworkOptions options = resnet("resnet18", 64, 84);
  ParameterSet standard, grouped;
  make_backbone(options, 0, standard);
  options.conv = {.kind = "acdc", .sharing = "net", .atoms = 6, .group = 64};
  make_backbone(options, 0, grouped);
  int64_t atoms = 0;
  for (const auto& [in, out, layers] :
       {std::tuple{1, 1, 4}, {1, 2, 1}, {2, 2, 3}, {2, 4, 1}, {4, 4, 3}, {4, 8, 1}, {8, 8, 3}})
    atoms += int64_t{in} * out * layers * 6 * 9;
  EXPECT_EQ(numbers_in(grouped, Role::kAtom), atoms);
  EXPECT_EQ(numbers_in(grouped, Role::kCoefficient), 64 * 64 * 6);
  const double all = static_cast<double>(numbers_in(grouped, Role::kAtom) + numbers_in(grouped, Role::kCoefficient) +
                                         numbers_in(grouped, Role::kKernel));
  EXPECT_LT(all / static_cast<double>(numbers_in(standard, Role::kKernel)), 0.05);
}

// ---- Initial values.

class Variance : public ::testing::TestWithParam<ConvOptions> {};
INSTANTIATE_TEST_SUITE_P(Conv, Variance,
                         ::testing::Values(ConvOptions{}, ConvOptions{.kind = "separable"},
                                           ConvOptions{.kind = "acdc", .sharing = "layer"},
                                           ConvOptions{.kind = "acdc", .sharing = "block"},
                                           ConvOptions{.kind = "acdc", .sharing = "stage", .atoms = 3},
                                           ConvOptions{.kind = "acdc", .sharing = "net", .atoms = 9},
                                           ConvOptions{.kind = "acdc", .sharing = "net", .group = 16},
                                           ConvOptions{.kind = "acdc", .sharing = "stage", .group = 8},
                                           ConvOptions{.kind = "acdc", .sharing = "net", .decompose_pointwise = true}));

TEST_P(Variance, StaysThroughEighteenLayers) {
  NetworkOptions options = resnet("resnet18", 32, 84);
  options.conv = GetParam();
  ParameterSet parameters;
  const auto backbone = make_backbone(options, 3, parameters);
  const std::vector<std::string> names = coefficients_names(backbone->layers(), options.conv);
  // Convolution by convolution, from white images: the mean square of relu(x) halves and the kernel doubles it.
  for (const ConvLayer& layer : backbone->layers()) {
    if (layer.kernel == 1) continue;
    const auto find = [&](const std::string& name) {
      const Tensor* found = parameters.find(name);
      return found == nullptr ? Tensor() : *found;
    };
    Tensor kernel = find(layer.name + ".kernel");
    if (const Tensor atoms = find(layer.name + ".atoms"); atoms.defined()) {
      Tensor coefficients = find(names[static_cast<size_t>(&layer - backbone->layers().data())]);
      if (options.conv.group == 0) coefficients = coefficients.narrow(0, 0, layer.out).narrow(1, 0, layer.in);
      kernel = compose_kernel(coefficients, atoms);
    }
    if (const Tensor depthwise = find(layer.name + ".depthwise"); depthwise.defined())
      kernel = find(layer.name + ".pointwise") * depthwise.transpose(0, 1);
    ASSERT_TRUE(kernel.defined()) << layer.name;
    ASSERT_EQ(kernel.sizes(), (at::IntArrayRef{layer.out, layer.in, layer.kernel, layer.kernel})) << layer.name;
    const double he = 2.0 / (layer.in * layer.kernel * layer.kernel), variance = kernel.pow(2).mean().item<double>();
    EXPECT_GT(variance, 0.75 * he) << layer.name;
    EXPECT_LT(variance, 1.3 * he) << layer.name;
  }
  at::NoGradGuard no_graph;
  const Tensor y = backbone->forward(normal_tensor({8, 3, 84, 84}, 1, 5, "images"), parameters, NormMode::kBatch).x;
  EXPECT_TRUE(y.isfinite().all().item<bool>());
  EXPECT_GT(y.std().item<double>(), 0.05);
}

TEST(Grouping, PairsStartDifferentAndComposeByHand) {
  NetworkOptions options;
  options.width = 8;
  options.conv = {.kind = "acdc", .atoms = 2, .group = 4};
  ParameterSet parameters;
  const auto backbone = make_backbone(options, 0, parameters);
  Tensor atoms, coefficients;
  for (const Parameter& p : parameters) {
    if (p.name == "block2.conv.atoms") atoms = p.tensor;
    if (p.role == Role::kCoefficient) coefficients = p.tensor;
  }
  ASSERT_EQ(atoms.sizes(), (at::IntArrayRef{2, 2, 2, 3, 3}));
  ASSERT_EQ(coefficients.sizes(), (at::IntArrayRef{4, 4, 2}));
  EXPECT_GT((atoms[0][0] - atoms[1][0]).abs().max().item<double>(), 0.1);
  const Tensor kernel = compose_kernel(coefficients, atoms);
  for (const auto& [o, i] : {std::pair{0, 0}, {3, 5}, {6, 2}, {7, 7}}) {
    Tensor expected = at::zeros({3, 3});
    for (int m = 0; m < 2; ++m) expected += coefficients[o % 4][i % 4][m] * atoms[o / 4][i / 4][m];
    EXPECT_LT((kernel[o][i] - expected).abs().max().item<double>(), 1e-6) << o << ", " << i;
  }
}

TEST(Grouping, SizesThatDoNotDivideAreRefused) {
  NetworkOptions options;
  options.width = 8;
  ParameterSet parameters;
  const auto message = [&](const ConvOptions& conv) {
    options.conv = conv;
    ParameterSet fresh;
    return test::message_of<UsageError>([&] { make_backbone(options, 0, fresh); });
  };
  EXPECT_NE(message({.kind = "acdc", .group = 3}).find("does not divide the 8"), std::string::npos);
  EXPECT_NE(message({.kind = "acdc", .group = 4, .compute = "two-stage"}).find("two-stage"), std::string::npos);
  EXPECT_NE(message({.kind = "acdc", .group = 4, .decompose_stem = true}).find("block1.conv"), std::string::npos);
}

// ---- Norms by image, DropBlock.

TEST(NormKinds, AreLibTorchsAndLookAtOneImageAlone) {
  for (const std::string kind : {"group", "layer", "none"}) {
    NetworkOptions options;
    options.width = 40;
    options.image_size = 28;
    options.norm = kind;
    ParameterSet parameters;
    const auto backbone = make_backbone(options, 0, parameters);
    const ParameterSet wide = parameters.to(at::kDouble);
    const Tensor images = normal_tensor({3, 3, 28, 28}, 1, 5, "images").to(at::kDouble);
    const Tensor all = backbone->forward(images, wide, NormMode::kBatch).x;
    EXPECT_LT((all.narrow(0, 1, 1) - backbone->forward(images.narrow(0, 1, 1), wide, NormMode::kBatch).x)
                  .abs()
                  .max()
                  .item<double>(),
              1e-10)
        << kind;
    // The first block by hand.
    const auto tensor = [&](const std::string& name) { return *wide.find(name); };
    const Tensor scale = tensor("block1.norm.scale"), shift = tensor("block1.norm.shift");
    Tensor x = at::conv2d(images, tensor("block1.conv.kernel"), {}, 1, 1);
    if (kind != "none") x = at::group_norm(x, kind == "layer" ? 1 : 2, scale, shift, kNormEpsilon);
    EXPECT_LT((backbone->forward(images, wide, 0, 1, NormMode::kBatch).x - at::max_pool2d(x.relu(), {2, 2}))
                  .abs()
                  .max()
                  .item<double>(),
              1e-9)
        << kind;
  }
}

TEST(DropBlock, IsAFunctionOfItsKeyAndKeepsTheScale) {
  NetworkOptions options = resnet("resnet12", 4, 42);
  options.drop_rate = 0.2;
  ParameterSet parameters;
  const auto backbone = make_backbone(options, 0, parameters);
  const Tensor images = normal_tensor({4, 3, 42, 42}, 1, 5, "images");
  at::NoGradGuard no_graph;
  const auto run = [&](uint64_t key) {
    return backbone->forward(images, parameters, 0, 1, Pass(NormMode::kBatch, key)).x;
  };
  const Tensor plain = run(0), one = run(1);
  EXPECT_TRUE(one.equal(run(1)));
  EXPECT_FALSE(one.equal(run(2)));
  EXPECT_TRUE(plain.equal(backbone->forward(images, parameters, 0, 1, NormMode::kBatch).x));
  const double dropped = ((one == 0) & (plain != 0)).to(at::kDouble).mean().item<double>();
  EXPECT_GT(dropped, 0.1);
  EXPECT_LT(dropped, 0.3);
  const Tensor kept = (one / plain).masked_select((one != 0) & (plain != 0));
  EXPECT_LT((kept.max() - kept.min()).item<double>(), 1e-4);  // one factor
  EXPECT_NEAR(kept.mean().item<double>(), 1 / (1 - dropped), 0.02);
}

TEST(DropBlock, WhereThereIsNoneItIsRefused) {
  NetworkOptions options = resnet("resnet18", 4, 42);
  options.drop_rate = 0.1;
  ParameterSet parameters;
  EXPECT_NE(test::message_of<UsageError>([&] { make_backbone(options, 0, parameters); }).find("resnet12"),
            std::string::npos);
}

}  // namespace
}  // namespace fewatoms
