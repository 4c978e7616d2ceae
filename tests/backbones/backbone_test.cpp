#include "backbones/backbone.h"

#include <regex>
#include <set>

#include "episodes/errors.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

struct Network {
  explicit Network(NetworkOptions given) : options(std::move(given)) {
    backbone = make_backbone(options, 1, parameters);
    parameters = parameters.to(at::kDouble);
  }
  Tensor images(int n) const {
    return normal_tensor({n, options.channels, options.image_size, options.image_size}, 1, 2, "images").to(at::kDouble);
  }
  NetworkOptions options;
  ParameterSet parameters;
  std::unique_ptr<Backbone> backbone;
};

NetworkOptions small(const std::string& conv, bool running = false) {
  NetworkOptions options;
  options.width = 4;
  options.image_size = 28;
  options.channels = 3;
  options.running_statistics = running;
  options.conv.kind = conv;
  return options;
}

class EveryNetwork : public ::testing::TestWithParam<std::tuple<std::string, std::string, std::string, int>> {
 protected:
  NetworkOptions options(bool running = false) const {
    const auto& [backbone, conv, pool, size] = GetParam();
    NetworkOptions o = small(conv, running);
    o.backbone = backbone;
    o.pool = pool;
    o.image_size = size;
    return o;
  }
};
INSTANTIATE_TEST_SUITE_P(Backbones, EveryNetwork,
                         ::testing::Combine(::testing::ValuesIn(backbone_names()),
                                            ::testing::ValuesIn(convolution_kinds()),
                                            ::testing::Values("flatten", "mean"), ::testing::Values(28, 33)),
                         [](const auto& info) {
                           const std::string backbone =
                               std::regex_replace(std::get<0>(info.param), std::regex("-"), "_");
                           return backbone + "_" + std::get<1>(info.param) + "_" + std::get<2>(info.param) + "_" +
                                  std::to_string(std::get<3>(info.param));
                         });

TEST_P(EveryNetwork, GivesAsManyFeaturesAsItSays) {
  const Network net(options());
  at::NoGradGuard no_graph;
  const Tensor y = net.backbone->forward(net.images(3), net.parameters, NormMode::kBatch).x;
  EXPECT_EQ(y.sizes(), (at::IntArrayRef{3, net.backbone->features()}));
  EXPECT_TRUE(y.isfinite().all().item<bool>());
}

TEST_P(EveryNetwork, ForwardByPiecesEqualsForwardAtOnce) {
  const Network net(options(/*running=*/true));
  at::NoGradGuard no_graph;
  for (const NormMode norm : {NormMode::kBatch, NormMode::kRunning}) {
    const Activations whole = net.backbone->forward(net.images(3), net.parameters, norm);
    for (int cut = 0; cut <= net.backbone->blocks(); ++cut) {
      const Activations first = net.backbone->forward(net.images(3), net.parameters, 0, cut, norm);
      const Activations second = net.backbone->forward(first.x, net.parameters, cut, net.backbone->blocks(), norm);
      EXPECT_TRUE(second.x.equal(whole.x)) << "cut before block " << cut;
      EXPECT_EQ(first.updates.size() + second.updates.size(), whole.updates.size());
    }
    EXPECT_EQ(whole.updates.empty(), norm == NormMode::kRunning);
  }
}

TEST_P(EveryNetwork, BlocksNameEveryParameterThatTheyRead) {
  const Network net(options());
  at::NoGradGuard no_graph;
  for (int block = 0; block < net.backbone->blocks(); ++block) {
    const auto before = net.backbone->forward(net.images(2), net.parameters, 0, block, NormMode::kBatch).x;
    const auto run = [&](const ParameterSet& p) {
      return net.backbone->forward(before, p, block, block + 1, NormMode::kBatch).x;
    };
    const Tensor expected = run(net.parameters);
    const auto named = net.backbone->block_parameters(block);
    const std::set<size_t> reads(named.begin(), named.end());
    for (const size_t i : net.parameters.trainable()) {
      const Tensor other =
          net.parameters.tensor(i) + normal_tensor(net.parameters.tensor(i).sizes(), 0.5, 3, "other").to(at::kDouble);
      EXPECT_EQ(!run(net.parameters.with({i}, {other})).equal(expected), reads.count(i) > 0)
          << "block " << block << ", " << net.parameters[i].name;
    }
  }
}

