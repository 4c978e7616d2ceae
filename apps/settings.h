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
  f(OptionText{"dataset", data, "The data set that training uses.", dataset_names()}, s.data.name);
  f(OptionText{.name = "data-root",
               .group = data,
               .help = "The data set's files are in this folder, archive, pack or manifest; strokes needs none.",
               .identity = false},
    s.data.root);
  f(OptionText{"image-size",
               data,
               "Images are resized to a square of this many pixels on each side; 0 is the data set's usual size.",
               {},
               0,
               512},
    s.data.image_size);
  f(OptionText{"channels",
               data,
               "Images have this many channels, 1 for grey or 3 for RGB; 0 is the data set's usual number.",
               {},
               0,
               3},
    s.data.channels);
  f(OptionText{"crop",
               data,
               "The value bbox cuts images to their bounding boxes, where the data set has them (cub, manifest).",
               {"none", "bbox"}},
    s.data.crop);
  f(OptionText{"crop-margin", data, "With --crop bbox, the box grows on each side by this part of its side.", {}, 0, 1},
    s.data.crop_margin);
  f(OptionText{"exif", data, "Images are turned as the camera's orientation tag says."}, s.data.exif);
  f(OptionText{"background",
               data,
               "Transparent pictures are laid on this ground; auto takes white or black, whichever differs more from "
               "what is seen of a picture.",
               {"auto", "white", "black"}},
    s.data.background);
  f(OptionText{"allow-outside", data, "Paths and links of the data set may lead out of the data root."},
    s.data.allow_outside);
  f(OptionText{"name-encoding", data,
               "Names in an archive that does not say their encoding are in this one, such as GBK or SHIFT_JIS; by "
               "default they are UTF-8, or CP437 in a .zip."},
    s.data.name_encoding);
  f(OptionText{"min-images", data, "Classes that have fewer images than this are left out and counted.", {}, 0, kMany},
    s.data.min_images);
  f(OptionText{"split-rule", data,
               "The published split of this name divides the classes; an empty name is the data set's default."},
    s.data.split_rule);
  f(OptionText{"split-seed",
               data,
               "This seed shuffles the classes before they are divided into splits, where the data do not say it.",
               {},
               0},
    s.data.split_seed);
  f(OptionText{"split-fractions", data,
               "Train, val and test get these shares of the classes, where the data do not say it."},
    s.data.split_fractions);
  f(
      OptionText{
          "split-file", data,
          "This CSV file with the columns label and split divides the classes; `fewatoms dataset split` writes one."},
      s.data.split_file);
  f(OptionText{.name = "skip-bad",
               .group = data,
               .help = "Images that cannot be decoded are left out and counted, instead of ending the program.",
               .identity = false},
    s.data.skip_bad);
  f(OptionText{"exact-decode", data,
               "Photographs are decoded at full scale even where they become much smaller, which takes longer."},
    s.data.exact_decode);
  f(OptionText{"augment",
               data,
               "Training images are changed at random: cropped, changed in colour and flipped, or not at all.",
               {"none", "crop-jitter-flip"}},
    s.data.augment);
  f(OptionText{"pixel-norm",
               data,
               "The value unit divides pixels by 255, and imagenet also subtracts ImageNet's mean and divides by its "
               "deviation.",
               {"unit", "imagenet"}},
    s.pixel_norm);
  f(OptionText{"augment-support",
               data,
               "With --augment, support and query images of an episode are changed (yes), query images alone (no), or "
               "support images alone (only).",
               {"yes", "no", "only"}},
    s.augment_support);
  f(OptionText{"rotations",
               data,
               "Each class becomes four, turned by 0, 90, 180 and 270 degrees, in the training split or in all splits; "
               "the data set omniglot has its four rotations anyway.",
               {"none", "train", "all"}},
    s.data.rotations);
  f(OptionText{.name = "plugin",
               .group = data,
               .help = "With --dataset plugin, this shared library supplies the images.",
               .identity = false},
    s.data.plugin);
  f(OptionText{"plugin-option", data,
               "With --dataset plugin, the library gets this option of its own, key=value; give it again for each."},
    s.data.plugin_options);
  f(OptionText{"cache-mb",
               data,
               "Decoded images are kept in up to this many MiB of memory for each split; 0 keeps none.",
               {},
               0,
               kMany,
               false},
    s.data.cache_mb);

  const char* network = "Network";
  f(OptionText{"backbone", network, "The body of the network has this architecture.", backbone_names()},
    s.learner.network.backbone);
  f(OptionText{"width", network, "The first stage of the network has this many channels.", {}, 1, 1024},
    s.learner.network.width);
  f(OptionText{"conv", network,
               "Convolutions have plain kernels (standard), kernels made of atoms and coefficients (acdc), or a kernel "
               "for each channel and a 1x1 mix (separable).",
               convolution_kinds()},
    s.learner.network.conv.kind);
  f(OptionText{"sharing", network,
               "These layers use the same coefficients (acdc) or kernels of equal shape (standard, separable: their "
               "1x1 mixes); sandwich means all but the first and the last.",
               sharing_rules()},
    s.learner.network.conv.sharing);
  f(OptionText{"atoms",
               network,
               "With --conv acdc, each layer has this many atoms; more than the pixels of a kernel are dependent.",
               {},
               1,
               121},
    s.learner.network.conv.atoms);
  f(OptionText{"atom-start",
               network,
               "With --conv acdc, atoms start as Fourier-Bessel functions (bessel) or in random directions (random).",
               {"bessel", "random"}},
    s.learner.network.conv.atom_start);
  f(OptionText{"atom-drop-rate",
               network,
               "With --conv acdc, training drops this share of each layer's atoms, drawn anew for each task.",
               {},
               0,
               0.9},
    s.learner.network.conv.atom_drop_rate);
  f(OptionText{"group",
               network,
               "With --conv acdc, channels are cut into groups of this size, and each pair of groups has its own "
               "atoms; 0 makes no groups.",
               {},
               0,
               1024},
    s.learner.network.conv.group);
  f(OptionText{"decompose-stem", network, "With --conv acdc or separable, the first convolution is decomposed too."},
    s.learner.network.conv.decompose_stem);
  f(OptionText{"decompose-pointwise", network, "With --conv acdc, 1x1 convolutions are decomposed too."},
    s.learner.network.conv.decompose_pointwise);
  f(OptionText{"compute",
               network,
               "With --conv acdc, a layer builds its kernels first (composed), or convolves with the atoms and then "
               "mixes (two-stage).",
               {"composed", "two-stage"}},
    s.learner.network.conv.compute);
  f(OptionText{"norm",
               network,
               "Features are normalised by the images that pass together (batch, transductive), by running statistics "
               "in evaluation (running), as batch with a scale for each inner step (per-step), by each image alone "
               "(group, layer), or not at all (none).",
               {"batch", "running", "per-step", "group", "layer", "none"}},
    s.learner.norm);
  f(OptionText{"drop-rate",
               network,
               "With --backbone resnet12, DropBlock drops this share of a feature map in training.",
               {},
               0,
               0.9},
    s.learner.network.drop_rate);
  f(OptionText{"pool",
               network,
               "The last feature map becomes features by being flattened, or by the mean of each channel.",
               {"flatten", "mean"}},
    s.learner.network.pool);
  f(OptionText{"head", network, "This kind of head turns features into class scores.", head_names()}, s.learner.head);
  f(OptionText{"head-start",
               network,
               "A linear or cosine head starts each task from meta-learned weights (learned), from the support set's "
               "class means (prototype), or from random weights (fresh).",
               {"learned", "prototype", "fresh"}},
    s.learner.head_start);
  f(OptionText{"head-init",
               network,
               "The weights of a linear or cosine head that start at random have this standard deviation.",
               {},
               0,
               10},
    s.learner.head_init);
  f(OptionText{"temperature", network, "The scores of the head are divided by this number.", {}, 1e-9, kMany},
    s.learner.temperature);
  f(OptionText{"regulariser",
               network,
               "With --head ridge, the squared weights are penalised by this factor.",
               {},
               1e-9,
               kMany},
    s.learner.regulariser);
  f(OptionText{"head-learned",
               network,
               "The outer loop learns --temperature and --regulariser, beginning with the given values, or leaves them "
               "as they are.",
               {"no", "yes"}},
    s.learner.head_learned);
  f(OptionText{"feature-norm",
               network,
               "Before the head, features are divided by the square root of their number (scaled), brought to length 1 "
               "(l2), freed of their mean in training and then brought to length 1 (centred), or left alone (none).",
               {"none", "scaled", "l2", "centred"}},
    s.learner.feature_norm);
  f(OptionText{.name = "init",
               .group = network,
               .help = "Training starts from the body of the run in this folder, instead of from random weights."},
    s.init);

  const char* episodes = "Episodes";
  NumberRange ways{&s.trainer.spec.fewest_ways, &s.trainer.spec.ways},
      shots{&s.trainer.spec.fewest_shots, &s.trainer.spec.shots},
      queries{&s.trainer.spec.fewest_queries, &s.trainer.spec.queries},
      eval_queries{&s.eval_fewest_queries, &s.eval_queries};
  f(OptionText{"ways",
               episodes,
               "A training episode has this many classes; a range such as 5..20 is drawn from for each episode.",
               {},
               2,
               1000},
    ways);
  f(OptionText{"shots",
               episodes,
               "Each class of an episode has this many support images; a range such as 1..10 is drawn from for each "
               "episode.",
               {},
               1,
               1000},
    shots);
  f(OptionText{"imbalanced", episodes,
               "If --shots is a range, the number of support images is drawn for each class instead of each episode."},
    s.trainer.spec.imbalanced);
  f(
      OptionText{
          "within-group", episodes,
          "All classes of an episode come from one group: an alphabet (omniglot) or a superclass (tiered-imagenet)."},
      s.trainer.spec.within_group);
  f(OptionText{"queries",
               episodes,
               "Each class of an episode has this many query images; with a range such as 5..15, as many as it has "
               "left beside the support images.",
               {},
               1,
               1000},
    queries);
  f(OptionText{"meta-batch", episodes, "One iteration of the outer loop learns from this many episodes.", {}, 1, 1024},
    s.trainer.meta_batch);
  f(OptionText{"iterations", episodes, "Training has this many iterations of the outer loop.", {}, 1, kMany},
    s.trainer.iterations);
  f(OptionText{"seed", episodes, "This seed decides the initial parameters and the training episodes.", {}, 0},
    s.trainer.seed);

  const char* inner = "Inner loop";
  f(OptionText{"scope", inner,
               "The inner loop changes these kinds of parameters: atom, head, norm, coefficient and kernel joined by "
               "'+', or all, body or none."},
    s.learner.scope);
  f(OptionText{"inner-steps", inner, "The inner loop takes this many gradient steps for each task.", {}, 0, 1000},
    s.learner.inner_steps);
  f(OptionText{"inner-lr", inner,
               "Inner steps have this size, for the mean loss over the support images: one number, or one for each "
               "kind of parameter as in 0.05,atom=0.5."},
    s.learner.inner_lr);
  f(
      OptionText{
          "inner-lr-learned",
          inner,
          "The outer loop learns the inner step sizes: none, one for all, or one for each role, tensor or element.",
          {"none", "scalar", "role", "tensor", "element"}},
      s.learner.inner_lr_learned);
  f(OptionText{"inner-lr-per-step",
               inner,
               "With --inner-lr-learned, each inner step has learned step sizes of its own, or all steps share them.",
               {"no", "yes"}},
    s.learner.inner_lr_per_step);
  f(OptionText{"inner-optimizer",
               inner,
               "Inner steps follow the gradient (sgd), the gradient with momentum 0.9 (momentum), or Adam's direction.",
               {"sgd", "momentum", "adam"}},
    s.learner.inner_optimizer);
  f(OptionText{"inner-weight-decay",
               inner,
               "The inner gradient gets the parameters times this number added (L2 weight decay).",
               {},
               0,
               kMany},
    s.learner.inner_weight_decay);
  f(OptionText{"inner-batch",
               inner,
               "Each inner step sees this many support images, drawn anew; 0 is all of them.",
               {},
               0,
               kMany},
    s.learner.inner_batch);
  f(OptionText{"order",
               inner,
               "The outer gradient is of first order (FOMAML) or of second order (MAML).",
               {"first", "second"}},
    s.learner.order);
  f(OptionText{"eval-inner-steps", inner,
               "Validation and eval report these numbers of inner steps, as in 0,1,5, and the last one counts; an "
               "empty list is the value of --inner-steps."},
    s.eval_inner_steps);

  const char* outer = "Outer loop";
  f(OptionText{"train-on",
               outer,
               "The outer loop learns from episodes, or from batches of images of all training classes (pre-training).",
               {"episodes", "classes"}},
    s.learner.train_on);
  f(
      OptionText{
          "classes",
          outer,
          "With --train-on classes, the head tells this many classes apart; 0 is all classes of the training split.",
          {},
          0,
          kMany},
      s.learner.classes);
  f(OptionText{"outer-gradient",
               outer,
               "The outer gradient is that of the query loss, or the way that the inner loop went on all images of an "
               "episode (displacement, Reptile).",
               {"query", "displacement"}},
    s.learner.outer_gradient);
  f(OptionText{"first-order-share",
               outer,
               "For this share of the iterations, from the start, the outer gradient is of first order.",
               {},
               0,
               1},
    s.trainer.first_order_share);
  f(OptionText{"multi-step-share",
               outer,
               "For this share of the iterations, from the start, the query loss counts after every inner step, and "
               "ever less before the last one.",
               {},
               0,
               1},
    s.trainer.multi_step_share);
  f(OptionText{"label-smoothing",
               outer,
               "The targets of the outer loss are smoothed by this share of the probability.",
               {},
               0,
               0.999},
    s.trainer.label_smoothing);
  f(OptionText{"outer-optimizer", outer, "The outer loop uses this optimizer.", outer_optimizer_names()},
    s.trainer.outer_optimizer);
  f(OptionText{"outer-momentum", outer, "With --outer-optimizer sgd, this is the momentum.", {}, 0, 0.9999},
    s.trainer.outer_momentum);
  f(
      OptionText{
          "outer-lr", outer,
          "Outer steps have this size: one number, or one for each kind of parameter as in 0.003,coefficient=0.01."},
      s.trainer.outer_lr);
  f(OptionText{"lr-schedule",
               outer,
               "The outer step size follows this schedule over the iterations.",
               {"constant", "step", "linear", "cosine"}},
    s.trainer.lr_schedule);
  f(OptionText{"lr-step",
               outer,
               "With --lr-schedule step, the outer step size changes after every so many iterations.",
               {},
               1,
               kMany},
    s.trainer.lr_step);
  f(OptionText{"lr-gamma",
               outer,
               "With --lr-schedule step, each change multiplies the outer step size by this factor, at most 1.",
               {},
               1e-9,
               1},
    s.trainer.lr_gamma);
  f(OptionText{"weight-decay",
               outer,
               "The outer loss penalises large weights by this factor (L2); learned step sizes and temperatures are "
               "left out.",
               {},
               0,
               kMany},
    s.trainer.weight_decay);
  f(
      OptionText{
          "clip-norm", outer, "The outer gradient is scaled down to at most this norm; 0 is no limit.", {}, 0, kMany},
      s.trainer.clip_norm);
  f(OptionText{"clip-value",
               outer,
               "Each element of the outer gradient is cut to at most this magnitude; 0 is no limit.",
               {},
               0,
               kMany},
    s.trainer.clip_value);

  const char* validation = "Validation and checkpoints";
  f(OptionText{"val-every", validation, "Training validates after every so many iterations; 0 is never.", {}, 0, kMany},
    s.val_every);
  f(OptionText{"val-episodes", validation, "A validation evaluates this many episodes.", {}, 1, kMany}, s.val_episodes);
  f(OptionText{"val-from-train",
               validation,
               "Validation uses this many classes that are taken out of the training split; 0 is the split val.",
               {},
               0,
               kMany},
    s.val_from_train);
  f(OptionText{"eval-ways",
               validation,
               "A validation episode has this many classes; 0 is as in training, but at most 5.",
               {},
               0,
               1000},
    s.eval_ways);
  f(OptionText{"eval-shots",
               validation,
               "Each class of a validation episode has this many support images; 0 is as in training.",
               {},
               0,
               1000},
    s.eval_shots);
  f(OptionText{"eval-queries",
               validation,
               "Each class of a validation episode has this many query images, or a range as for --queries; 0 is as in "
               "training.",
               {},
               0,
               1000},
    eval_queries);
  f(OptionText{"checkpoint-every",
               validation,
               "Training writes a checkpoint after every so many iterations.",
               {},
               1,
               kMany,
               false},
    s.checkpoint_every);

  f(OptionText{"log-level",
               validation,
               "The TensorBoard event file gets nothing (off), scalars, or histograms and images too (all).",
               {"off", "scalars", "all"},
               0,
               0,
               false},
    s.log_level);

  f(OptionText{"threads",
               "Machine",
               "The program uses this many threads, 0 for all cores; results do not depend on it.",
               {},
               0,
               1024,
               false},
    s.threads);
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
