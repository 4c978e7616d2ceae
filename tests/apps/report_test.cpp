#include "tests/apps/program.h"

#include <regex>
#include <sstream>

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

json read_json(const fs::path& file) { return json::parse(read_file(file)); }

/// What the page's scripts read.
json data_of(const std::string& page) {
  const std::string mark = "id=\"report-data\">";
  const size_t begin = page.find(mark) + mark.size();
  return json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

Arguments small_report(const Arguments& runs, const fs::path& out, const Arguments& more = {}) {
  return Arguments{"report"} + runs + Arguments{"--out",     out.string(), "--episodes", "6",   "--timed-tasks", "1",
                                                "--threads", "2",          "--steps",    "0,3", "--samples",     "2"} +
         more;
}

fs::path protonet(const TemporaryFolder& folder, const Arguments& more = {}) {
  run_well(Arguments{"train", "--out", (folder / "proto").string(), "--method", "protonet", "--width", "8", "--ways",
                     "3", "--queries", "2", "--meta-batch", "1", "--iterations", "1", "--val-every", "0", "--quiet"} +
           more);
  return folder / "proto";
}

/// What trains on the folder's list.csv.
Arguments manifest_of(const TemporaryFolder& folder, const Arguments& more = {}) {
  return Arguments{"--queries",    "1", "--dataset", "manifest", "--data-root", (folder / "list.csv").string(),
                   "--image-size", "28"} +
         more;
}

size_t times(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// Nothing in the page makes a browser ask for anything outside of it.
void expect_self_contained(const std::string& page) {
  const std::string mark = "id=\"report-data\">";
  const size_t begin = page.find(mark), end = page.find("</script>", begin);
  std::string own = page.substr(0, begin) + page.substr(end);  // the data are text
  const std::regex outside(R"re((?:src|href|action|poster|srcset)\s*=\s*["']?\s*(?:https?:|//|\.|/)|url\(|@import)re"
                           R"re(|\bfetch\(|XMLHttpRequest|importScripts|sendBeacon|WebSocket|EventSource)re");
  std::smatch found;
  EXPECT_FALSE(std::regex_search(own, found, outside)) << found.str();
  EXPECT_THAT(page, HasSubstr("Content-Security-Policy\" content=\"default-src 'none'; img-src data:;"));
  EXPECT_EQ(times(page, "<script"), 3U);
  EXPECT_EQ(times(page, "</script"), 3U);
}

TEST(Report, DataAreThoseOfSpeedAndEval) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string(), other = protonet(folder).string();
  const Finished finished = run_well(small_report({run, other}, folder / "report.html", {"--title", "Two <runs>"}));
  EXPECT_THAT(finished.out, HasSubstr("2 runs"));
  const std::string page = read_file(folder / "report.html");
  expect_self_contained(page);
  EXPECT_THAT(page, HasSubstr("Copyright (c) 2014-2022 Chart.js Contributors"));
  EXPECT_LT(page.size(), 2'000'000U);
  const json data = data_of(page);
  EXPECT_EQ(data.at("title"), "Two <runs>");
  ASSERT_EQ(data.at("groups").size(), 1U);
  ASSERT_EQ(data.at("runs").size(), 2U);

  run_well({"speed", run, other, "--episodes", "6", "--timed-tasks", "1", "--threads", "1", "--steps", "0,1,3",
            "--json", (folder / "speed.json").string()});
  const json speed = read_json(folder / "speed.json");
  for (size_t r = 0; r < 2; ++r) {
    const json& ours = data["runs"][r];
    const json& theirs = speed["runs"][r];
    ASSERT_EQ(ours["by_steps"].size(), theirs["by_steps"].size());  // the run's own step 1 was added to 0 and 3
    for (size_t i = 0; i < ours["by_steps"].size(); ++i)
      for (const char* key : {"inner_steps", "accuracy", "ci95", "loss"})
        EXPECT_EQ(ours["by_steps"][i][key], theirs["by_steps"][i][key]) << r << key;
    for (const char* key :
         {"method", "conv_weights", "parameters_adapted", "adapted_bytes", "checkpoint", "iteration", "norm"})
      EXPECT_EQ(ours[key], theirs[key]) << key;
  }
  const json& paired = data["groups"][0]["paired"][0];
  EXPECT_EQ(paired["difference"], speed["paired"][0]["by_steps"][1]["difference"]);
  EXPECT_EQ(paired["ci95"], speed["paired"][0]["by_steps"][1]["ci95"]);

  const json& first = data["runs"][0];
  EXPECT_EQ(first["own_steps"], 1);
  EXPECT_EQ(first["accuracy"], first["by_steps"][1]["accuracy"]);
  EXPECT_EQ(first["training"]["curve"].size(), 4U);
  EXPECT_EQ(first["training"]["validations"].size(), 2U);
  EXPECT_EQ(first["layers"][0]["coefficients"], nullptr);  // the stem
  EXPECT_EQ(first["layers"][1]["coefficients"], "coefficients");
  EXPECT_EQ(first["atom_pictures"].size(), 3U);
  EXPECT_NE(first["atom_pictures"][0]["before"], first["atom_pictures"][0]["after"]);
  EXPECT_EQ(first["moved"].size(), 5U);  // atoms of three layers, weight and bias of the head
  for (const json& tensor : first["moved"]) EXPECT_GT(tensor["relative"].get<double>(), 0);
  EXPECT_EQ(data["runs"][1]["moved"].size(), 0U);

  for (const json& r : data["runs"]) {
    // Every query image is in the confusion table once; those on its diagonal are the right ones.
    int64_t images = 0, right = 0, all = 0;
    for (size_t i = 0; i < r["confusion"]["classes"].size(); ++i) {
      images += r["confusion"]["query_images"][i].get<int64_t>();
      right += r["confusion"]["counts"][i][i].get<int64_t>();
      for (const json& count : r["confusion"]["counts"][i]) all += count.get<int64_t>();
    }
    EXPECT_EQ(images, 6 * 3 * 2);
    EXPECT_EQ(all, images);
    EXPECT_NEAR(static_cast<double>(right) / static_cast<double>(images), r["accuracy"].get<double>(), 1e-12);
    // Predictions of an episode give its accuracy.
    for (const json& look : r["looks"]) {
      const auto& episodes = data["groups"][0]["looked_at"];
      const auto episode = std::find_if(episodes.begin(), episodes.end(),
                                        [&](const json& e) { return e["episode"] == look["episode"]; });
      ASSERT_NE(episode, episodes.end());
      double hits = 0;
      for (size_t q = 0; q < 6; ++q) hits += (*episode)["query"][q]["label"] == look["after"][q];
      EXPECT_NEAR(hits / 6, look["accuracy_after"].get<double>(), 1e-12);
      for (const char* kind : {"support", "query"})
        for (const json& image : (*episode)[kind]) {
          const json& picture = data["groups"][0]["pictures"][image["picture"].get<size_t>()];
          EXPECT_THAT(picture["src"].get<std::string>(), ::testing::StartsWith("data:image/png;base64,iVBOR"));
        }
    }
    EXPECT_EQ(r["worst"].size(), 6U);
    EXPECT_LE(r["worst"][0]["accuracy"].get<double>(), r["worst"][5]["accuracy"].get<double>());
  }

  // The command of a worst episode gives that episode's accuracy; eval's curve is the page's.
  for (const size_t place : {0, 3}) {
    const json& worst = first["worst"][place];
    std::istringstream words(worst["command"].get<std::string>());
    Arguments command{std::istream_iterator<std::string>(words), {}};
    command.erase(command.begin());
    run_well(command + Arguments{"--json", (folder / "replay.json").string()});
    EXPECT_EQ(read_json(folder / "replay.json")["accuracy"], worst["accuracy"]) << worst["command"];
    EXPECT_EQ(read_json(folder / "replay.json")["by_steps"][0]["loss"], worst["loss"]);
  }
}

// Labels as HTML, as marks of the page's template, and as bytes that are no text; and a group of its own for another
// data set.
TEST(Report, HostileNamesStayText) {
  const TemporaryFolder folder;
  const std::string script = "</script><script>alert(1)</script>", mark = "@SCRIPTS@ & <!-- <b>", bytes = "\xff\xfe<";
  std::string rows = "path,label,split\n";
  for (const char* split : {"train", "test"})
    for (const std::string& label : {script, mark, bytes})
      for (int i = 0; i < 3; ++i) {
        const std::string name = split + std::to_string(rows.size()) + ".png";
        write_image(folder / name, 28, 28, {10.0 * i, 20, 200});
        rows += name + ",\"" + (split == std::string("train") ? "t" : "") + label + "\"," + split + "\n";
      }
  write_file(folder / "list.csv", rows);
  const std::string run = protonet(folder, manifest_of(folder)).string();
  run_well(small_report({run, shared_run().path.string()}, folder / "report.html"));
  const std::string page = read_file(folder / "report.html");
  expect_self_contained(page);
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  const json data = data_of(page);
  std::set<std::string> classes;
  for (const json& name : data["runs"][0]["confusion"]["classes"]) classes.insert(name.get<std::string>());
  EXPECT_EQ(classes.count(script), 1U);
  EXPECT_EQ(classes.count(mark), 1U);
  EXPECT_EQ(data["groups"].size(), 2U);  // each its own images
  EXPECT_EQ(data["groups"][1]["dataset"], "strokes");
  EXPECT_EQ(data["runs"][1]["group"], 1);
}

// Each class has two boxes of one picture.
TEST(Report, TenThousandClassesStaySmall) {
  const TemporaryFolder folder;
  write_image(folder / "picture.png", 40, 40);
  std::string rows = "path,label,split,x,y,width,height\n";
  const auto add = [&](const std::string& label, const char* split, double x, int y) {
    rows += "picture.png," + label + "," + split + "," + std::to_string(x) + "," + std::to_string(y) + ",20,20\n";
  };
  for (int c = 0; c < 10'000; ++c)
    for (const int y : {0, 10}) add("class with a long name " + std::to_string(c), "test", 0.001 * c, y);
  for (int c = 0; c < 3; ++c)
    for (const int y : {0, 5, 10}) add("t" + std::to_string(c), "train", 11 + c, y);
  write_file(folder / "list.csv", rows);
  const std::string run = protonet(folder, manifest_of(folder, {"--crop", "bbox"})).string();
  run_well(small_report({run}, folder / "report.html", {"--ways", "1000", "--episodes", "3"}));
  const std::string page = read_file(folder / "report.html");
  EXPECT_LT(page.size(), 3'000'000U);
  const json data = data_of(page);
  EXPECT_EQ(data["groups"][0]["classes"], 10'000);
  EXPECT_EQ(data["runs"][0]["confusion"]["classes"].size(), 20U);
  EXPECT_GT(data["runs"][0]["confusion"]["classes_seen"].get<int>(), 2000);
  EXPECT_THAT(data["groups"][0]["looked_at"][0]["note"].get<std::string>(), HasSubstr("100 of 1000 support"));
  EXPECT_THAT(data["left_out"].dump(), HasSubstr("points of feature maps"));
}

TEST(Report, RefusesWhatItCannotDo) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string();
  const fs::path bare = copy_of_shared_run(folder, "bare");
  fs::remove(bare / "last.safetensors");
  fs::remove(bare / "best.safetensors");
  fs::create_directories(folder / "empty");
  const fs::path out = folder / "report.html";
  expect_refusals({
      {small_report({(folder / "none").string()}, out), {"no run folder", "none"}},
      {small_report({run, (folder / "empty").string()}, out), {"not a run folder", "empty"}},
      {small_report({bare.string()}, out), {"last.safetensors", "bare"}},
      {small_report({run}, folder / "absent" / "report.html"), {"--out", "no folder", "absent"}},
      {small_report({run}, folder.path()), {"--out", "is a folder"}},
      {small_report({run}, "/proc/report.html"), {"--out", "/proc", "cannot be written to"}},
      {small_report({run}, out, {"--ways", "4"}), {run, "3 ways", "4"}},
      {{"eval", run, "--first-episode=-1"}, {"--first-episode"}},
  });
  EXPECT_FALSE(fs::exists(out));
}

}  // namespace
}  // namespace fewatoms::test
