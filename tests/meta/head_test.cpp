#include "meta/head.h"

#include <cmath>

#include "episodes/errors.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::expect_close;

Tensor matrix(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).view({-1, columns});
}
Tensor one(double value) { return at::full({1}, value, at::kDouble); }
Tensor classes(std::vector<int64_t> labels) { return at::tensor(labels, at::kLong); }

/// A head of every kind that compares, for features of 3 numbers.
std::vector<Comparison> heads() {
  Comparison prototype, ridge, matching, relation;
  prototype.temperature = one(2);
  ridge.kind = HeadKind::kRidge;
  ridge.temperature = one(0.1);
  ridge.regulariser = one(0.7);
  matching.kind = HeadKind::kMatching;
  matching.temperature = one(0.2);
  relation.kind = HeadKind::kRelation;
  relation.hidden = normal_tensor({5, 6}, 0.5, 1, "hidden").to(at::kDouble);
  relation.bias = normal_tensor({5}, 0.5, 1, "bias").to(at::kDouble);
  relation.out = normal_tensor({5}, 1, 1, "out").to(at::kDouble);
  return {prototype, ridge, matching, relation};
}

TEST(CosineHead, ByHand) {
  const Tensor features = matrix({3, 4, -5, 0, 0, 0}, 2), weight = matrix({1, 0, 0, 2}, 2);
  expect_close(cosine_logits(features, weight), matrix({0.6, 0.8, -1, 0, 0, 0}, 2), 1e-10, "cosines");
}

TEST(CosineHead, AFeatureOfZerosHasAFiniteDerivative) {
  const Tensor features = at::zeros({1, 2}, at::kDouble).requires_grad_(true);
  cosine_logits(features, matrix({1, 0}, 2)).sum().backward();
  EXPECT_TRUE(features.grad().isfinite().all().item<bool>());
}

TEST(RidgeHead, ByHand) {
  // X with the constant: (1, 1), (-1, 1). X X^T + 2 I = 4 I; the query (3, 1) has products 4 and -2.
  Comparison head;
  head.kind = HeadKind::kRidge;
  head.regulariser = one(2);
  const Tensor scores = compared_logits(head, matrix({1, -1}, 1), classes({0, 1}), 2, matrix({3}, 1));
  expect_close(scores, matrix({1, -0.5}, 2), 1e-14, "scores");
  head.temperature = one(0.25);
  expect_close(compared_logits(head, matrix({1, -1}, 1), classes({0, 1}), 2, matrix({3}, 1)), matrix({4, -2}, 2), 1e-14,
               "by temperature");
}

TEST(RidgeHead, FewImagesGiveTheSameAnswerAsFewFeatures) {
  // Features of zeros change no answer, but make the features more than the images: Woodbury's side.
  const Comparison head = heads()[1];
  const Tensor support = normal_tensor({6, 3}, 1, 1, "support").to(at::kDouble),
               query = normal_tensor({4, 3}, 1, 1, "query").to(at::kDouble);
  const auto wide = [](const Tensor& x) { return at::constant_pad_nd(x, {0, 9}); };
  const Tensor labels = classes({0, 1, 2, 0, 1, 2});
  expect_close(compared_logits(head, wide(support), labels, 3, wide(query)),
               compared_logits(head, support, labels, 3, query), 1e-12, "scores");
}

TEST(MatchingHead, ByHand) {
  Comparison head;
  head.kind = HeadKind::kMatching;
  // Cosines of (1, 0) with the support images: 1 and 0 of class 0, -1 of class 1.
  const Tensor scores = compared_logits(head, matrix({2, 0, 0, 3, -1, 0}, 2), classes({0, 0, 1}), 2, matrix({1, 0}, 2));
  const double a = std::exp(1.0) + std::exp(0.0), b = std::exp(-1.0);
  expect_close(at::softmax(scores, 1), matrix({a / (a + b), b / (a + b)}, 2), 1e-9, "attention");
}

TEST(RelationHead, ByHand) {
  Comparison head;
  head.kind = HeadKind::kRelation;
  head.hidden = matrix({1, -1}, 2);  // mean minus query
  head.bias = one(0.5);
  head.out = one(2);
  // Class means 3 and 0. Query 1: relu(3 - 1 + 0.5) and relu(0 - 1 + 0.5).
  expect_close(compared_logits(head, matrix({2, 4, 0}, 1), classes({0, 0, 1}), 2, matrix({1}, 1)), matrix({5, 0}, 2),
               1e-14, "scores");
}

TEST(Heads, LeavingOneOutIsAScoreWithoutIt) {
  const Tensor features = normal_tensor({7, 3}, 1, 2, "features").to(at::kDouble);
  const Tensor labels = classes({0, 1, 2, 0, 1, 2, 1});
  for (const Comparison& head : heads()) {
    const Tensor all = compared_logits_leaving_one_out(head, features, labels, 3);
    for (int64_t i = 0; i < 7; ++i) {
      std::vector<int64_t> rest;
      for (int64_t k = 0; k < 7; ++k)
        if (k != i) rest.push_back(k);
      const Tensor others = classes(rest);
      const Tensor alone = compared_logits(head, features.index_select(0, others), labels.index_select(0, others), 3,
                                           features.narrow(0, i, 1));
      expect_close(all.narrow(0, i, 1), alone, 1e-11,
                   "head " + head_names()[static_cast<size_t>(head.kind)] + ", image " + std::to_string(i));
    }
  }
}

TEST(Heads, TheOrderOfTheSupportSetDoesNotMatter) {
  const Tensor support = normal_tensor({6, 3}, 1, 2, "support").to(at::kDouble),
               query = normal_tensor({2, 3}, 1, 2, "query").to(at::kDouble);
  const Tensor labels = classes({0, 1, 2, 0, 1, 2}), order = classes({4, 2, 0, 5, 3, 1});
  for (const Comparison& head : heads())
    expect_close(compared_logits(head, support.index_select(0, order), labels.index_select(0, order), 3, query),
                 compared_logits(head, support, labels, 3, query), 1e-11, head_names()[static_cast<size_t>(head.kind)]);
}

TEST(Heads, LeavingOneOutNeedsTwoOfEveryClass) {
  for (const Comparison& head : heads())
    EXPECT_THROW(compared_logits_leaving_one_out(head, at::zeros({3, 3}, at::kDouble), classes({0, 0, 1}), 2),
                 c10::Error);
}

TEST(Heads, NamesReadBack) {
  EXPECT_EQ(head_names().size(), 6U);
  for (const std::string& name : head_names())
    EXPECT_EQ(head_names()[static_cast<size_t>(head_from_string(name))], name);
}

}  // namespace
}  // namespace fewatoms
