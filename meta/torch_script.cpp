#include "meta/torch_script.h"

#include <algorithm>
#include <cmath>
#include <locale>
#include <sstream>

#include <torch/csrc/jit/api/module.h>

#include "backbones/safetensors.h"
#include "backbones/standard_form.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

namespace jit = torch::jit;

constexpr const char* kUnit = "(x * x).sum([1], True) + 1e-10";  // as unit_rows

std::string method(const std::string& name, const std::string& statements) {
  std::string text = "def " + name + "(self, x: Tensor) -> Tensor:\n";
  std::istringstream lines(statements);
  for (std::string line; std::getline(lines, line);) text += "  " + line + "\n";
  return text;
}

const Tensor& tensor_of(const ParameterSet& parameters, const std::string& name) {
  const Tensor* found = parameters.find(name);
  TORCH_CHECK(found != nullptr, "no parameter '", name, "'");
  return *found;
}

/// A positive number that the outer loop learned by its logarithm, or the option it started from.
double learned_or(const ParameterSet& parameters, const std::string& name, double option) {
  const Tensor* found = parameters.find(name);
  return found == nullptr ? option : std::exp(found->item<double>());
}

std::string embedding(const Learner& learner, NormMode norm) {
  std::string text = learner.backbone().torch_script(norm);
  const std::string& feature_norm = learner.options().feature_norm;
  if (feature_norm == "centred") text += "x = x - self.features.mean\n";
  if (feature_norm == "scaled")
    text += "x = x / " + real_text(std::sqrt(static_cast<double>(learner.backbone().features()))) + "\n";
  else if (feature_norm != "none")
    text += std::string("x = x / torch.sqrt(") + kUnit + ")\n";
  return text + "return x\n";
}

/// Scores of the features `x` by class weights, divided by the temperature.
std::string class_scores(HeadKind head, double temperature) {
  std::string scores = head == HeadKind::kLinear
                           ? "torch.linear(x, self.head.weight, self.head.bias)"
                           : std::string("torch.mm(x / torch.sqrt(") + kUnit + "), self.head.directions.t())";
  return "return " + scores + (temperature == 1 ? "" : " / " + real_text(temperature)) + "\n";
}

/// Class weights as the script reads them: of a cosine head divided by their length.
void add_class_weights(HeadKind head, const Tensor& weight, const Tensor& bias,
                       std::map<std::string, Tensor>& tensors) {
  if (head == HeadKind::kCosine)
    tensors["head.directions"] = unit_rows(weight);
  else {
    tensors["head.weight"] = weight;
    tensors["head.bias"] = bias;
  }
}

/// Ridge regression on the support set as the linear layer that it is: weight [ways, d], bias [ways]; in double.
void add_ridge(const Tensor& support, const Tensor& labels, int64_t ways, double regulariser,
               std::map<std::string, Tensor>& tensors) {
  const Tensor x = at::cat({support.to(at::kDouble), at::ones({support.size(0), 1}, at::kDouble)}, 1);
  const Tensor gram = at::mm(x, x.t()) + regulariser * at::eye(x.size(0), at::kDouble);
  const Tensor w = at::mm(x.t(), at::linalg_solve(gram, at::one_hot(labels, ways).to(at::kDouble))).t().to(at::kFloat);
  tensors["head.weight"] = w.narrow(1, 0, support.size(1)).contiguous();
  tensors["head.bias"] = w.select(1, support.size(1)).contiguous();
}

/// Scores of the features `x` by comparison with the support set: compared_logits, with what does not depend on `x`
/// computed here.
std::string comparison(HeadKind head, const ParameterSet& parameters, const LearnerOptions& options,
                       const Adapter& adapter, std::map<std::string, Tensor>& tensors) {
  const double temperature = learned_or(parameters, "head.log_temperature", options.temperature);
  const std::string divided = temperature == 1 ? "" : " / " + real_text(temperature);
  const auto ways = static_cast<int64_t>(adapter.classes.size());
  const Tensor &support = adapter.support_features, &labels = adapter.support_labels;
  switch (head) {
    case HeadKind::kPrototype:
      tensors["head.centres"] = prototypes(support, labels, ways);
      return "c = self.head.centres\nreturn (2.0 * torch.mm(x, c.t()) - ((x * x).sum([1], True) + (c * "
             "c).sum([1]).unsqueeze(0)))" +
             divided + "\n";
    case HeadKind::kRidge:
      add_ridge(support, labels, ways, learned_or(parameters, "head.log_regulariser", options.regulariser), tensors);
      return "return torch.linear(x, self.head.weight, self.head.bias)" + divided + "\n";
    case HeadKind::kMatching:
      tensors["head.directions"] = unit_rows(support);
      tensors["head.elsewhere"] = (1 - at::one_hot(labels, ways).to(at::kFloat)).t().contiguous() * -1e9;  // [ways, n]
      return std::string("x = torch.mm(x / torch.sqrt(") + kUnit + "), self.head.directions.t())" + divided +
             "\nreturn torch.logsumexp(x.unsqueeze(1) + self.head.elsewhere.unsqueeze(0), [2])\n";
    case HeadKind::kRelation: {
      const auto halves = tensor_of(parameters, "head.hidden").chunk(2, 1);
      tensors["head.of_classes"] =
          at::linear(prototypes(support, labels, ways), halves[0], tensor_of(parameters, "head.bias"));
      tensors["head.of_images"] = halves[1].contiguous();
      tensors["head.out"] = tensor_of(parameters, "head.out");
      return "x = torch.linear(x, self.head.of_images)\n"
             "return torch.matmul(torch.relu(x.unsqueeze(1) + self.head.of_classes.unsqueeze(0)), self.head.out)" +
             divided + "\n";
    }
    case HeadKind::kLinear:
    case HeadKind::kCosine:
      break;
  }
  TORCH_CHECK(false, "a head of class weights does not compare");
}

