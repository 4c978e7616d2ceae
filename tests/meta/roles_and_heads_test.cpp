#include <cmath>

#include "episodes/errors.h"
#include "meta/head.h"
#include "meta/methods.h"
#include "meta/roles.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::expect_close;
using test::message_of;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// ---- Scope.

TEST(Scope, SelectsTheRolesItNames) {
  const auto selects = [](const std::string& text) {
    std::set<Role> roles;
    for (const Role role : trainable_roles())
      if (Scope(text).has(role)) roles.insert(role);
    return roles;
  };
  using Roles = std::set<Role>;
  const Roles body = {Role::kAtom, Role::kCoefficient, Role::kKernel, Role::kNorm};
  Roles all = body;
  all.insert(Role::kHead);
  EXPECT_EQ(selects("none"), Roles{});
  EXPECT_EQ(selects("body"), body);
  EXPECT_EQ(selects("all"), all);
  EXPECT_EQ(selects("atom"), Roles{Role::kAtom});
  EXPECT_EQ(selects("atom+head"), (Roles{Role::kAtom, Role::kHead}));
  EXPECT_EQ(selects("head+atom"), (Roles{Role::kAtom, Role::kHead}));
  EXPECT_EQ(selects("norm+kernel+coefficient"), (Roles{Role::kNorm, Role::kKernel, Role::kCoefficient}));
  EXPECT_FALSE(Scope("all").has(Role::kStatistic));
  EXPECT_EQ(Scope("atom+head").text(), "atom+head");
}

TEST(Scope, BadTextIsRefusedAndTheNearestOffered) {
  for (const char* text : {"", "+", "atom+", "+atom", "atom++head", "atom+atom", "atom head", "atom,head", " atom",
                           "ATOM", "statistic", "all+head", "none+atom", "body+head"})
    EXPECT_THROW(Scope{text}, UsageError) << "'" << text << "'";
  const auto message = [](const std::string& text) { return message_of<UsageError>([&] { Scope{text}; }); };
  EXPECT_TRUE(contains(message("atoms"), "did you mean 'atom'"));
  EXPECT_TRUE(contains(message("atom+haed"), "did you mean 'head'"));
  EXPECT_TRUE(contains(message("bodi"), "did you mean 'body'"));
  EXPECT_TRUE(contains(message("non"), "did you mean 'none'"));
  EXPECT_TRUE(contains(message("head+head"), "twice"));
}

TEST(Scope, ARoleThatSelectsNothingIsRefusedButAllAndBodyTakeWhatThereIs) {
  ParameterSet parameters;
  parameters.add("k", at::zeros({1}), Role::kKernel);
  parameters.add("n", at::zeros({1}), Role::kNorm);
  parameters.add("s", at::zeros({1}), Role::kStatistic);
  EXPECT_EQ(Scope("all").select(*parameters.schema()), (std::vector<size_t>{0, 1}));
  EXPECT_EQ(Scope("body").select(*parameters.schema()), (std::vector<size_t>{0, 1}));
  EXPECT_EQ(Scope("none").select(*parameters.schema()), std::vector<size_t>{});
  EXPECT_EQ(Scope("norm+kernel").select(*parameters.schema()), (std::vector<size_t>{0, 1}));
  const std::string message = message_of<UsageError>([&] { Scope("kernel+atom").select(*parameters.schema()); });
  EXPECT_TRUE(contains(message, "no 'atom'") && contains(message, "kernel, norm")) << message;
}

// ---- RoleRates.

TEST(RoleRates, OneNumberIsForAllRolesAndNamedOnesReplaceIt) {
  const RoleRates one("rate", "0.05");
  for (const Role role : trainable_roles()) EXPECT_EQ(one[role], 0.05);
  const RoleRates both("rate", "0.05,atom=0.5,head=1e-3");
  EXPECT_EQ(both[Role::kAtom], 0.5);
  EXPECT_EQ(both[Role::kHead], 1e-3);
  EXPECT_EQ(both[Role::kNorm], 0.05);
  const RoleRates named("rate", "atom=0.2,head=0.05");
  EXPECT_EQ(named[Role::kAtom], 0.2);
  EXPECT_THROW(named[Role::kNorm], UsageError);
}

