#include "meta/adapter.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "backbones/safetensors.h"
#include "episodes/digest.h"
#include "episodes/numbers.h"
#include "episodes/text.h"
#include "meta/embedding.h"

namespace fewatoms {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "fewatoms-adapter-1";
constexpr const char* kFeatures = "support.features";
constexpr const char* kLabels = "support.labels";

/// Heads that see the support set through its class means alone.
bool uses_means(HeadKind head) { return head == HeadKind::kPrototype || head == HeadKind::kRelation; }

NormMode serving_norm(const Learner& learner) {
  return learner.running_norm() || learner.transductive() ? NormMode::kRunning : NormMode::kBatch;
}

/// The learner's body, able to keep the statistics of its norms.
struct Body {
  std::shared_ptr<const Schema> schema;
  std::unique_ptr<Backbone> backbone;
};
Body body_with_statistics(const Learner& learner) {
  NetworkOptions network = learner.options().network;
  network.running_statistics = true;
  auto schema = std::make_shared<Schema>();
  auto backbone = make_backbone(network, *schema);
  return {std::move(schema), std::move(backbone)};
}

/// The values of `from` and of `statistics` over another schema, by name. What neither has, or in another form, is zero
/// and added to `wrong`.
ParameterSet filled(const std::shared_ptr<const Schema>& schema, const ParameterSet& from,
                    const std::map<std::string, Tensor>& statistics, std::vector<std::string>& wrong) {
  std::vector<Tensor> values;
  for (const ParameterSpec& spec : *schema) {
    const auto statistic = statistics.find(spec.name);
    const Tensor* given = statistic != statistics.end() ? &statistic->second : from.find(spec.name);
    const std::string misfits = misfit(spec, given);
    if (!misfits.empty()) wrong.push_back(misfits);
    values.push_back(misfits.empty() ? *given : at::zeros(spec.shape));
  }
  return {schema, std::move(values)};
}

/// Parameters that a network at this number of steps starts from.
ParameterSet norms_after(const Learner& learner, const ParameterSet& parameters, int inner_steps) {
  return inner_steps == 0 ? parameters : learner.at_step(parameters, inner_steps - 1);
}

template <Number T>
T whole_number(const SafeTensors& file, const std::string& key, T low, T high, const std::filesystem::path& path) {
  const auto found = file.metadata.find(key);
  std::string where = "'";
  where.append(path.string()).append("': metadata '").append(key).append("' ");
  if (found == file.metadata.end())
    throw DataError(where + "is missing, " + expected_number(low, high) + " was expected");
  return read_number<T, DataError>(found->second, low, high, where);
}

/// Without temperature and regulariser as adapters had it that do not say what their network is.
std::string identity(const Learner& learner, const ParameterSet& parameters, bool with_head_numbers) {
  const LearnerOptions& o = learner.options();
  std::string text =
      o.method + "|" + o.head + "|" + o.norm + "|" + o.scope + "|" + o.feature_norm + "|" + o.network.pool;
  if (with_head_numbers) text += "|" + number_text(o.temperature) + "|" + number_text(o.regulariser);
  Sha256 digest;
  for (const Parameter& p : parameters) {
    const Tensor whole = p.tensor.contiguous();
    text += "|" + p.name;
    for (const int64_t n : whole.sizes()) text.append(" ").append(std::to_string(n));
    digest.add({static_cast<const char*>(whole.data_ptr()), whole.nbytes()});
  }
  digest.add(text);
  return digest.digits().substr(0, 32);
}

/// "width is 32 there and 64 here, ..."; empty where the descriptions say nothing of a difference.
std::string differences(const NetworkDescription& there, const NetworkDescription& here) {
  std::string text;
  for (const auto& [name, value] : there)
    for (const auto& [other, own] : here)
      if (name == other && value != own)
        text += (text.empty() ? "" : ", ") + name + " is " + value + " there and " + own + " here";
  return text;
}

/// Throws UsageError, with the true reason, unless the adapter was made for this network.
void require_own(const Learner& learner, const ParameterSet& parameters, const Adapter& adapter,
                 const std::string& where) {
  if (adapter.run_id == identity(learner, parameters, /*with_head_numbers=*/!adapter.network.empty())) return;
  std::string run = " (method '" + adapter.method + "'";
  if (!adapter.checkpoint.empty()) run += ", " + adapter.checkpoint + " checkpoint";
  if (adapter.iteration >= 0) run += ", iteration " + std::to_string(adapter.iteration);
  run += ")";
  if (!adapter.run_name.empty()) run = ", '" + adapter.run_name + "'" + run;
  const std::string different = differences(adapter.network, network_description(learner));
  throw UsageError(where + " belongs to another run" + run + ": " +
                   (!different.empty() ? different + "; name its run"
                                       : "the weights are others here, of another training or of more iterations; name "
                                         "its run, or adapt again"));
}

void require_ways(const Learner& learner, int classes) {
  if (classes < 2)
    throw UsageError("there is " + std::to_string(classes) + " class to learn, at least 2 were expected");
  const int ways = learner.options().ways;
  if (learner.fixed_ways() && classes > ways)
    throw UsageError("there are " + std::to_string(classes) + " classes to learn, but the " + learner.options().head +
                     " head of this run has " + std::to_string(ways) + " ways: at most " + std::to_string(ways) +
                     " were expected (heads made for each task, as those of protonet and proto-maml, take any number)");
}

}  // namespace

