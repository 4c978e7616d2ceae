#include "meta/learner.h"

#include <algorithm>
#include <cmath>

#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

constexpr int64_t kRelationUnits = 64;

void require_choice(const char* what, const std::string& given, const std::vector<std::string>& valid) {
  if (std::find(valid.begin(), valid.end(), given) == valid.end()) throw UsageError(unknown_name(what, given, valid));
}

void require_range(const char* what, double value, bool good, const char* expected) {
  if (!good || !std::isfinite(value))
    throw UsageError(std::string(what) + " is " + number_text(value) + ", " + expected + " was expected");
}

NetworkOptions network_of(const LearnerOptions& options) {
  require_choice("norm", options.norm, {"batch", "running", "per-step", "group", "layer", "none"});
  NetworkOptions network = options.network;
  network.running_statistics = options.norm == "running";
  network.norm = options.norm == "running" || options.norm == "per-step" ? "batch" : options.norm;
  return network;
}

/// Refuses every value out of range.
void require_values(const LearnerOptions& o) {
  require_choice("head", o.head, head_names());
  require_choice("head start", o.head_start, {"learned", "prototype", "fresh"});
  require_choice("head-learned", o.head_learned, {"no", "yes"});
  require_choice("feature norm", o.feature_norm, {"none", "scaled", "l2", "centred"});
  require_choice("order", o.order, {"first", "second"});
  require_choice("inner-lr-learned", o.inner_lr_learned, {"none", "scalar", "role", "tensor", "element"});
  require_choice("inner-lr-per-step", o.inner_lr_per_step, {"no", "yes"});
  require_choice("inner optimizer", o.inner_optimizer, {"sgd", "momentum", "adam"});
  require_choice("train-on", o.train_on, {"episodes", "classes"});
  require_choice("outer gradient", o.outer_gradient, {"query", "displacement"});
  require_range("head-init", o.head_init, o.head_init >= 0 && o.head_init <= 10, "0 to 10");
  require_range("temperature", o.temperature, o.temperature > 0, "more than 0");
  require_range("regulariser", o.regulariser, o.regulariser > 0, "more than 0");
  require_range("inner weight decay", o.inner_weight_decay, o.inner_weight_decay >= 0, "0 or more");
  require_range("inner batch", o.inner_batch, o.inner_batch >= 0, "0 or more");
  if (o.inner_steps < 0 || o.inner_steps > 1000)
    throw UsageError("inner steps is " + std::to_string(o.inner_steps) + ", 0 to 1000 is possible");
}

/// Refuses combinations in which something would have no effect or no gradient, with the reason.
void require_sense(const LearnerOptions& o) {
  const HeadKind head = head_from_string(o.head);
  const bool weights = has_class_weights(head), classes = o.train_on == "classes";
  const auto refuse = [](bool wrong, const std::string& why) {
    if (wrong) throw UsageError(why);
  };
  refuse(!weights && o.head_start != "learned",
         "head-start '" + o.head_start + "' is for heads of class weights, a head '" + o.head + "' has none");
  refuse(o.head_learned == "yes" && head == HeadKind::kLinear && o.head_start != "prototype",
         "head-learned: a linear head of its own weights has no temperature to learn");
  refuse(head == HeadKind::kCosine && o.head_start != "prototype" && o.head_init == 0,
         "head-init is 0: a cosine has no direction to start from");
  const bool head_adapts = Scope(o.scope).has(Role::kHead);
  refuse(
      head == HeadKind::kLinear && o.head_start != "prototype" && o.head_init == 0 && !head_adapts && o.inner_steps > 0,
      "head-init is 0 and scope '" + o.scope +
          "' leaves the head alone: no gradient would reach the body in the inner loop");
  refuse(o.inner_batch > 0 && !weights, "inner-batch: a head '" + o.head + "' compares with the whole support set");
  refuse(o.inner_lr_per_step == "yes" && o.inner_lr_learned == "none",
         "inner-lr-per-step goes with learned step sizes, inner-lr-learned is 'none'");
  if (o.inner_lr_learned != "none") {
    refuse(o.inner_steps == 0,
           "inner-lr-learned '" + o.inner_lr_learned + "', but inner steps is 0: there are no steps to learn");
    refuse(classes, "inner-lr-learned: training on classes takes no inner steps to learn from");
    refuse(o.outer_gradient == "displacement",
           "inner-lr-learned: outer gradient 'displacement' does not reach step sizes");
  }
  if (o.norm == "per-step") {
    refuse(o.inner_steps == 0, "norm 'per-step', but inner steps is 0: there are no steps to keep scales for");
    refuse(classes || o.outer_gradient == "displacement",
           "norm 'per-step' is learned through the inner steps, which this training does not differentiate");
    refuse(o.order == "first" && o.inner_steps > 1,
           "norm 'per-step' learns the norms of earlier steps by second derivatives, order is 'first'; second was "
           "expected");
    refuse(("+" + o.scope + "+").find("+norm+") != std::string::npos,
           "scope '" + o.scope +
               "' adapts norm, but with norm 'per-step' each step has its own; leave norm out of the scope");
  }
  if (o.outer_gradient == "displacement") {
    refuse(classes, "outer gradient 'displacement' needs episodes, train-on is 'classes'");
    refuse(o.inner_steps == 0, "outer gradient 'displacement', but inner steps is 0: nothing would move");
    refuse(!weights,
           "outer gradient 'displacement' learns from the inner loss alone, a head '" + o.head + "' is not trained so");
    refuse(o.head_learned == "yes", "head-learned: outer gradient 'displacement' does not reach the temperature");
  }
  if (classes) {
    refuse(o.classes < 2, "classes is " + std::to_string(o.classes) + ", training on classes needs at least 2");
    refuse(weights && o.head_start == "learned",
           "train-on 'classes' learns no start of the head: head-start fresh or prototype was expected");
    refuse(head == HeadKind::kRelation, "train-on 'classes' does not train a relation head");
    refuse(o.head_learned == "yes" && head != HeadKind::kCosine,
           "train-on 'classes' does not train temperature and regulariser of a head '" + o.head + "'");
  } else {
    refuse(o.feature_norm == "centred",
           "feature-norm 'centred' subtracts the mean feature of training on classes: train-on 'classes' was expected");
  }
}

}  // namespace