TEST(RoleRates, BadTextIsRefused) {
  for (const char* text : {"",          ",",
                           "x",         "0.1x",
                           "0",         "-0.1",
                           "nan",       "inf",
                           "-inf",      "1e999",
                           "0.1,",      ",0.1",
                           "0.1,0.2",   "atom=0.1,0.2",
                           "atom=",     "=0.1",
                           "atom",      "atom=0.1,atom=0.2",
                           "atoms=0.1", "statistic=0.1",
                           "atom=0",    "atom=-1",
                           "atom=nan",  "atom = 0.1",
                           "0.1 ",      "0,1",
                           "0x10",      "atom=0.1;head=0.2",
                           "all=0.1"})
    EXPECT_THROW(RoleRates("inner rate", text), UsageError) << "'" << text << "'";
  const auto message = [](const std::string& text) {
    return message_of<UsageError>([&] { RoleRates("inner rate", text); });
  };
  EXPECT_TRUE(contains(message("haed=0.1"), "did you mean 'head'"));
  EXPECT_TRUE(contains(message("atom=fast"), "inner rate 'atom=fast'")) << message("atom=fast");
}

TEST(RoleRates, RequireFindsNamesWithoutUseAndRolesWithoutRate) {
  const RoleRates named("outer rate", "atom=0.2,head=0.05");
  EXPECT_NO_THROW(named.require({Role::kAtom, Role::kHead}));
  EXPECT_TRUE(contains(message_of<UsageError>([&] { named.require({Role::kAtom}); }), "'head'"));
  EXPECT_TRUE(contains(message_of<UsageError>([&] {
                         named.require({Role::kAtom, Role::kHead, Role::kNorm});
                       }),
                       "'norm'"));
  EXPECT_NO_THROW(RoleRates("outer rate", "0.1").require({Role::kNorm}));
}

// ---- Heads.

TEST(Prototypes, OfPlanePointsByHand) {
  const Tensor points = torch::tensor({0., 0., 2., 0., 4., 4., 4., 6., 1., 9.}, at::kDouble).view({5, 2});
  const Tensor labels = torch::tensor({0, 0, 1, 1, 2}, at::kLong);
  const Tensor centres = prototypes(points, labels, 3);
  expect_close(centres, torch::tensor({1., 0., 4., 5., 1., 9.}, at::kDouble).view({3, 2}), 1e-14, "centres");
  // From (1, 1): squared distances 1, 25, 64.
  const Tensor logits = prototype_logits(torch::tensor({1., 1., 4., 5.}, at::kDouble).view({2, 2}), centres);
  expect_close(logits, torch::tensor({-1., -25., -64., -34., 0., -25.}, at::kDouble).view({2, 3}), 1e-14, "logits");
}

TEST(Prototypes, LabelsMayComeInAnyOrder) {
  const Tensor points = torch::tensor({4., 4., 0., 0., 4., 6., 2., 0.}, at::kDouble).view({4, 2});
  const Tensor centres = prototypes(points, torch::tensor({1, 0, 1, 0}, at::kLong), 2);
  expect_close(centres, torch::tensor({1., 0., 4., 5.}, at::kDouble).view({2, 2}), 1e-14, "centres");
}

TEST(Prototypes, LeavingOneOutByHand) {
  // Class 0: (0,0), (2,0), (4,0). Class 1: (0,6), (0,8).
  const Tensor points = torch::tensor({0., 0., 2., 0., 4., 0., 0., 6., 0., 8.}, at::kDouble).view({5, 2});
  const Tensor labels = torch::tensor({0, 0, 0, 1, 1}, at::kLong);
  // (0,0): the rest of its class has mean (3,0): 9. Class 1's mean is (0,7): 49.
  // (2,0): rest (2,0): 0; 4 + 49 = 53. (4,0): rest (1,0): 9; 16 + 49 = 65.
  // (0,6): class 0's mean (2,0): 4 + 36 = 40; rest (0,8): 4. (0,8): 4 + 64 = 68; rest (0,6): 4.
  const Tensor expected =
      torch::tensor({-9., -49., 0., -53., -9., -65., -40., -4., -68., -4.}, at::kDouble).view({5, 2});
  expect_close(leave_one_out_logits(points, labels, 2), expected, 1e-14, "logits");
}

