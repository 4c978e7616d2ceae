#include "apps/published.h"

#include "datasets/dataset.h"

namespace fewatoms {
namespace {

constexpr const char* kFinn = "Finn, Abbeel, Levine 2017";
constexpr const char* kChen = "Chen, Liu, Kira, Wang, Huang 2019";

// CUB on the split of Chen et al. (`closerlook`), uncropped.
constexpr Published kPublished[] = {
    {"mini-imagenet", "maml", "conv4", 32, 1, 0.4870, 0.0184, kFinn},
    {"mini-imagenet", "maml", "conv4", 32, 5, 0.6311, 0.0092, kFinn},
    {"mini-imagenet", "fomaml", "conv4", 32, 1, 0.4807, 0.0175, kFinn},
    {"mini-imagenet", "fomaml", "conv4", 32, 5, 0.6315, 0.0091, kFinn},
    {"mini-imagenet", "anil", "conv4", 32, 1, 0.467, 0.004, "Raghu, Raghu, Bengio, Vinyals 2020"},
    {"mini-imagenet", "anil", "conv4", 32, 5, 0.615, 0.005, "Raghu, Raghu, Bengio, Vinyals 2020"},
    {"mini-imagenet", "boil", "conv4", 64, 1, 0.4961, 0.0016, "Oh, Yoo, Kim, Yun 2021"},
    {"mini-imagenet", "boil", "conv4", 64, 5, 0.6645, 0.0037, "Oh, Yoo, Kim, Yun 2021"},
    {"mini-imagenet", "maml++", "conv4", 48, 1, 0.5215, 0.0026, "Antoniou, Edwards, Storkey 2019"},
    {"mini-imagenet", "maml++", "conv4", 48, 5, 0.6832, 0.0044, "Antoniou, Edwards, Storkey 2019"},
    {"mini-imagenet", "meta-sgd", "conv4", 0, 1, 0.5047, 0.0187, "Li, Zhou, Chen, Li 2017"},
    {"mini-imagenet", "meta-sgd", "conv4", 0, 5, 0.6403, 0.0094, "Li, Zhou, Chen, Li 2017"},
    {"mini-imagenet", "protonet", "conv4", 64, 1, 0.4942, 0.0078, "Snell, Swersky, Zemel 2017"},
    {"mini-imagenet", "protonet", "conv4", 64, 5, 0.6820, 0.0066, "Snell, Swersky, Zemel 2017"},
    {"mini-imagenet", "r2d2", "conv4", 64, 1, 0.495, 0, "Bertinetto, Henriques, Torr, Vedaldi 2019"},
    {"mini-imagenet", "r2d2", "conv4", 64, 5, 0.654, 0, "Bertinetto, Henriques, Torr, Vedaldi 2019"},
    {"mini-imagenet", "baseline", "conv4", 64, 1, 0.4211, 0, kChen},
    {"mini-imagenet", "baseline", "conv4", 64, 5, 0.6253, 0, kChen},
    {"mini-imagenet", "baseline++", "conv4", 64, 1, 0.4824, 0, kChen},
    {"mini-imagenet", "baseline++", "conv4", 64, 5, 0.6643, 0, kChen},
    {"mini-imagenet", "maml", "conv4", 64, 1, 0.4647, 0, kChen},
    {"mini-imagenet", "maml", "conv4", 64, 5, 0.6271, 0, kChen},
    {"mini-imagenet", "protonet", "conv4", 64, 1, 0.4442, 0, kChen},
    {"mini-imagenet", "protonet", "conv4", 64, 5, 0.6424, 0, kChen},
    {"cub", "baseline", "conv4", 64, 1, 0.4712, 0, kChen},
    {"cub", "baseline", "conv4", 64, 5, 0.6416, 0, kChen},
    {"cub", "baseline++", "conv4", 64, 1, 0.6053, 0, kChen},
    {"cub", "baseline++", "conv4", 64, 5, 0.7934, 0, kChen},
    {"cub", "protonet", "conv4", 64, 1, 0.5131, 0, kChen},
    {"cub", "protonet", "conv4", 64, 5, 0.7077, 0, kChen},
    {"cub", "maml", "conv4", 64, 1, 0.5592, 0, kChen},
    {"cub", "maml", "conv4", 64, 5, 0.7209, 0, kChen},
};

}  // namespace

std::vector<Published> published_figures(const Settings& settings, int ways, int shots) {
  const LearnerOptions& learner = settings.learner;
  const std::string own_scope = find_method(learner.method).preset.scope;
  const bool scope =
      learner.scope == own_scope || (own_scope == "all" && learner.scope == "kernel+head");  // Finn adapts no norm
  DatasetOptions usual{.name = settings.data.name};
  usual.root = settings.data.root;
  const bool same_rule = settings.data.split_rule == resolve(usual).split_rule;
  std::vector<Published> found;
  if (ways != 5 || learner.network.conv.kind != "standard" || !scope || !same_rule ||
      settings.trainer.spec.shots != shots)
    return found;
  for (const Published& p : kPublished)
    if (settings.data.name == p.dataset && learner.method == p.method && learner.network.backbone == p.backbone &&
        (p.width == 0 || p.width == learner.network.width) && p.shots == shots)
      found.push_back(p);
  return found;
}

}  // namespace fewatoms
