#include "backbones/layer.h"

#include <torch/autograd.h>

#include <algorithm>
#include <set>

#include "backbones/backbone.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

NetworkOptions small(const std::string& backbone, const ConvOptions& conv) {
  NetworkOptions options;
  options.backbone = backbone;
  options.width = 16;
  options.image_size = 28;
  options.norm = "batch";
  options.conv = conv;
  return options;
}

void expect_close(const Tensor& a, const Tensor& b, double tolerance, const std::string& what) {
  EXPECT_LE((a - b).abs().max().item<double>(), tolerance * (1 + b.abs().max().item<double>())) << what;
}

std::vector<size_t> with_roles(const Schema& schema, const std::vector<Role>& roles) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < schema.size(); ++i)
    if (std::find(roles.begin(), roles.end(), schema[i].role) != roles.end()) indices.push_back(i);
  return indices;
}

std::vector<Tensor> tensors_at(const ParameterSet& parameters, const std::vector<size_t>& indices) {
  std::vector<Tensor> tensors;
  for (const size_t i : indices) tensors.push_back(parameters.tensor(i));
  return tensors;
}

// ---- What is prepared.

/// Prepared input gives what the input itself gives, for other values of the changing parameters too, and the same
/// gradients by every parameter.
TEST(Prepared, GivesWhatTheInputGives) {
  for (const std::string backbone : {"conv4", "conv6", "resnet12", "resnet18"})
    for (const ConvOptions& conv :
         {ConvOptions{}, ConvOptions{.kind = "acdc", .sharing = "layer", .atoms = 3}, ConvOptions{.kind = "separable"}})
      for (const std::vector<Role>& roles :
           {std::vector<Role>{Role::kAtom}, std::vector<Role>{Role::kNorm}, std::vector<Role>{Role::kKernel},
            std::vector<Role>{Role::kAtom, Role::kNorm}}) {
        ParameterSet start;
        const auto network = make_backbone(small(backbone, conv), 1, start);
        const std::vector<size_t> changing = with_roles(*start.schema(), roles);
        const int first = network->first_block_with(changing);
        if (first == network->blocks()) continue;
        const std::string what = backbone + " " + conv.kind + " " + to_string(roles.front());

        const ParameterSet parameters = start.to(at::kDouble).leaves(true);
        const Tensor images = normal_tensor({3, 3, 28, 28}, 1, 2, "images").to(at::kDouble);
        const Tensor x = network->forward(images, parameters, 0, first, {}).x;
        const BlockInput prepared = network->prepare(x, parameters, first, changing, {});
        std::vector<Tensor> others;
        for (const Tensor& t : tensors_at(parameters, changing)) others.push_back(t * 1.25 + 0.1);
        const ParameterSet changed = parameters.with(changing, others);
        const auto run = [&](const BlockInput& input) {
          return network->forward(input, changed, first, network->blocks(), {}).x;
        };
        const Tensor expected = run(x), given = run(prepared);
        expect_close(given, expected, 1e-9, what);

        const std::vector<Tensor> leaves = tensors_at(parameters, start.trainable());
        const auto gradients = [&](const Tensor& y) {
          return torch::autograd::grad({y.pow(2).sum()}, leaves, {}, true, false, /*allow_unused=*/true);
        };
        const auto a = gradients(expected), b = gradients(given);
        for (size_t i = 0; i < a.size(); ++i) {
          ASSERT_EQ(a[i].defined(), b[i].defined()) << what << " " << parameters[i].name;
          if (a[i].defined()) expect_close(b[i], a[i], 1e-7, what + " " + parameters[i].name);
        }
      }
}

/// A layer that counts how often it runs.
class Counting final : public Layer {
 public:
  explicit Counting(std::vector<size_t> reads) : reads_(std::move(reads)) {}
  Tensor forward(const Tensor& x, const Context&) const override {
    ++runs;
    return x + 1;
  }
  std::vector<size_t> parameters() const override { return reads_; }
  std::string torch_script(const std::string& x, NormMode) const override { return "f(" + x + ")"; }
  mutable int runs = 0;

 private:
  std::vector<size_t> reads_;
};

