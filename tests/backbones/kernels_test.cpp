#include <torch/autograd.h>

#include <cmath>
#include <limits>

#include "backbones/convolution.h"
#include "backbones/kernels/atom_maps.h"
#include "backbones/kernels/conv2d.h"
#include "backbones/kernels/loops.h"
#include "backbones/kernels/norm_relu_pool.h"
#include "backbones/kernels/stem.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using torch::autograd::grad;

Tensor numbers(at::IntArrayRef shape, const std::string& name) {
  return normal_tensor(shape, 1, 9, name).to(at::kDouble);
}

using Operation = std::function<Tensor(const std::vector<Tensor>&)>;

/// Value, first and second derivatives of a random projection of `operation` by each input: sum(y * w), then
/// sum_i <g_i, u_i> + a non-linear term, so that no second derivative vanishes.
std::vector<Tensor> derivatives(const Operation& operation, const std::vector<Tensor>& at_values) {
  std::vector<Tensor> inputs;
  for (const Tensor& t : at_values) inputs.push_back(t.detach().clone().requires_grad_(true));
  const Tensor y = operation(inputs);
  std::vector<Tensor> all = {y.detach()};
  const Tensor w = numbers(y.sizes(), "weights");
  const auto first = grad({(y * w + 0.5 * y * y).sum()}, inputs, {}, {}, /*create_graph=*/true);
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
    EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), 1e-10 * scale)
        << what << ", item " << i << " of value, first, second";
  }
}

// ---- conv2d.

TEST(Conv2d, ValueAndTwoDerivativesEqualLibTorchs) {
  for (const int k : {1, 3})
    for (const int stride : {1, 2})
      for (const int padding : {0, 1})
        for (const auto& [in, out] : {std::pair{1, 3}, std::pair{4, 2}}) {
          const auto ours = [=](const std::vector<Tensor>& v) { return conv2d(v[0], v[1], stride, padding); };
          const auto reference = [=](const std::vector<Tensor>& v) {
            return at::conv2d(v[0], v[1], {}, stride, padding);
          };
          expect_same_derivatives(
              ours, reference, {numbers({2, in, 7, 6}, "x"), numbers({out, in, k, k}, "w")},
              "k " + std::to_string(k) + " stride " + std::to_string(stride) + " padding " + std::to_string(padding));
        }
}

/// Channels that the kernels by minimal filtering take, also such as fill no registers; odd sizes, one pixel, sizes
/// beyond one batch of tiles.
struct FilteringCase {
  int64_t n, in, out, h, w;
};
const FilteringCase kFilterings[] = {{2, 16, 32, 6, 6},    {1, 32, 16, 5, 7}, {3, 48, 16, 1, 1}, {2, 16, 64, 3, 20},
                                     {2, 16, 16, 21, 130}, {2, 17, 30, 6, 5}, {1, 54, 54, 5, 5}, {1, 23, 16, 21, 66}};

std::vector<Tensor> filtering_inputs(const FilteringCase& s) {
  return {numbers({s.n, s.in, s.h, s.w}, "x"), numbers({s.out, s.in, 3, 3}, "w")};
}
Tensor filtering(const std::vector<Tensor>& v) { return conv2d(v[0], v[1], 1, 1); }
Tensor filtering_reference(const std::vector<Tensor>& v) { return at::conv2d(v[0], v[1], {}, 1, 1); }

TEST(Conv2d, MinimalFilteringGivesLibTorchsValueAndTwoDerivatives) {
  for (const FilteringCase& s : kFilterings)
    expect_same_derivatives(
        filtering, filtering_reference, filtering_inputs(s),
        std::to_string(s.in) + " to " + std::to_string(s.out) + " channels, " + std::to_string(s.w) + " wide");
}

TEST(Conv2d, GradientsNobodyAskedForAreLeftOut) {
  const Tensor x = numbers({2, 3, 6, 6}, "x"), w = numbers({4, 3, 3, 3}, "w").requires_grad_(true);
  const Tensor by_w = grad({conv2d(x, w, 1, 1).pow(2).sum()}, {w}, {}, {}, true)[0];
  const Tensor expected = grad({at::conv2d(x, w, {}, 1, 1).pow(2).sum()}, {w}, {}, {}, true)[0];
  EXPECT_LT((by_w - expected).abs().max().item<double>(), 1e-10);
  EXPECT_LT((grad({by_w.pow(2).sum()}, {w})[0] - grad({expected.pow(2).sum()}, {w})[0]).abs().max().item<double>(),
            1e-7);
}