Learner::Learner(const LearnerOptions& options) : options_(options), head_(head_from_string(options.head)) {
  require_values(options);
  require_sense(options);
  order_ = options.order == "first" ? Order::kFirst : Order::kSecond;
  options_.network = network_of(options);
  auto schema = std::make_shared<Schema>();
  backbone_ = make_backbone(options_.network, *schema);
  if (backbone_->features() < 1)
    throw UsageError("images of " + std::to_string(options.network.image_size) + " pixels are too small");
  add_head(*schema);
  schema_ = std::move(schema);
}

Learner::Learner(const LearnerOptions& options, ParameterSet& parameters) : Learner(options) {
  parameters = initialise(schema_, options.seed);
}

void Learner::add_head(Schema& schema) {
  const int64_t d = backbone_->features(), ways = options_.ways;
  if (has_class_weights(head_) && ways < 2)
    throw UsageError("ways is " + std::to_string(ways) + ", at least 2 are needed");
  const auto add_class_weights = [&](Schema& to) {
    head_weight_ = to.add({"head.weight", {ways, d}, Role::kHead, normal_start(options_.head_init)});
    if (head_ == HeadKind::kLinear) head_bias_ = to.add({"head.bias", {ways}, Role::kHead, constant_start(0)});
  };
  if (fixed_ways()) add_class_weights(schema);
  if (head_ == HeadKind::kRelation) {
    relation_hidden_ =
        schema.add({"head.hidden", {kRelationUnits, 2 * d}, Role::kHead, normal_start(std::sqrt(2.0 / (2.0 * d)))});
    relation_bias_ = schema.add({"head.bias", {kRelationUnits}, Role::kHead, constant_start(0)});
    relation_out_ =
        schema.add({"head.out", {kRelationUnits}, Role::kHead, normal_start(std::sqrt(1.0 / kRelationUnits))});
  }

  Schema task_schema = schema;  // what the scope selects from
  if (makes_head()) add_class_weights(task_schema);
  std::vector<size_t> selected = Scope(options_.scope).select(task_schema);
  const bool per_step = options_.norm == "per-step";
  if (per_step) std::erase_if(selected, [&](size_t i) { return task_schema[i].role == Role::kNorm; });
  if (selected.empty() && options_.inner_steps > 0)
    throw UsageError("scope '" + options_.scope + "' adapts nothing, but inner steps is " +
                     std::to_string(options_.inner_steps) + "; 0 was expected");
  adapted_ = selected;

  if (options_.head_learned == "yes") {
    log_temperature_ =
        schema.add({"head.log_temperature", {1}, Role::kMeta, constant_start(std::log(options_.temperature))});
    if (head_ == HeadKind::kRidge)
      log_regulariser_ =
          schema.add({"head.log_regulariser", {1}, Role::kMeta, constant_start(std::log(options_.regulariser))});
  }
  if (trains_on_classes()) {
    // As for a task's head, but for the deviation: what is small for five classes is a start at zero for hundreds.
    class_weight_ = schema.add({"classes.weight", {options_.classes, d}, Role::kHead, normal_start(0.01)});
    if (head_ != HeadKind::kCosine)
      class_bias_ = schema.add({"classes.bias", {options_.classes}, Role::kHead, constant_start(0)});
  }
  if (options_.feature_norm == "centred")
    feature_mean_ = schema.add({"features.mean", {d}, Role::kStatistic, constant_start(0)});
  if (per_step) {
    for (size_t i = 0; i < task_schema.size(); ++i)
      if (task_schema[i].role == Role::kNorm) norms_.push_back(i);
    for (const size_t i : norms_)
      if (options_.inner_steps > 1) {  // each step starts as the first
        const ParameterSpec first = schema[i];
        const int64_t more = options_.inner_steps - 1;
        later_norms_.push_back(schema.add({first.name + ".later",
                                           {more, first.shape[0]},
                                           Role::kNorm,
                                           [first, more](const ParameterSpec&, uint64_t seed) {
                                             return first.start(first, seed).repeat({more, 1});
                                           }}));
      }
  }
  choose_adapted(schema, task_schema);
}

