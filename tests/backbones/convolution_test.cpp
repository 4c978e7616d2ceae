#include "backbones/convolution.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "backbones/atoms.h"
#include "backbones/backbone.h"
#include "episodes/errors.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

/// The six 3x3 atoms as the DCFNet and ACDC authors print them.
Tensor published_basis() {
  return torch::tensor({.0493,  .3053,  .0493,  .3053,  .6731, .3053,  .0493,  .3053,  .0493,    //
                        -.0783, -.5928, -.0783, 0.,     0.,    0.,     .0783,  .5928,  .0783,    //
                        -.0783, 0.,     .0783,  -.5928, 0.,    .5928,  -.0783, 0.,     .0783,    //
                        0.,     .6799,  0.,     -.6799, 0.,    -.6799, 0.,     .6799,  0.,       //
                        .1477,  0.,     -.1477, 0.,     0.,    0.,     -.1477, 0.,     .1477,    //
                        -.1117, -.4088, -.1117, -.4088, 1.027, -.4088, -.1117, -.4088, -.1117},  //
                       torch::kDouble)
      .view({6, 9});
}

Tensor unit_rows(const Tensor& t) { return t / t.norm(2, {1}, true); }

Tensor rows(int count, int size) { return fourier_bessel_atoms(count, size).view({count, size * size}); }

double smallest_singular_value(const Tensor& t) { return std::get<1>(at::linalg_svd(t)).min().item<double>(); }

TEST(Atoms, FirstSixAreThePublishedBasisUpToSignAndScale) {
  const Tensor ours = rows(6, 3), published = unit_rows(published_basis());
  const Tensor along = at::mm(ours, published.t()).abs();  // 1 where two atoms agree
  const std::vector<std::vector<int>> candidates = {{0}, {1, 2}, {1, 2}, {3, 4}, {3, 4}, {5}};
  std::set<int> taken;
  for (int m = 0; m < 6; ++m) {
    for (const int p : candidates[m]) {
      const Tensor signed_atom = ours[m] * (at::dot(ours[m], published[p]).item<double>() < 0 ? -1 : 1);
      if ((signed_atom - published[p]).abs().max().item<double>() < 1e-3) taken.insert(p);
    }
    EXPECT_NEAR(ours[m].norm().item<double>(), 1, 1e-12);
  }
  EXPECT_EQ(taken.size(), 6U) << along;
}

TEST(Atoms, AreIndependentAndCompleteAtEveryCount) {
  for (int count = 1; count <= 9; ++count) EXPECT_GT(smallest_singular_value(rows(count, 3)), 0.05) << count;
  for (const int size : {5, 7}) EXPECT_GT(smallest_singular_value(rows(size * size, size)), 1e-3) << size;
}

TEST(Atoms, GoOnInOrder) {
  const Tensor nine = rows(9, 3);
  for (int count = 1; count < 9; ++count) EXPECT_TRUE(rows(count, 3).equal(nine.narrow(0, 0, count))) << count;
  EXPECT_TRUE(rows(7, 5).equal(rows(25, 5).narrow(0, 0, 7)));
}

TEST(Atoms, BeyondTheSixthAreOrthogonalToAllBefore) {
  for (const auto& [count, size] : {std::pair{9, 3}, std::pair{25, 5}}) {
    const Tensor atoms = rows(count, size), gram = at::mm(atoms, atoms.t());
    for (int m = 6; m < count; ++m) {
      EXPECT_NEAR(gram[m][m].item<double>(), 1, 1e-12);
      for (int before = 0; before < m; ++before)
        EXPECT_NEAR(gram[m][before].item<double>(), 0, 1e-10) << size << ": " << m << ", " << before;
    }
  }
}

TEST(Atoms, CountsAndSizesOutOfRangeAreRefused) {
  for (const auto& [count, size] : {std::pair{0, 3}, std::pair{-1, 3}, std::pair{10, 3}, std::pair{26, 5}})
    EXPECT_NE(test::message_of<UsageError>([&, count = count, size = size] {
                fourier_bessel_atoms(count, size);
              }).find("atoms is " + std::to_string(count)),
              std::string::npos);
  for (const int size : {1, 2, 4, 13}) EXPECT_THROW(fourier_bessel_atoms(1, size), UsageError) << size;
}

