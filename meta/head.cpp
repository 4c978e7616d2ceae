#include "meta/head.h"

#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr const char* kNames[] = {"linear", "cosine", "prototype", "ridge", "matching", "relation"};
constexpr double kNothing =
    -1e9;  // a score whose exponential is zero; infinity would turn 0 * inf into NaN in derivatives

Tensor one_hot(const Tensor& labels, int64_t ways, const Tensor& like) {
  return at::one_hot(labels, ways).to(like.scalar_type());
}

/// Members [n, ways] of the classes, each of two images or more.
Tensor members_of_pairs(const Tensor& features, const Tensor& labels, int64_t ways) {
  const Tensor members = one_hot(labels, ways, features);
  TORCH_CHECK(members.sum(0).min().item<double>() >= 2, "leaving one out needs two images of every class");
  return members;
}

/// For each image the mean [n, d] of the others of its class.
Tensor own_rest(const Tensor& features, const Tensor& members, const Tensor& labels) {
  const Tensor sizes = members.sum(0).index_select(0, labels).unsqueeze(1);
  return (at::mm(members.t(), features).index_select(0, labels) - features) / (sizes - 1);
}

/// Each image's score of its own class [n, 1] in the place of that in scores [n, ways].
Tensor with_own(const Tensor& scores, const Tensor& own, const Tensor& members) {
  return scores * (1 - members) + own * members;
}

Tensor tempered(const Comparison& head, const Tensor& scores) {
  return head.temperature.defined() ? scores / head.temperature : scores;
}

Tensor with_constant(const Tensor& x) { return at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1); }

Tensor plus_diagonal(const Tensor& square, const Tensor& value) {
  return square + value * at::eye(square.size(0), square.options());
}

Tensor ridge_logits(const Tensor& support, const Tensor& targets, const Tensor& query, const Tensor& regulariser) {
  const Tensor x = with_constant(support), q = with_constant(query);
  if (x.size(0) < x.size(1))  // Woodbury: n equations instead of d
    return at::mm(at::mm(q, x.t()), at::linalg_solve(plus_diagonal(at::mm(x, x.t()), regulariser), targets));
  return at::mm(q, at::linalg_solve(plus_diagonal(at::mm(x.t(), x), regulariser), at::mm(x.t(), targets)));
}

/// With the hat matrix H = G (G + r I)^-1, G = X X^T, the fit without image i is (f_i - h_ii y_i) / (1 - h_ii), f = H
/// Y.
Tensor ridge_leaving_one_out(const Tensor& support, const Tensor& targets, const Tensor& regulariser) {
  const Tensor x = with_constant(support), gram = at::mm(x, x.t());
  const Tensor hat = at::linalg_solve(plus_diagonal(gram, regulariser), gram);  // G and its inverse commute
  const Tensor own = hat.diagonal().unsqueeze(1);
  return (at::mm(hat, targets) - own * targets) / (1 - own);
}

/// Log of the attention that each class gets, up to what is the same for all classes: similarity [q, n], members [n,
/// ways].
Tensor attention_logits(const Tensor& similarity, const Tensor& members) {
  const Tensor elsewhere = (1 - members).t().unsqueeze(0) * kNothing;  // [1, ways, n]
  return at::logsumexp(similarity.unsqueeze(1) + elsewhere, 2);
}

struct RelationHalves {
  Tensor of_classes, of_queries;
};
RelationHalves relation_halves(const Comparison& head) {
  const auto halves = head.hidden.chunk(2, 1);
  return {halves[0], halves[1]};
}

Tensor relation_logits(const Comparison& head, const Tensor& centres, const Tensor& query) {
  const RelationHalves halves = relation_halves(head);
  const Tensor c = at::linear(centres, halves.of_classes, head.bias), q = at::linear(query, halves.of_queries);
  return at::matmul((q.unsqueeze(1) + c.unsqueeze(0)).relu(), head.out);
}