void Learner::choose_adapted(Schema& schema, const Schema& task_schema) {
  if (!adapted_.empty()) {
    const RoleRates rates("inner rate", options_.inner_lr);
    rates.require(roles_of(task_schema, adapted_));
    for (const size_t i : adapted_) inner_rates_.push_back(rates[task_schema[i].role]);
  }
  if (options_.outer_gradient == "displacement")
    for (const size_t i : schema.trainable())
      if (std::find(adapted_.begin(), adapted_.end(), i) == adapted_.end())
        throw UsageError("outer gradient 'displacement' trains what the inner loop moves, and scope '" +
                         options_.scope + "' would leave '" + schema[i].name +
                         "' as it starts; scope all was expected");

  const std::string& learned = options_.inner_lr_learned;
  if (learned == "scalar" && std::set<double>(inner_rates_.begin(), inner_rates_.end()).size() > 1)
    throw UsageError("inner-lr-learned 'scalar' is one step size for all, but inner-lr '" + options_.inner_lr +
                     "' gives several to start from");
  std::map<std::string, size_t> made;
  for (size_t k = 0; k < adapted_.size() && learned != "none"; ++k) {
    const ParameterSpec& p = task_schema[adapted_[k]];
    const std::string name =
        learned == "scalar" ? "inner_lr" : "inner_lr." + (learned == "role" ? to_string(p.role) : p.name);
    if (made.count(name) == 0) {
      // A head made for each task may have any number of classes: its step sizes are by tensor at the finest.
      const bool by_element = learned == "element" && !(makes_head() && p.role == Role::kHead);
      std::vector<int64_t> shape = by_element ? p.shape : std::vector<int64_t>{1};
      if (options_.inner_lr_per_step == "yes") shape.insert(shape.begin(), options_.inner_steps);
      made[name] = schema.add({name, shape, Role::kMeta, constant_start(inner_rates_[k])});
    }
    rate_indices_.push_back(made[name]);
  }

  if (makes_head()) {  // its tensors come behind everything else
    const size_t first = head_weight_, size = schema.size();
    for (size_t& i : adapted_)
      if (task_schema[i].role == Role::kHead) i = size + (i - first);
    head_weight_ = size;
    head_bias_ = size + 1;
  }
  first_adapted_block_ = norms_.empty() ? backbone_->first_block_with(adapted_) : 0;
}

std::vector<size_t> Learner::changing() const {
  std::vector<size_t> indices = adapted_;
  indices.insert(indices.end(), norms_.begin(), norms_.end());
  return indices;
}

std::optional<double> Learner::distance_unit(const ParameterSet& parameters) const {
  const bool scaled = options_.feature_norm == "scaled";
  if (head_ != HeadKind::kPrototype || !(scaled || options_.feature_norm == "none")) return {};
  const Tensor t = temperature(parameters);
  return (t.defined() ? t.item<double>() : 1) * (scaled ? static_cast<double>(backbone_->features()) : 1);
}

std::map<Role, int64_t> Learner::adapted_count() const {
  std::vector<size_t> own;
  std::copy_if(adapted_.begin(), adapted_.end(), std::back_inserter(own), [&](size_t i) { return i < size(); });
  std::map<Role, int64_t> numbers = schema_->count(own);
  if (own.size() < adapted_.size())
    numbers[Role::kHead] += options_.ways * (backbone_->features() + (head_ == HeadKind::kLinear ? 1 : 0));
  return numbers;
}

Tensor Learner::learned_rate(size_t k, int step, const ParameterSet& parameters) const {
  if (rate_indices_.empty()) return {};
  const Tensor& rate = parameters.tensor(rate_indices_[k]);
  return options_.inner_lr_per_step == "yes" ? rate.select(0, std::min(step, options_.inner_steps - 1)) : rate;
}

