#define BOOST_DLL_USE_STD_FS

#include <algorithm>
#include <boost/dll/shared_library.hpp>
#include <cstring>
#include <map>
#include <type_traits>

#include "datasets/entries.h"
#include "datasets/files.h"
#include "datasets/prepared_source.h"
#include "episodes/errors.h"
#include "episodes/plugin.h"

// A data set in a shared library (episodes/plugin.h), loaded with Boost.DLL.

namespace fewatoms {
namespace {

namespace fs = std::filesystem;
namespace load_mode = boost::dll::load_mode;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// "undefined symbol: x", out of "boost::dll::... (dlerror system message: FILE: undefined symbol: x): ...".
std::string reason_of(const std::string& text) {
  const std::string before = "dlerror system message: ";
  const size_t begin = text.find(before), end = text.rfind("):");
  if (begin == std::string::npos || end == std::string::npos || end < begin) return text;
  const std::string message = text.substr(begin + before.size(), end - begin - before.size());
  const size_t file = message.find(": ");
  return message.starts_with('/') && file != std::string::npos ? message.substr(file + 2) : message;
}

/// Calls into a plugin, `who` in messages. Whatever it throws leaves as an error of ours that needs nothing of the
/// library any more.
template <class Call>
std::invoke_result_t<Call> guarded(const std::string& who, Call&& call) {
  try {
    return call();
  } catch (const UsageError& e) {
    throw UsageError(who + ": " + first_line(e.what()));
  } catch (const DataError& e) {
    throw DataError(who + ": " + first_line(e.what()));
  } catch (const std::exception& e) {
    throw DataError(who + ": it failed with '" + first_line(e.what()) + "'");
  } catch (...) {
    throw DataError(who + ": it threw something that is no std::exception");
  }
}

/// A loaded plugin that speaks our ABI.
class Plugin {
 public:
  explicit Plugin(const DatasetOptions& options)
      : name_("plugin " + in_quotes(options.plugin)), options_(told(options)) {
    if (options.plugin.empty()) throw UsageError("data set 'plugin' needs a shared library: --plugin FILE");
    std::error_code ignored;
    if (!fs::exists(options.plugin, ignored)) throw UsageError("there is no " + name_);
    if (!fs::is_regular_file(options.plugin, ignored))
      throw UsageError(name_ + " is no file, expected a shared library");
    if (!options.root.empty() && !fs::exists(options.root, ignored))
      throw UsageError(in_quotes(options.root) + " does not exist");
    try {
      library_.load(fs::absolute(options.plugin), load_mode::rtld_now | load_mode::rtld_local);
    } catch (const std::exception& e) {  // its message holds that of dlerror
      throw DataError(name_ + " cannot be loaded: " + reason_of(first_line(e.what())));
    }
    for (const char* symbol : {"fewatoms_plugin_abi", "fewatoms_plugin"})
      if (!library_.has(symbol))
        throw DataError(name_ + " has no symbol '" + symbol +
                        "', expected a library with FEWATOMS_PLUGIN(splits, open) of episodes/plugin.h");
    const char* abi = &library_.get<const char>("fewatoms_plugin_abi");
    if (const std::string theirs(abi, strnlen(abi, 100)); theirs != FEWATOMS_PLUGIN_ABI)
      throw DataError(name_ + " was built for '" + theirs +
                      "', expected '" FEWATOMS_PLUGIN_ABI "': build it with this version's headers");
    entry_ = &library_.get<const PluginEntry>("fewatoms_plugin");
    if (entry_->splits == nullptr || entry_->open == nullptr)
      throw DataError(name_ + " has no functions, expected splits and open");
  }

  const std::string& name() const { return name_; }

  std::vector<std::string> splits() const {
    const auto found = guarded(name_, [&] { return entry_->splits(options_); });
    std::vector<std::string> in_order;
    for (const char* split : {"train", "val", "test"})
      if (std::find(found.begin(), found.end(), split) != found.end()) in_order.emplace_back(split);
    if (in_order.empty() || in_order.size() != found.size())
      throw DataError(name_ + " has the splits " + (found.empty() ? "(none)" : joined(found)) +
                      ", expected some of train, val and test");
    return in_order;
  }

