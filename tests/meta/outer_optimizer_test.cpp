#include "meta/outer_optimizer.h"

#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cmath>

#include "episodes/errors.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
using test::expect_close;
using test::message_of;

constexpr double kRate = 0.05, kDecay = 0.1, kMomentum = 0.9;

template <class Optimizer, class Options>
void reference_steps(Tensor value, const std::vector<Tensor>& gradients, Options options) {
  Optimizer optimizer({value}, options);
  for (const Tensor& gradient : gradients) {
    value.mutable_grad() = gradient.clone();
    optimizer.step();
  }
}

/// The value after LibTorch's own optimizer took a step along each gradient.
Tensor after_reference(const std::string& name, double momentum, const Tensor& start,
                       const std::vector<Tensor>& gradients) {
  using namespace torch::optim;
  Tensor value = start.clone();
  if (name == "adam") reference_steps<Adam>(value, gradients, AdamOptions(kRate).weight_decay(kDecay));
  if (name == "adamw") reference_steps<AdamW>(value, gradients, AdamWOptions(kRate).weight_decay(kDecay));
  if (name == "sgd") reference_steps<SGD>(value, gradients, SGDOptions(kRate).weight_decay(kDecay).momentum(momentum));
  return value;
}

Tensor after_ours(const std::string& name, double momentum, const Tensor& start, const std::vector<Tensor>& gradients,
                  bool interrupted) {
  std::vector<Tensor> values = {start.clone()};
  OptimizerState state;
  for (const Tensor& gradient : gradients) {
    optimizer_step(outer_optimizer(name, momentum), values, {gradient}, {{.rate = kRate, .weight_decay = kDecay}},
                   state);
    if (!interrupted) continue;  // values and state alone must be enough to go on
    values = {values[0].clone()};
    state = state.clone();
  }
  return values[0];
}

TEST(OuterOptimizer, StepsAreBitEqualToLibTorchs) {
  torch::manual_seed(1);
  const Tensor start = torch::randn({7, 5});
  std::vector<Tensor> gradients;
  for (int i = 0; i < 5; ++i) gradients.push_back(torch::randn({7, 5}));
  for (const auto& [name, momentum] :
       std::vector<std::pair<std::string, double>>{{"adam", 0}, {"adamw", 0}, {"sgd", 0}, {"sgd", kMomentum}})
    for (const bool interrupted : {false, true})
      EXPECT_TRUE(after_ours(name, momentum, start, gradients, interrupted)
                      .equal(after_reference(name, momentum, start, gradients)))
          << name << " " << momentum << " " << interrupted;
}

TEST(OuterOptimizer, StepsAreThoseOfTheirFormulas) {
  const Tensor start = at::tensor({1.0, -2.0, 3.0}, at::kDouble), g1 = at::tensor({0.5, 0.1, -1.0}, at::kDouble),
               g2 = at::tensor({-0.2, 0.3, 0.4}, at::kDouble);
  const auto after = [&](const std::string& name, double momentum) {
    return after_ours(name, momentum, start, {g1, g2}, false);
  };
  const Tensor a = start - kRate * (g1 + kDecay * start);
  expect_close(after("sgd", 0), a - kRate * (g2 + kDecay * a), 1e-12, "sgd");
  expect_close(after("sgd", kMomentum), a - kRate * (kMomentum * (g1 + kDecay * start) + g2 + kDecay * a), 1e-12,
               "momentum");
  const auto adam = [](const Tensor& x, const Tensor& m, const Tensor& v, int t) {
    return x - kRate * (m / (1 - std::pow(0.9, t))) / ((v / (1 - std::pow(0.999, t))).sqrt() + 1e-8);
  };
  const Tensor b = adam(start * (1 - kRate * kDecay), 0.1 * g1, 0.001 * g1 * g1, 1);
  const Tensor c = adam(b * (1 - kRate * kDecay), 0.09 * g1 + 0.1 * g2, 0.000999 * g1 * g1 + 0.001 * g2 * g2, 2);
  expect_close(after("adamw", 0), c, 1e-9, "adamw");
}

TEST(OuterOptimizer, RefusesTheStateOfAnotherKindOrNetwork) {
  const std::vector<Tensor> values = {at::ones({3}), at::ones({2, 2})};
  const auto step = [&](const OuterOptimizer& optimizer, const std::vector<Tensor>& of, OptimizerState& state) {
    std::vector<Tensor> copies;
    for (const Tensor& value : of) copies.push_back(value.clone());
    optimizer_step(optimizer, copies, of, std::vector<StepSize>(of.size(), {.rate = 0.1, .weight_decay = 0}), state);
  };
  OptimizerState momentum;
  step(outer_optimizer("sgd", kMomentum), values, momentum);
  EXPECT_TRUE(contains(message_of<UsageError>([&] { step(outer_optimizer("adam", 0), values, momentum); }),
                       "another kind of optimizer"));
  EXPECT_TRUE(contains(message_of<UsageError>([&] { step(outer_optimizer("sgd", kMomentum), {values[0]}, momentum); }),
                       "2 first moments"));
  momentum.first[1] = at::ones({4});
  EXPECT_TRUE(contains(message_of<UsageError>([&] { step(outer_optimizer("sgd", kMomentum), values, momentum); }),
                       "other shapes"));
  EXPECT_TRUE(contains(message_of<UsageError>([] { outer_optimizer("adan", 0); }), "did you mean 'adam'"));
}

}  // namespace
}  // namespace fewatoms
