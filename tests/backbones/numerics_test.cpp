// Where derivatives end and what rounding may do: laws about the hand-written kernels that their plain twins do not
// show.

#include <torch/autograd.h>

#include <cmath>

#include "backbones/backbone.h"
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

/// Runs `work` on every instruction set that the processor has.
template <class Work>
void on_every_level(Work&& work) {
  const std::string before = loops::level();
  for (const std::string& level : loops::available_levels()) {
    loops::set_level(level);
    SCOPED_TRACE(level);
    work();
  }
  loops::set_level(before);
}

// ---- Third derivatives: right, or refused.

using Operation = std::function<Tensor(const std::vector<Tensor>&)>;

/// Of random projections of `operation`, the derivatives by all inputs, order by order; each order's own gradient keeps
/// the graph, but the last.
std::vector<Tensor> derivatives(const Operation& operation, const std::vector<Tensor>& at_values, int orders) {
  std::vector<Tensor> inputs, all;
  for (const Tensor& t : at_values) inputs.push_back(t.detach().clone().requires_grad_(true));
  const Tensor y = operation(inputs);
  Tensor scalar = (y * numbers(y.sizes(), "weights") + 0.5 * y * y).sum();
  for (int order = 1; order <= orders; ++order) {
    const auto gradients = grad({scalar}, inputs, {}, {}, /*create_graph=*/order < orders);
    scalar = at::zeros({}, at::kDouble);
    for (size_t i = 0; i < gradients.size(); ++i) {
      all.push_back(gradients[i].detach());
      const std::string name = "order " + std::to_string(order) + " by " + std::to_string(i);
      scalar = scalar + (gradients[i] * numbers(gradients[i].sizes(), name)).sum();
    }
  }
  return all;
}

void expect_three_derivatives(const Operation& ours, const Operation& reference, const std::vector<Tensor>& inputs,
                              const std::string& what) {
  const auto a = derivatives(ours, inputs, 3), b = derivatives(reference, inputs, 3);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    const double scale = 1 + b[i].abs().max().item<double>();
    EXPECT_LE((a[i] - b[i]).abs().max().item<double>(), 1e-10 * scale)
        << what << ", order " << i / inputs.size() + 1 << " by input " << i % inputs.size();
  }
}

TEST(ThirdDerivative, OfTheConvolutionIsLibTorchs) {
  struct Case {
    int64_t in, out, kernel, stride, padding;
  };
  on_every_level([] {
    for (const Case& c : {Case{2, 3, 3, 1, 1}, Case{2, 3, 3, 2, 1}, Case{2, 3, 1, 1, 0}, Case{2, 3, 1, 2, 0},
                          Case{16, 17, 3, 1, 1}})  // the last by minimal filtering
      expect_three_derivatives(
          [&](const std::vector<Tensor>& v) { return conv2d(v[0], v[1], c.stride, c.padding); },
          [&](const std::vector<Tensor>& v) { return at::conv2d(v[0], v[1], {}, c.stride, c.padding); },
          {numbers({2, c.in, 5, 6}, "x"), 0.3 * numbers({c.out, c.in, c.kernel, c.kernel}, "w")},
          std::to_string(c.in) + " to " + std::to_string(c.out) + " channels, kernel " + std::to_string(c.kernel));
  });
}

TEST(ThirdDerivative, OfAtomsOnMapsIsThatOfTheComposedConvolution) {
  struct Case {
    int64_t in, out, m;
  };
  on_every_level([] {
    for (const Case& c : {Case{3, 4, 2}, Case{16, 17, 3}})
      // Two sets of atoms on the same maps, as two inner steps have.
      expect_three_derivatives(
          [](const std::vector<Tensor>& v) {
            const AtomMaps maps = make_atom_maps(v[0], v[1]);
            return apply_atoms(maps, v[2]) + 0.1 * apply_atoms(maps, v[2].pow(2)).pow(2);
          },
          [](const std::vector<Tensor>& v) {
            const auto convolved = [&](const Tensor& atoms) {
              return at::conv2d(v[0], compose_kernel(v[1], atoms), {}, 1, 1);
            };
            return convolved(v[2]) + 0.1 * convolved(v[2].pow(2)).pow(2);
          },
          {numbers({2, c.in, 4, 5}, "x"), 0.3 * numbers({c.out, c.in, c.m}, "coefficients"),
           0.5 * numbers({c.m, 3, 3}, "atoms")},
          std::to_string(c.in) + " to " + std::to_string(c.out) + " channels");
  });
}

