#include <cmath>
#include <opencv2/imgcodecs.hpp>

#include "tests/apps/program.h"
#include "tests/datasets/python.h"

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// The page's code runs as it stands, and what it computes equals what the program does.
TEST(PythonPage, RunsAsItStands) {
  const std::string python = python_with("torch, matplotlib, PIL, numpy");
  if (python.empty()) GTEST_SKIP() << "no Python with torch, matplotlib and PIL";
  const TemporaryFolder folder;
  const auto path = [&](const char* name) { return (folder / name).string(); };
  fs::create_directories(folder / "runs");
  fs::copy(shared_run().path, folder / "runs" / "first", fs::copy_options::recursive);
  const std::string run = path("runs/first");
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < 2; ++i) {
      cv::Mat picture(48, 48, CV_8UC1);  // is made 32 x 32, and the run takes the centre
      for (int y = 0; y < 48; ++y)
        for (int x = 0; x < 48; ++x)
          picture.at<uint8_t>(y, x) = static_cast<uint8_t>(128 + 100 * std::sin(0.3 * (c == 0   ? x
                                                                                       : c == 1 ? y
                                                                                                : x + y) +
                                                                                i));
      const fs::path file = folder / "support" / ("class " + std::to_string(c)) / (std::to_string(i) + ".png");
      fs::create_directories(file.parent_path());
      cv::imwrite(file.string(), picture);
      cv::imwrite(path("photo.png"), picture);
    }
  run_well({"adapt", run, "--support", path("support"), "--checkpoint", "last", "--out", path("task.safetensors")});
  EXPECT_THAT(run_well({"export", run, "--adapter", path("task.safetensors"), "--format", "torchscript", "--out",
                        path("task.pt")})
                  .out,
              HasSubstr("scores of the adapter's classes"));
  EXPECT_THAT(run_well({"export", run, "--checkpoint", "last", "--format", "torchscript", "--out", path("net.pt")}).out,
              HasSubstr("scores of the head as meta-learned"));
  run_well({"export", run, "--checkpoint", "last", "--out", path("plain.safetensors")});
  run_well({"predict", run, path("photo.png"), "--adapter", path("task.safetensors"), "--json", path("predict.json")});
  const std::string out = shell("cd " + folder.path().string() + " && " + python + " " + script("python_page.py") +
                                " " + FEWATOMS_SOURCE_DIR + "/docs/python.md 2>&1");
  EXPECT_THAT(out, HasSubstr("6 blocks ran; kernels, features and probabilities agree"));
}

}  // namespace
}  // namespace fewatoms::test