TEST(Conv2d, ThirdDerivativeEqualsLibTorchs) {
  const auto third = [](const auto& convolve) {
    Tensor x = numbers({2, 2, 5, 5}, "x").requires_grad_(true), w = numbers({3, 2, 3, 3}, "w").requires_grad_(true);
    Tensor value = convolve(x, w).pow(3).sum();
    for (int order = 0; order < 2; ++order) value = grad({value}, {w}, {}, {}, true)[0].pow(2).sum();
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
  const std::string message = test::message_of<c10::Error>([] {
    conv2d(at::zeros({1, 2, 5, 5}), at::zeros({3, 4, 3, 3}), 1, 1);
  });
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

const Images kShapes[] = {{3, 4, 8, 8}, {2, 5, 7, 9}, {2, 1, 6, 6}, {1, 3, 5, 4},
                          {4, 3, 2, 2}, {2, 2, 3, 3}, {1, 1, 2, 7}, {5, 17, 4, 6}};

std::string name_of(const Images& s) {
  return std::to_string(s.n) + "x" + std::to_string(s.c) + "x" + std::to_string(s.h) + "x" + std::to_string(s.w);
}

TEST(NormReluPool, OwnStatisticsGiveTheReferencesValueAndTwoDerivatives) {
  for (const Images& shape : kShapes)
    expect_same_derivatives(
        [](const std::vector<Tensor>& v) { return norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr); },
        [](const std::vector<Tensor>& v) { return norm_relu_pool_reference(v[0], v[1], v[2], nullptr, nullptr); },
        norm_inputs(shape), name_of(shape));
}

TEST(NormReluPool, GivenStatisticsGiveTheReferencesValueAndTwoDerivatives) {
  for (const Images& shape : kShapes) {
    const NormStatistics given{numbers({shape.c}, "mean"), numbers({shape.c}, "variance").abs() + 0.1};
    expect_same_derivatives(
        [&](const std::vector<Tensor>& v) { return norm_relu_pool(v[0], v[1], v[2], &given, nullptr); },
        [&](const std::vector<Tensor>& v) { return norm_relu_pool_reference(v[0], v[1], v[2], &given, nullptr); },
        norm_inputs(shape), name_of(shape));
  }
}

TEST(NormReluPool, ReferenceIsLibTorchsBatchNormReluAndPooling) {
  for (const Images& shape : kShapes) {
    const auto v = norm_inputs(shape);
    NormStatistics own;
    const Tensor ours = norm_relu_pool_reference(v[0], v[1], v[2], nullptr, &own);
    const Tensor expected =
        at::max_pool2d(at::batch_norm(v[0], v[1], v[2], {}, {}, true, 0.1, kNormEpsilon, false).relu(), {2, 2});
    EXPECT_LT((ours - expected).abs().max().item<double>(), 1e-12) << name_of(shape);
    EXPECT_LT((own.mean - v[0].mean(at::IntArrayRef{0, 2, 3})).abs().max().item<double>(), 1e-12);
    EXPECT_LT((own.variance - v[0].var(at::IntArrayRef{0, 2, 3}, /*unbiased=*/false)).abs().max().item<double>(),
              1e-12);
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
    const Tensor single =
        norm_relu_pool(v[0].to(at::kFloat), v[1].to(at::kFloat), v[2].to(at::kFloat), nullptr, nullptr);
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
  for (const auto& t :
       derivatives([](const std::vector<Tensor>& i) { return norm_relu_pool(i[0], i[1], i[2], nullptr, nullptr); }, v))
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

TEST(NormReluPool, TwoInnerGradientsOfOneValueAddUp) {
  // Each finds a gradient by x of its own, which one pass writes.
  const auto gradients = [](const auto& norm) {
    auto v = norm_inputs({2, 5, 7, 9});
    for (Tensor& t : v) t.requires_grad_(true);
    const Tensor y = norm(v);
    const auto one = grad({y.sin().sum()}, v, {}, {}, /*create_graph=*/true);
    const auto other = grad({y.pow(3).sum()}, v, {}, {}, /*create_graph=*/true);
    return grad({one[0].pow(2).sum() + (other[0] * one[0]).sum() + other[1].pow(2).sum() + y.pow(2).sum()}, v);
  };
  const auto a = gradients([](const auto& v) { return norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr); });
  const auto b = gradients([](const auto& v) { return norm_relu_pool_reference(v[0], v[1], v[2], nullptr, nullptr); });
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_LT(((a[i] - b[i]).abs().max() / b[i].abs().max()).item<double>(), 1e-10) << i;
}

TEST(NormReluPool, AGradientThatStopsBeforeXLeavesNothingBehind) {
  auto v = norm_inputs({2, 3, 6, 6});
  for (Tensor& t : v) t.requires_grad_(true);
  Tensor factor = at::ones({}, at::kDouble).requires_grad_(true);
  const Tensor y = norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr);
  const auto inner = grad({(factor * y).pow(2).sum()}, v, {}, {}, /*create_graph=*/true);
  const auto plain = [&] { return grad({y.sum()}, {v[0]}, {}, /*retain_graph=*/true)[0]; };
  const Tensor before = plain();
  grad({inner[0].pow(2).sum()}, {factor}, {}, /*retain_graph=*/true);  // passes the norm's second derivative, not x
  EXPECT_TRUE(plain().equal(before));
}

TEST(NormReluPool, ThirdDerivativeIsRefused) {
  auto v = norm_inputs({2, 2, 4, 4});
  for (Tensor& t : v) t.requires_grad_(true);
  const auto first = grad({norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr).pow(2).sum()}, v, {}, {}, true);
  const std::string message =
      test::message_of<c10::Error>([&] { grad({first[0].pow(2).sum()}, v, {}, {}, /*create_graph=*/true); });
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
  const Tensor expected =
      at::avg_pool2d(at::softplus(at::batch_norm(v[0], v[1], v[2], {}, {}, true, 0.1, kNormEpsilon, false)), {2, 2});
  EXPECT_LT((norm_softplus_pool(v[0], v[1], v[2], nullptr, nullptr) - expected).abs().max().item<double>(), 1e-12);
}