// ---- Sharing.

NetworkOptions small_network(const ConvOptions& conv) {
  NetworkOptions network;
  network.width = 4;
  network.image_size = 28;
  network.channels = 1;
  network.conv = conv;
  return network;
}

ConvOptions acdc(const std::string& sharing, int atoms = 6) {
  return {.kind = "acdc", .sharing = sharing, .atoms = atoms, .compute = "composed"};
}

/// A network with two blocks in each of two stages, of different width.
std::vector<ConvLayer> two_stages() {
  const auto layer = [](const char* name, int in, int out, int block, int stage) {
    return ConvLayer{.name = name, .in = in, .out = out, .block = block, .stage = stage};
  };
  std::vector<ConvLayer> layers = {layer("stem", 3, 4, 0, 0), layer("a1", 4, 4, 1, 0), layer("a2", 4, 4, 1, 0),
                                   layer("b1", 4, 4, 2, 0),   layer("c1", 4, 8, 3, 1), layer("c2", 8, 8, 3, 1)};
  layers[0].stem = true;
  return layers;
}

std::vector<std::vector<int64_t>> coefficient_shapes(const std::string& sharing) {
  ParameterSet parameters;
  make_convolutions(two_stages(), acdc(sharing), 0, parameters);
  std::vector<std::vector<int64_t>> shapes;
  for (const Parameter& p : parameters)
    if (p.role == Role::kCoefficient) shapes.push_back(p.tensor.sizes().vec());
  std::sort(shapes.begin(), shapes.end());
  return shapes;
}

TEST(Sharing, GroupsHaveOneCoefficientTensorOfTheirLargestLayer) {
  using Shapes = std::vector<std::vector<int64_t>>;
  EXPECT_EQ(coefficient_shapes("net"), (Shapes{{8, 8, 6}}));
  EXPECT_EQ(coefficient_shapes("stage"), (Shapes{{4, 4, 6}, {8, 8, 6}}));
  EXPECT_EQ(coefficient_shapes("block"), (Shapes{{4, 4, 6}, {4, 4, 6}, {8, 8, 6}}));
  EXPECT_EQ(coefficient_shapes("layer"), (Shapes{{4, 4, 6}, {4, 4, 6}, {4, 4, 6}, {8, 4, 6}, {8, 8, 6}}));
}

TEST(Sharing, EveryLayerReadsTheLeadingSliceAndItsOwnAtoms) {
  for (const std::string sharing : {"layer", "block", "stage", "net"}) {
    ParameterSet parameters;
    const auto layers = two_stages();
    const auto made = make_convolutions(layers, acdc(sharing), 0, parameters);
    parameters = parameters.to(at::kDouble);
    std::set<size_t> atoms_seen;
    for (size_t l = 1; l < layers.size(); ++l) {
      const ConvLayer& layer = layers[l];
      Tensor coefficients, atoms;
      for (const size_t i : made[l]->parameters()) {
        if (parameters[i].role == Role::kCoefficient) coefficients = parameters.tensor(i);
        if (parameters[i].role != Role::kAtom) continue;
        atoms = parameters.tensor(i);
        EXPECT_TRUE(atoms_seen.insert(i).second) << "two layers share atoms";
      }
      using at::indexing::Slice;
      const Tensor slice = coefficients.index({Slice(0, layer.out), Slice(0, layer.in)});
      const Tensor kernel = at::einsum("oim,mkl->oikl", {slice, atoms});
      const Tensor x = normal_tensor({2, layer.in, 6, 5}, 1, 5, layer.name).to(at::kDouble);
      const Tensor difference = made[l]->forward(x, parameters) - at::conv2d(x, kernel, {}, 1, 1);
      EXPECT_LT(difference.abs().max().item<double>(), 1e-12) << sharing << " " << layer.name;
    }
  }
}