/// The message of a third derivative by each input alone, whichever inputs the first two were by.
void expect_third_refused(const Operation& operation, const std::vector<Tensor>& at_values, const std::string& what) {
  for (size_t i = 0; i < at_values.size(); ++i) {
    std::vector<Tensor> inputs;
    for (size_t k = 0; k < at_values.size(); ++k)
      inputs.push_back(at_values[k].detach().clone().requires_grad_(k == i));
    const auto first = grad({operation(inputs).pow(3).sum()}, {inputs[i]}, {}, {}, /*create_graph=*/true);
    const std::string message = test::message_of<c10::Error>(
        [&] { grad({first[0].pow(3).sum()}, {inputs[i]}, {}, {}, /*create_graph=*/true); });
    EXPECT_NE(message.find("differentiable to second order, a third was asked for"), std::string::npos)
        << what << ", input " << i << ": " << message;
  }
}

TEST(ThirdDerivative, OfNormReluPoolIsRefused) {
  const NormStatistics fixed{numbers({2}, "mean"), numbers({2}, "variance").abs() + 0.1};
  for (const NormStatistics* given : {static_cast<const NormStatistics*>(nullptr), &fixed})
    expect_third_refused([&](const std::vector<Tensor>& v) { return norm_relu_pool(v[0], v[1], v[2], given, nullptr); },
                         {numbers({2, 2, 4, 4}, "x"), numbers({2}, "scale"), numbers({2}, "shift")},
                         given ? "given statistics" : "own statistics");
}

TEST(ThirdDerivative, OfTheStemIsRefused) {
  const StemImages images = stem_images(numbers({2, 1, 6, 6}, "images"));
  const NormStatistics fixed{numbers({16}, "mean"), numbers({16}, "variance").abs() + 0.1};
  for (const NormStatistics* given : {static_cast<const NormStatistics*>(nullptr), &fixed})
    expect_third_refused(
        [&](const std::vector<Tensor>& v) { return stem_norm_relu_pool(images, v[0], v[1], v[2], given, nullptr); },
        {numbers({16, 1, 3, 3}, "kernel"), numbers({16}, "scale"), numbers({16}, "shift")},
        given ? "given statistics" : "own statistics");
}

TEST(Gradient, ByWhatTheKernelsTakeAsConstantIsRefused) {
  const Tensor x = numbers({1, 2, 4, 4}, "x"), two = at::ones({2}, at::kDouble);
  const NormStatistics moving{at::zeros({2}, at::kDouble).requires_grad_(true), two};
  EXPECT_THROW(norm_relu_pool(x, two, two, &moving, nullptr), c10::Error);
  EXPECT_THROW(stem_images(numbers({1, 1, 4, 4}, "x").requires_grad_(true)), c10::Error);
}

// ---- Variances of numbers far from zero.

/// Normal numbers of this deviation about a mean of so many deviations, float.
Tensor images_about(double means, double deviation, at::IntArrayRef shape) {
  return ((numbers(shape, "x") + means) * deviation).to(at::kFloat);
}

NormStatistics exact_statistics(const Tensor& x) {
  const Tensor wide = x.to(at::kDouble);
  return {wide.mean(at::IntArrayRef{0, 2, 3}), wide.var(at::IntArrayRef{0, 2, 3}, /*unbiased=*/false)};
}

double relative(const Tensor& a, const Tensor& b) {
  return ((a.to(at::kDouble) - b).abs() / b.abs()).max().item<double>();
}
double largest(const Tensor& a, const Tensor& b) { return (a.to(at::kDouble) - b).abs().max().item<double>(); }

constexpr double kMeans[] = {0, 1, 5, 9.9, 10.1, 30, 100, 1000, 10000};  // in deviations

/// A tenth of the bound of docs/mathematics.md for maps of 84 pixels, which roundings of one sign alone would reach.
constexpr double kVarianceBound = 3e-5;