// ---- The stem in one pass.

struct StemCase {
  int64_t n, in, h, w, out;
};
const StemCase kStems[] = {{2, 3, 8, 8, 16}, {3, 1, 7, 9, 32}, {1, 3, 5, 4, 48}, {2, 3, 21, 10, 16},
                           {1, 1, 2, 3, 16}, {2, 3, 7, 8, 17}, {1, 1, 5, 6, 54}};

std::vector<Tensor> stem_inputs(const StemCase& s) {
  return {numbers({s.out, s.in, 3, 3}, "kernel"), numbers({s.out}, "scale"), 0.5 * numbers({s.out}, "shift")};
}
Tensor stem_pixels(const StemCase& s) { return numbers({s.n, s.in, s.h, s.w}, "images") + 0.7; }
std::string name_of(const StemCase& s) {
  return std::to_string(s.n) + "x" + std::to_string(s.in) + "x" + std::to_string(s.h) + "x" + std::to_string(s.w) +
         " to " + std::to_string(s.out);
}

TEST(Stem, ValueAndTwoDerivativesEqualThoseOfConvolutionThenNormAndPool) {
  for (const StemCase& s : kStems) {
    const Tensor images = stem_pixels(s);
    ASSERT_TRUE(stem_fits(images, s.out));
    const NormStatistics fixed{numbers({s.out}, "mean"), numbers({s.out}, "variance").abs() + 0.1};
    for (const NormStatistics* given : {static_cast<const NormStatistics*>(nullptr), &fixed})
      expect_same_derivatives(
          [&](const std::vector<Tensor>& v) {
            return stem_norm_relu_pool(stem_images(images), v[0], v[1], v[2], given, nullptr);
          },
          [&](const std::vector<Tensor>& v) {
            return norm_relu_pool_reference(at::conv2d(images, v[0], {}, 1, 1), v[1], v[2], given, nullptr);
          },
          stem_inputs(s), name_of(s) + (given ? ", given statistics" : ""));
  }
}