Task support_task(const ImageSource& source, PixelNorm norm) {
  const std::vector<ImageRef> images = all_images(source);
  std::vector<int64_t> labels;
  for (const ImageRef& image : images) labels.push_back(image.class_index);
  source.prefetch(images);
  Task task;
  task.ways = source.classes();
  task.support = load_images(source, images, norm);
  task.support_labels = at::tensor(labels, at::kLong);
  return task;
}

NetworkDescription network_description(const Learner& learner) {
  const LearnerOptions& o = learner.options();
  const NetworkOptions& n = o.network;
  NetworkDescription all = {{"method", o.method},
                            {"backbone", n.backbone},
                            {"width", number_text(n.width)},
                            {"image-size", number_text(n.image_size)},
                            {"channels", number_text(n.channels)},
                            {"conv", n.conv.kind}};
  if (n.conv.kind == "acdc") {
    all.emplace_back("sharing", n.conv.sharing);
    all.emplace_back("atoms", number_text(n.conv.atoms));
    all.emplace_back("group", number_text(n.conv.group));
  }
  const NetworkDescription head = {{"norm", o.norm},
                                   {"pool", n.pool},
                                   {"head", o.head},
                                   {"head-start", o.head_start},
                                   {"ways", number_text(o.ways)},
                                   {"temperature", number_text(o.temperature)},
                                   {"regulariser", number_text(o.regulariser)},
                                   {"feature-norm", o.feature_norm},
                                   {"scope", o.scope},
                                   {"seed", number_text(o.seed)}};
  all.insert(all.end(), head.begin(), head.end());
  return all;
}

std::string network_identity(const Learner& learner, const ParameterSet& parameters) {
  return identity(learner, parameters, /*with_head_numbers=*/true);
}

void require_adaptable(const Learner& learner, const ImageSource& support, int inner_steps) {
  const int classes = support.classes();
  require_ways(learner, classes);
  if (inner_steps < 0 || inner_steps > 1000)
    throw UsageError("inner steps " + std::to_string(inner_steps) + " is outside 0..1000");
  if (inner_steps > 0 && learner.adapted().empty())
    throw UsageError("scope '" + learner.options().scope + "' adapts nothing: 0 inner steps were expected");
  if (has_class_weights(learner.head()) || inner_steps == 0) return;
  int most = 0;
  for (int c = 0; c < classes; ++c) most = std::max(most, support.class_size(c));
  for (int c = 0; c < classes && most > 1; ++c)
    if (support.class_size(c) < 2)
      throw DataError("class '" + support.class_name(c) + "' has 1 image where others have up to " +
                      std::to_string(most) + ": adapting a head '" + learner.options().head +
                      "' leaves one out, 2 were expected");
}

