// Ten outer iterations against plain PyTorch: tests/golden/make_golden.py made the losses, with the same hashed weights
// and images.

#include <torch/optim/adam.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "meta/inner_loop.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using nlohmann::json;

uint64_t splitmix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

uint64_t hashed(const std::string& name, uint64_t index) {
  uint64_t key = 0xCBF29CE484222325ULL;  // FNV-1a
  for (const char c : name) key = (key ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return splitmix(key ^ splitmix(index));
}

Tensor uniform(const std::string& name, at::IntArrayRef shape, double low, double high) {
  Tensor t = at::empty(shape, at::kDouble);
  for (int64_t i = 0; i < t.numel(); ++i)
    t.data_ptr<double>()[i] = low + (high - low) * (static_cast<double>(hashed(name, i) >> 11) * 0x1.0p-53);
  return t;
}

Tensor image(uint64_t cls, uint64_t number, int64_t size) {
  Tensor t = at::empty({1, size, size}, at::kDouble);
  for (int64_t i = 0; i < t.numel(); ++i)
    t.data_ptr<double>()[i] = static_cast<double>(hashed("pattern", cls * 784 + i) % 200 +
                                                  hashed("noise", (cls * 1000 + number) * 784 + i) % 56) /
                              255;
  return t;
}

Task make_task(uint64_t index, const json& s) {
  const uint64_t shots = s.at("shots"), queries = s.at("queries");
  std::vector<Tensor> support, query;
  for (uint64_t label = 0; label < s.at("ways"); ++label) {
    const uint64_t cls = (5 * index + 3 * label) % s.at("classes").get<uint64_t>();
    for (uint64_t k = 0; k < shots; ++k) support.push_back(image(cls, 7 * index + k, s.at("image_size")));
    for (uint64_t k = 0; k < queries; ++k) query.push_back(image(cls, 7 * index + shots + k, s.at("image_size")));
  }
  const Tensor labels = at::arange(s.at("ways").get<int64_t>(), at::kLong);
  return {index,
          s.at("ways"),
          at::stack(support),
          labels.repeat_interleave(s.at("shots").get<int64_t>()),
          at::stack(query),
          labels.repeat_interleave(s.at("queries").get<int64_t>())};
}

ParameterSet hashed_parameters(const ParameterSet& like) {
  ParameterSet made;
  for (const Parameter& p : like) {
    double low = -0.5, high = 0.5;  // coefficients and the head's weight
    if (p.role == Role::kAtom) low = -0.6, high = 0.6;
    if (p.role == Role::kKernel) low = -0.4, high = 0.4;
    if (p.name.find(".norm.scale") != std::string::npos) low = -0.3, high = 1.2;
    if (p.name.find(".norm.shift") != std::string::npos) low = -0.1, high = 0.4;
    if (p.name.starts_with("inner_lr.")) low = 0.02, high = 0.08;
    if (p.name == "head.bias") low = -0.1, high = 0.1;
    made.add(p.name, uniform(p.name, p.tensor.sizes(), low, high), p.role);
  }
  return made;
}

json golden() {
  return json::parse(test::read_file(std::filesystem::path(FEWATOMS_SOURCE_DIR) / "tests" / "golden" / "maml.json"));
}

constexpr const char* kCases[] = {"Maml",         "Fomaml",  "Anil",       "AcdcMaml", "AcdcProto", "MetaSgd",
                                  "MamlPlusPlus", "Reptile", "CosineHead", "ProtoNet", "R2d2"};

class Golden : public ::testing::TestWithParam<size_t> {};

TEST_P(Golden, TenOuterIterationsEqualPlainPyTorch) {
  const json file = golden();
  ASSERT_EQ(file.at("cases").size(), std::size(kCases));
  const json &s = file.at("settings"), &c = file.at("cases").at(GetParam());
  SCOPED_TRACE(c.at("name").get<std::string>());
  LearnerOptions options;
  options.network.width = s.at("width");
  options.network.image_size = s.at("image_size");
  options.network.channels = s.at("channels");
  options.network.conv = {.kind = c.at("conv"),
                          .sharing = c.at("conv") == "acdc" ? s.at("sharing").get<std::string>() : "layer",
                          .atoms = s.at("atoms"),
                          .compute = "composed"};
  options.head = c.at("head");
  options.scope = c.at("scope");
  options.order = c.at("order");
  options.inner_lr = c.at("inner_lr");
  options.inner_steps = s.at("inner_steps");
  options.ways = s.at("ways");
  if (options.scope == "none") {
    options.inner_steps = 0;
    options.inner_lr = "0.05";
  }
  options.norm = c.value("norm", "batch");
  options.temperature = c.value("temperature", 1.0);
  if (c.contains("learned_rates")) options.inner_lr_learned = "tensor";
  if (c.value("learned_rates", "") == "tensor and step") options.inner_lr_per_step = "yes";
  if (c.value("displacement", false)) options.outer_gradient = "displacement";
  if (c.value("learned_head", false)) options.head_learned = "yes";
  ParameterSet initial;
  const Learner learner(options, initial);
  ParameterSet parameters = hashed_parameters(initial);

  std::vector<Tensor> values;
  for (const size_t i : parameters.trainable()) values.push_back(parameters.tensor(i));
  torch::optim::Adam adam(values, torch::optim::AdamOptions(s.at("outer_lr").get<double>()));
  const int meta_batch = s.at("meta_batch"), iterations = s.at("iterations");
  for (int iteration = 0; iteration < iterations; ++iteration) {
    double loss = 0;
    std::vector<Tensor> sums;
    for (const Tensor& value : values) sums.push_back(at::zeros_like(value));
    std::vector<TaskGradient> results;
    for (int t = 0; t < meta_batch; ++t) {
      const TaskGradient& result =
          results.emplace_back(task_gradient(learner, parameters, make_task(iteration * meta_batch + t, s)));
      loss += result.loss / meta_batch;
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += result.gradients[i] / meta_batch;
    }
    const double expected = c.at("losses").at(iteration);
    ASSERT_NEAR(loss, expected, 1e-8 * std::abs(expected)) << "iteration " << iteration + 1;
    for (size_t i = 0; i < values.size(); ++i) values[i].mutable_grad() = sums[i];
    adam.step();
    if (options.norm == "running")
      for (const TaskGradient& result : results) parameters = merge_statistics(parameters, result.updates);
  }
  for (const Parameter& p : parameters)
    if (p.role == Role::kStatistic) {
      const Tensor expected = at::tensor(c.at("statistics").at(p.name).get<std::vector<double>>(), at::kDouble);
      EXPECT_LT((p.tensor - expected).abs().max().item<double>(), 1e-8) << p.name;
    }
}

std::string case_name(const ::testing::TestParamInfo<size_t>& info) { return kCases[info.param]; }
INSTANTIATE_TEST_SUITE_P(Cases, Golden, ::testing::Range(size_t{0}, std::size(kCases)), case_name);

}  // namespace
}  // namespace fewatoms