TEST_P(EveryNetwork, AllKernelsAgree) {
  NetworkOptions o = options();
  const Network fused(o);
  o.kernels = "reference";
  const Network reference(o);
  const Tensor a = fused.backbone->forward(fused.images(3), fused.parameters, NormMode::kBatch).x;
  const Tensor b = reference.backbone->forward(fused.images(3), fused.parameters, NormMode::kBatch).x;
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-10);
}

TEST(Backbone, Conv4IsFourBlocksOfConvolutionNormReluAndPooling) {
  const Network net(small("standard"));
  const auto by_name = [&](const std::string& name) {
    for (const Parameter& p : net.parameters)
      if (p.name == name) return p.tensor;
    throw std::runtime_error("no " + name);
  };
  Tensor x = net.images(3);
  for (int block = 1; block <= 4; ++block) {
    const std::string name = "block" + std::to_string(block);
    x = at::conv2d(x, by_name(name + ".conv.kernel"), {}, 1, 1);
    x = at::batch_norm(x, by_name(name + ".norm.scale"), by_name(name + ".norm.shift"), {}, {}, true, 0.1, 1e-5, false);
    x = at::max_pool2d(x.relu(), {2, 2});
  }
  const Tensor y = net.backbone->forward(net.images(3), net.parameters, NormMode::kBatch).x;
  EXPECT_LT((y - x.flatten(1)).abs().max().item<double>(), 1e-10);
}

TEST(Backbone, FirstBlockWithFindsTheFirstThatReads) {
  const Network net(small("acdc"));
  const auto first = [&](const std::string& name) {
    for (size_t i = 0; i < net.parameters.size(); ++i)
      if (net.parameters[i].name == name) return net.backbone->first_block_with({i});
    throw std::runtime_error("no " + name);
  };
  EXPECT_EQ(first("block1.conv.kernel"), 0);
  EXPECT_EQ(first("coefficients"), 1);
  EXPECT_EQ(first("block3.conv.atoms"), 2);
  EXPECT_EQ(first("block4.norm.shift"), 3);
  EXPECT_EQ(net.backbone->first_block_with({}), net.backbone->blocks());
}

TEST(Backbone, OptionsOutOfRangeAreRefused) {
  const auto message = [](const NetworkOptions& options) {
    return test::message_of<UsageError>([&] {
      ParameterSet parameters;
      make_backbone(options, 0, parameters);
    });
  };
  const auto changed = [](const auto& change) {
    NetworkOptions options = small("standard");
    change(options);
    return options;
  };
  EXPECT_NE(message(changed([](auto& o) { o.backbone = "conv5"; })).find("did you mean 'conv4'"), std::string::npos);
  EXPECT_NE(message(changed([](auto& o) { o.pool = "flaten"; })).find("did you mean 'flatten'"), std::string::npos);
  for (const int width : {-1, 0, 1025})
    EXPECT_NE(message(changed([&](auto& o) { o.width = width; })).find("width is " + std::to_string(width)),
              std::string::npos);
  for (const int size : {0, 27, 225})
    EXPECT_NE(message(changed([&](auto& o) { o.image_size = size; })).find("image size is " + std::to_string(size)),
              std::string::npos);
  for (const int channels : {0, 2, 4})
    EXPECT_NE(message(changed([&](auto& o) { o.channels = channels; })).find("channels is " + std::to_string(channels)),
              std::string::npos);
}

// ---- Running statistics.