TEST(Variance, OfNormReluPoolHoldsItsBoundWhateverTheMean) {
  on_every_level([] {
    for (const double means : kMeans)
      for (const double deviation : {1.0, 1e-2, 1e3}) {
        const Tensor x = images_about(means, deviation, {5, 3, 21, 84});
        const Tensor ones = at::ones({3}), zeros = at::zeros({3});
        NormStatistics own;
        norm_relu_pool(x, ones, zeros, nullptr, &own);
        const NormStatistics exact = exact_statistics(x);
        EXPECT_LT(relative(own.variance, exact.variance), kVarianceBound) << means << " deviations of " << deviation;
        EXPECT_LT(largest(own.mean, exact.mean), 1e-6 * deviation * (1 + means)) << means;
      }
  });
}

TEST(Variance, OfLibTorchsBatchNormHoldsTheBoundToo) {
  for (const double means : kMeans) {
    const Tensor x = images_about(means, 1, {5, 3, 21, 84});
    for (const Tensor& layout : {x, x.contiguous(at::MemoryFormat::ChannelsLast)}) {
      NormStatistics own;
      batch_norm(layout, at::ones({3}), at::zeros({3}), nullptr, &own);
      const NormStatistics exact = exact_statistics(x);
      EXPECT_LT(relative(own.variance, exact.variance), 10 * kVarianceBound) << means << " deviations";
      EXPECT_LT(largest(own.mean, exact.mean), 1e-5 * (1 + means)) << means;
    }
  }
}

/// What a mean of so many deviations costs: each number of x itself is rounded to that many parts of 2^24.
double bound_at(double means) { return 4e-6 + 1e-6 * means; }

TEST(Variance, ValueAndGradientsLoseNoMoreThanTheImagesThemselves) {
  const auto results = [](const Tensor& x, at::ScalarType type, bool ours) {
    std::vector<Tensor> v = {x, numbers({3}, "scale"), 0.5 * numbers({3}, "shift")};
    for (Tensor& t : v) t = t.to(type).detach().requires_grad_(true);
    const Tensor y = ours ? norm_relu_pool(v[0], v[1], v[2], nullptr, nullptr)
                          : norm_relu_pool_reference(v[0], v[1], v[2], nullptr, nullptr);
    const Tensor w = numbers(y.sizes(), "weights").to(type), u = numbers(x.sizes(), "u").to(type);
    std::vector<Tensor> all = grad({(y * w).sum()}, v, {}, {}, /*create_graph=*/true);
    const auto second = grad({(all[0] * u).sum()}, v);
    all.insert(all.end(), second.begin(), second.end());
    all.push_back(y);
    return all;
  };
  on_every_level([&] {
    for (const double means : {0.0, 10.1, 100.0, 1000.0}) {
      const Tensor x = images_about(means, 1, {5, 3, 20, 42});
      const auto single = results(x, at::kFloat, true), exact = results(x, at::kDouble, false);
      for (size_t i = 0; i < exact.size(); ++i) {
        // By size, not by the largest element: where rounding turns a ReLU or a tie, one element is another.
        const double error = (single[i].to(at::kDouble) - exact[i]).norm().item<double>();
        EXPECT_LE(error, 20 * bound_at(means) * exact[i].norm().item<double>()) << means << " deviations, item " << i;
      }
    }
  });
}

TEST(Variance, OfAConstantChannelIsZero) {
  for (const float value : {0.0F, 0.1F, 3.25F, 1e4F}) {
    const Tensor x = at::full({4, 2, 13, 9}, value);
    NormStatistics own;
    const Tensor y = norm_relu_pool(x, at::ones({2}), at::full({2}, 0.5F), nullptr, &own);
    EXPECT_LT(own.variance.max().item<double>(), 1e-12 * value * value + 1e-30) << value;
    // A rounding of value / sqrt(epsilon): there is no deviation to divide by.
    EXPECT_LE(largest(y, at::full({1}, 0.5, at::kDouble)), 1.2e-7 * value / std::sqrt(kNormEpsilon)) << value;
  }
}