TEST(Sharing, NetStoresOneTensorOnConv4AndBlockIsLayerThere) {
  for (const std::string sharing : {"layer", "block", "stage", "net"}) {
    ParameterSet parameters;
    make_backbone(small_network(acdc(sharing)), 0, parameters);
    int tensors = 0;
    for (const Parameter& p : parameters) tensors += p.role == Role::kCoefficient ? 1 : 0;
    EXPECT_EQ(tensors, sharing == "net" || sharing == "stage" ? 1 : 3) << sharing;
  }
}

TEST(Compute, ComposedEqualsTwoStageForEverySharing) {
  for (const std::string sharing : {"layer", "block", "stage", "net"})
    for (const int atoms : {1, 6, 9}) {
      ConvOptions options = acdc(sharing, atoms);
      ParameterSet parameters, same;
      const auto composed = make_convolutions(two_stages(), options, 3, parameters);
      options.compute = "two-stage";
      const auto two_stage = make_convolutions(two_stages(), options, 3, same);
      parameters = parameters.to(at::kDouble);
      const auto layers = two_stages();
      for (size_t l = 0; l < layers.size(); ++l) {
        const Tensor x = normal_tensor({3, layers[l].in, 7, 6}, 1, 5, "x").to(at::kDouble);
        const Tensor a = composed[l]->forward(x, parameters), b = two_stage[l]->forward(x, parameters);
        ASSERT_EQ(a.sizes(), b.sizes());
        EXPECT_LT((a - b).abs().max().item<double>(), 1e-12) << sharing << " " << atoms << " " << layers[l].name;
      }
    }
}

TEST(Compute, TwoStageTakesStrideAndPadding) {
  const Tensor x = normal_tensor({2, 3, 9, 8}, 1, 1, "x").to(at::kDouble);
  const Tensor coefficients = normal_tensor({5, 3, 6}, 1, 1, "c").to(at::kDouble), atoms = fourier_bessel_atoms(6, 3);
  for (const int stride : {1, 2})
    for (const int padding : {0, 1}) {
      const Tensor expected = at::conv2d(x, compose_kernel(coefficients, atoms), {}, stride, padding);
      const Tensor ours = two_stage_convolution(x, coefficients, atoms, stride, padding);
      ASSERT_EQ(ours.sizes(), expected.sizes());
      EXPECT_LT((ours - expected).abs().max().item<double>(), 1e-12);
    }
}

// ---- Numbers.

int64_t convolution_weights(NetworkOptions network) {
  ParameterSet parameters;
  make_backbone(network, 0, parameters);
  auto counts = parameters.count();
  return counts[Role::kKernel] + counts[Role::kCoefficient] + counts[Role::kAtom];
}

