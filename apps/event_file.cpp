#include "apps/event_file.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <boost/crc.hpp>

#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "events.pb.h"

namespace fewatoms {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr int kBuckets = 30;

events::Event event_at(int64_t step) {
  events::Event event;
  event.set_wall_time(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  event.set_step(step);
  return event;
}

template <class T>
std::string raw(T number) {
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

/// A TFRecord: length, its CRC, data, their CRC.
std::string record_of(const std::string& data) {
  const std::string length = raw(static_cast<uint64_t>(data.size()));
  return length + raw(masked_crc32c(length.data(), length.size())) + data +
         raw(masked_crc32c(data.data(), data.size()));
}

template <class T>
T number_at(const std::string& bytes, size_t at) {
  T number;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

/// The records of a file that are whole, from its start.
std::vector<std::string> whole_records(const std::string& bytes) {
  std::vector<std::string> records;
  for (size_t at = 0; bytes.size() - at >= 16;) {
    const auto length = number_at<uint64_t>(bytes, at);
    if (number_at<uint32_t>(bytes, at + 8) != masked_crc32c(bytes.data() + at, 8) || length > bytes.size() - at - 16)
      break;
    if (number_at<uint32_t>(bytes, at + 12 + length) != masked_crc32c(bytes.data() + at + 12, length)) break;
    records.push_back(bytes.substr(at + 12, length));
    at += 16 + length;
  }
  return records;
}

}  // namespace

uint32_t masked_crc32c(const char* bytes, size_t count) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes, count);
  const uint32_t value = crc.checksum();
  return ((value >> 15U) | (value << 17U)) + 0xA282EAD8U;
}

EventFile::EventFile(const std::filesystem::path& path,
                     const std::function<bool(int64_t step, const std::string& tag)>& keep)
    : path_(path) {
  std::string kept;
  {
    std::ifstream before(path, std::ios::binary);
    for (const std::string& record : whole_records({std::istreambuf_iterator<char>(before), {}})) {
      events::Event event;
      if (!event.ParseFromString(record)) break;
      const bool version = event.what_case() == events::Event::kFileVersion;
      const std::string tag =
          event.has_summary() && event.summary().value_size() > 0 ? event.summary().value(0).tag() : "";
      if (version || keep(event.step(), tag)) kept += record_of(record);
    }
  }
  if (kept.empty()) {
    events::Event first = event_at(0);
    first.set_file_version("brain.Event:2");
    kept = record_of(first.SerializeAsString());
  }
  write_file_atomically(path, kept);
  file_.open(path, std::ios::binary | std::ios::app);
  if (!file_) throw UsageError("cannot write '" + path.string() + "'");
}

void EventFile::write(const events::Event& event) {
  const std::string record = record_of(event.SerializeAsString());
  file_.write(record.data(), static_cast<std::streamsize>(record.size()));
  require_written();
}

void EventFile::flush() {
  file_.flush();
  require_written();
}

void EventFile::require_written() const {
  if (!file_) throw DataError("cannot write '" + path_.string() + "': " + std::strerror(errno));
}

void EventFile::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  events::Event event = event_at(step);
  for (const auto& [tag, number] : values) {
    auto* value = event.mutable_summary()->add_value();
    value->set_tag(tag);
    value->set_simple_value(static_cast<float>(number));
  }
  write(event);
}

void EventFile::histogram(int64_t step, const std::string& tag, const torch::Tensor& values) {
  const torch::Tensor x = values.detach().to(at::kDouble).flatten().contiguous();
  const double low = x.min().item<double>(), high = x.max().item<double>(), width = (high - low) / kBuckets;
  events::Event event = event_at(step);
  auto* value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  events::Histogram& h = *value->mutable_histo();
  h.set_min(low);
  h.set_max(high);
  h.set_num(static_cast<double>(x.numel()));
  h.set_sum(x.sum().item<double>());
  h.set_sum_squares(x.pow(2).sum().item<double>());
  std::vector<double> counts(width > 0 ? kBuckets : 1);
  for (const double v : std::span(x.data_ptr<double>(), static_cast<size_t>(x.numel())))
    ++counts[width > 0 ? std::min<size_t>(kBuckets - 1, static_cast<size_t>((v - low) / width)) : 0];
  for (size_t i = 0; i < counts.size(); ++i) {
    h.add_bucket_limit(i + 1 == counts.size() ? high : low + width * static_cast<double>(i + 1));
    h.add_bucket(counts[i]);
  }
  write(event);
}

void EventFile::image(int64_t step, const std::string& tag, const Drawing& drawing) {
  events::Event event = event_at(step);
  auto* value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  events::Image& image = *value->mutable_image();
  image.set_height(drawing.height);
  image.set_width(drawing.width);
  image.set_colorspace(3);
  image.set_encoded_image_string(png_bytes(drawing));
  write(event);
}

}  // namespace fewatoms