Adapter make_adapter(const Learner& learner, const ParameterSet& parameters, const Task& task,
                     std::vector<std::string> classes, int inner_steps) {
  require_ways(learner, task.ways);
  at::NoGradGuard no_graph;
  const ParameterSet start = parameters.leaves(false);
  const PreparedTask prepared = prepare(learner, start, task, learner.evaluation_norm());
  const ParameterSet adapted = adapt(learner, start, prepared, inner_steps, Order::kFirst);

  Adapter adapter;
  adapter.run_id = network_identity(learner, parameters);
  adapter.method = learner.options().method;
  adapter.network = network_description(learner);
  adapter.classes = std::move(classes);
  adapter.inner_steps = inner_steps;
  adapter.support_images = task.support.size(0);
  const auto changed = [&](size_t i) {
    const auto& indices = learner.adapted();
    return i >= learner.size() || (inner_steps > 0 && std::find(indices.begin(), indices.end(), i) != indices.end());
  };
  for (size_t i = 0; i < adapted.size(); ++i)
    if (changed(i)) adapter.values.add(adapted[i].name, adapted.tensor(i).detach().clone(), adapted[i].role);

  if (!learner.transductive() && has_class_weights(learner.head())) return adapter;
  ParameterSet body;
  std::unique_ptr<Backbone> own;
  const Backbone* backbone = &learner.backbone();
  if (learner.transductive()) {
    std::vector<std::string> wrong;  // are the statistics, which nobody has yet
    Body with_statistics = body_with_statistics(learner);
    body = filled(with_statistics.schema, adapted, {}, wrong);
    own = std::move(with_statistics.backbone);
    backbone = own.get();
  }
  const Activations pass =
      backbone->forward(task.support, learner.transductive() ? body : adapted, learner.evaluation_norm());
  for (const StatisticUpdate& update : pass.updates) {
    adapter.statistics[body[update.mean_index].name] = update.mean.to(at::kFloat);
    adapter.statistics[body[update.variance_index].name] = update.variance.to(at::kFloat);
  }
  if (has_class_weights(learner.head())) return adapter;
  adapter.support_features = learner.head_features(pass.x, adapted);
  adapter.support_labels = task.support_labels;
  if (uses_means(learner.head())) {
    adapter.support_features = prototypes(adapter.support_features, task.support_labels, task.ways);
    adapter.support_labels = at::arange(task.ways, at::kLong);
  }
  return adapter;
}

void save_adapter(const std::filesystem::path& path, const Adapter& adapter) {
  SafeTensors file;
  json roles = json::object();
  for (const Parameter& p : adapter.values) {
    file.tensors[p.name] = p.tensor;
    roles[p.name] = to_string(p.role);
  }
  for (const auto& [name, tensor] : adapter.statistics) file.tensors[name] = tensor;
  if (adapter.support_features.defined()) {
    file.tensors[kFeatures] = adapter.support_features;
    file.tensors[kLabels] = adapter.support_labels;
  }
  const auto text = [](const auto& j) { return j.dump(); };
  nlohmann::ordered_json network = nlohmann::ordered_json::object();
  for (const auto& [name, value] : adapter.network) network[name] = value;
  std::vector<std::string> classes;
  for (const std::string& name : adapter.classes) classes.push_back(as_utf8(name));
  file.metadata = {{"format", kFormat},
                   {"run", adapter.run_id},
                   {"checkpoint", adapter.checkpoint},
                   {"method", adapter.method},
                   {"classes", text(json(classes))},
                   {"roles", text(roles)},
                   {"inner_steps", std::to_string(adapter.inner_steps)},
                   {"support_images", std::to_string(adapter.support_images)}};
  if (!adapter.network.empty()) file.metadata["network"] = text(network);
  if (!adapter.run_name.empty()) file.metadata["run_name"] = adapter.run_name;
  if (adapter.iteration >= 0) file.metadata["iteration"] = std::to_string(adapter.iteration);
  write_safetensors(path, file);
}