  std::shared_ptr<const ImageSource> open(const std::string& split) const {
    auto source = guarded(name_, [&] { return entry_->open(options_, split); });
    if (!source) throw DataError(name_ + " opened nothing for split '" + split + "'");
    return source;
  }

 private:
  static PluginOptions told(const DatasetOptions& options) {
    PluginOptions result{.root = options.root, .image_size = options.image_size, .channels = options.channels};
    for (const std::string& option : options.plugin_options) {
      const size_t equals = option.find('=');
      if (equals == 0 || equals == std::string::npos)
        throw UsageError("plugin option '" + option + "' is not key=value");
      result.values[option.substr(0, equals)] = option.substr(equals + 1);
    }
    return result;
  }

  std::string name_;
  PluginOptions options_;
  boost::dll::shared_library library_;
  const PluginEntry* entry_ = nullptr;
};

/// A plugin's source, which keeps its library loaded.
class PluginSource final : public ImageSource {
 public:
  PluginSource(std::shared_ptr<const Plugin> plugin, const std::string& split)
      : plugin_(std::move(plugin)), source_(plugin_->open(split)) {
    info_ = call([&] { return source_->info(); });
    info_.form = info_.dataset.empty() ? "plugin" : info_.dataset;  // what the plugin calls itself
    info_.dataset = "plugin";
    info_.split = split;
    info_.crop = "none";
    for (int c = 0; c < classes(); ++c) {
      names_.push_back(call([&] { return source_->class_name(c); }));
      groups_.push_back(call([&] { return source_->class_group(c); }));
      const auto of_images = call([&] { return source_->image_groups(c); });
      image_groups_.emplace_back(of_images.begin(), of_images.end());
    }
  }

  const SourceInfo& info() const override { return info_; }
  int classes() const override {
    return call([&] { return source_->classes(); });
  }
  const std::string& class_name(int c) const override { return names_.at(c); }
  int class_size(int c) const override {
    return call([&] { return source_->class_size(c); });
  }
  const std::string& class_group(int c) const override { return groups_.at(c); }
  std::span<const int> image_groups(int c) const override { return image_groups_.at(c); }
  int height() const override {
    return call([&] { return source_->height(); });
  }
  int width() const override {
    return call([&] { return source_->width(); });
  }
  int channels() const override {
    return call([&] { return source_->channels(); });
  }
  std::string image_name(const ImageRef& ref) const override {
    return call([&] { return source_->image_name(ref); });
  }
  ImageView image(const ImageRef& ref) const override {
    return call([&] { return source_->image(ref); }, ref);
  }

 private:
  template <class Call>
  std::invoke_result_t<Call> call(Call&& what) const {
    return guarded(plugin_->name(), what);
  }
  template <class Call>
  std::invoke_result_t<Call> call(Call&& what, const ImageRef& ref) const {
    return guarded(plugin_->name() + ": image " + std::to_string(ref.image_index) + " of class '" +
                       names_.at(ref.class_index) + "'",
                   what);
  }

  std::shared_ptr<const Plugin> plugin_;  // first: it goes last
  std::shared_ptr<const ImageSource> source_;
  SourceInfo info_;
  std::vector<std::string> names_, groups_;
  std::vector<std::vector<int>> image_groups_;
};

std::vector<std::string> plugin_splits(const DatasetOptions& options) { return Plugin(options).splits(); }

std::shared_ptr<const ImageSource> open_plugin(const DatasetOptions& options, const std::string& split) {
  auto plugin = std::make_shared<const Plugin>(options);
  const auto present = plugin->splits();
  if (std::find(present.begin(), present.end(), split) == present.end())
    throw UsageError(plugin->name() + " has no split '" + split + "': there is " + joined(present));
  return prepared_source(std::make_shared<PluginSource>(std::move(plugin), split), options);
}

}  // namespace

DatasetEntry plugin_entry() {
  return {.name = "plugin",
          .summary = "a shared library of yours: --plugin FILE (docs/extending.md)",
          .needs_root = false,
          .split_rules = {},
          .splits = plugin_splits,
          .open = open_plugin};
}

}  // namespace fewatoms