TEST(Variance, OfOneChannelDoesNotDependOnItsNeighbours) {
  const Tensor x = numbers({3, 2, 9, 10}, "x").to(at::kFloat);
  Tensor with_far = x.clone();
  with_far.select(1, 1).add_(5000);
  NormStatistics alone, beside;
  norm_relu_pool(x, at::ones({2}), at::zeros({2}), nullptr, &alone);
  norm_relu_pool(with_far, at::ones({2}), at::zeros({2}), nullptr, &beside);
  EXPECT_EQ(alone.variance[0].item<float>(), beside.variance[0].item<float>());
  EXPECT_EQ(alone.mean[0].item<float>(), beside.mean[0].item<float>());
}

TEST(Variance, OfTheStemHoldsItsBoundWhateverTheMeanOfTheImages) {
  // Random kernels, and kernels of the middle tap alone, whose output sees no border: its deviation is the images'.
  Tensor kernel = numbers({16, 3, 3, 3}, "kernel");
  for (int64_t o = 0; o < 8; ++o) {
    const Tensor middle = kernel[o].select(1, 1).select(1, 1).clone();
    kernel[o].zero_();
    kernel[o].select(1, 1).select(1, 1).copy_(middle);
  }
  on_every_level([&] {
    for (const double means : kMeans) {
      const Tensor x = images_about(means, 1 / (1 + means), {5, 3, 20, 84});
      NormStatistics own;
      stem_norm_relu_pool(stem_images(x), kernel.to(at::kFloat), at::ones({16}), at::zeros({16}), nullptr, &own);
      const NormStatistics exact =
          exact_statistics(at::conv2d(x.to(at::kDouble), kernel.to(at::kFloat).to(at::kDouble), {}, 1, 1));
      EXPECT_LT(relative(own.variance, exact.variance), kVarianceBound) << means << " deviations";
      EXPECT_LT(largest(own.mean, exact.mean), 1e-5) << means;
    }
  });
}

TEST(Variance, OfImagesThatDifferInOnePixelIsFound) {
  Tensor x = at::full({2, 1, 30, 30}, 0.9F);
  x[1][0][14][17] += 1 / 255.0F;
  Tensor kernel = at::zeros({16, 1, 3, 3});
  kernel.select(2, 1).select(2, 1).fill_(2.0F);
  NormStatistics stem, norm;
  stem_norm_relu_pool(stem_images(x), kernel, at::ones({16}), at::zeros({16}), nullptr, &stem);
  norm_relu_pool(2 * x, at::ones({1}), at::zeros({1}), nullptr, &norm);
  const NormStatistics exact = exact_statistics(2 * x);
  EXPECT_LT(relative(stem.variance, exact.variance), 1e-3);
  EXPECT_LT(relative(norm.variance, exact.variance), 1e-3);
}

// ---- Running statistics.

TEST(RunningStatistics, SeveralUpdatesOfOneCallAreChained) {
  ParameterSet parameters;
  const size_t mean = parameters.add("mean", at::full({2}, 8.0), Role::kStatistic);
  const size_t variance = parameters.add("variance", at::full({2}, 4.0), Role::kStatistic);
  const size_t alone = parameters.add("alone", at::full({2}, 1.0), Role::kStatistic);
  const auto update = [&](size_t i, size_t k, double m, double v) {
    return StatisticUpdate{i, k, at::full({2}, m), at::full({2}, v)};
  };
  const std::vector<StatisticUpdate> updates = {update(mean, variance, 2, 3), update(alone, alone, 3, 3),
                                                update(mean, variance, 1, 5), update(alone, alone, 6, 6)};
  const ParameterSet together = merge_statistics(parameters, updates, 0.5);
  EXPECT_EQ(together.tensor(mean)[0].item<double>(), (8 * 0.5 + 2 * 0.5) * 0.5 + 1 * 0.5);
  EXPECT_EQ(together.tensor(variance)[0].item<double>(), (4 * 0.5 + 3 * 0.5) * 0.5 + 5 * 0.5);
  EXPECT_EQ(together.tensor(alone)[0].item<double>(), (1 * 0.5 + 3 * 0.5) * 0.5 + 6 * 0.5);  // once for each update
  ParameterSet singly = parameters;
  for (const StatisticUpdate& one : updates) singly = merge_statistics(singly, {one}, 0.5);
  for (const size_t i : {mean, variance, alone}) EXPECT_TRUE(together.tensor(i).equal(singly.tensor(i))) << i;
}

}  // namespace
}  // namespace fewatoms