ParameterSet Learner::with_task_head(const ParameterSet& parameters, const Tensor& support, const Tensor& labels,
                                     int64_t ways) const {
  ParameterSet made = parameters;
  const auto options = support.options();
  if (options_.head_start == "fresh") {
    const Tensor weight =
        normal_tensor({ways, support.size(1)}, options_.head_init, options_.seed, "head.weight").to(options);
    made.add("head.weight", weight.requires_grad_(at::GradMode::is_enabled()), Role::kHead);
    if (head_ == HeadKind::kLinear)
      made.add("head.bias", at::zeros({ways}, options).requires_grad_(at::GradMode::is_enabled()), Role::kHead);
    return made;
  }
  // Minus the squared distance |f - c|^2 is 2 c.f - |c|^2 up to what is the same for all classes (Snell et al. 2017,
  // eq. 8).
  const Tensor centres = prototypes(support, labels, ways);
  made.add("head.weight", head_ == HeadKind::kLinear ? 2 * centres : centres, Role::kHead);
  if (head_ == HeadKind::kLinear) made.add("head.bias", -(centres * centres).sum(1), Role::kHead);
  return made;
}

ParameterSet Learner::at_step(const ParameterSet& parameters, int step) const {
  if (later_norms_.empty() || step == 0) return parameters;
  std::vector<Tensor> values;
  for (const size_t i : later_norms_)
    values.push_back(parameters.tensor(i).select(0, std::min(step, options_.inner_steps - 1) - 1));
  return parameters.with(norms_, values);
}

Tensor Learner::head_features(const Tensor& features, const ParameterSet& parameters) const {
  if (options_.feature_norm == "none") return features;
  if (options_.feature_norm == "scaled") return features / std::sqrt(static_cast<double>(features.size(1)));
  return unit_rows(feature_mean_ ? features - parameters.tensor(*feature_mean_) : features);
}

Tensor Learner::temperature(const ParameterSet& parameters) const {
  if (log_temperature_) return parameters.tensor(*log_temperature_).exp();
  if (options_.temperature == 1) return {};
  return at::full({1}, options_.temperature, parameters.tensor(0).options());
}

Tensor Learner::class_scores(const Tensor& features, const Tensor& weight, const Tensor& bias,
                             const ParameterSet& parameters) const {
  const Tensor scores =
      head_ == HeadKind::kCosine ? cosine_logits(features, weight) : at::linear(features, weight, bias);
  const Tensor t = temperature(parameters);
  return t.defined() ? scores / t : scores;
}

Tensor Learner::class_logits(const Tensor& features, const ParameterSet& parameters) const {
  return class_scores(features, parameters.tensor(head_weight_),
                      head_ == HeadKind::kLinear ? parameters.tensor(head_bias_) : Tensor(), parameters);
}

Tensor Learner::training_class_logits(const Tensor& features, const ParameterSet& parameters) const {
  if (head_ == HeadKind::kCosine) return class_scores(features, parameters.tensor(class_weight_), {}, parameters);
  return at::linear(features, parameters.tensor(class_weight_), parameters.tensor(class_bias_));
}

Comparison Learner::comparison(const ParameterSet& parameters) const {
  Comparison c{
      .kind = head_, .temperature = temperature(parameters), .regulariser = {}, .hidden = {}, .bias = {}, .out = {}};
  if (head_ == HeadKind::kRidge)
    c.regulariser = log_regulariser_ ? parameters.tensor(*log_regulariser_).exp()
                                     : at::full({1}, options_.regulariser, parameters.tensor(0).options());
  if (head_ == HeadKind::kRelation) {
    c.hidden = parameters.tensor(relation_hidden_);
    c.bias = parameters.tensor(relation_bias_);
    c.out = parameters.tensor(relation_out_);
  }
  return c;
}

std::string range_text(int fewest, int most) {
  return (fewest != 0 ? std::to_string(fewest) + ".." : "") + std::to_string(most);
}

void require_images_to_leave_out(const Learner& learner, const EpisodeSpec& spec) {
  if (spec.imbalanced && spec.fewest_shots < 2 && !has_class_weights(learner.head()) && !learner.adapted().empty())
    throw UsageError(
        "a " + learner.options().head +
        " head that adapts leaves each support image out of its class: imbalanced shots must begin with 2, shots is " +
        range_text(spec.fewest_shots, spec.shots));
}

int64_t convolution_weights(const Schema& schema) {
  int64_t sum = 0;
  for (const auto& [role, count] : schema.count())
    if (role == Role::kKernel || role == Role::kCoefficient || role == Role::kAtom) sum += count;
  return sum;
}

}  // namespace fewatoms
