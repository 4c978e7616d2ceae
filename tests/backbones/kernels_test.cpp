#include <torch/autograd.h>

#include <cmath>
#include <limits>

#include "backbones/convolution.h"
#include "backbones/kernels/conv2d.h"
#include "backbones/kernels/norm_relu_pool.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using torch::autograd::grad;

Tensor numbers(at::IntArrayRef shape, const std::string& name) { return normal_tensor(shape, 1, 9, name).to(at::kDouble); }

using Operation = std::function<Tensor(const std::vector<Tensor>&)>;

/// Value, first and second derivatives of a random projection of `operation` by each input: sum(y * w), then
/// sum_i <g_i, u_i> + a non-linear term, so that no second derivative vanishes.
std::vector<Tensor> derivatives(const Operation& operation, const std::vector<Tensor>& at_values) {
  std::vector<Tensor> inputs;
  for (const Tensor& t : at_values) inputs.push_back(t.detach().clone().requires_grad_(true));
  const Tensor y = operation(inputs);
  std::vector<Tensor> all = {y.detach()};
  const Tensor w = numbers(y.sizes(), "weights");
  const auto first = grad({(y * w + 0.5 * y * y).sum()}, inputs, {}, c10::nullopt, /*create_graph=*/true);
  Tensor scalar = at::zeros({}, at::kDouble);
  for (size_t i = 0; i < first.size(); ++i) {
    all.push_back(first[i].detach());
    scalar = scalar + (first[i] * numbers(first[i].sizes(), "u" + std::to_string(i))).sum();
  }
  for (const Tensor& t : grad({scalar}, inputs)) all.push_back(t);
  return all;
}

void expect_same_derivatives(const Operation& ours, const Operation& reference, const std::vector<Tensor>& inputs,
                             const std::string& what) {
  const auto a = derivatives(ours, inputs), b = derivatives(reference, inputs);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].sizes(), b[i].sizes()) << what << ", item " << i;
    const double scale = 1 + b[i].abs().max().item<double>();
    EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), 1e-10 * scale) << what << ", item " << i << " of value, first, second";
  }
}

// ---- conv2d.

TEST(Conv2d, ValueAndTwoDerivativesEqualLibTorchs) {
  for (const int k : {1, 3})
    for (const int stride : {1, 2})
      for (const int padding : {0, 1})
        for (const auto& [in, out] : {std::pair{1, 3}, std::pair{4, 2}}) {
          const auto ours = [=](const std::vector<Tensor>& v) { return conv2d(v[0], v[1], stride, padding); };
          const auto reference = [=](const std::vector<Tensor>& v) { return at::conv2d(v[0], v[1], {}, stride, padding); };
          expect_same_derivatives(ours, reference, {numbers({2, in, 7, 6}, "x"), numbers({out, in, k, k}, "w")},
                                  "k " + std::to_string(k) + " stride " + std::to_string(stride) + " padding " + std::to_string(padding));
        }
}

TEST(Conv2d, GradientsNobodyAskedForAreLeftOut) {
  const Tensor x = numbers({2, 3, 6, 6}, "x"), w = numbers({4, 3, 3, 3}, "w").requires_grad_(true);
  const Tensor by_w = grad({conv2d(x, w, 1, 1).pow(2).sum()}, {w}, {}, c10::nullopt, true)[0];
  const Tensor expected = grad({at::conv2d(x, w, {}, 1, 1).pow(2).sum()}, {w}, {}, c10::nullopt, true)[0];
  EXPECT_LT((by_w - expected).abs().max().item<double>(), 1e-10);
  EXPECT_LT((grad({by_w.pow(2).sum()}, {w})[0] - grad({expected.pow(2).sum()}, {w})[0]).abs().max().item<double>(), 1e-7);
}

TEST(Conv2d, ThirdDerivativeEqualsLibTorchs) {
  const auto third = [](const auto& convolve) {
    Tensor x = numbers({2, 2, 5, 5}, "x").requires_grad_(true), w = numbers({3, 2, 3, 3}, "w").requires_grad_(true);
    Tensor value = convolve(x, w).pow(3).sum();
    for (int order = 0; order < 2; ++order) value = grad({value}, {w}, {}, c10::nullopt, true)[0].pow(2).sum();
    return grad({value}, {x, w});
  };
  const auto a = third([](const Tensor& x, const Tensor& w) { return conv2d(x, w, 1, 1); });
  const auto b = third([](const Tensor& x, const Tensor& w) { return at::conv2d(x, w, {}, 1, 1); });
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_LT(((a[i] - b[i]).abs().max() / b[i].abs().max()).item<double>(), 1e-10) << i;
}

