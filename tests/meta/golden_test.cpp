// Ten outer iterations against plain PyTorch: tests/golden/make_golden.py made the losses, with the same hashed weights and
// images.

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
                                                  hashed("noise", (cls * 1000 + number) * 784 + i) % 56) / 255;
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
  return {index, s.at("ways"), at::stack(support), labels.repeat_interleave(s.at("shots").get<int64_t>()), at::stack(query),
          labels.repeat_interleave(s.at("queries").get<int64_t>())};
}

ParameterSet hashed_parameters(const ParameterSet& like) {
  ParameterSet made;
  for (const Parameter& p : like) {
    double low = -0.5, high = 0.5;  // coefficients and the head's weight
    if (p.role == Role::kAtom) low = -0.6, high = 0.6;
    if (p.role == Role::kKernel) low = -0.4, high = 0.4;
    if (p.name.ends_with(".scale")) low = -0.3, high = 1.2;
    if (p.name.ends_with(".shift")) low = -0.1, high = 0.4;
    if (p.name == "head.bias") low = -0.1, high = 0.1;
    made.add(p.name, uniform(p.name, p.tensor.sizes(), low, high), p.role);
  }
  return made;
}

json golden() {
  return json::parse(test::read_file(std::filesystem::path(FEWATOMS_SOURCE_DIR) / "tests" / "golden" / "maml.json"));
}

class Golden : public ::testing::TestWithParam<size_t> {};

TEST_P(Golden, TenOuterIterationsEqualPlainPyTorch) {
  const json file = golden();
  ASSERT_EQ(file.at("cases").size(), 5U);
  const json &s = file.at("settings"), &c = file.at("cases").at(GetParam());
  SCOPED_TRACE(c.at("name").get<std::string>());
  LearnerOptions options;
  options.network.width = s.at("width");
  options.network.image_size = s.at("image_size");
  options.network.channels = s.at("channels");
  options.network.conv = {.kind = c.at("conv"), .sharing = s.at("sharing"), .atoms = s.at("atoms"), .compute = "composed"};
  options.head = c.at("head");
  options.scope = c.at("scope");
  options.order = c.at("order");
  options.inner_lr = c.at("inner_lr");
  options.inner_steps = s.at("inner_steps");
  options.ways = s.at("ways");
  ParameterSet initial;
  const Learner learner(options, initial);
  ParameterSet parameters = hashed_parameters(initial);

  std::vector<Tensor> values;
  for (const Parameter& p : parameters) values.push_back(p.tensor);
  const std::vector<size_t> trainable = parameters.trainable();
  ASSERT_EQ(trainable.size(), values.size());
  torch::optim::Adam adam(values, torch::optim::AdamOptions(s.at("outer_lr").get<double>()));
  const int meta_batch = s.at("meta_batch"), iterations = s.at("iterations");
  for (int iteration = 0; iteration < iterations; ++iteration) {
    double loss = 0;
    std::vector<Tensor> sums;
    for (const Tensor& value : values) sums.push_back(at::zeros_like(value));
    for (int t = 0; t < meta_batch; ++t) {
      const TaskGradient result = task_gradient(learner, parameters, make_task(iteration * meta_batch + t, s));
      loss += result.loss / meta_batch;
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += result.gradients[i] / meta_batch;
    }
    const double expected = c.at("losses").at(iteration);
    ASSERT_NEAR(loss, expected, 1e-8 * std::abs(expected)) << "iteration " << iteration + 1;
    for (size_t i = 0; i < values.size(); ++i) values[i].mutable_grad() = sums[i];
    adam.step();
  }
}

std::string case_name(const ::testing::TestParamInfo<size_t>& info) {
  const std::vector<std::string> names = {"Maml", "Fomaml", "Anil", "AcdcMaml", "AcdcProto"};
  return names.at(info.param);
}
INSTANTIATE_TEST_SUITE_P(Cases, Golden, ::testing::Range(size_t{0}, size_t{5}), case_name);

}  // namespace
}  // namespace fewatoms
