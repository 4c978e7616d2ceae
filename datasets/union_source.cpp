#include "datasets/union_source.h"

#include <algorithm>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

class Union final : public ImageSource {
 public:
  Union(std::vector<std::shared_ptr<const ImageSource>> sources, SourceInfo info)
      : sources_(std::move(sources)), info_(std::move(info)) {
    for (size_t s = 0; s < sources_.size(); ++s)
      for (int c = 0; c < sources_[s]->classes(); ++c) places_.push_back({s, c});
    const auto name = [&](const Place& p) -> const std::string& { return sources_[p.source]->class_name(p.index); };
    std::stable_sort(places_.begin(), places_.end(), [&](const Place& a, const Place& b) { return name(a) < name(b); });
    for (size_t i = 1; i < places_.size(); ++i)
      if (name(places_[i - 1]) == name(places_[i]))
        throw UsageError("class '" + name(places_[i]) + "' of " + info_.dataset + " is in two splits, " +
                         sources_[places_[i - 1].source]->info().split + " and " +
                         sources_[places_[i].source]->info().split + ": together they have no meaning, expected one");
  }

  const SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(places_.size()); }
  const std::string& class_name(int c) const override { return of(c).class_name(places_[c].index); }
  int class_size(int c) const override { return of(c).class_size(places_[c].index); }
  const std::string& class_group(int c) const override { return of(c).class_group(places_[c].index); }
  std::string image_name(const ImageRef& ref) const override { return of(ref.class_index).image_name(inner(ref)); }
  std::span<const int> image_groups(int c) const override { return of(c).image_groups(places_[c].index); }
  int height() const override { return sources_.front()->height(); }
  int width() const override { return sources_.front()->width(); }
  int channels() const override { return sources_.front()->channels(); }
  ImageView image(const ImageRef& ref) const override { return of(ref.class_index).image(inner(ref)); }
  void prefetch(std::span<const ImageRef> refs) const override {
    std::vector<std::vector<ImageRef>> by_source(sources_.size());
    for (const ImageRef& ref : refs) by_source[places_.at(ref.class_index).source].push_back(inner(ref));
    for (size_t s = 0; s < sources_.size(); ++s)
      if (!by_source[s].empty()) sources_[s]->prefetch(by_source[s]);
  }

 private:
  struct Place {
    size_t source;
    int index;  // of the class there
  };
  const ImageSource& of(int c) const { return *sources_[places_.at(c).source]; }
  ImageRef inner(ImageRef ref) const {
    ref.class_index = places_.at(ref.class_index).index;
    return ref;
  }

  const std::vector<std::shared_ptr<const ImageSource>> sources_;
  const SourceInfo info_;
  std::vector<Place> places_;
};

}  // namespace

std::shared_ptr<const ImageSource> union_of_classes(std::vector<std::shared_ptr<const ImageSource>> sources,
                                                    const std::string& split, bool without_rule) {
  if (sources.empty()) throw UsageError("there is no split whose classes could be put together");
  SourceInfo info = sources.front()->info();
  info.split = split;
  if (without_rule) info.split_rule.clear();
  for (size_t s = 1; s < sources.size(); ++s) {
    const SourceInfo& more = sources[s]->info();
    info.skipped += more.skipped;
    for (const std::string& notice : more.notices)
      if (std::find(info.notices.begin(), info.notices.end(), notice) == info.notices.end())
        info.notices.push_back(notice);
  }
  return std::make_shared<Union>(std::move(sources), std::move(info));
}

}  // namespace fewatoms
