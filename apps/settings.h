#pragma once

#include <limits>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "meta/evaluate.h"
#include "meta/methods.h"
#include "meta/training_run.h"

namespace fewatoms {

/// Everything that `train` is told: what config.toml holds.
struct Settings {
  DatasetOptions data;
  LearnerOptions learner;
  TrainerOptions trainer;  // with the episodes' specification and the seed of everything
  std::string pixel_norm = "unit";
  std::string augment_support = "yes";  // what data.augment changes: support and query images; no: query; only: support
  int val_every = 500;
  int val_episodes = 600;
  int val_from_train = 0;
  // 0: as in training (ways at most 5 where the head has no weights to keep)
  int eval_ways = 0, eval_shots = 0, eval_queries = 0, eval_fewest_queries = 0;
  std::string eval_inner_steps;  // empty: as in training
  std::filesystem::path init;    // a run whose body training starts from; empty: none
  int checkpoint_every = 250;
  std::string log_level = "all";  // of the TensorBoard event file: off, scalars, or all
  int threads = 0;                // 0: all cores
};

/// What the help text, the configuration file and the checks know of an option.
struct OptionText {
  const char* name;  // "inner-steps": an option --inner-steps, a key inner-steps
  const char* group;
  const char* help;
  std::vector<std::string> choices = {};                  // of a text; empty: anything
  double low = -std::numeric_limits<double>::infinity();  // of a number, inclusive
  double high = std::numeric_limits<double>::infinity();
  /// Whether it decides what is trained. A resumed run may change the others: threads, cache-mb, log-level,
  /// checkpoint-every, skip-bad; and data-root and plugin, where the same images lie elsewhere.
  bool identity = true;
};

/// A number, or a range: "5" or "5..20". The option's low and high hold for both ends.
struct NumberRange {
  int* fewest;  // 0: a plain number
  int* most;
};
/// Sets it. Throws UsageError, saying what was expected, on other texts, and numbers outside of low..high.
void set_range(NumberRange range, const std::string& text, double low, double high);

/// What is wrong with giving an option together with a kind of convolution, "--atoms goes with --conv acdc"; empty:
/// nothing.
std::string misplaced(const std::string& option, const std::string& conv_kind);

/// Calls f(OptionText, value&) for every option of `train`, in the order of the help text: the one list from which
/// command line, configuration file and resume checks come.
template <class F>
void for_each_option(Settings& s, F&& f) {
  const double kMany = 1e9;
  const char* data = "Data";
  f(OptionText{"dataset", data, "data set", dataset_names()}, s.data.name);
  f(OptionText{.name = "data-root",
               .group = data,
               .help = "folder of the data set's files, an archive or pack of them, or a manifest (strokes needs none)",
               .identity = false},
    s.data.root);
  f(OptionText{"image-size", data, "pixels, square; 0: the data set's usual size", {}, 0, 512}, s.data.image_size);
  f(OptionText{"channels", data, "1 grey or 3 RGB; 0: the data set's usual number", {}, 0, 3}, s.data.channels);
  f(OptionText{"crop", data, "cut images to their bounding boxes (cub)", {"none", "bbox"}}, s.data.crop);
  f(OptionText{"crop-margin", data, "crop bbox: how far the box grows on each side, as a part of its side", {}, 0, 1},
    s.data.crop_margin);
  f(OptionText{"exif", data, "turn images as the camera's orientation tag says; --exif=false leaves them"},
    s.data.exif);
  f(
      OptionText{
          "background",
          data,
          "under transparent pictures; auto: white or black, whichever differs more from what is seen of a picture",
          {"auto", "white", "black"}},
      s.data.background);
  f(OptionText{"allow-outside", data, "paths and links may leave the data root"}, s.data.allow_outside);
  f(
      OptionText{
          "name-encoding", data,
          "encoding of names in archives that do not say theirs, as GBK or SHIFT_JIS; empty: UTF-8, else CP437 in a "
          ".zip"},
      s.data.name_encoding);
  f(OptionText{"min-images", data, "leave out classes that have fewer images, and count them", {}, 0, kMany},
    s.data.min_images);
  f(OptionText{"split-rule", data, "which published split; empty: the data set's default"}, s.data.split_rule);
  f(OptionText{"split-seed", data, "which class is in which split, where the data do not say", {}, 0},
    s.data.split_seed);
  f(OptionText{"split-fractions", data, "and the shares of train, val and test"}, s.data.split_fractions);
  f(OptionText{"split-file", data,
               "or a CSV file that says it, with the columns label and split (dataset split writes one)"},
    s.data.split_file);
  f(OptionText{.name = "skip-bad",
               .group = data,
               .help = "leave out images that cannot be decoded, and count them",
               .identity = false},
    s.data.skip_bad);
  f(OptionText{"exact-decode", data, "decode photographs at full scale even where they become much smaller"},
    s.data.exact_decode);
  f(OptionText{"augment", data, "random changes of training images", {"none", "crop-jitter-flip"}}, s.data.augment);
  f(OptionText{"pixel-norm", data, "unit: x/255; imagenet: minus mean, by deviation", {"unit", "imagenet"}},
    s.pixel_norm);
  f(OptionText{"augment-support",
               data,
               "which images of an episode augment changes: support and query (yes), query (no), or support (only)",
               {"yes", "no", "only"}},
    s.augment_support);
  f(OptionText{"rotations",
               data,
               "each class as four, turned by 0, 90, 180 and 270 degrees, in the training split or in all (in training "
               "the published Omniglot protocol, whose four are built into data set omniglot)",
               {"none", "train", "all"}},
    s.data.rotations);
  f(OptionText{.name = "plugin", .group = data, .help = "data set plugin: the shared library", .identity = false},
    s.data.plugin);
  f(OptionText{"plugin-option", data, "data set plugin: an option of its own, as key=value; again for each"},
    s.data.plugin_options);
  f(OptionText{"cache-mb", data, "memory for decoded images, MiB; 0: none", {}, 0, kMany, false}, s.data.cache_mb);

  const char* network = "Network";
  f(OptionText{"backbone", network, "network body", backbone_names()}, s.learner.network.backbone);
  f(OptionText{"width", network, "channels of the first stage", {}, 1, 1024}, s.learner.network.width);
  f(OptionText{"conv", network, "convolutions: plain kernels, or atoms mixed by coefficients", convolution_kinds()},
    s.learner.network.conv.kind);
  f(
      OptionText{
          "sharing", network,
          "Which layers use the same coefficients (acdc) or kernels of equal shape (standard, separable: their 1x1 "
          "mixes); sandwich: all but the first and the last.",
          sharing_rules()},
      s.learner.network.conv.sharing);
  f(OptionText{"atoms",
               network,
               "acdc: The number of atoms of each layer; more than the pixels of a kernel are dependent.",
               {},
               1,
               121},
    s.learner.network.conv.atoms);
  f(OptionText{"atom-start",
               network,
               "acdc: Whether atoms start as Fourier-Bessel functions (bessel) or in random directions (random).",
               {"bessel", "random"}},
    s.learner.network.conv.atom_start);
  f(OptionText{"atom-drop-rate",
               network,
               "acdc: The share of each layer's atoms that training drops, drawn anew for each task.",
               {},
               0,
               0.9},
    s.learner.network.conv.atom_drop_rate);
  f(OptionText{"group",
               network,
               "acdc: channels of a group, each pair of groups with atoms of its own; 0: no groups",
               {},
               0,
               1024},
    s.learner.network.conv.group);
  f(OptionText{"decompose-stem", network, "acdc, separable: the first convolution too"},
    s.learner.network.conv.decompose_stem);
  f(OptionText{"decompose-pointwise", network, "acdc: 1x1 convolutions too"},
    s.learner.network.conv.decompose_pointwise);
  f(OptionText{"compute", network, "acdc: build the kernel, or convolve in two stages", {"composed", "two-stage"}},
    s.learner.network.conv.compute);
  f(OptionText{"norm",
               network,
               "batch: by each pass's own images (transductive); running: running statistics in evaluation; per-step: "
               "as batch, with scales of its own for each inner step; group, layer: by image",
               {"batch", "running", "per-step", "group", "layer", "none"}},
    s.learner.norm);
  f(OptionText{"drop-rate", network, "share of a map that DropBlock drops in training (resnet12)", {}, 0, 0.9},
    s.learner.network.drop_rate);
  f(OptionText{"pool", network, "last map to features", {"flatten", "mean"}}, s.learner.network.pool);
  f(OptionText{"head", network, "features to class scores", head_names()}, s.learner.head);
  f(OptionText{"head-start",
               network,
               "weights of a linear or cosine head before the inner loop: learned, from the support set's prototypes, "
               "or fresh for each task",
               {"learned", "prototype", "fresh"}},
    s.learner.head_start);
  f(OptionText{"head-init", network, "deviation of such weights where they start at random", {}, 0, 10},
    s.learner.head_init);
  f(OptionText{"temperature", network, "a head's scores are divided by it", {}, 1e-9, kMany}, s.learner.temperature);
  f(OptionText{"regulariser", network, "ridge head: of the squared weights", {}, 1e-9, kMany}, s.learner.regulariser);
  f(OptionText{"head-learned",
               network,
               "whether the outer loop learns temperature and regulariser, from these values on",
               {"no", "yes"}},
    s.learner.head_learned);
  f(OptionText{"feature-norm",
               network,
               "before the head: scaled: features divided by the square root of their number; l2: features of length "
               "1; centred: minus the mean feature of training first",
               {"none", "scaled", "l2", "centred"}},
    s.learner.feature_norm);
  f(OptionText{.name = "init", .group = network, .help = "run folder whose body training starts from"}, s.init);

  const char* episodes = "Episodes";
  NumberRange ways{&s.trainer.spec.fewest_ways, &s.trainer.spec.ways},
      shots{&s.trainer.spec.fewest_shots, &s.trainer.spec.shots},
      queries{&s.trainer.spec.fewest_queries, &s.trainer.spec.queries},
      eval_queries{&s.eval_fewest_queries, &s.eval_queries};
  f(OptionText{"ways", episodes, "classes per training episode; 5..20: drawn for each episode", {}, 2, 1000}, ways);
  f(OptionText{"shots", episodes, "support images per class; 1..10: drawn for each episode", {}, 1, 1000}, shots);
  f(OptionText{"imbalanced", episodes, "a range of shots is drawn for each class of an episode"},
    s.trainer.spec.imbalanced);
  f(OptionText{"within-group", episodes,
               "classes of an episode are of one group: an alphabet (omniglot), a superclass (tiered-imagenet)"},
    s.trainer.spec.within_group);
  f(OptionText{"queries",
               episodes,
               "query images per class; 5..15: what a class has left beside the support images, from 5 to 15",
               {},
               1,
               1000},
    queries);
  f(OptionText{"meta-batch", episodes, "episodes per outer step", {}, 1, 1024}, s.trainer.meta_batch);
  f(OptionText{"iterations", episodes, "outer steps", {}, 1, kMany}, s.trainer.iterations);
  f(OptionText{"seed", episodes, "of initial parameters and episodes", {}, 0}, s.trainer.seed);

  const char* inner = "Inner loop";
  f(OptionText{"scope", inner,
               "roles it may change: atom head norm coefficient kernel joined by '+', or all, body, none"},
    s.learner.scope);
  f(OptionText{"inner-steps", inner, "gradient steps per task", {}, 0, 1000}, s.learner.inner_steps);
  f(OptionText{"inner-lr", inner,
               "step size on the mean loss, > 0; by role: 0.05 or atom=0.5,head=0.05 or 0.05,atom=0.5"},
    s.learner.inner_lr);
  f(OptionText{"inner-lr-learned",
               inner,
               "step sizes that the outer loop learns: one for all, by role, by tensor or by element",
               {"none", "scalar", "role", "tensor", "element"}},
    s.learner.inner_lr_learned);
  f(
      OptionText{
          "inner-lr-per-step", inner, "whether learned step sizes are those of one inner step each", {"no", "yes"}},
      s.learner.inner_lr_per_step);
  f(OptionText{"inner-optimizer",
               inner,
               "direction of a step: the gradient, or by momentum 0.9, or Adam's",
               {"sgd", "momentum", "adam"}},
    s.learner.inner_optimizer);
  f(OptionText{"inner-weight-decay", inner, "L2, added to the inner gradient", {}, 0, kMany},
    s.learner.inner_weight_decay);
  f(OptionText{"inner-batch", inner, "support images of an inner step, drawn for each; 0: all", {}, 0, kMany},
    s.learner.inner_batch);
  f(OptionText{"order", inner, "of the outer gradient", {"first", "second"}}, s.learner.order);
  f(OptionText{"eval-inner-steps", inner, "steps to evaluate at, as 0,1,5; the last one counts; empty: inner-steps"},
    s.eval_inner_steps);

  const char* outer = "Outer loop";
  f(OptionText{"train-on",
               outer,
               "episodes; or batches of images among all training classes, with few-shot episodes in evaluation alone",
               {"episodes", "classes"}},
    s.learner.train_on);
  f(OptionText{"classes", outer, "train-on classes: how many there are; 0: those of the training split", {}, 0, kMany},
    s.learner.classes);
  f(OptionText{"outer-gradient",
               outer,
               "of the query loss, or the inner loop's displacement over all images of an episode (Reptile)",
               {"query", "displacement"}},
    s.learner.outer_gradient);
  f(OptionText{"first-order-share", outer, "of the iterations, from the start, with order first", {}, 0, 1},
    s.trainer.first_order_share);
  f(OptionText{"multi-step-share",
               outer,
               "of the iterations, from the start, in which the query loss counts after every inner step, ever less "
               "before the last",
               {},
               0,
               1},
    s.trainer.multi_step_share);
  f(OptionText{"label-smoothing", outer, "of the outer loss's targets", {}, 0, 0.999}, s.trainer.label_smoothing);
  f(OptionText{"outer-optimizer", outer, "of the outer steps", outer_optimizer_names()}, s.trainer.outer_optimizer);
  f(OptionText{"outer-momentum", outer, "of sgd", {}, 0, 0.9999}, s.trainer.outer_momentum);
  f(OptionText{"outer-lr", outer, "step size, > 0; by role as inner-lr"}, s.trainer.outer_lr);
  f(OptionText{"lr-schedule", outer, "of the step size", {"constant", "step", "linear", "cosine"}},
    s.trainer.lr_schedule);
  f(OptionText{"lr-step", outer, "schedule step: iterations between changes", {}, 1, kMany}, s.trainer.lr_step);
  f(OptionText{"lr-gamma", outer, "schedule step: factor at each change, at most 1", {}, 1e-9, 1}, s.trainer.lr_gamma);
  f(OptionText{"weight-decay", outer, "L2; step sizes and temperatures are left out", {}, 0, kMany},
    s.trainer.weight_decay);
  f(OptionText{"clip-norm", outer, "largest norm of the whole gradient, after clip-value; 0: no limit", {}, 0, kMany},
    s.trainer.clip_norm);
  f(OptionText{"clip-value", outer, "largest magnitude of a gradient's element; 0: no limit", {}, 0, kMany},
    s.trainer.clip_value);

  const char* validation = "Validation and checkpoints";
  f(OptionText{"val-every", validation, "iterations between validations; 0: none", {}, 0, kMany}, s.val_every);
  f(OptionText{"val-episodes", validation, "episodes of a validation", {}, 1, kMany}, s.val_episodes);
  f(OptionText{"val-from-train",
               validation,
               "validate on this many classes taken out of train; 0: on split val",
               {},
               0,
               kMany},
    s.val_from_train);
  f(OptionText{"eval-ways", validation, "classes per validation episode; 0: as in training, at most 5", {}, 0, 1000},
    s.eval_ways);
  f(OptionText{"eval-shots", validation, "0: as in training", {}, 0, 1000}, s.eval_shots);
  f(OptionText{"eval-queries", validation, "0: as in training", {}, 0, 1000}, eval_queries);
  f(OptionText{"checkpoint-every", validation, "iterations between checkpoints", {}, 1, kMany, false},
    s.checkpoint_every);

  f(OptionText{"log-level",
               validation,
               "what the TensorBoard event file gets: nothing, scalars, or histograms and images too",
               {"off", "scalars", "all"},
               0,
               0,
               false},
    s.log_level);

  f(OptionText{"threads", "Machine", "0: all cores; results do not depend on it", {}, 0, 1024, false}, s.threads);
}

/// Defaults of a method on a data set. Throws UsageError on unknown names.
Settings default_settings(const std::string& method, const std::string& dataset);

/// Fills in what depends on other options (the data set's image size, ways of the head, seeds) and checks their
/// consistency.
void complete(Settings& settings);

/// "0,1,2,5" as numbers. Throws UsageError, naming `what`, on anything else.
std::vector<int> parse_steps(const std::string& what, const std::string& text);

/// Threads that the settings mean: all cores for 0.
int threads_of(const Settings& settings);
/// Tasks of a meta-batch that run at a time.
int tasks_in_flight(const Settings& settings);

/// How validation during training evaluates, and `eval` by default.
EvaluationOptions evaluation_options(const Settings& settings);

/// Training images, and validation images if they are asked for.
struct TrainingSources {
  std::shared_ptr<const ImageSource> train, validation;
};
/// Opens them; with val-from-train N, N classes chosen at random (the same for every seed) leave train for validation.
TrainingSources open_training_sources(const Settings& settings);

}  // namespace fewatoms