TEST(Prototypes, LeavingOneOutNeedsTwoOfEveryClass) {
  const Tensor points = at::zeros({3, 2}, at::kDouble);
  EXPECT_THROW(leave_one_out_logits(points, torch::tensor({0, 0, 1}, at::kLong), 2), c10::Error);
}

TEST(Head, NamesReadAndUnknownOnesOfferTheNearest) {
  EXPECT_EQ(head_from_string("linear"), HeadKind::kLinear);
  EXPECT_EQ(head_from_string("prototype"), HeadKind::kPrototype);
  EXPECT_TRUE(contains(message_of<UsageError>([] { head_from_string("prototypes"); }), "did you mean 'prototype'"));
}

TEST(Head, AccuracyCountsTheLargestScore) {
  const Tensor logits = torch::tensor({1., 2., 0., 3., 2., 1., 0., 0., 5., 1., 0., 0.}, at::kDouble).view({4, 3});
  EXPECT_EQ(accuracy(logits, torch::tensor({1, 0, 2, 2}, at::kLong)), 0.75);
}

// ---- Learner.

std::string refusal(const LearnerOptions& options) {
  return message_of<UsageError>([&] {
    ParameterSet parameters;
    Learner(options, parameters);
  });
}

template <class Change>
LearnerOptions changed(Change change, const std::string& conv = "standard") {
  LearnerOptions options = test::small_options(conv);
  change(options);
  return options;
}

TEST(Learner, WhatCannotWorkIsTheCallersMistake) {
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.scope = "none"; })), "adapts nothing"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.scope = "head", o.head = "prototype"; })), "no 'head'"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.scope = "atom"; })), "no 'atom'"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.scope = "atom+coefficient"; })), "no '"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.order = "third"; })), "order"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.norm = "bach"; })), "did you mean 'batch'"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.head = "liner"; })), "did you mean 'linear'"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.ways = 1; })), "ways is 1"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.inner_steps = -1; })), "inner steps is -1"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.inner_steps = 1001; })), "inner steps is 1001"));
  EXPECT_TRUE(
      contains(refusal(changed([](auto& o) { o.inner_lr = "atom=0.1,kernel=0.1,norm=0.1,head=0.1"; })), "'atom'"));
  EXPECT_TRUE(contains(refusal(changed([](auto& o) { o.inner_lr = "head=0.1"; })), "no rate"));
  EXPECT_TRUE(
      contains(refusal(changed([](auto& o) { o.scope = "atom", o.inner_lr = "0.1,head=0.2"; }, "acdc")), "'head'"));
}

TEST(Learner, ScopeNoneWithoutStepsAndScopeBodyWithPrototypesWork) {
  for (const char* head : {"linear", "prototype"})
    for (const char* scope : {"none", "body", "all", "norm"}) {
      LearnerOptions options = changed([&](auto& o) { o.scope = scope, o.head = head; });
      if (options.scope == "none") options.inner_steps = 0;
      ParameterSet parameters;
      EXPECT_NO_THROW(Learner(options, parameters)) << head << " " << scope;
    }
}

TEST(Learner, PrototypeHeadsHaveNoParametersAndLinearOnesStartSmallButNotZero) {
  ParameterSet linear, prototype;
  Learner(changed([](auto&) {}), linear);
  Learner(changed([](auto& o) { o.head = "prototype"; }), prototype);
  EXPECT_EQ(linear.count().at(Role::kHead), test::kWays * 4 + test::kWays);
  EXPECT_EQ(prototype.count().count(Role::kHead), 0U);
  for (const Parameter& p : linear)
    if (p.name == "head.weight") {
      EXPECT_GT(p.tensor.abs().max().item<float>(), 1e-4);
      EXPECT_LT(p.tensor.abs().max().item<float>(), 0.1);
    }
  EXPECT_EQ(convolution_weights(*linear.schema()), 4 * 9 + 3 * 4 * 4 * 9);
}

}  // namespace
}  // namespace fewatoms