TEST(Stem, MomentsAreThoseOfThePatches) {
  for (const StemCase& s : kStems) {
    const Tensor images = stem_pixels(s);
    const StemImages stem = stem_images(images);
    // unfold's features are [in, row, column], ours [row, column, in].
    const Tensor patches = at::im2col(images, {3, 3}, {1, 1}, {1, 1}, {1, 1})
                               .view({s.n, s.in, 9, -1})
                               .permute({2, 1, 0, 3})
                               .reshape({9 * s.in, -1});
    const Tensor mean = patches.mean(1), centred = patches - mean.unsqueeze(1);
    EXPECT_LT((stem.mean - mean).abs().max().item<double>(), 1e-12) << name_of(s);
    EXPECT_LT((stem.covariance - at::mm(centred, centred.t()) / patches.size(1)).abs().max().item<double>(), 1e-11)
        << name_of(s);
    EXPECT_EQ(stem.pixels(), static_cast<double>(patches.size(1)));
  }
}

TEST(Stem, OwnStatisticsAreThoseOfTheConvolution) {
  const StemCase s = kStems[0];
  const auto v = stem_inputs(s);
  const Tensor z = at::conv2d(stem_pixels(s), v[0], {}, 1, 1);
  NormStatistics own;
  stem_norm_relu_pool(stem_images(stem_pixels(s)), v[0], v[1], v[2], nullptr, &own);
  EXPECT_LT((own.mean - z.mean(at::IntArrayRef{0, 2, 3})).abs().max().item<double>(), 1e-11);
  EXPECT_LT((own.variance - z.var(at::IntArrayRef{0, 2, 3}, /*unbiased=*/false)).abs().max().item<double>(), 1e-11);
}

TEST(Stem, OfEqualElementsTheFirstIsTaken) {
  // Flat images: all elements of an inner window are equal, and the gradient goes to one of them as in LibTorch's
  // pooling.
  const StemCase s{1, 3, 8, 8, 16};
  const Tensor images = at::full({1, 3, 8, 8}, 0.5, at::kDouble);
  const NormStatistics given{at::zeros({16}, at::kDouble), at::ones({16}, at::kDouble)};
  expect_same_derivatives(
      [&](const std::vector<Tensor>& v) {
        return stem_norm_relu_pool(stem_images(images), v[0], v[1], v[2], &given, nullptr);
      },
      [&](const std::vector<Tensor>& v) {
        return norm_relu_pool_reference(at::conv2d(images, v[0], {}, 1, 1), v[1], v[2], &given, nullptr);
      },
      stem_inputs(s), "flat images");
}

TEST(Stem, NaNReachesTheOutput) {
  Tensor images = stem_pixels(kStems[0]);
  images[0][0][3][3] = std::numeric_limits<double>::quiet_NaN();
  const auto v = stem_inputs(kStems[0]);
  const NormStatistics given{at::zeros({16}, at::kDouble), at::ones({16}, at::kDouble)};
  for (const NormStatistics* statistics : {static_cast<const NormStatistics*>(nullptr), &given})
    EXPECT_TRUE(
        stem_norm_relu_pool(stem_images(images), v[0], v[1], v[2], statistics, nullptr).isnan().any().item<bool>());
}

TEST(Stem, FitsOnlyWhatItCanDo) {
  EXPECT_FALSE(stem_fits(at::zeros({1, 2, 8, 8}), 16));
  EXPECT_FALSE(stem_fits(at::zeros({1, 3, 8, 8}), 15));
  EXPECT_FALSE(stem_fits(at::zeros({1, 3, 1, 8}), 16));
  EXPECT_FALSE(stem_fits(at::zeros({1, 3, 8, 8}).requires_grad_(true), 16));
}

// ---- Atoms on mixed maps.

struct AtomCase {
  int64_t n, in, out, h, w, m;
};
const AtomCase kAtomCases[] = {{2, 16, 32, 5, 14, 4}, {2, 3, 4, 6, 6, 2},   {1, 2, 17, 5, 7, 6},  {2, 4, 32, 10, 21, 3},
                               {1, 1, 1, 1, 1, 1},    {1, 5, 16, 3, 13, 9}, {2, 17, 30, 5, 7, 3}, {1, 54, 54, 4, 4, 2}};