TEST(RunningStatistics, MergeAsPyTorchsBatchNormDoes) {
  NetworkOptions options = small("standard", /*running=*/true);
  options.kernels = "fused";
  Network net(options);
  at::NoGradGuard no_graph;
  const auto by_name = [](const ParameterSet& parameters, const std::string& name) {
    for (const Parameter& p : parameters)
      if (p.name == name) return p.tensor;
    throw std::runtime_error("no " + name);
  };
  Tensor mean = at::zeros({4}, at::kDouble), variance = at::ones({4}, at::kDouble);
  ParameterSet parameters = net.parameters;
  for (int pass = 0; pass < 3; ++pass) {
    const Tensor x = net.images(2) * (pass + 1) + pass;
    const Tensor y = at::conv2d(x, by_name(parameters, "block1.conv.kernel"), {}, 1, 1);
    at::batch_norm(y, {}, {}, mean, variance, /*training=*/true, 0.1, 1e-5, false);  // moves mean and variance
    const ParameterSet before = parameters;
    parameters = merge_statistics(parameters, net.backbone->forward(x, parameters, NormMode::kBatch).updates);
    EXPECT_LT((by_name(parameters, "block1.norm.mean") - mean).abs().max().item<double>(), 1e-12) << "pass " << pass;
    EXPECT_LT((by_name(parameters, "block1.norm.variance") - variance).abs().max().item<double>(), 1e-12)
        << "pass " << pass;
    for (size_t i = 0; i < parameters.size(); ++i)
      EXPECT_EQ(parameters.tensor(i).is_same(before.tensor(i)), parameters[i].role != Role::kStatistic)
          << parameters[i].name;
  }
  // And they normalise in evaluation as PyTorch's do.
  const Tensor y = at::conv2d(net.images(3), by_name(parameters, "block1.conv.kernel"), {}, 1, 1);
  const Tensor expected =
      at::max_pool2d(at::batch_norm(y, {}, {}, mean, variance, /*training=*/false, 0.1, 1e-5, false).relu(), {2, 2});
  const Tensor ours = net.backbone->forward(net.images(3), parameters, 0, 1, NormMode::kRunning).x;
  EXPECT_LT((ours - expected).abs().max().item<double>(), 1e-10);
}

TEST(RunningStatistics, AreKeptOnlyWhenAskedFor) {
  const Network without(small("acdc"));
  EXPECT_EQ(without.parameters.count().count(Role::kStatistic), 0U);
  EXPECT_TRUE(without.backbone->forward(without.images(2), without.parameters, NormMode::kBatch).updates.empty());
  EXPECT_THROW(without.backbone->forward(without.images(2), without.parameters, NormMode::kRunning), c10::Error);
  const Network with(small("acdc", true));
  EXPECT_EQ(with.parameters.count().at(Role::kStatistic), 4 * 2 * 4);
}

// ---- ParameterSet.

TEST(ParameterSet, IsAValueThatSharesUntouchedTensors) {
  ParameterSet set;
  set.add("a", at::zeros({2}), Role::kAtom);
  set.add("b", at::ones({3}), Role::kHead);
  set.add("c", at::ones({4}), Role::kStatistic);
  const ParameterSet other = set.with({1}, {at::full({3}, 5.0)});
  EXPECT_TRUE(other.tensor(0).is_same(set.tensor(0)));
  EXPECT_EQ(other.tensor(1)[0].item<float>(), 5);
  EXPECT_EQ(set.tensor(1)[0].item<float>(), 1);
  EXPECT_EQ(set.trainable(), (std::vector<size_t>{0, 1}));
  EXPECT_EQ(set.count(), (std::map<Role, int64_t>{{Role::kAtom, 2}, {Role::kHead, 3}, {Role::kStatistic, 4}}));
  EXPECT_EQ(set.count({0, 2}), (std::map<Role, int64_t>{{Role::kAtom, 2}, {Role::kStatistic, 4}}));
  EXPECT_THROW(set.with({1}, {at::zeros({2})}), c10::Error);  // another shape
  EXPECT_THROW(set.with({0, 1}, {at::zeros({2})}), c10::Error);
  EXPECT_THROW(set.add("a", at::zeros({1}), Role::kNorm), c10::Error);
}

TEST(ParameterSet, LeavesAreCutFromTheGraphAndStatisticsNeverNeedGradients) {
  ParameterSet set;
  const Tensor root = at::ones({2}).requires_grad_(true);
  set.add("a", root * 2, Role::kAtom);
  set.add("s", at::ones({2}), Role::kStatistic);
  const ParameterSet leaves = set.leaves(true);
  EXPECT_TRUE(leaves.tensor(0).is_leaf() && leaves.tensor(0).requires_grad());
  EXPECT_FALSE(leaves.tensor(1).requires_grad());
  EXPECT_FALSE(set.leaves(false).tensor(0).requires_grad());
  EXPECT_EQ(leaves.tensor(0).data_ptr(), set.tensor(0).data_ptr());
  const ParameterSet doubles = set.to(at::kDouble);
  EXPECT_EQ(doubles.tensor(0).scalar_type(), at::kDouble);
  EXPECT_NE(set.to(at::kFloat).tensor(0).data_ptr(), set.tensor(0).data_ptr());  // a copy
}