Tensor relation_leaving_one_out(const Comparison& head, const Tensor& features, const Tensor& labels,
                                const Tensor& members) {
  const RelationHalves halves = relation_halves(head);
  const Tensor rest = own_rest(features, members, labels);
  const Tensor own = at::matmul(
      (at::linear(rest, halves.of_classes, head.bias) + at::linear(features, halves.of_queries)).relu(), head.out);
  return with_own(relation_logits(head, prototypes(features, labels, members.size(1)), features), own.unsqueeze(1),
                  members);
}

}  // namespace

std::vector<std::string> head_names() { return {std::begin(kNames), std::end(kNames)}; }

HeadKind head_from_string(const std::string& name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<HeadKind>(i);
  throw UsageError(unknown_name("head", name, head_names()));
}

bool has_class_weights(HeadKind kind) { return kind == HeadKind::kLinear || kind == HeadKind::kCosine; }

Tensor prototypes(const Tensor& features, const Tensor& labels, int64_t ways) {
  const Tensor members = one_hot(labels, ways, features);  // [n, ways]
  return at::mm(members.t(), features) / members.sum(0).unsqueeze(1);
}

Tensor prototype_logits(const Tensor& features, const Tensor& centres) {
  const Tensor squares = (features * features).sum(1, /*keepdim=*/true) + (centres * centres).sum(1).unsqueeze(0);
  return 2 * at::mm(features, centres.t()) - squares;
}

Tensor leave_one_out_logits(const Tensor& features, const Tensor& labels, int64_t ways) {
  // The distance to the image's own class uses the mean of the rest; to all others, the plain mean.
  const Tensor members = members_of_pairs(features, labels, ways);
  const Tensor difference = features - own_rest(features, members, labels);
  const Tensor own = -(difference * difference).sum(1, /*keepdim=*/true);
  return with_own(prototype_logits(features, prototypes(features, labels, ways)), own, members);
}

Tensor unit_rows(const Tensor& x) {
  constexpr double kSmall = 1e-10;  // added to the squared length
  return x / ((x * x).sum(1, /*keepdim=*/true) + kSmall).sqrt();
}

Tensor cosine_logits(const Tensor& features, const Tensor& weight) {
  return at::mm(unit_rows(features), unit_rows(weight).t());
}

Tensor compared_logits(const Comparison& head, const Tensor& support, const Tensor& labels, int64_t ways,
                       const Tensor& query) {
  switch (head.kind) {
    case HeadKind::kPrototype:
      return tempered(head, prototype_logits(query, prototypes(support, labels, ways)));
    case HeadKind::kRidge:
      return tempered(head, ridge_logits(support, one_hot(labels, ways, support), query, head.regulariser));
    case HeadKind::kMatching:
      return attention_logits(tempered(head, cosine_logits(query, support)), one_hot(labels, ways, support));
    case HeadKind::kRelation:
      return tempered(head, relation_logits(head, prototypes(support, labels, ways), query));
    case HeadKind::kLinear:
    case HeadKind::kCosine:
      break;
  }
  TORCH_CHECK(false, "a head of class weights does not compare");
}

Tensor compared_logits_leaving_one_out(const Comparison& head, const Tensor& support, const Tensor& labels,
                                       int64_t ways) {
  if (head.kind == HeadKind::kPrototype) return tempered(head, leave_one_out_logits(support, labels, ways));
  const Tensor members = members_of_pairs(support, labels, ways);
  switch (head.kind) {
    case HeadKind::kRidge:
      return tempered(head, ridge_leaving_one_out(support, members, head.regulariser));
    case HeadKind::kMatching: {
      const Tensor itself = kNothing * at::eye(support.size(0), support.options());
      return attention_logits(tempered(head, cosine_logits(support, support)) + itself, members);
    }
    case HeadKind::kRelation:
      return tempered(head, relation_leaving_one_out(head, support, labels, members));
    default:
      break;
  }
  TORCH_CHECK(false, "a head of class weights does not compare");
}

}  // namespace fewatoms
