#include "meta/checkpoint.h"

#include <charconv>

#include "backbones/safetensors.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr const char* kFormat = "fewatoms-checkpoint-1";

/// Shortest text that reads back to the same number.
std::string exact(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return {text, end};
}

template <class Number>
Number metadata_number(const SafeTensors& file, const std::filesystem::path& path, const std::string& key) {
  const auto found = file.metadata.find(key);
  Number value{};
  if (found != file.metadata.end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) return value;
  }
  throw DataError("'" + path.string() + "': metadata '" + key + "' is missing or not a number");
}

std::string shape_text(const Tensor& t) {
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
                   {"best_accuracy", exact(state.best_accuracy)},
                   {"best_iteration", std::to_string(state.best_iteration)},
                   {"last_validation", std::to_string(state.last_validation)},
                   {"seconds", exact(state.seconds)}};
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
    if (tensor.sizes() != like.sizes() || tensor.scalar_type() != like.scalar_type())
      throw UsageError("'" + path.string() + "' is of another architecture: tensor '" + name + "' is " +
                       shape_text(tensor) + ", " + shape_text(like) + " was expected");
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
