#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "meta/inner_loop.h"

namespace fewatoms {

/// What tells networks apart, by the names of the options that say it: {{"width", "32"}, ...}.
using NetworkDescription = std::vector<std::pair<std::string, std::string>>;
NetworkDescription network_description(const Learner& learner);

/// What a task changed in a network, and what is needed to classify single images with it: a file of kilobytes.
struct Adapter {
  std::string run_id;          // identity of the network it belongs to
  std::string run_name;        // for people: what that run's folder is called; empty where nobody said
  int64_t iteration = -1;      // of its training; -1 where nobody said
  NetworkDescription network;  // what that network is; empty in files from before there was one
  std::string checkpoint;      // best or last: where that network's parameters lie in the run's folder
  std::string method;          // for people
  std::vector<std::string> classes;
  int inner_steps = 0;  // taken
  int64_t support_images = 0;
  ParameterSet values;  // tensors that the inner loop changed, or that were made for the task (a head)
  std::map<std::string, Tensor>
      statistics;  // of the norms, from the support images, by name; empty where the run has its own
  Tensor
      support_features;  // [n, d] and labels [n] of heads that compare; of those that use class means alone, the means
  Tensor support_labels;
};

/// Every image of a source as a support set without queries, label i for class i. Throws what the source throws.
Task support_task(const ImageSource& source, PixelNorm norm);

/// 32 hexadecimal digits that tell a network from any other: of the learner's options and of every parameter's name and
/// value.
std::string network_identity(const Learner& learner, const ParameterSet& parameters);

/// Throws UsageError unless the learner can learn this task in so many steps: two classes at least, and no more than a
/// learned head has outputs; steps from 0 to 1000, none where nothing adapts. Throws DataError, naming it, on a class
/// with one image where the inner loss leaves one out (heads that compare, several shots).
void require_adaptable(const Learner& learner, const ImageSource& support, int inner_steps);

/// Adapts to a task by evaluation's own engine. Classes name the labels. The same arguments give the same values.
/// Throws UsageError on fewer than two classes, or more than a learned head has outputs.
Adapter make_adapter(const Learner& learner, const ParameterSet& parameters, const Task& task,
                     std::vector<std::string> classes, int inner_steps);

/// As safetensors, whole or not at all: tensors by name, the rest as metadata (docs/adapters.md).
void save_adapter(const std::filesystem::path& path, const Adapter& adapter);
/// Throws UsageError if there is no such file or it is no adapter, DataError if it is damaged.
Adapter load_adapter(const std::filesystem::path& path);

/// A network adapted to one task. Each image is judged on its own: norms use the statistics of the support images, or
/// the run's running ones, never those of other images to classify, so that one image alone gets the same answer, bit
/// for bit, as among others.
class TaskClassifier {
 public:
  /// `learner` must outlive it. Throws UsageError if the adapter, called `where` in messages, belongs to another
  /// network, saying which and what is different, and DataError if its tensors are not those of such an adapter: one is
  /// missing, of another type or shape, or too many.
  TaskClassifier(const Learner& learner, const ParameterSet& parameters, const Adapter& adapter,
                 const std::string& where);

  /// [n, classes] of images [n, C, H, W]; rows sum to 1.
  Tensor probabilities(const Tensor& images) const;
  const std::vector<std::string>& classes() const { return classes_; }
  /// The adapted network's parameters, with the statistics of its norms.
  ParameterSet parameters() const;

 private:
  const Learner& learner_;
  std::vector<std::string> classes_;
  ParameterSet adapted_;                      // in the learner's order
  std::unique_ptr<const Backbone> own_body_;  // one that keeps statistics, if the learner's does not
  const Backbone* body_;
  ParameterSet body_parameters_;
  NormMode norm_;
  Tensor support_features_, support_labels_;
};

}  // namespace fewatoms
