#include "datasets/survey.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <unordered_map>

#include "datasets/cached_source.h"
#include "datasets/file_tree.h"
#include "datasets/known_splits.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

cv::Mat picture_of(const ImageView& view) {
  return cv::Mat(view.height, view.width, CV_8UC(view.channels), const_cast<uint8_t*>(view.pixels)).clone();
}

bool is_grey(const cv::Mat& picture) {
  if (picture.channels() == 1) return true;
  for (int y = 0; y < picture.rows; ++y) {
    const uint8_t* p = picture.ptr(y);
    for (int x = 0; x < picture.cols; ++x, p += 3)
      if (p[0] != p[1] || p[1] != p[2]) return false;
  }
  return true;
}

/// Of size and pixels.
std::string content_hash(const cv::Mat& picture) {
  const cv::Mat whole = picture.isContinuous() ? picture : picture.clone();
  std::string bytes =
      std::to_string(whole.cols) + "x" + std::to_string(whole.rows) + "x" + std::to_string(whole.channels()) + ":";
  bytes.append(reinterpret_cast<const char*>(whole.data), whole.total() * whole.elemSize());
  return md5(bytes);
}

/// What is found out about one image.
struct Finding {
  std::string reason;  // empty: good
  std::string hash;
  int width = 0, height = 0;
  bool grey = false;
};

Finding look_at(const ImageSource& source, const StoredPictures* stored, int c, int i) {
  Finding finding;
  try {
    const cv::Mat picture = stored != nullptr ? stored->stored_picture(c, i) : picture_of(source.image({c, i, 0}));
    finding.width = picture.cols;
    finding.height = picture.rows;
    finding.grey = is_grey(picture);
    finding.hash = content_hash(picture);
  } catch (const DataError& error) {
    finding.reason = error.what();
  }
  return finding;
}

}  // namespace

std::vector<SplitSurvey> survey(const DatasetOptions& given, const CountImages& progress) {
  DatasetOptions options = given;
  options.augment = "none";
  options.exact_decode = true;
  options.skip_bad = false;
  options.strict_decode = true;
  options.cache_mb = 0;
  const ArchivesStayOpen over_all_splits;
  std::vector<std::shared_ptr<const ImageSource>> sources;
  int64_t total = 0, done = 0;
  for (const std::string& split : present_splits(options)) {
    sources.push_back(open_dataset(options, split));
    for (int c = 0; c < sources.back()->classes(); ++c) total += sources.back()->class_size(c);
  }
  std::mutex mutex;
  std::vector<SplitSurvey> result;
  for (const auto& source : sources) {
    const auto* stored = dynamic_cast<const StoredPictures*>(source.get());
    SplitSurvey& survey = result.emplace_back();
    survey.split = source->info().split;
    survey.notices = source->info().notices;
    for (int c = 0; c < source->classes(); ++c) {
      std::vector<Finding> findings(source->class_size(c));
      tbb::parallel_for(0, source->class_size(c), [&](int i) {
        findings[i] = look_at(*source, stored, c, i);
        const std::lock_guard lock(mutex);
        ++done;
        if (progress) progress(done, total);
      });
      for (size_t i = 0; i < findings.size(); ++i) {
        Finding& f = findings[i];
        ++survey.images;
        if (!f.reason.empty()) {
          survey.bad.push_back({source->class_name(c), static_cast<int>(i), f.reason});
          continue;
        }
        ++survey.sizes[{f.width, f.height}];
        survey.grey += f.grey ? 1 : 0;
        survey.contents.emplace_back(std::move(f.hash),
                                     "class '" + source->class_name(c) + "' image " + std::to_string(i));
      }
    }
  }
  return result;
}

int64_t count_orientation_tags(const ImageSource& source) {
  const auto* stored = dynamic_cast<const StoredPictures*>(&source);
  if (stored == nullptr) return 0;
  std::atomic<int64_t> tags{0};
  tbb::parallel_for(0, source.classes(), [&](int c) {
    tbb::parallel_for(0, source.class_size(c), [&, c](int i) {
      try {
        if (stored->stored_header(c, i).orientation != 1) ++tags;
      } catch (const DataError&) {  // a bad file is the survey's to tell
      }
    });
  });
  return tags;
}

Duplicates find_duplicates(const std::vector<SplitSurvey>& splits) {
  constexpr size_t kExamples = 10;
  Duplicates found;
  std::vector<Duplicate> within;
  std::unordered_map<std::string, std::pair<const SplitSurvey*, const std::string*>> seen;
  for (const SplitSurvey& split : splits)
    for (const auto& [hash, name] : split.contents) {
      const auto [first, is_new] = seen.try_emplace(hash, &split, &name);
      if (is_new) continue;
      const bool across = first->second.first != &split;
      ++(across ? found.across_splits : found.within_splits);
      auto& examples = across ? found.examples : within;
      if (examples.size() < kExamples)
        examples.push_back({first->second.first->split + " " + *first->second.second, split.split + " " + name});
    }
  for (Duplicate& example : within)
    if (found.examples.size() < kExamples) found.examples.push_back(std::move(example));
  return found;
}

void write_contact_sheet(const DatasetOptions& options, const std::filesystem::path& out, int classes, int images) {
  constexpr int kGap = 4, kLabel = 14;
  const ArchivesStayOpen over_all_splits;
  std::vector<std::shared_ptr<const ImageSource>> sources;
  int rows = 0;
  for (const std::string& split : present_splits(options)) {
    sources.push_back(open_dataset(options, split));
    rows += std::min(classes, sources.back()->classes());
  }
  if (sources.empty()) throw UsageError("data set '" + options.name + "' has no split to show");
  const int size = sources.front()->height();
  cv::Mat sheet(rows * (size + kLabel + kGap) + kGap, images * (size + kGap) + kGap, CV_8UC3, cv::Scalar::all(255));
  int top = kGap;
  for (const auto& source : sources)
    for (int c = 0; c < std::min(classes, source->classes()); ++c, top += size + kLabel + kGap) {
      cv::putText(
          sheet,
          source->info().split + ": " + source->class_name(c) + " (" + std::to_string(source->class_size(c)) + ")",
          {kGap, top + kLabel - 4}, cv::FONT_HERSHEY_SIMPLEX, 0.35, cv::Scalar::all(0), 1, cv::LINE_AA);
      for (int i = 0; i < std::min(images, source->class_size(c)); ++i) {
        const cv::Mat place = sheet(cv::Rect(kGap + i * (size + kGap), top + kLabel, size, size));
        try {
          const cv::Mat picture = picture_of(source->image({c, i, 0}));
          cv::cvtColor(picture, place, picture.channels() == 1 ? cv::COLOR_GRAY2BGR : cv::COLOR_RGB2BGR);
        } catch (const DataError&) {  // a cross for what cannot be read
          cv::line(place, {0, 0}, {size - 1, size - 1}, {0, 0, 255});
          cv::line(place, {0, size - 1}, {size - 1, 0}, {0, 0, 255});
        }
      }
    }
  bool written = false;
  try {
    written = cv::imwrite(out.string(), sheet);
  } catch (const cv::Exception&) {  // no such format: its message has several lines
  }
  if (!written)
    throw DataError("contact sheet " + in_quotes(out) +
                    " cannot be written: expected a .png or .jpg file in a writable folder");
}

}  // namespace fewatoms