TEST(Prepared, LayersInFrontOfTheFirstChangeRunOnce) {
  const auto fixed = std::make_shared<Counting>(std::vector<size_t>{0}),
             changing = std::make_shared<Counting>(std::vector<size_t>{1}),
             behind = std::make_shared<Counting>(std::vector<size_t>{0});
  const Sequence layers({fixed, changing, behind});
  const ParameterSet none;
  const PreparedPtr prepared = layers.prepare(at::zeros({1}), none, {1});
  ASSERT_NE(prepared, nullptr);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(layers.forward_prepared(*prepared, none).item<float>(), 3);
  EXPECT_EQ(fixed->runs, 1);
  EXPECT_EQ(changing->runs, 3);
  EXPECT_EQ(behind->runs, 3);
  EXPECT_EQ(layers.prepare(at::zeros({1}), none, {0}), nullptr);  // the first one changes: nothing to keep
  EXPECT_EQ(layers.torch_script("x", NormMode::kBatch), "f(f(f(x)))");
}

// ---- What layers share.

std::vector<ConvLayer> six_layers() {
  std::vector<ConvLayer> layers;
  const int widths[] = {3, 8, 8, 8, 8, 16, 16};
  for (int l = 0; l < 6; ++l)
    layers.push_back({.name = std::string("l") + std::to_string(l),
                      .in = widths[l],
                      .out = widths[l + 1],
                      .block = l / 2,
                      .stage = l / 4,
                      .size = 8,
                      .stem = l == 0});
  return layers;
}

