#include "meta/checkpoint.h"

#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

constexpr const char* kFormat = "fewatoms-checkpoint-1";

template <Number T>
T metadata_number(const SafeTensors& file, const std::filesystem::path& path, const std::string& key) {
  const auto found = file.metadata.find(key);
  if (found != file.metadata.end())
    if (const auto value = parsed_number<T>(found->second)) return *value;
  throw DataError("'" + path.string() + "': metadata '" + key + "' is missing or not a number");
}

std::string sides_text(const Tensor& t) {
  std::string text;
  for (const int64_t n : t.sizes()) text += (text.empty() ? "" : "x") + std::to_string(n);
  return text.empty() ? "scalar" : text;
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const TrainState& state) {
  SafeTensors file;
  const std::vector<size_t> trainable = state.parameters.trainable();
  for (const Parameter& p : state.parameters) file.tensors[p.name] = p.tensor;
  const std::string optimizer = !state.second_moment.empty() ? "adam" : !state.first_moment.empty() ? "sgd" : "none";
  for (size_t i = 0; i < state.first_moment.size(); ++i) {
    const std::string& name = state.parameters[trainable[i]].name;
    file.tensors[optimizer + ".m." + name] = state.first_moment[i];
    if (optimizer == "adam") file.tensors["adam.v." + name] = state.second_moment[i];
  }
  file.metadata = {{"format", kFormat},
                   {"moments", optimizer},
                   {"iteration", std::to_string(state.iteration)},
                   {"best_accuracy", number_text(state.best_accuracy)},
                   {"best_iteration", std::to_string(state.best_iteration)},
                   {"last_validation", std::to_string(state.last_validation)},
                   {"seconds", number_text(state.seconds)}};
  write_safetensors(path, file);
}

TrainState load_checkpoint(const std::filesystem::path& path, const ParameterSet& expected) {
  SafeTensors file = read_safetensors(path);
  if (file.metadata["format"] != kFormat)
    throw UsageError("'" + path.string() + "' is not a FewAtoms checkpoint (format '" + file.metadata["format"] + "')");
  const auto take = [&](const std::string& name, const Tensor& like) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end())
      throw UsageError("'" + path.string() + "' is of another architecture: it has no tensor '" + name + "'");
    const Tensor tensor = found->second;
    if (tensor.scalar_type() != like.scalar_type())
      throw UsageError("'" + path.string() + "': tensor '" + name + "' is of type " +
                       at::toString(tensor.scalar_type()) + ", " + at::toString(like.scalar_type()) + " was expected");
    if (tensor.sizes() != like.sizes())
      throw UsageError("'" + path.string() + "' is of another architecture: tensor '" + name + "' is " +
                       sides_text(tensor) + ", " + sides_text(like) + " was expected");
    file.tensors.erase(found);
    return tensor;
  };

  TrainState state;
  state.iteration = metadata_number<int64_t>(file, path, "iteration");
  state.best_accuracy = metadata_number<double>(file, path, "best_accuracy");
  state.best_iteration = metadata_number<int64_t>(file, path, "best_iteration");
  state.last_validation = metadata_number<int64_t>(file, path, "last_validation");
  state.seconds = metadata_number<double>(file, path, "seconds");
  for (const Parameter& p : expected) state.parameters.add(p.name, take(p.name, p.tensor), p.role);
  const auto moments = file.metadata.find("moments");  // older files do not say and are Adam's
  const std::string optimizer = moments == file.metadata.end() ? "adam" : moments->second;
  if (state.iteration > 0 && optimizer != "none")
    for (const size_t i : expected.trainable()) {
      state.first_moment.push_back(take(optimizer + ".m." + expected[i].name, expected.tensor(i)));
      if (optimizer == "adam") state.second_moment.push_back(take("adam.v." + expected[i].name, expected.tensor(i)));
    }
  if (!file.tensors.empty())
    throw UsageError("'" + path.string() + "' is of another architecture: tensor '" + file.tensors.begin()->first +
                     "' has no place in this network");
  return state;
}

}  // namespace fewatoms