TEST(Conv2d, TakesEveryMemoryLayout) {
  const Tensor x = numbers({2, 6, 8, 10}, "x"), w = numbers({5, 3, 3, 3}, "w");
  const Tensor narrowed = x.narrow(1, 2, 3), permuted = x.permute({0, 2, 1, 3}).narrow(1, 0, 3);
  for (const Tensor& view : {narrowed, permuted, narrowed.contiguous(at::MemoryFormat::ChannelsLast)})
    EXPECT_LT((conv2d(view, w, 1, 1) - at::conv2d(view.contiguous(), w, {}, 1, 1)).abs().max().item<double>(), 1e-12);
}

TEST(Conv2d, ShapesThatDoNotFitAreNamed) {
  const std::string message = test::message_of<c10::Error>([] { conv2d(at::zeros({1, 2, 5, 5}), at::zeros({3, 4, 3, 3}), 1, 1); });
  EXPECT_NE(message.find("[1, 2, 5, 5]"), std::string::npos) << message;
  EXPECT_NE(message.find("[3, 4, 3, 3]"), std::string::npos) << message;
}

// ---- norm_relu_pool.

struct Images {
  int64_t n, c, h, w;
};

/// Scales of both signs, shifts that leave some outputs dead.
std::vector<Tensor> norm_inputs(const Images& s) {
  return {numbers({s.n, s.c, s.h, s.w}, "x") * 1.5 + 0.7, numbers({s.c}, "scale"), 0.5 * numbers({s.c}, "shift")};
}

const Images kShapes[] = {{3, 4, 8, 8}, {2, 5, 7, 9}, {2, 1, 6, 6}, {1, 3, 5, 4}, {4, 3, 2, 2}, {2, 2, 3, 3}, {1, 1, 2, 7},
                          {5, 17, 4, 6}};

std::string name_of(const Images& s) {
  return std::to_string(s.n) + "x" + std::to_string(s.c) + "x" + std::to_string(s.h) + "x" + std::to_string(s.w);
}

TEST(NormReluPool, OwnStatisticsGiveTheReferencesValueAndTwoDerivatives) {
  for (const Images& shape : kShapes)
    expect_same_derivatives([](const std::vector<Tensor>& v) { return norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr); },
                            [](const std::vector<Tensor>& v) { return norm_relu_pool_reference(v[0], v[1], v[2], nullptr, nullptr); },
                            norm_inputs(shape), name_of(shape));
}

TEST(NormReluPool, GivenStatisticsGiveTheReferencesValueAndTwoDerivatives) {
  for (const Images& shape : kShapes) {
    const NormStatistics given{numbers({shape.c}, "mean"), numbers({shape.c}, "variance").abs() + 0.1};
    expect_same_derivatives([&](const std::vector<Tensor>& v) { return norm_relu_pool(v[0], v[1], v[2], &given, nullptr); },
                            [&](const std::vector<Tensor>& v) { return norm_relu_pool_reference(v[0], v[1], v[2], &given, nullptr); },
                            norm_inputs(shape), name_of(shape));
  }
}

TEST(NormReluPool, ReferenceIsLibTorchsBatchNormReluAndPooling) {
  for (const Images& shape : kShapes) {
    const auto v = norm_inputs(shape);
    NormStatistics own;
    const Tensor ours = norm_relu_pool_reference(v[0], v[1], v[2], nullptr, &own);
    const Tensor expected = at::max_pool2d(at::batch_norm(v[0], v[1], v[2], {}, {}, true, 0.1, kNormEpsilon, false).relu(), {2, 2});
    EXPECT_LT((ours - expected).abs().max().item<double>(), 1e-12) << name_of(shape);
    EXPECT_LT((own.mean - v[0].mean(at::IntArrayRef{0, 2, 3})).abs().max().item<double>(), 1e-12);
    EXPECT_LT((own.variance - v[0].var(at::IntArrayRef{0, 2, 3}, /*unbiased=*/false)).abs().max().item<double>(), 1e-12);
    NormStatistics fused;
    norm_relu_pool(v[0], v[1], v[2], nullptr, &fused);
    EXPECT_LT((own.mean - fused.mean).abs().max().item<double>(), 1e-12);
    EXPECT_LT((own.variance - fused.variance).abs().max().item<double>(), 1e-12);
    EXPECT_FALSE(fused.mean.requires_grad());
  }
}

