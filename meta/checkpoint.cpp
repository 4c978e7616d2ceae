#include "meta/checkpoint.h"

#include <cmath>

#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

constexpr const char* kFormat = "fewatoms-checkpoint-1";

using Metadata = std::map<std::string, std::string>;

template <Number T>
T metadata_number(const Metadata& metadata, const std::filesystem::path& path, const std::string& key) {
  const auto found = metadata.find(key);
  if (found != metadata.end())
    if (const auto value = parsed_number<T>(found->second)) return *value;
  throw DataError("'" + path.string() + "': metadata '" + key + "' is missing or not a number");
}

void require_format(const Metadata& metadata, const std::filesystem::path& path) {
  const auto found = metadata.find("format");
  const std::string format = found == metadata.end() ? "" : found->second;
  if (format != kFormat)
    throw UsageError("'" + path.string() + "' is not a FewAtoms checkpoint (format '" + format + "')");
}

/// What a file calls the moments, and begins their tensors' names with: by adam and adamw alike.
const char* name_of(Moments kind) { return kind == Moments::kBoth ? "adam" : kind == Moments::kFirst ? "sgd" : "none"; }

Moments moments_from_name(const std::string& name, const std::filesystem::path& path) {
  for (const Moments kind : {Moments::kNone, Moments::kFirst, Moments::kBoth})
    if (name == name_of(kind)) return kind;
  throw DataError("'" + path.string() + "': metadata 'moments' is '" + name + "', adam, sgd or none was expected");
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const TrainState& state) {
  SafeTensors file;
  const std::vector<size_t> trainable = state.parameters.trainable();
  for (const Parameter& p : state.parameters) file.tensors[p.name] = p.tensor;
  const OptimizerState& optimizer = state.optimizer;
  const char* kind = name_of(optimizer.kind);
  for (size_t i = 0; i < optimizer.first.size(); ++i)
    file.tensors[std::string(kind) + ".m." + state.parameters[trainable[i]].name] = optimizer.first[i];
  for (size_t i = 0; i < optimizer.second.size(); ++i)
    file.tensors[std::string(kind) + ".v." + state.parameters[trainable[i]].name] = optimizer.second[i];
  file.metadata = {{"format", kFormat},
                   {"moments", kind},
                   {"iteration", std::to_string(state.iteration)},
                   {"best_accuracy", number_text(state.best_accuracy)},
                   {"best_iteration", std::to_string(state.best_iteration)},
                   {"last_validation", std::to_string(state.last_validation)},
                   {"seconds", number_text(state.seconds)}};
  write_safetensors(path, file);
}

TrainState load_checkpoint(const std::filesystem::path& path, const std::shared_ptr<const Schema>& schema) {
  SafeTensors file = read_safetensors(path);
  require_format(file.metadata, path);
  const auto take = [&](ParameterSpec spec, const std::string& prefix) {
    spec.name = prefix + spec.name;
    const auto found = file.tensors.find(spec.name);
    if (found == file.tensors.end())
      throw UsageError("'" + path.string() + "' is of another architecture: it has no tensor '" + spec.name + "'");
    const Tensor tensor = found->second;
    if (const std::string wrong = misfit(spec, &tensor); !wrong.empty())
      throw UsageError("'" + path.string() + "' is of another architecture: " + wrong);
    file.tensors.erase(found);
    return tensor;
  };

  TrainState state;
  const auto number_where = [&](const std::string& key, auto zero, const auto& good, const std::string& expected) {
    const auto value = metadata_number<decltype(zero)>(file.metadata, path, key);
    if (!good(value))
      throw DataError("'" + path.string() + "': metadata '" + key + "' is " + file.metadata.at(key) + ", " + expected +
                      " was expected");
    return value;
  };
  state.iteration = number_where(
      "iteration", int64_t{}, [](int64_t i) { return i >= 0; }, "0 or more");
  const auto done = [&](int64_t i) { return i >= 0 && i <= state.iteration; };
  const std::string up_to = "0 to " + std::to_string(state.iteration) + ", the iterations done,";
  state.best_accuracy = number_where(
      "best_accuracy", 0.0, [](double a) { return a == -1 || (a >= 0 && a <= 1); }, "0 to 1, or -1 for none,");
  state.best_iteration = number_where("best_iteration", int64_t{}, done, up_to);
  state.last_validation = number_where("last_validation", int64_t{}, done, up_to);
  state.seconds = number_where(
      "seconds", 0.0, [](double s) { return s >= 0 && std::isfinite(s); }, "0 or more");
  std::vector<Tensor> values;
  for (const ParameterSpec& spec : *schema) values.push_back(take(spec, ""));
  state.parameters = {schema, std::move(values)};
  const auto moments = file.metadata.find("moments");  // older files do not say and are Adam's
  const std::string kind = moments == file.metadata.end() ? "adam" : moments->second;
  OptimizerState& optimizer = state.optimizer;
  optimizer.kind = moments_from_name(kind, path);
  optimizer.steps =
      optimizer.kind == Moments::kNone ? 0 : state.iteration;  // without moments there is nothing to go on from
  if (state.iteration > 0)
    for (const size_t i : schema->trainable()) {
      if (optimizer.kind != Moments::kNone) optimizer.first.push_back(take((*schema)[i], kind + ".m."));
      if (optimizer.kind == Moments::kBoth) optimizer.second.push_back(take((*schema)[i], kind + ".v."));
    }
  if (!file.tensors.empty())
    throw UsageError("'" + path.string() + "' is of another architecture: tensor '" + file.tensors.begin()->first +
                     "' has no place in this network");
  return state;
}

CheckpointProgress read_progress(const std::filesystem::path& path) {
  const Metadata metadata = read_safetensors_metadata(path);
  require_format(metadata, path);
  return {metadata_number<int64_t>(metadata, path, "iteration"),
          metadata_number<int64_t>(metadata, path, "last_validation")};
}

}  // namespace fewatoms