TEST(Sharing, GroupsAreThoseOfTheRule) {
  const auto groups = [](const std::string& kind, const std::string& rule) {
    return sharing_groups(six_layers(), {.kind = kind, .sharing = rule});
  };
  EXPECT_EQ(groups("acdc", "layer"), (std::vector<int>{-1, 0, 1, 2, 3, 4}));
  EXPECT_EQ(groups("acdc", "block"), (std::vector<int>{-1, 0, 1, 1, 2, 2}));
  EXPECT_EQ(groups("acdc", "stage"), (std::vector<int>{-1, 0, 0, 0, 1, 1}));
  EXPECT_EQ(groups("acdc", "net"), (std::vector<int>{-1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(groups("acdc", "sandwich"), (std::vector<int>{-1, 0, 1, 1, 1, 2}));
  EXPECT_EQ(groups("acdc", ""), groups("acdc", "net"));
  for (const char* kind : {"standard", "separable"}) {
    EXPECT_EQ(groups(kind, "sandwich"), groups("acdc", "sandwich")) << kind;
    EXPECT_EQ(groups(kind, ""), groups(kind, "layer")) << kind;
  }
}

/// A network whose layers share kernels computes what one of separate kernels does that have equal values.
TEST(Sharing, KernelsOfEqualShapeAreOneTensor) {
  for (const std::string kind : {"standard", "separable"})
    for (const std::string rule : {"block", "stage", "net", "sandwich"}) {
      const auto layers = six_layers();
      ParameterSet shared_set, own_set;
      const auto shared = make_convolutions(layers, {.kind = kind, .sharing = rule}, 3, shared_set);
      const auto own = make_convolutions(layers, {.kind = kind, .sharing = "layer"}, 4, own_set);
      EXPECT_LT(shared_set.size(), own_set.size()) << kind << " " << rule;
      for (size_t l = 0; l < layers.size(); ++l) {
        const auto from = shared[l]->parameters(), to = own[l]->parameters();
        const ParameterSet copy = own_set.with(to, tensors_at(shared_set, from));
        const Tensor x = normal_tensor({2, layers[l].in, 8, 8}, 1, 5, "x");
        EXPECT_TRUE(own[l]->forward(x, copy).equal(shared[l]->forward(x, shared_set))) << kind << " " << rule << l;
      }
      // 8 -> 8 twice within stage 1, of which block 2 holds both; 8 -> 16 and 16 -> 16 differ in shape from these.
      const auto big = [&](size_t l) { return shared[l]->parameters().back(); };
      EXPECT_EQ(big(2), big(3)) << kind << " " << rule;
      EXPECT_EQ(big(1) == big(2), rule == "stage" || rule == "net") << kind << " " << rule;
      EXPECT_NE(big(4), big(5)) << kind << " " << rule;
    }
}

// ---- Atoms: how many, from where, and those that are dropped.

TEST(Atoms, MayBeMoreThanPixelsAndStartInRandomDirections) {
  const std::vector<ConvLayer> layer = {{.name = "l", .in = 64, .out = 64, .size = 20}};
  for (const std::string start : {"bessel", "random"})
    for (const int count : {3, 9, 12, 30}) {
      ParameterSet parameters;
      const auto made = make_convolutions(layer, {.kind = "acdc", .atoms = count, .atom_start = start}, 1, parameters);
      const Tensor& atoms = *parameters.find("l.atoms");
      ASSERT_EQ(atoms.sizes(), (at::IntArrayRef{count, 3, 3}));
      EXPECT_LT((atoms.pow(2).sum(at::IntArrayRef{1, 2}) - 1).abs().max().item<double>(), 1e-5);
      const double variance = made[0]->kernel(parameters).var().item<double>();
      EXPECT_NEAR(variance * 9 * 64 / 2, 1, 0.25) << start << " " << count;  // He's
    }
}

TEST(Atoms, ADropIsOfATaskAndScalesUpTheRest) {
  const std::vector<ConvLayer> layer = {{.name = "l", .in = 2, .out = 3, .size = 6}};
  ParameterSet parameters;
  const auto made = make_convolutions(layer, {.kind = "acdc", .atoms = 6, .atom_drop_rate = 0.5}, 1, parameters)[0];
  const Tensor whole = made->kernel(parameters);
  const auto dropped = [&](uint64_t key) { return made->kernel(Context(parameters, Pass(NormMode::kBatch, 0, key))); };
  EXPECT_TRUE(dropped(0).equal(whole));
  EXPECT_TRUE(dropped(7).equal(dropped(7)));
  // Each is the kernel of some of the atoms, times 6 by their number.
  const Tensor& atoms = *parameters.find("l.atoms");
  const Tensor& coefficients = *parameters.find("coefficients");
  int different = 0;
  double kept = 0;
  constexpr int kKeys = 200;
  for (uint64_t key = 1; key <= kKeys; ++key) {
    const Tensor kernel = dropped(key);
    different += kernel.equal(whole) ? 0 : 1;
    bool found = false;
    for (int mask = 1; mask < 64 && !found; ++mask) {
      std::vector<float> weights(6, 0.0F);
      int count = 0;
      for (int m = 0; m < 6; ++m) count += (mask >> m) & 1;
      for (int m = 0; m < 6; ++m) weights[m] = ((mask >> m) & 1) != 0 ? 6.0F / static_cast<float>(count) : 0.0F;
      const Tensor some = compose_kernel(coefficients, atoms * at::tensor(weights).view({6, 1, 1}));
      if ((some - kernel).abs().max().item<double>() < 1e-5) {
        found = true;
        kept += count;
      }
    }
    EXPECT_TRUE(found) << key;
  }
  EXPECT_GT(different, kKeys * 9 / 10);
  EXPECT_NEAR(kept / (6 * kKeys), 0.5, 0.06);
}

// ---- What a network says of itself.

TEST(Describe, ListsEveryWeightOnceWhereItComesFirst) {
  for (const std::string& backbone : backbone_names()) {
    ParameterSet parameters;
    const auto network = make_backbone(small(backbone, {.kind = "acdc", .atoms = 3}), 0, parameters);
    const std::vector<LayerInfo> layers = network->describe();
    ASSERT_EQ(layers.size(), network->layers().size()) << backbone;
    std::set<size_t> seen;
    for (size_t l = 0; l < layers.size(); ++l) {
      EXPECT_EQ(layers[l].name, network->layers()[l].name);
      EXPECT_EQ(layers[l].multiply_adds, network->layers()[l].multiply_adds());
      EXPECT_EQ(layers[l].kind, stays_plain(network->layers()[l], {.kind = "acdc"}) ? "standard" : "acdc");
      seen.insert(layers[l].weights.begin(), layers[l].weights.end());
    }
    const auto weights = with_roles(*parameters.schema(), {Role::kAtom, Role::kCoefficient, Role::kKernel});
    EXPECT_EQ(std::vector<size_t>(seen.begin(), seen.end()), weights) << backbone;
  }
}

}  // namespace
}  // namespace fewatoms
