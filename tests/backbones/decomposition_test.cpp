#include "backbones/decomposition.h"
#include "episodes/errors.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

double error_of(const DecomposedKernels& fit, const std::vector<Tensor>& kernels) {
  double sum = 0;
  for (size_t i = 0; i < kernels.size(); ++i) {
    const Tensor corner = fit.coefficients.narrow(0, 0, kernels[i].size(0)).narrow(1, 0, kernels[i].size(1));
    sum += (kernels[i] - compose_kernel(corner, fit.atoms[i])).to(at::kDouble).pow(2).sum().item<double>();
  }
  return sum;
}

TEST(DecomposeKernels, OneKernelIsTheTruncatedSingularValueDecomposition) {
  const Tensor kernel = normal_tensor({7, 5, 3, 3}, 1, 1, "kernel");
  const Tensor values = std::get<0>(at::linalg_eigh(
      at::mm(kernel.flatten(2).flatten(0, 1).t(), kernel.flatten(2).flatten(0, 1)).to(at::kDouble)));  // ascending
  for (const int64_t m : {1, 4, 8}) {
    const double least =
        values.narrow(0, 0, 9 - m).sum().item<double>();  // Eckart, Young: what the smaller singular values hold
    EXPECT_NEAR(error_of(decompose_kernels({kernel}, m), {kernel}), least, 1e-4 * values.sum().item<double>()) << m;
  }
  EXPECT_LT(error_of(decompose_kernels({kernel}, 9), {kernel}), 1e-8);
}

TEST(DecomposeKernels, WhatHasSharedCoefficientsIsFoundAgain) {
  const Tensor coefficients = normal_tensor({8, 6, 3}, 1, 1, "coefficients");
  std::vector<Tensor> kernels;
  int n = 0;
  for (const auto& [out, in, k] : {std::tuple{8, 6, 3}, {8, 6, 3}, {4, 6, 3}, {8, 2, 5}, {3, 3, 3}}) {
    const Tensor atoms = normal_tensor({3, k, k}, 1, 1, "atoms" + std::to_string(++n));
    kernels.push_back(compose_kernel(coefficients.narrow(0, 0, out).narrow(1, 0, in).contiguous(), atoms));
  }
  double all = 0;
  for (const Tensor& kernel : kernels) all += kernel.pow(2).sum().item<double>();
  EXPECT_LT(error_of(decompose_kernels(kernels, 3), kernels), 1e-4 * all);
  EXPECT_GT(error_of(decompose_kernels(kernels, 2), kernels), 1e-2 * all);
}

TEST(DecomposeKernels, MoreAtomsComeNearerAndCoefficientsHaveTheUsualSize) {
  std::vector<Tensor> kernels;
  for (int i = 0; i < 3; ++i)
    kernels.push_back(normal_tensor({6, i == 0 ? 3 : 6, 3, 3}, 1, 1, "kernel" + std::to_string(i)));
  double before = 1e30;
  for (int64_t m = 1; m <= 9; ++m) {
    const DecomposedKernels fit = decompose_kernels(kernels, m);
    const double error = error_of(fit, kernels);
    EXPECT_LE(error, before * (1 + 1e-6)) << m;
    EXPECT_NEAR(fit.coefficients.pow(2).mean().item<double>(), 2.0 / (6.0 * static_cast<double>(m)), 1e-4) << m;
    before = error;
  }
}

class DecomposedNetwork : public ::testing::TestWithParam<ConvOptions> {};
INSTANTIATE_TEST_SUITE_P(Conv, DecomposedNetwork,
                         ::testing::Values(ConvOptions{.kind = "acdc", .sharing = "layer", .atoms = 3},
                                           ConvOptions{.kind = "acdc", .sharing = "block", .atoms = 3},
                                           ConvOptions{.kind = "acdc", .sharing = "stage", .atoms = 3},
                                           ConvOptions{.kind = "acdc", .sharing = "net", .atoms = 3},
                                           ConvOptions{.kind = "acdc", .sharing = "net", .atoms = 3, .group = 2},
                                           ConvOptions{.kind = "acdc",
                                                       .sharing = "layer",
                                                       .atoms = 3,
                                                       .decompose_stem = true,
                                                       .decompose_pointwise = true}));

TEST_P(DecomposedNetwork, OfADecomposableOneIsThatAgain) {
  NetworkOptions options;
  options.backbone = "resnet10";
  options.width = 4;
  options.image_size = 32;
  options.pool = "mean";
  ParameterSet standard_initial, acdc_initial;
  const auto standard = make_backbone(options, 0, standard_initial);
  options.conv = GetParam();
  const auto acdc = make_backbone(options, 7, acdc_initial);

  // The kernels of the decomposed network under the standard network's names.
  const auto tensor = [&](const std::string& name) {
    const Tensor* found = acdc_initial.find(name);
    return found == nullptr ? Tensor() : *found;
  };
  const std::vector<std::string> names = coefficients_names(acdc->layers(), GetParam());
  ParameterSet dense;
  for (const Parameter& p : standard_initial) {
    Tensor value = tensor(p.name);
    if (!value.defined()) {
      for (const ConvLayer& layer : acdc->layers()) {
        if (layer.name + ".kernel" != p.name) continue;
        Tensor coefficients = tensor(names[static_cast<size_t>(&layer - acdc->layers().data())]);
        if (GetParam().group == 0)
          coefficients = coefficients.narrow(0, 0, layer.out).narrow(1, 0, layer.in).contiguous();
        value = compose_kernel(coefficients, tensor(layer.name + ".atoms"));
      }
    }
    ASSERT_TRUE(value.defined()) << p.name;
    dense.add(p.name, value, p.role);
  }
  std::vector<LayerError> errors;
  const ParameterSet made = decomposed(acdc_initial, dense, *acdc, GetParam(), errors);
  ASSERT_FALSE(errors.empty());
  for (const LayerError& e : errors) EXPECT_LT(e.relative, 0.02) << e.layer;
  const Tensor images = normal_tensor({4, 3, 32, 32}, 1, 5, "images");
  const Tensor expected = standard->forward(images, dense, NormMode::kBatch).x,
               y = acdc->forward(images, made, NormMode::kBatch).x;
  EXPECT_LT((y - expected).norm().item<double>(), 0.05 * expected.norm().item<double>());
}

TEST(Decomposed, AnotherBackboneIsRefused) {
  NetworkOptions options;
  options.width = 4;
  ParameterSet standard, acdc_initial;
  make_backbone(options, 0, standard);
  options.width = 8;
  options.conv.kind = "acdc";
  const auto acdc = make_backbone(options, 0, acdc_initial);
  std::vector<LayerError> errors;
  EXPECT_NE(test::message_of<UsageError>([&] {
              decomposed(acdc_initial, standard, *acdc, options.conv, errors);
            }).find("block2.conv.kernel"),
            std::string::npos);
}

}  // namespace
}  // namespace fewatoms