Adapter load_adapter(const std::filesystem::path& path) {
  SafeTensors file = read_safetensors(path);
  if (file.metadata["format"] != kFormat)
    throw UsageError("'" + path.string() + "' is not an adapter (format '" + file.metadata["format"] +
                     "'): a file of `fewatoms adapt` was expected");
  Adapter adapter;
  adapter.run_id = file.metadata["run"];
  adapter.checkpoint = file.metadata["checkpoint"];
  adapter.method = file.metadata["method"];
  adapter.run_name = file.metadata["run_name"];
  adapter.inner_steps = whole_number(file, "inner_steps", 0, 1000, path);
  adapter.support_images = whole_number<int64_t>(file, "support_images", 0, INT64_MAX, path);
  if (file.metadata.contains("iteration"))
    adapter.iteration = whole_number<int64_t>(file, "iteration", 0, INT64_MAX, path);
  const json classes = json::parse(file.metadata["classes"], nullptr, /*allow_exceptions=*/false);
  const json roles = json::parse(file.metadata["roles"], nullptr, /*allow_exceptions=*/false);
  try {
    adapter.classes = classes.get<std::vector<std::string>>();
    for (const auto& [name, role] : roles.get<std::map<std::string, std::string>>()) {
      const auto found = file.tensors.find(name);
      if (found == file.tensors.end()) throw DataError("'" + path.string() + "': tensor '" + name + "' is missing");
      adapter.values.add(name, found->second, role_from_string(role));
      file.tensors.erase(found);
    }
    if (file.metadata.contains("network")) {
      const auto network = nlohmann::ordered_json::parse(file.metadata["network"]);
      for (const auto& [name, value] : network.items()) adapter.network.emplace_back(name, value.get<std::string>());
    }
  } catch (const UsageError& e) {  // a role
    throw DataError("'" + path.string() + "': metadata 'roles': " + e.what());
  } catch (const json::exception&) {
    throw DataError("'" + path.string() + "': metadata 'classes', 'roles' or 'network' is missing or damaged");
  }
  if (adapter.classes.size() < 2)
    throw DataError("'" + path.string() + "' has " + std::to_string(adapter.classes.size()) +
                    " classes, at least 2 were expected");
  for (const std::string& name : adapter.classes)
    if (std::count(adapter.classes.begin(), adapter.classes.end(), name) > 1)
      throw DataError("'" + path.string() + "' has class '" + name + "' twice");
  if (file.tensors.count(kFeatures) + file.tensors.count(kLabels) == 2) {
    adapter.support_features = file.tensors[kFeatures];
    adapter.support_labels = file.tensors[kLabels];
    file.tensors.erase(kFeatures);
    file.tensors.erase(kLabels);
  }
  adapter.statistics = std::move(file.tensors);
  return adapter;
}