std::vector<Tensor> atom_inputs(const AtomCase& s) {
  return {numbers({s.n, s.in, s.h, s.w}, "x"), numbers({s.out, s.in, s.m}, "coefficients"),
          numbers({s.m, 3, 3}, "atoms")};
}

TEST(AtomMaps, ValueAndTwoDerivativesEqualTheComposedConvolutions) {
  for (const AtomCase& s : kAtomCases)
    // Two sets of atoms on the same maps, as two inner steps have.
    expect_same_derivatives(
        [](const std::vector<Tensor>& v) {
          const AtomMaps maps = make_atom_maps(v[0], v[1]);
          return apply_atoms(maps, v[2]) + 0.1 * apply_atoms(maps, v[2].pow(2)).pow(2);
        },
        [](const std::vector<Tensor>& v) {
          return at::conv2d(v[0], compose_kernel(v[1], v[2]), {}, 1, 1) +
                 0.1 * at::conv2d(v[0], compose_kernel(v[1], v[2].pow(2)), {}, 1, 1).pow(2);
        },
        atom_inputs(s), std::to_string(s.out) + " channels, " + std::to_string(s.m) + " atoms");
}

TEST(AtomMaps, GradientsWithoutAGraphAreSummedOverAllUses) {
  for (const AtomCase& s : kAtomCases) {
    const auto gradients = [&](bool ours) {
      auto v = atom_inputs(s);
      for (Tensor& t : v) t.requires_grad_(true);
      const AtomMaps maps = make_atom_maps(v[0], v[1]);
      Tensor loss = at::zeros({}, at::kDouble), atoms = v[2];
      for (int step = 0; step < 3; ++step) {  // three inner steps, the graph kept
        const Tensor y = ours ? apply_atoms(maps, atoms) : at::conv2d(v[0], compose_kernel(v[1], atoms), {}, 1, 1);
        loss = loss + y.pow(2).sum();
        atoms = atoms - 0.01 * grad({y.sin().sum()}, {atoms}, {}, {}, /*create_graph=*/true)[0];
      }
      return grad({loss}, v);
    };
    const auto a = gradients(true), b = gradients(false);
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_LT(((a[i] - b[i]).abs().max() / b[i].abs().max()).item<double>(), 1e-11) << i;
  }
}

TEST(AtomMaps, MapsThatAreUsedOtherwiseTooGetThatGradientAsWell) {
  auto v = atom_inputs(kAtomCases[0]);
  for (Tensor& t : v) t.requires_grad_(true);
  const AtomMaps maps = make_atom_maps(v[0], v[1]);
  const auto both =
      grad({apply_atoms(maps, v[2]).sum() + maps.maps.pow(2).sum()}, {v[1]}, {}, {}, /*create_graph=*/false);
  const AtomMaps again = make_atom_maps(v[0], v[1]);
  const auto first = grad({apply_atoms(again, v[2]).sum()}, {v[1]});
  const AtomMaps third = make_atom_maps(v[0], v[1]);
  const auto second = grad({third.maps.pow(2).sum()}, {v[1]});
  EXPECT_LT((both[0] - first[0] - second[0]).abs().max().item<double>(), 1e-11);
}

// ---- Instruction sets.

/// Restores the level in use.
struct LevelGuard {
  std::string level = loops::level();
  ~LevelGuard() { loops::set_level(level); }
};

