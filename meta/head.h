#pragma once

#include <string>
#include <vector>

#include "backbones/parameter_set.h"

namespace fewatoms {

/// What turns features into class scores.
enum class HeadKind {
  kLinear,     // weight [ways, features] and bias [ways], role head
  kCosine,     // weight [ways, features], role head: cosine of feature and weight (Chen et al. 2019, Baseline++)
  kPrototype,  // no parameters: minus the squared distance to the class means (Snell et al. 2017, eq. 1 and 2)
  kRidge,      // ridge regression of the support labels, in closed form (Bertinetto et al. 2019, R2-D2)
  kMatching,   // no parameters: attention over the support images by cosine (Vinyals et al. 2016, eq. 1)
  kRelation,   // a small network on each pair of class mean and query, role head (Sung et al. 2018)
};
std::vector<std::string> head_names();
/// Throws UsageError on a name that is not among head_names().
HeadKind head_from_string(const std::string& name);
/// Whether a head has a weight for each class (linear, cosine) rather than comparing with the support set.
bool has_class_weights(HeadKind kind);

/// Class means [ways, d] of features [n, d] with labels [n].
Tensor prototypes(const Tensor& features, const Tensor& labels, int64_t ways);

/// Minus squared Euclidean distances [n, ways] from features [n, d] to centres [ways, d], written out so that they can
/// be differentiated twice.
Tensor prototype_logits(const Tensor& features, const Tensor& centres);

/// Scores [n, ways] of every support image against prototypes that leave it out. Each class needs two images or more.
Tensor leave_one_out_logits(const Tensor& features, const Tensor& labels, int64_t ways);

/// Rows [n, d] divided by their length; a row of zeros stays one, with a finite derivative.
Tensor unit_rows(const Tensor& x);

/// Cosines [n, ways] of features [n, d] and weights [ways, d].
Tensor cosine_logits(const Tensor& features, const Tensor& weight);

/// What a head that compares needs beside the support set; undefined where its kind has no use for it.
struct Comparison {
  HeadKind kind = HeadKind::kPrototype;
  Tensor temperature;  // [1], > 0: scores (of matching: cosines) are divided by it; undefined: 1
  Tensor regulariser;  // ridge: [1], > 0
  Tensor hidden;       // relation: [units, 2*d], of class mean and query side by side
  Tensor bias;         // relation: [units]
  Tensor out;          // relation: [units]; the score is out . relu(hidden [mean, query] + bias)
};

/// Scores [q, ways] of query features [q, d] by comparison with support features [n, d] of labels [n]. Their softmax
/// is:
/// * prototype: over minus squared distances;
/// * ridge: over the regression's answers X_q W, W = X^T (X X^T + r I)^-1 Y = (X^T X + r I)^-1 X^T Y, whichever is
/// smaller,
///   with Y one-hot and a constant feature 1 appended to X;
/// * matching: the attention itself: each class has the sum over its support images of softmax(cosine / temperature);
/// * relation: over the network's scores.
Tensor compared_logits(const Comparison& head, const Tensor& support, const Tensor& labels, int64_t ways,
                       const Tensor& query);

/// Scores [n, ways] of every support image against a support set that leaves it out. Each class needs two images or
/// more.
Tensor compared_logits_leaving_one_out(const Comparison& head, const Tensor& support, const Tensor& labels,
                                       int64_t ways);

}  // namespace fewatoms