TEST(ParameterSet, AddingToACopyLeavesTheOtherAsItWas) {
  ParameterSet set;
  set.add("a", at::zeros({2}), Role::kAtom);
  ParameterSet longer = set;
  EXPECT_EQ(longer.schema(), set.schema());  // the same object: nothing is copied
  EXPECT_EQ(longer.add("b", at::ones({3}), Role::kHead), 1U);
  EXPECT_EQ(set.size(), 1U);
  EXPECT_EQ(set.find("b"), nullptr);
  EXPECT_TRUE(longer.find("b")->equal(at::ones({3})));
  EXPECT_EQ(longer.with({0}, {at::ones({2})}).schema(), longer.schema());
  EXPECT_EQ(longer.leaves(true).schema(), longer.schema());
  EXPECT_EQ(longer.to(at::kDouble).schema(), longer.schema());
}

// ---- Schema.

TEST(Schema, DrawsEachParameterFromSeedAndNameAlone) {
  auto schema = std::make_shared<Schema>(), reversed = std::make_shared<Schema>();
  const ParameterSpec normal{"n", {50, 4}, Role::kKernel, normal_start(0.5)},
      same{"c", {3}, Role::kNorm, constant_start(2)};
  schema->add(normal), schema->add(same);
  reversed->add(same), reversed->add(normal);
  const ParameterSet a = initialise(schema, 7), b = initialise(reversed, 7), c = initialise(schema, 8);
  EXPECT_TRUE(a.find("n")->equal(*b.find("n")));
  EXPECT_TRUE(a.find("n")->equal(normal_tensor({50, 4}, 0.5, 7, "n")));
  EXPECT_FALSE(a.find("n")->equal(*c.find("n")));
  EXPECT_TRUE(a.find("c")->equal(at::full({3}, 2.0F)));
  schema->add({"task's", {1}, Role::kHead, {}});
  EXPECT_THROW(initialise(schema, 7), c10::Error);  // values come from elsewhere
}

TEST(Schema, DigestChangesWithNameShapeAndRole) {
  const auto digest = [](const std::string& name, std::vector<int64_t> shape, const Role& role) {
    Schema schema;
    schema.add({"first", {2}, Role::kNorm, {}});
    schema.add({name, std::move(shape), role, {}});
    return schema.digest();
  };
  const std::string one = digest("a", {2, 3}, Role::kHead);
  EXPECT_EQ(digest("a", {2, 3}, Role::kHead), one);
  EXPECT_NE(digest("b", {2, 3}, Role::kHead), one);
  EXPECT_NE(digest("a", {3, 2}, Role::kHead), one);
  EXPECT_NE(digest("a", {2, 3}, Role::kNorm), one);
}

TEST(Schema, RefusesATakenNameAndARoleThatNoOptionCouldName) {
  Schema schema;
  schema.add({"a", {1}, Role::kHead, {}});
  EXPECT_THROW(schema.add({"a", {1}, Role::kHead, {}}), c10::Error);
  EXPECT_THROW(schema.add({"b", {1}, Role{.name = "unlisted"}, {}}), c10::Error);
}

TEST(Schema, SaysHowAValueDiffers) {
  const ParameterSpec spec{"head.weight", {5, 64}, Role::kHead, {}};
  const auto wrong = [&](const Tensor& value) { return misfit(spec, &value); };
  EXPECT_EQ(wrong(at::zeros({5, 64})), "");
  EXPECT_EQ(wrong(at::zeros({5, 32})), "tensor 'head.weight' is [5, 32], [5, 64] was expected");
  EXPECT_EQ(wrong(at::zeros({5, 64}, at::kDouble)), "tensor 'head.weight' is of type Double, float32 was expected");
  EXPECT_EQ(misfit(spec, nullptr), "tensor 'head.weight' is missing");
}

TEST(Role, NamesReadBackAndUnknownOnesOfferTheNearest) {
  for (const Role role : trainable_roles()) EXPECT_EQ(role_from_string(to_string(role)), role);
  EXPECT_NE(test::message_of<UsageError>([] { role_from_string("atoms"); }).find("did you mean 'atom'"),
            std::string::npos);
  EXPECT_THROW(role_from_string("statistic"), UsageError);  // never adapted
  EXPECT_THROW(role_from_string(""), UsageError);
}

}  // namespace
}  // namespace fewatoms