TEST(Counts, Conv4OnMiniImageNet) {
  NetworkOptions network;  // width 32, 84x84 RGB
  EXPECT_EQ(convolution_weights(network), 28'512);
  network.conv = acdc("net");
  EXPECT_EQ(convolution_weights(network), 7'170);
  ParameterSet parameters;
  make_backbone(network, 0, parameters);
  const auto counts = parameters.count();
  EXPECT_EQ(counts.at(Role::kKernel), 864);
  EXPECT_EQ(counts.at(Role::kCoefficient), 6'144);
  EXPECT_EQ(counts.at(Role::kAtom), 162);
  EXPECT_EQ(counts.at(Role::kNorm), 4 * 2 * 32);
  network.width = 64;
  EXPECT_EQ(convolution_weights(network), 26'466);
  EXPECT_LT(162 * sizeof(float), 1024U);  // the atoms of an adapter are under 1 kB
}

// ---- Initial values.

std::string numbered(std::string name, int number) { return name.append(std::to_string(number)); }

TEST(Initial, EveryConvolutionKeepsTheVarianceOfHe) {
  // Unit second moment in, so variance 2 out; twice wider and narrower is the limit at every layer, for every sharing.
  struct Case {
    std::string name;
    std::vector<ConvLayer> layers;
  };
  std::vector<ConvLayer> even, growing;
  const int widths[] = {16, 16, 32, 64, 64};
  for (int l = 0; l < 4; ++l) {
    even.push_back({.name = numbered("e", l), .in = 32, .out = 32, .block = l, .stage = l / 2});
    growing.push_back(
        {.name = numbered("g", l), .in = widths[l], .out = widths[l + 1], .block = l / 2, .stage = l / 2});
  }
  std::vector<ConvOptions> kinds = {{}};
  for (const std::string sharing : {"layer", "block", "stage", "net"})
    for (const int atoms : {1, 3, 6, 9}) kinds.push_back(acdc(sharing, atoms));
  for (const auto& layers : {even, growing})
    for (const ConvOptions& kind : kinds) {
      ParameterSet parameters;
      const auto made = make_convolutions(layers, kind, 1, parameters);
      for (size_t l = 0; l < layers.size(); ++l) {
        const Tensor x = normal_tensor({4, layers[l].in, 20, 20}, 1, 2, layers[l].name);
        const double variance = made[l]->forward(x, parameters).var().item<double>();
        EXPECT_GT(variance, 1.0) << layers[l].name << " " << kind.kind << " " << kind.sharing << " " << kind.atoms;
        EXPECT_LT(variance, 4.0) << layers[l].name << " " << kind.kind << " " << kind.sharing << " " << kind.atoms;
      }
    }
}

TEST(Initial, ActivationVarianceStaysThroughTheDepth) {
  for (const std::string sharing : {"standard", "layer", "block", "stage", "net"}) {
    std::vector<ConvLayer> layers;
    for (int l = 0; l < 6; ++l)
      layers.push_back({.name = numbered("l", l), .in = 64, .out = 64, .block = l, .stage = l / 3});
    ParameterSet parameters;
    const auto made = make_convolutions(layers, sharing == "standard" ? ConvOptions{} : acdc(sharing), 4, parameters);
    Tensor x = normal_tensor({4, 64, 24, 24}, 1, 2, "x");
    for (size_t l = 0; l < layers.size(); ++l) {
      const Tensor y = made[l]->forward(x, parameters);
      const double variance =
          y.narrow(2, 6, 12).narrow(3, 6, 12).pow(2).mean().item<double>();  // away from the padding
      EXPECT_GT(variance, 1.0) << sharing << " layer " << l;
      EXPECT_LT(variance, 4.0) << sharing << " layer " << l;
      // Unit second moment by channel again, as a norm layer would see to it.
      x = y.relu();
      x = x / x.pow(2).mean(at::IntArrayRef{0, 2, 3}, true).clamp_min(1e-6).sqrt();
    }
  }
}

TEST(Initial, IsAPureFunctionOfTheSeed) {
  const auto values = [](uint64_t seed) {
    ParameterSet parameters;
    make_backbone(small_network(acdc("net")), seed, parameters);
    return parameters;
  };
  const ParameterSet a = values(5), b = values(5), c = values(6);
  bool differs = false;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(a.tensor(i).equal(b.tensor(i)));
    EXPECT_EQ(a.tensor(i).scalar_type(), at::kFloat);
    differs |= !a.tensor(i).equal(c.tensor(i));
  }
  EXPECT_TRUE(differs);
}

// ---- Mistakes.

TEST(Convolutions, UnknownNamesOfferTheNearest) {
  const auto message = [](const ConvOptions& options) {
    return test::message_of<UsageError>([&] {
      ParameterSet parameters;
      make_convolutions(two_stages(), options, 0, parameters);
    });
  };
  ConvOptions options;
  options.kind = "standart";
  EXPECT_NE(message(options).find("did you mean 'standard'"), std::string::npos);
  options = acdc("nett");
  EXPECT_NE(message(options).find("did you mean 'net'"), std::string::npos);
  options = acdc("net");
  options.compute = "twostage";
  EXPECT_NE(message(options).find("did you mean 'two-stage'"), std::string::npos);
  for (const int atoms : {-3, 0, 122}) {
    const std::string text = message(acdc("net", atoms));
    EXPECT_NE(text.find("atoms is " + std::to_string(atoms)), std::string::npos) << text;
    EXPECT_NE(text.find("1 to 121"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace fewatoms