TEST(Levels, EveryOneGivesTheReferencesValueAndTwoDerivatives) {
  const LevelGuard guard;
  ASSERT_FALSE(loops::available_levels().empty());
  for (const std::string& level : loops::available_levels()) {
    loops::set_level(level);
    EXPECT_EQ(loops::level(), level);
    for (const Images& shape : {Images{2, 5, 7, 9}, Images{2, 32, 10, 10}})
      expect_same_derivatives(
          [](const std::vector<Tensor>& v) { return norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr); },
          [](const std::vector<Tensor>& v) { return norm_relu_pool_reference(v[0], v[1], v[2], nullptr, nullptr); },
          norm_inputs(shape), level + ", norm " + name_of(shape));
    for (const StemCase& s : {kStems[1], kStems[3], kStems[5], kStems[6]}) {
      const Tensor images = stem_pixels(s);
      expect_same_derivatives(
          [&](const std::vector<Tensor>& v) {
            return stem_norm_relu_pool(stem_images(images), v[0], v[1], v[2], nullptr, nullptr);
          },
          [&](const std::vector<Tensor>& v) {
            return norm_relu_pool_reference(at::conv2d(images, v[0], {}, 1, 1), v[1], v[2], nullptr, nullptr);
          },
          stem_inputs(s), level + ", stem " + name_of(s));
    }
    for (const AtomCase& s : {kAtomCases[0], kAtomCases[2], kAtomCases[3], kAtomCases[6], kAtomCases[7]})
      expect_same_derivatives(
          [](const std::vector<Tensor>& v) { return apply_atoms(make_atom_maps(v[0], v[1]), v[2]).sin(); },
          [](const std::vector<Tensor>& v) { return at::conv2d(v[0], compose_kernel(v[1], v[2]), {}, 1, 1).sin(); },
          atom_inputs(s), level + ", atoms");
    for (const FilteringCase& s : {kFilterings[0], kFilterings[3], kFilterings[5], kFilterings[6], kFilterings[7]})
      expect_same_derivatives(filtering, filtering_reference, filtering_inputs(s), level + ", minimal filtering");
  }
}

TEST(Levels, FloatIsCloseToDoubleOnEveryOne) {
  const LevelGuard guard;
  const StemCase s{3, 3, 84, 84, 32};
  const AtomCase a{2, 32, 32, 42, 42, 6};
  const Tensor images = stem_pixels(s);
  const auto in_type = [](const std::vector<Tensor>& v, at::ScalarType type) {
    std::vector<Tensor> cast;
    for (const Tensor& t : v) cast.push_back(t.to(type).requires_grad_(true));
    return cast;
  };
  const auto stem_results = [&](at::ScalarType type) {
    const auto v = in_type(stem_inputs(s), type);
    const Tensor y = stem_norm_relu_pool(stem_images(images.to(type)), v[0], v[1], v[2], nullptr, nullptr);
    auto all = grad({y.pow(2).mean()}, v);
    all.push_back(y.detach());
    return all;
  };
  const auto atom_results = [&](at::ScalarType type) {
    const auto v = in_type(atom_inputs(a), type);
    const Tensor y = apply_atoms(make_atom_maps(v[0], v[1]), v[2]);
    auto all = grad({y.sin().mean()}, v);
    all.push_back(y.detach());
    return all;
  };
  for (const std::string& level : loops::available_levels()) {
    loops::set_level(level);
    const auto compare = [&](const std::vector<Tensor>& single, const std::vector<Tensor>& wide,
                             const std::string& what) {
      for (size_t i = 0; i < wide.size(); ++i)
        EXPECT_LT(((single[i].to(at::kDouble) - wide[i]).abs().max() / wide[i].abs().max()).item<double>(), 1e-5)
            << level << ", " << what << ", item " << i;
    };
    compare(stem_results(at::kFloat), stem_results(at::kDouble), "stem");
    compare(atom_results(at::kFloat), atom_results(at::kDouble), "atoms");
    for (const FilteringCase& f :
         {FilteringCase{3, 32, 32, 42, 42}, FilteringCase{2, 64, 64, 21, 21}, FilteringCase{2, 54, 37, 21, 21}}) {
      const auto results = [&](at::ScalarType type) {
        const auto v = in_type(filtering_inputs(f), type);
        const Tensor y = filtering(v);
        auto all = grad({y.pow(2).mean()}, v);
        all.push_back(y.detach());
        return all;
      };
      compare(results(at::kFloat), results(at::kDouble), "minimal filtering");
    }
  }
}

TEST(Levels, UnknownOnesAreRefusedByName) {
  const LevelGuard guard;
  const std::string message = test::message_of<std::runtime_error>([] { loops::set_level("avx9"); });
  EXPECT_NE(message.find("'avx9'"), std::string::npos) << message;
  EXPECT_NE(message.find("baseline"), std::string::npos) << message;
}

}  // namespace
}  // namespace fewatoms
