#include "meta/methods.h"

#include "episodes/errors.h"

namespace fewatoms {
namespace {

std::vector<Method> make_methods() {
  std::vector<Method> methods;
  {
    Method m;
    m.name = "acdc-maml";
    m.citation = "Wang, Cheng, Sapiro, Qiu 2020 (ACDC); Finn, Abbeel, Levine 2017 (MAML)";
    m.algorithm =
        "MAML on atom-coefficient decomposed convolutions: the inner loop changes the atoms and the head by gradient steps "
        "on the support set, the shared coefficients stay frozen there. The outer loop differentiates the query loss through "
        "these steps by everything, coefficients included. Transductive (norm batch).";
    m.preset.scope = "atom+head";
    m.preset.network.conv = {.kind = "acdc", .sharing = "net", .atoms = 6, .compute = "composed"};
    m.preset.inner_lr = "0.05,atom=0.5";
    m.only_conv = "acdc";
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "acdc-proto";
    m.citation = "Wang, Cheng, Sapiro, Qiu 2020 (ACDC); Snell, Swersky, Zemel 2017 (ProtoNet)";
    m.algorithm =
        "ProtoNet on decomposed convolutions: the inner loop changes the atoms so that support images come close to "
        "prototypes that leave them out (with one shot: prototypes of another shifted view). Queries are classified by the "
        "squared distance to the prototypes under the adapted atoms; with no inner steps this is ProtoNet.";
    m.preset.head = "prototype";
    m.preset.scope = "atom";
    m.preset.network.conv = {.kind = "acdc", .sharing = "net", .atoms = 6, .compute = "composed"};
    m.preset.inner_steps = 1;
    m.preset.inner_lr = "0.05";
    m.outer_lr = "0.003,coefficient=0.01";  // sweep in docs/results.md; protonet's rate leaves shared coefficients behind
    m.only_head = "prototype";
    m.only_conv = "acdc";
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "maml";
    m.citation = "Finn, Abbeel, Levine 2017, Model-agnostic meta-learning for fast adaptation of deep networks";
    m.algorithm =
        "The inner loop changes every parameter by gradient steps on the support set. The outer loop differentiates the "
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
    m.only_order = "first";
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "anil";
    m.citation = "Raghu, Raghu, Bengio, Vinyals 2020, Rapid learning or feature reuse?";
    m.algorithm =
        "MAML whose inner loop changes the head alone. The body's features are computed once per task. Transductive (norm "
        "batch).";
    m.preset.scope = "head";
    m.only_scope = "head";
    methods.push_back(m);
  }
  {
    Method m;
    m.name = "protonet";
    m.citation = "Snell, Swersky, Zemel 2017, Prototypical networks for few-shot learning";
    m.algorithm =
        "A query image belongs to the class whose mean support feature is nearest in squared Euclidean distance. No inner "
        "loop; not transductive (norm running).";
    m.preset.head = "prototype";
    m.preset.norm = "running";
    m.outer_lr = "0.003";  // sweep in docs/results.md; Snell et al. take 0.001
    m.preset.scope = "none";
    m.preset.inner_steps = 0;
    m.only_head = "prototype";
    m.only_scope = "none";
    methods.push_back(m);
  }
  for (Method& m : methods) m.preset.method = m.name;
  return methods;
}

}  // namespace

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
  const auto check = [&](const char* what, const std::optional<std::string>& only, const std::string& given) {
    if (only && *only != given)
      throw UsageError("method '" + method.name + "' means " + what + " '" + *only + "', but '" + given + "' was given");
  };
  check("order", method.only_order, options.order);
  check("scope", method.only_scope, options.scope);
  check("head", method.only_head, options.head);
  check("conv", method.only_conv, options.network.conv.kind);
}

}  // namespace fewatoms