TaskClassifier::TaskClassifier(const Learner& learner, const ParameterSet& parameters, const Adapter& adapter,
                               const std::string& where)
    : learner_(learner),
      classes_(adapter.classes),
      body_(&learner.backbone()),
      norm_(serving_norm(learner)),
      support_features_(adapter.support_features),
      support_labels_(adapter.support_labels) {
  require_own(learner, parameters, adapter, where);
  std::vector<std::string> wrong;
  const auto ways = static_cast<int64_t>(classes_.size());
  if (learner.fixed_ways() && ways > learner.options().ways)
    throw DataError(where + " is damaged: it has " + std::to_string(ways) + " classes, its run's head has " +
                    std::to_string(learner.options().ways) + " ways");
  std::set<std::string> known;  // tensors that have a place
  const auto value_of = [&](const ParameterSpec& spec) {
    const Tensor* value = adapter.values.find(spec.name);
    known.insert(spec.name);
    if (const std::string misfits = misfit(spec, value); !misfits.empty()) wrong.push_back(misfits);
    if (value != nullptr) {
      const Role& role = (*adapter.values.schema())[*adapter.values.schema()->find(spec.name)].role;
      if (!(role == spec.role))
        wrong.push_back("tensor '" + spec.name + "' has role '" + to_string(role) + "', '" + to_string(spec.role) +
                        "' was expected");
    }
    return wrong.empty() ? value : nullptr;
  };
  adapted_ = norms_after(learner, parameters.leaves(false), adapter.inner_steps);
  for (size_t i = 0; i < adapted_.size(); ++i)
    if (adapter.values.find(adapted_[i].name) != nullptr)
      if (const Tensor* value = value_of((*adapted_.schema())[i])) adapted_ = adapted_.with({i}, {*value});
  if (learner.makes_head()) {
    const int64_t features = learner.backbone().features();
    if (const Tensor* weight = value_of({"head.weight", {ways, features}, Role::kHead, {}}))
      adapted_.add("head.weight", *weight, Role::kHead);
    if (learner.head() == HeadKind::kLinear)
      if (const Tensor* bias = value_of({"head.bias", {ways}, Role::kHead, {}}))
        adapted_.add("head.bias", *bias, Role::kHead);
  }
  if (learner.transductive()) {
    Body with_statistics = body_with_statistics(learner);
    own_body_ = std::move(with_statistics.backbone);
    body_ = own_body_.get();
    for (const ParameterSpec& spec : *with_statistics.schema) known.insert(spec.name);
    body_parameters_ = filled(with_statistics.schema, adapted_, adapter.statistics, wrong);
  } else {
    body_parameters_ = adapted_;
  }
  if (!has_class_weights(learner.head())) {
    const bool good =
        support_features_.defined() && support_features_.dim() == 2 && support_features_.scalar_type() == at::kFloat &&
        support_features_.size(1) == learner.backbone().features() && support_labels_.dim() == 1 &&
        support_labels_.size(0) == support_features_.size(0) && support_labels_.scalar_type() == at::kLong &&
        support_labels_.numel() > 0 && support_labels_.min().item<int64_t>() >= 0 &&
        support_labels_.max().item<int64_t>() < ways && support_labels_.bincount({}, ways).min().item<int64_t>() > 0;
    if (!good)
      wrong.push_back(std::string("tensors '") + kFeatures + "' and '" + kLabels + "' are not float32 n x " +
                      std::to_string(learner.backbone().features()) + " with a label of int64 each, of all " +
                      std::to_string(ways) + " classes");
  }
  for (const Parameter& p : adapter.values)
    if (!known.contains(p.name)) wrong.push_back("tensor '" + p.name + "' has no place in its run's network");
  for (const auto& [name, tensor] : adapter.statistics)
    if (!known.contains(name)) wrong.push_back("tensor '" + name + "' has no place in its run's network");
  if (!wrong.empty()) throw DataError(where + " is damaged: " + wrong.front());
}

ParameterSet TaskClassifier::parameters() const {
  ParameterSet all = body_parameters_;
  for (const Parameter& p : adapted_)
    if (all.find(p.name) == nullptr) all.add(p.name, p.tensor, p.role);
  return all;
}

Tensor TaskClassifier::probabilities(const Tensor& images) const {
  const auto ways = static_cast<int64_t>(classes_.size());
  const Tensor table = at::empty({images.size(0), ways}, at::kFloat);
  tbb::parallel_for(int64_t{0}, images.size(0), [&](int64_t i) {
    const OneThreadPerOperation one_thread;
    at::NoGradGuard no_graph;
    const Tensor x =
        learner_.head_features(body_->forward(images.narrow(0, i, 1), body_parameters_, norm_).x, adapted_);
    const Tensor logits =
        has_class_weights(learner_.head())
            ? learner_.class_logits(x, adapted_).narrow(1, 0, ways)
            : compared_logits(learner_.comparison(adapted_), support_features_, support_labels_, ways, x);
    table[i].copy_(logits[0].softmax(0));
  });
  return table;
}

}  // namespace fewatoms
