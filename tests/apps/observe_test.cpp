#include <opencv2/imgcodecs.hpp>

#include "tests/apps/program.h"
#include "tests/datasets/python.h"

// What a training says of itself before and while it runs.
namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(DryRun, SaysWhatTheTrainingWouldBeAndTrainsNothing) {
  const TemporaryFolder folder;
  const std::string picture = (folder / "first.png").string();
  Arguments arguments = shared_training(folder / "run");
  arguments.erase(arguments.begin() + 1, arguments.begin() + 3);  // --out
  const Finished dry = run_well(arguments + Arguments{"--dry-run", "--picture", picture});
  EXPECT_EQ(dry.err, "");
  EXPECT_EQ(contents(folder.path()).size(), 1U) << "nothing but the picture";

  // The configuration is that of the run, and the rest comments of it.
  const std::string config = read_file(shared_run().path / "config.toml");
  ASSERT_TRUE(dry.out.starts_with(config + "\n# images: strokes, train 160 classes")) << dry.out;
  std::istringstream rest(dry.out.substr(config.size() + 1));
  for (std::string line; std::getline(rest, line);) EXPECT_TRUE(line.starts_with("# ")) << line;
  EXPECT_THAT(dry.out, HasSubstr("\n# parameters: "));
  EXPECT_THAT(dry.out, HasSubstr("\n# adapted to each task: 189 (162 atom, 27 head)\n"));
  EXPECT_THAT(dry.out, ::testing::ContainsRegex(
                           "# memory: about [0-9.]+ [MG]iB, and up to [0-9.]+ [MG]iB of decoded images; limit: "));
  EXPECT_THAT(dry.out, ::testing::ContainsRegex("# time: about 0:[0-9]+ for 4 iterations of .* s and 2 validations of "
                                                ".* s \\(3 iterations timed here with 2 threads"));
  EXPECT_THAT(dry.out, HasSubstr(picture));

  // Three classes, a support and two query images of 28 pixels each.
  const cv::Mat image = cv::imread(picture);
  EXPECT_EQ(image.rows, 3 * (28 + 4) + 4);
  EXPECT_EQ(image.cols, 120 + (28 + 4) + 3 * 4 + 2 * (28 + 4) + 4);
}

TEST(DryRun, RefusesWhatTrainingRefuses) {
  const TemporaryFolder folder;
  expect_refusals({
      {{"train", "--dry-run", "--ways", "161"}, {"161", "160 classes"}},
      {{"train", "--dry-run", "--ways", "100", "--queries", "100", "--shots", "50", "--width", "256", "--inner-steps",
        "1000"},
       {"of memory"}},
      {{"train", "--dry-run", "--out", shared_run().path.string()}, {"holds a run already"}},
      {{"train", "--dry-run", "--resume"}, {"--out"}},
      {{"train", "--dry-run", "--queries", "2", "--picture", (folder / "none" / "x.png").string()}, {"none"}},
      {small_training(folder / "run", {"--picture", "x.png"}), {"--picture goes with --dry-run"}},
  });
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(EventFile, HoldsWhatMetricsHoldAndPicturesThatDecode) {
  const std::string python = python_with("PIL, struct");
  if (python.empty()) GTEST_SKIP() << "no Python with PIL";
  const std::string report =
      shell(python + " " + script("read_events.py") + " " + shared_run().path.string() + " 2>&1");
  EXPECT_THAT(report, HasSubstr("4 iterations, 2 validations, atoms of 3 layers at [0, 2, 4], 10 pictures"));
}

TEST(EventFile, AResumedRunHasEachStepOnce) {
  const std::string python = python_with("PIL, struct");
  if (python.empty()) GTEST_SKIP() << "no Python with PIL";
  const TemporaryFolder folder;
  const fs::path run = copy_of_shared_run(folder), events = run / "events.out.tfevents.fewatoms";
  run_well(shared_training(folder / "shorter", {"--iterations", "3", "--quiet"}));
  // As if it had been killed in the midst of a record, after more steps than its checkpoint has.
  fs::copy_file(folder / "shorter" / "last.safetensors", run / "last.safetensors",
                fs::copy_options::overwrite_existing);
  write_file(events, read_file(events) + "torn");
  run_well({"train", "--out", run.string(), "--resume", "--quiet"});
  EXPECT_THAT(shell(python + " " + script("read_events.py") + " " + run.string() + " 2>&1"),
              HasSubstr("4 iterations, 2 validations, atoms of 3 layers at [0, 2, 4], 10 pictures"));
}

TEST(EventFile, TheLevelChangesNoWeight) {
  const TemporaryFolder folder;
  run_well(shared_training(folder / "off", {"--log-level", "off", "--quiet"}));
  EXPECT_FALSE(fs::exists(folder / "off" / "events.out.tfevents.fewatoms"));
  expect_same_checkpoint(folder / "off" / "last.safetensors", shared_run().path / "last.safetensors");
  EXPECT_EQ(metrics_of(folder / "off"), metrics_of(shared_run().path));
}

}  // namespace
}  // namespace fewatoms::test
