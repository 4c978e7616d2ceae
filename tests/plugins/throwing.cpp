// A plugin that fails where its option `at` says: splits, open, null, image, other (not a std::exception), option or
// size.
#include <stdexcept>

#include "episodes/errors.h"
#include "episodes/plugin.h"

namespace {

using namespace fewatoms;

class Failing final : public ImageSource {
 public:
  explicit Failing(std::string at, const std::string& split) : at_(std::move(at)) {
    info_.dataset = "failing";
    for (int c = 0; c < 5; ++c) names_.push_back(split + std::to_string(c));
  }
  const SourceInfo& info() const override { return info_; }
  int classes() const override { return 5; }
  const std::string& class_name(int c) const override { return names_.at(c); }
  int class_size(int) const override { return 20; }
  int height() const override { return 8; }
  int width() const override { return 8; }
  int channels() const override { return 1; }
  ImageView image(const ImageRef&) const override {
    if (at_ == "image") throw std::runtime_error("the film was torn\nand burnt");
    if (at_ == "other") throw 42;
    auto pixels = std::make_shared<std::vector<uint8_t>>(64);
    return {pixels->data(), 8, at_ == "size" ? 4 : 8, 1, pixels};
  }

 private:
  std::string at_;
  SourceInfo info_;
  std::vector<std::string> names_;
};

std::vector<std::string> splits(const PluginOptions& options) {
  if (options.text("at", "") == "splits") throw DataError("'birds.db' line 3: expected a name");
  if (options.text("at", "") == "names") return {"train", "holdout"};
  return {"train", "test"};
}

std::shared_ptr<const ImageSource> open(const PluginOptions& options, const std::string& split) {
  options.require_known({"at", "size"});
  const std::string at = options.text("at", "");
  options.number("size", 1, 1, 9);
  if (at == "open") throw std::logic_error("no film in the camera");
  if (at == "null") return nullptr;
  return std::make_shared<Failing>(at, split);
}

}  // namespace

FEWATOMS_PLUGIN(splits, open);
