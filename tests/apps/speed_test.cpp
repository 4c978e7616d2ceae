#include "tests/apps/program.h"

#include <cmath>
#include <opencv2/imgcodecs.hpp>
#include <sstream>

#include "meta/corruption.h"
#include "meta/statistics.h"

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

json read_json(const fs::path& file) { return json::parse(read_file(file)); }

Arguments small_speed(const Arguments& runs, const Arguments& more = {}) {
  return Arguments{"speed"} + runs +
         Arguments{"--episodes", "6", "--timed-tasks", "1", "--threads", "1", "--steps", "0,1,3"} + more;
}

/// A run of ProtoNet beside the shared one.
fs::path other_run(const TemporaryFolder& folder) {
  run_well({"train", "--out", (folder / "proto").string(), "--method", "protonet", "--width", "8", "--ways", "3",
            "--queries", "2", "--meta-batch", "1", "--iterations", "1", "--val-every", "0", "--quiet"});
  return folder / "proto";
}

TEST(Speed, TwoRunsOnTheSameEpisodesWithEverything) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string(), other = other_run(folder).string();
  const Finished finished = run_well(
      small_speed({run, other}, {"--rates", "--shots", "1,2", "--corrupt=noise,jpeg", "--label-noise=0,1", "--json",
                                 (folder / "1.json").string(), "--csv", (folder / "1.csv").string()}));
  for (const char* words :
       {"strokes test, 3-way 1-shot, 2 queries: 6 episodes, the same for all runs", "adapts 189 numbers, 756 bytes",
        "adapts 0 numbers", "inner rate", "spread", "wrong labels", "support jpeg", "run - proto", "paired by episode"})
    EXPECT_THAT(finished.out, HasSubstr(words));

  const json result = read_json(folder / "1.json");
  const json& runs = result.at("runs");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].at("method"), "acdc-maml");
  EXPECT_EQ(runs[0].at("parameters_adapted"), 189);
  EXPECT_EQ(runs[0].at("adapted_bytes"), 756);
  EXPECT_EQ(runs[1].at("adapted_bytes"), 0);
  EXPECT_EQ(runs[1].at("by_steps").size(), 1U);  // nothing adapts
  const json& by_steps = runs[0].at("by_steps");
  ASSERT_EQ(by_steps.size(), 3U);
  EXPECT_GT(by_steps[2].at("milliseconds").get<double>(), by_steps[0].at("milliseconds").get<double>());
  EXPECT_GT(by_steps[2].at("milliseconds_per_step").get<double>(), 0);
  std::map<std::string, int> conditions;
  for (const json& c : runs[0].at("conditions")) ++conditions[c.at("condition").get<std::string>()];
  EXPECT_EQ(conditions, (std::map<std::string, int>{{"rate", 5}, {"shots", 2}, {"corrupt", 12}, {"label-noise", 2}}));

  // The curve is that of `eval`, and pairs are differences of the episodes.
  run_well({"eval", run, "--episodes", "6", "--threads", "2", "--eval-inner-steps", "0,1,3", "--json",
            (folder / "eval.json").string()});
  const json evaluated = read_json(folder / "eval.json");
  for (size_t i = 0; i < 3; ++i)
    for (const char* key : {"accuracy", "ci95", "loss"})
      EXPECT_EQ(by_steps[i].at(key), evaluated.at("by_steps")[i].at(key)) << key;
  std::vector<double> a, b;
  for (size_t e = 0; e < 6; ++e) {
    a.push_back(runs[0].at("accuracy_by_episode")[e][2].get<double>());
    b.push_back(runs[1].at("accuracy_by_episode")[e][0].get<double>());
  }
  const MeanInterval difference = paired_difference(a, b);
  const json& last = result.at("paired")[0].at("by_steps")[2];
  EXPECT_EQ(last.at("inner_steps"), 3);
  EXPECT_NEAR(last.at("difference").get<double>(), difference.mean, 1e-12);
  EXPECT_NEAR(last.at("ci95").get<double>(), *difference.ci95, 1e-12);

  const std::string csv = read_file(folder / "1.csv");
  EXPECT_THAT(csv, ::testing::StartsWith("run,condition,kind,value,inner_steps,accuracy,ci95,loss,milliseconds\n"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + (3 + 21) + (1 + 16) + 3);  // ProtoNet has no rates
  std::istringstream lines(csv);
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(std::count(line.begin(), line.end(), ','), 8) << line;
}

TEST(Speed, RefusesWhatItCannotDo) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string();
  write_class_folders(folder / "photos", 3, 4);
  run_well(small_training(folder / "folders",
                          {"--dataset", "folders", "--data-root", (folder / "photos").string(), "--quiet"}));
  expect_refusals({
      {small_speed({run, (folder / "folders").string()}), {"have different images", "strokes", "folders", "--dataset"}},
      {small_speed({run}, {"--corrupt=noise,snow"}), {"corruption 'snow'"}},
      {small_speed({run}, {"--rates=0"}), {"--rates", "'0'"}},
      {small_speed({run}, {"--label-noise=1.5"}), {"--label-noise", "0 to 1"}},
      {small_speed({run}, {"--shots", "0,1"}), {"--shots", "from 1"}},
      {small_speed({run}, {"--ways", "4"}), {run, "3 ways", "4"}},
      {small_speed({(folder / "none").string()}), {"no run folder"}},
      {{"speed"}, {"RUN"}},
  });
}

// What OpenCV's encoder leaves of a picture, next to the same by the formula.
TEST(Speed, JpegIsThatOfTheEncoder) {
  cv::Mat picture(80, 96, CV_8UC3);
  for (int y = 0; y < picture.rows; ++y)
    for (int x = 0; x < picture.cols; ++x)
      picture.at<cv::Vec3b>(y, x) = {static_cast<uint8_t>(128 + 100 * std::sin(0.05 * x)),
                                     static_cast<uint8_t>(2 * y + 30 * ((x / 9 + y / 7) % 2)),
                                     static_cast<uint8_t>((x * x / 40 + 3 * y) % 200)};
  const auto tensor = [](const cv::Mat& bgr) {
    return torch::from_blob(bgr.data, {bgr.rows, bgr.cols, 3}, torch::kByte)
        .permute({2, 0, 1})
        .flip(0)
        .to(torch::kFloat)
        .contiguous();
  };
  const std::vector<int> qualities = {25, 18, 15, 10, 7};
  for (int strength = 1; strength <= kCorruptionStrengths; ++strength) {
    std::vector<uint8_t> bytes;
    cv::imencode(".jpg", picture, bytes, {cv::IMWRITE_JPEG_QUALITY, qualities[strength - 1]});
    const torch::Tensor encoder = tensor(cv::imdecode(bytes, cv::IMREAD_COLOR)), clean = tensor(picture);
    const torch::Tensor ours = corrupted(clean, Corruption::kJpeg, strength, 0);
    const double off = (ours - encoder).pow(2).mean().sqrt().item<double>(),
                 lost = (encoder - clean).pow(2).mean().sqrt().item<double>();
    EXPECT_LT(off, 0.5 * lost) << strength;  // the decoder smooths colours that are stored at half the resolution
    EXPECT_NEAR((ours - clean).pow(2).mean().sqrt().item<double>(), lost, 0.25 * lost) << strength;
  }
}

}  // namespace
}  // namespace fewatoms::test
