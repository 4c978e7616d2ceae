#include "meta/memory.h"
#include "episodes/errors.h"
#include "meta/methods.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

int64_t estimate(const std::string& method, const EpisodeSpec& spec, int tasks, int steps = -1, int meta_batch = 4) {
  LearnerOptions options = find_method(method).preset;
  if (steps >= 0) options.inner_steps = steps;
  options.ways = spec.ways;
  ParameterSet parameters;
  const Learner learner(options, parameters);
  return estimated_bytes(learner, spec, meta_batch, tasks);
}

TEST(Memory, TheEstimateGrowsWithWhatTrainingKeeps) {
  const EpisodeSpec reference;
  const int64_t maml = estimate("maml", reference, 2);
  EXPECT_GT(maml, int64_t{100} << 20);
  EXPECT_LT(maml, int64_t{2} << 30);
  EXPECT_LT(estimate("maml", reference, 1), maml);
  EXPECT_LT(estimate("fomaml", reference, 2), maml);
  EXPECT_LT(estimate("anil", reference, 2), maml);
  EXPECT_LT(maml, estimate("maml", reference, 2, 10));
  EXPECT_LT(estimate("fomaml", reference, 2, 10),
            int64_t(1.05 * static_cast<double>(estimate("fomaml", reference, 2))));
  EXPECT_LT(maml, estimate("maml", {.ways = 5, .shots = 5, .queries = 15}, 2));
}

TEST(Memory, EpisodesThatDoNotFitAreRefused) {
  LearnerOptions options = find_method("maml").preset;
  ParameterSet parameters;
  const Learner learner(options, parameters);
  EXPECT_GT(memory_limit(), int64_t{64} << 20);
  require_memory(learner, {.ways = 2, .shots = 1, .queries = 1}, 1, 1);
  const std::string message = test::message_of<UsageError>(
      [&] { require_memory(learner, {.ways = 1000, .shots = 1, .queries = 1000}, 4, 1024); });
  EXPECT_NE(message.find("1000 ways"), std::string::npos) << message;
  EXPECT_NE(message.find("GiB"), std::string::npos) << message;
}

}  // namespace
}  // namespace fewatoms