/// With the tensors that the source names, out of those that there are.
TorchScript assembled(const NetworkOptions& network, const std::string& embed, const std::string& answer,
                      const std::map<std::string, Tensor>& all) {
  TorchScript script;
  script.image_size = script.resize = network.image_size;
  script.channels = network.channels;
  script.source = method("embed", embed) + method("forward", "x = self.embed(x)\n" + answer);
  for (const auto& [name, tensor] : all)
    for (size_t at = script.source.find("self." + name); at != std::string::npos;
         at = script.source.find("self." + name, at + 1)) {
      const char next = script.source[at + 5 + name.size()];
      if (std::isalnum(static_cast<unsigned char>(next)) || next == '_') continue;
      script.tensors[name] = tensor.detach().to(at::kFloat).contiguous().clone();
      if (name.ends_with(".running_mean") || name.ends_with(".running_var") || name == "features.mean" ||
          name == "head.elsewhere" || name == "head.centres")
        script.statistics.push_back(name);
      break;
    }
  return script;
}

/// Tensors by their path, as modules within modules.
struct Tree {
  std::map<std::string, Tree> modules;
  std::map<std::string, std::pair<Tensor, bool>> tensors;  // and whether it is a buffer

  void add(const std::string& path, const Tensor& tensor, bool buffer) {
    const size_t dot = path.find('.');
    if (dot == std::string::npos)
      tensors[path] = {tensor, buffer};
    else
      modules[path.substr(0, dot)].add(path.substr(dot + 1), tensor, buffer);
  }
  jit::Module module(const std::string& name, const std::shared_ptr<jit::CompilationUnit>& unit) const {
    jit::Module made(c10::QualifiedName("__torch__." + name), unit, /*shouldMangle=*/true);
    made.register_attribute("training", c10::BoolType::get(), false);  // as every module of PyTorch has it
    for (const auto& [child, tree] : modules) made.register_module(child, tree.module(name + "_" + child, unit));
    for (const auto& [tensor, value] : tensors) made.register_parameter(tensor, value.first, value.second);
    return made;
  }
};

}  // namespace

TorchScript torch_script(const Learner& learner, const ParameterSet& parameters) {
  at::NoGradGuard no_graph;
  const LearnerOptions& options = learner.options();
  std::map<std::string, Tensor> tensors = standard_form(learner.backbone(), options.network.conv, parameters);
  std::string answer = "return x\n";
  if (learner.fixed_ways()) {
    const Tensor* bias = parameters.find("head.bias");
    add_class_weights(learner.head(), tensor_of(parameters, "head.weight"), bias == nullptr ? Tensor() : *bias,
                      tensors);
    answer = class_scores(learner.head(), learned_or(parameters, "head.log_temperature", options.temperature));
  }
  return assembled(options.network, embedding(learner, learner.evaluation_norm()), answer, tensors);
}

TorchScript torch_script(const Learner& learner, const ParameterSet& parameters, const Adapter& adapter,
                         const std::string& where) {
  at::NoGradGuard no_graph;
  const LearnerOptions& options = learner.options();
  const ParameterSet adapted = TaskClassifier(learner, parameters, adapter, where).parameters();
  std::map<std::string, Tensor> tensors = standard_form(learner.backbone(), options.network.conv, adapted);
  std::string answer;
  if (has_class_weights(learner.head())) {
    const auto ways = static_cast<int64_t>(adapter.classes.size());
    const Tensor* bias = adapted.find("head.bias");
    add_class_weights(learner.head(), tensor_of(adapted, "head.weight").narrow(0, 0, ways),
                      bias == nullptr ? Tensor() : bias->narrow(0, 0, ways), tensors);
    answer = class_scores(learner.head(), learned_or(adapted, "head.log_temperature", options.temperature));
  } else {
    answer = comparison(learner.head(), adapted, options, adapter, tensors);
  }
  const NormMode norm = learner.running_norm() || learner.transductive() ? NormMode::kRunning : NormMode::kBatch;
  TorchScript script = assembled(options.network, embedding(learner, norm), answer, tensors);
  script.classes = adapter.classes;
  return script;
}

void save_torch_script(const std::filesystem::path& path, const TorchScript& script) {
  Tree tree;
  for (const auto& [name, tensor] : script.tensors)
    tree.add(name, tensor,
             std::find(script.statistics.begin(), script.statistics.end(), name) != script.statistics.end());
  jit::Module module = tree.module("FewAtoms", std::make_shared<jit::CompilationUnit>());
  module.register_attribute("classes", c10::ListType::ofStrings(), script.classes);
  for (const auto& [name, value] :
       {std::pair{"image_size", script.image_size}, {"channels", script.channels}, {"resize", script.resize}})
    module.register_attribute(name, c10::IntType::get(), int64_t{value});
  module.register_attribute("pixel_norm", c10::StringType::get(), script.pixel_norm);
  module.define(script.source);
  std::ostringstream bytes;
  {
    // LibTorch prints numbers by the locale of the process, and reads them by none: they are written without one.
    const std::locale before = std::locale::global(std::locale::classic());
    module.save(bytes);
    std::locale::global(before);
  }
  write_file_atomically(path, bytes.str());
}

}  // namespace fewatoms
