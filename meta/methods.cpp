#include "meta/methods.h"

#include "episodes/errors.h"

namespace fewatoms {
namespace {

void decompose(Method& m) {
  m.preset.network.conv = {.kind = "acdc", .atoms = 6, .compute = "composed"};
  m.promises.emplace_back("conv", "acdc");
}

/// One inner step, of a size that the outer loop learns for each tensor (Li et al. 2017).
void learn_one_step(Method& m) {
  m.preset.inner_steps = 1;
  m.preset.inner_lr = "0.1";
  m.preset.inner_lr_learned = "tensor";
  m.promises.emplace_back("inner-lr-learned", "!none");
}

/// Scores by squared distances begin in a range in which the loss can learn, whatever the number of features. The
/// decision is that of the plain distances of Snell et al. 2017; sweep in docs/results.md.
void score_by_mean_distances(LearnerOptions& options) {
  options.feature_norm = "scaled";
  options.temperature = 0.25;
}

std::vector<Method> make_methods() {
  std::vector<Method> methods;
  {
    Method m;
    m.name = "acdc-maml";
    m.citation = "Wang, Cheng, Sapiro, Qiu 2020 (ACDC); Finn, Abbeel, Levine 2017 (MAML)";
    m.algorithm =
        "MAML on atom-coefficient decomposed convolutions: the inner loop changes the atoms and the head by gradient "
        "steps "
        "on the support set, the shared coefficients stay frozen there. The outer loop differentiates the query loss "
        "through "
        "these steps by everything, coefficients included. Transductive (norm batch).";
    m.preset.scope = "atom+head";
    m.preset.inner_lr = "0.05,atom=0.5";
    decompose(m);
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "acdc-meta-sgd";
    m.citation = "Wang, Cheng, Sapiro, Qiu 2020 (ACDC); Li, Zhou, Chen, Li 2017 (Meta-SGD)";
    m.algorithm =
        "acdc-maml with one inner step, whose size the outer loop learns for the atoms of each layer and for the head: "
        "what the first step "
        "reaches, further ones hardly add to. Transductive (norm batch).";
    m.preset.scope = "atom+head";
    decompose(m);
    learn_one_step(m);
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "acdc-proto";
    m.citation = "Wang, Cheng, Sapiro, Qiu 2020 (ACDC); Snell, Swersky, Zemel 2017 (ProtoNet)";
    m.algorithm =
        "ProtoNet on decomposed convolutions: the inner loop changes the atoms so that support images come close to "
        "prototypes that leave them out (with one shot: prototypes of another shifted view). Queries are classified by "
        "the "
        "squared distance to the prototypes under the adapted atoms; with no inner steps this is ProtoNet.";
    m.preset.head = "prototype";
    score_by_mean_distances(m.preset);
    m.preset.scope = "atom";
    m.preset.inner_steps = 1;
    m.preset.inner_lr = "0.05";
    m.outer.outer_lr =
        "0.003,coefficient=0.01";  // sweep in docs/results.md; protonet's rate leaves shared coefficients behind
    m.promises.emplace_back("head", "prototype");
    decompose(m);
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "maml";
    m.citation = "Finn, Abbeel, Levine 2017, Model-agnostic meta-learning for fast adaptation of deep networks";
    m.algorithm =
        "The inner loop changes every parameter by gradient steps on the support set. The outer loop differentiates "
        "the "
        "query loss through these steps. Transductive (norm batch).";
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "fomaml";
    m.citation = "Finn, Abbeel, Levine 2017, section 5.2";
    m.algorithm =
        "MAML whose outer gradient takes the inner gradients for constants: the query loss's gradient at the adapted "
        "parameters is applied to those before. Transductive (norm batch).";
    m.preset.order = "first";
    m.promises.emplace_back("order", "first");
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "anil";
    m.citation = "Raghu, Raghu, Bengio, Vinyals 2020, Rapid learning or feature reuse?";
    m.algorithm =
        "MAML whose inner loop changes the head alone. The body's features are computed once per task. Transductive "
        "(norm "
        "batch).";
    m.preset.scope = "head";
    m.promises.emplace_back("scope", "head");
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "protonet";
    m.citation = "Snell, Swersky, Zemel 2017, Prototypical networks for few-shot learning";
    m.algorithm =
        "A query image belongs to the class whose mean support feature is nearest in squared Euclidean distance. No "
        "inner "
        "loop; not transductive (norm running).";
    m.preset.head = "prototype";
    score_by_mean_distances(m.preset);
    m.preset.norm = "running";
    m.outer.outer_lr = "0.003";  // sweep in docs/results.md; Snell et al. take 0.001
    m.preset.scope = "none";
    m.preset.inner_steps = 0;
    m.promises.emplace_back("head", "prototype");
    m.promises.emplace_back("scope", "none");
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "boil";
    m.citation = "Oh, Yoo, Kim, Yun 2021, BOIL: Towards representation change for few-shot learning";
    m.algorithm =
        "MAML whose inner loop changes the body alone, so that features move to a head that stays. One large step; "
        "transductive "
        "(norm batch).";
    m.preset.scope = "body";
    m.preset.inner_steps = 1;
    m.preset.inner_lr = "0.5";
    m.preset.head_init = 0.05;  // through a head near zero nothing would reach the body
    m.promises = {{"scope", "body"}};
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "meta-sgd";
    m.citation = "Li, Zhou, Chen, Li 2017, Meta-SGD: Learning to learn quickly for few-shot learning";
    m.algorithm =
        "MAML that learns the inner step sizes in the outer loop, beside the initial parameters: one for each tensor "
        "here, one for each "
        "element as published (inner-lr-learned element). One inner step; transductive (norm batch).";
    learn_one_step(m);
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "maml++";
    m.citation = "Antoniou, Edwards, Storkey 2019, How to train your MAML";
    m.algorithm =
        "MAML with a norm of its own and learned step sizes for each inner step, the query loss of every step counting "
        "at first "
        "(multi-step-share) and second order later (first-order-share), under a cosine outer rate. Norm scales stay "
        "out of the inner "
        "loop; transductive (norm per-step).";
    m.preset.norm = "per-step";
    m.preset.inner_lr_learned = "tensor";
    m.preset.inner_lr_per_step = "yes";
    m.outer.lr_schedule = "cosine";
    m.outer.multi_step_share = 0.15;
    m.outer.first_order_share = 0.5;
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "reptile";
    m.citation = "Nichol, Achiam, Schulman 2018, On first-order meta-learning algorithms";
    m.algorithm =
        "Learns a task by gradient steps on all images of the episode, support and query alike, and moves the "
        "parameters towards where "
        "that ends. Nothing is differentiated twice. Transductive (norm batch).";
    m.preset.order = "first";
    m.preset.outer_gradient = "displacement";
    m.preset.inner_batch = 25;
    m.outer.outer_optimizer = "sgd";
    m.outer.outer_lr = "1";
    m.outer.lr_schedule = "linear";
    m.promises = {{"order", "first"}, {"outer-gradient", "displacement"}};
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "proto-maml";
    m.citation = "Triantafillou et al. 2020, Meta-Dataset";
    m.algorithm =
        "MAML whose linear head starts, for each task, as the one that equals the prototypes of the support set: "
        "weight 2 c, bias -|c|^2. "
        "The outer loop differentiates through that start too. Transductive (norm batch).";
    m.preset.head_start = "prototype";
    score_by_mean_distances(m.preset);
    m.outer.outer_lr = "0.003";  // as protonet's
    m.promises = {{"head", "linear"}, {"head-start", "prototype"}};
    methods.push_back(m);
  }
  const auto compares = [](const std::string& name, const std::string& head) {
    Method m;
    m.name = name;
    m.preset.head = head;
    m.preset.norm = "running";
    m.preset.scope = "none";
    m.preset.inner_steps = 0;
    m.outer.outer_lr = "0.003";  // as protonet's
    m.promises = {{"head", head}};
    return m;
  };
  {
    Method m = compares("r2d2", "ridge");
    m.citation = "Bertinetto, Henriques, Torr, Vedaldi 2019, Meta-learning with differentiable closed-form solvers";
    m.algorithm =
        "Ridge regression from support features to labels in closed form gives the scores of the query images. The "
        "outer loop "
        "differentiates through the solution, and learns regulariser and scale. Not transductive (norm running).";
    m.preset.head_learned = "yes";
    m.preset.temperature = 0.1;
    methods.push_back(m);
  }
  {
    Method m = compares("matching", "matching");
    m.citation = "Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra 2016, Matching networks for one shot learning";
    m.algorithm =
        "A query image gets each class's share of the attention that it pays to the support images, the softmax of "
        "cosines of features. "
        "Without full context embeddings; not transductive (norm running).";
    m.preset.temperature = 0.1;
    methods.push_back(m);
  }
  {
    Method m = compares("relation", "relation");
    m.citation =
        "Sung, Yang, Zhang, Xiang, Torr, Hospedales 2018, Learning to compare: Relation network for few-shot learning";
    m.algorithm =
        "A small network scores each pair of class mean and query image. It has one hidden layer on both feature "
        "vectors side by side, and "
        "is trained by cross-entropy (as in Chen et al. 2019). Not transductive (norm running).";
    methods.push_back(m);
  }
  const auto pre_trains = [](const std::string& name, const std::string& head) {
    Method m;
    m.name = name;
    m.preset.head = head;
    m.preset.norm = "running";
    m.preset.train_on = "classes";
    m.preset.order = "first";
    m.outer.spec = {
        .ways = 16, .shots = 1, .queries = 4};  // batches of 16 classes, 4 images each; shots are those of evaluation
    m.outer.meta_batch = 1;
    m.promises = {{"train-on", "classes"}, {"head", head}};
    return m;
  };
  for (const std::string head : {"linear", "cosine"}) {
    Method m = pre_trains(head == "linear" ? "baseline" : "baseline++", head);
    m.citation = "Chen, Liu, Kira, Wang, Huang 2019, A closer look at few-shot classification";
    m.algorithm = "Learns to classify the training classes, with a " + head +
                  " head over all of them. A new task trains a fresh " + head +
                  " head on the support features, the body stays. Not transductive (norm running).";
    m.preset.scope = "head";
    m.preset.inner_steps = 100;
    m.preset.head_start = "fresh";
    m.preset.inner_optimizer = "momentum";
    m.preset.inner_lr = "0.01";
    m.preset.inner_weight_decay = 0.001;
    if (head == "cosine") {
      m.preset.temperature = 0.1;
      m.preset.head_init = 0.1;
    }
    m.promises.insert(m.promises.end(), {{"scope", "head"}, {"head-start", "fresh"}});
    methods.push_back(m);
  }
  {
    Method m = pre_trains("simpleshot", "prototype");
    m.citation = "Wang, Chao, Weinberger, van der Maaten 2019, SimpleShot: Revisiting nearest-centroid classification";
    m.algorithm =
        "Learns to classify the training classes. A query image belongs to the nearest class mean, of features minus "
        "the mean feature of "
        "training and divided by their length (CL2N). Not transductive (norm running).";
    m.preset.scope = "none";
    m.preset.inner_steps = 0;
    m.preset.feature_norm = "centred";
    methods.push_back(m);
  }
  for (Method& m : methods) m.preset.method = m.name;
  return methods;
}

std::string value_of(const LearnerOptions& options, const std::string& option) {
  if (option == "order") return options.order;
  if (option == "scope") return options.scope;
  if (option == "head") return options.head;
  if (option == "conv") return options.network.conv.kind;
  if (option == "head-start") return options.head_start;
  if (option == "train-on") return options.train_on;
  if (option == "outer-gradient") return options.outer_gradient;
  if (option == "inner-lr-learned") return options.inner_lr_learned;
  TORCH_CHECK(false, "no promise can be kept of option ", option);
}

}  // namespace

std::string Method::only(const std::string& option) const {
  for (const auto& [name, value] : promises)
    if (name == option) return value;
  return {};
}

const std::vector<Method>& method_registry() {
  static const std::vector<Method> methods = make_methods();
  return methods;
}

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const Method& method : method_registry()) names.push_back(method.name);
  return names;
}

const Method& find_method(const std::string& name) {
  for (const Method& method : method_registry())
    if (method.name == name) return method;
  throw UsageError(unknown_name("method", name, method_names()));
}

void require_consistent(const LearnerOptions& options) {
  const Method& method = find_method(options.method);
  const auto refuse = [&](const std::string& option, const std::string& meaning, const std::string& given) {
    throw UsageError("method '" + method.name + "' means " + option + " " + meaning + ", but '" + given +
                     "' was given");
  };
  for (const auto& [option, value] : method.promises) {
    const std::string given = value_of(options, option);
    if (value[0] == '!' && given == value.substr(1)) refuse(option, "other than '" + given + "'", given);
    if (value[0] != '!' && given != value) refuse(option, "'" + value + "'", given);
  }
}

}  // namespace fewatoms