TEST(NormReluPool, FloatIsCloseToDouble) {
  for (const Images& shape : {Images{4, 32, 42, 42}, Images{2, 5, 7, 9}}) {
    const auto v = norm_inputs(shape);
    const Tensor single = norm_relu_pool(v[0].to(at::kFloat), v[1].to(at::kFloat), v[2].to(at::kFloat), nullptr, nullptr);
    const Tensor expected = norm_relu_pool_reference(v[0], v[1], v[2], nullptr, nullptr);
    EXPECT_EQ(single.scalar_type(), at::kFloat);
    EXPECT_LT((single.to(at::kDouble) - expected).abs().max().item<double>(), 2e-5) << name_of(shape);
  }
}

TEST(NormReluPool, TakesEveryMemoryLayout) {
  const auto v = norm_inputs({2, 4, 6, 6});
  const Tensor expected = norm_relu_pool_reference(v[0], v[1], v[2], nullptr, nullptr);
  const Tensor wide = at::cat({v[0], v[0]}, 1), rows = v[0].transpose(2, 3).contiguous().transpose(2, 3);
  for (const Tensor& x : {v[0], v[0].contiguous(at::MemoryFormat::ChannelsLast), wide.narrow(1, 4, 4), rows})
    EXPECT_LT((norm_relu_pool(x, v[1], v[2], nullptr, nullptr) - expected).abs().max().item<double>(), 1e-12);
}

TEST(NormReluPool, ConstantChannelsAndZeroScalesStayFinite) {
  auto v = norm_inputs({2, 3, 4, 4});
  v[0].select(1, 0).fill_(3.25);  // no variance
  v[1][1] = 0.0;
  for (const auto& t : derivatives([](const std::vector<Tensor>& i) { return norm_relu_pool(i[0], i[1], i[2], nullptr, nullptr); }, v))
    EXPECT_TRUE(t.isfinite().all().item<bool>());
  const Tensor y = norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr);
  EXPECT_LT((y.select(1, 1) - v[2][1].clamp_min(0)).abs().max().item<double>(), 1e-12);
}

TEST(NormReluPool, NaNReachesTheOutputWhereverItStands) {
  for (int at = 0; at < 4; ++at)
    for (const bool running : {false, true}) {
      auto v = norm_inputs({1, 2, 4, 4});
      v[0][0][0][at / 2][at % 2] = std::numeric_limits<double>::quiet_NaN();
      const NormStatistics given{at::zeros({2}, at::kDouble), at::ones({2}, at::kDouble)};
      const Tensor y = norm_relu_pool(v[0], v[1], v[2], running ? &given : nullptr, nullptr);
      EXPECT_TRUE(y[0][0][0][0].isnan().item<bool>()) << "position " << at << (running ? ", given statistics" : "");
      EXPECT_FALSE(y[0][1].isnan().any().item<bool>());
    }
}

TEST(NormReluPool, ThirdDerivativeIsRefused) {
  auto v = norm_inputs({2, 2, 4, 4});
  for (Tensor& t : v) t.requires_grad_(true);
  const auto first = grad({norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr).pow(2).sum()}, v, {}, c10::nullopt, true);
  const std::string message =
      test::message_of<c10::Error>([&] { grad({first[0].pow(2).sum()}, v, {}, c10::nullopt, /*create_graph=*/true); });
  EXPECT_NE(message.find("second order"), std::string::npos) << message;
}

TEST(NormReluPool, ShapesThatDoNotFitAreNamed) {
  const Tensor three = at::ones({3}), two = at::ones({2});
  EXPECT_THROW(norm_relu_pool(at::ones({1, 3, 4, 4}), two, three, nullptr, nullptr), c10::Error);
  EXPECT_THROW(norm_relu_pool(at::ones({1, 3, 4, 4}), three, two, nullptr, nullptr), c10::Error);
  EXPECT_THROW(norm_relu_pool(at::ones({1, 3, 1, 4}), three, three, nullptr, nullptr), c10::Error);
  EXPECT_THROW(norm_relu_pool(at::ones({3, 4, 4}), three, three, nullptr, nullptr), c10::Error);
}

TEST(NormSoftplusPool, IsTheSmoothTwin) {
  const auto v = norm_inputs({2, 3, 6, 6});
  const Tensor expected = at::avg_pool2d(at::softplus(at::batch_norm(v[0], v[1], v[2], {}, {}, true, 0.1, kNormEpsilon, false)), {2, 2});
  EXPECT_LT((norm_softplus_pool(v[0], v[1], v[2], nullptr, nullptr) - expected).abs().max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace fewatoms
