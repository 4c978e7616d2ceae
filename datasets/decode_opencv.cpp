#include <iostream>
#include <mutex>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "datasets/decode.h"
#include "datasets/decoders.h"

namespace fewatoms {
namespace {

thread_local bool silent = false;  // whether this thread is inside OpenCV

/// Passes on what is written, but for threads that are inside OpenCV: some versions print on std::cerr what their
/// decoders throw.
class Gate final : public std::streambuf {
 public:
  explicit Gate(std::streambuf* to) : to_(to) {}

 private:
  int_type overflow(int_type c) override {
    if (silent || traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
    return to_->sputc(traits_type::to_char_type(c));
  }
  std::streamsize xsputn(const char* text, std::streamsize count) override {
    return silent ? count : to_->sputn(text, count);
  }
  int sync() override { return silent ? 0 : to_->pubsync(); }

  std::streambuf* const to_;
};

class Silence {
 public:
  Silence() { silent = true; }
  ~Silence() { silent = false; }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
};

}  // namespace

void quiet_opencv() {
  static std::once_flag once;
  std::call_once(once, [] {
    std::cerr.rdbuf(new Gate(std::cerr.rdbuf()));  // for ever: std::cerr is used to the program's end
  });
}

StoredPicture decode_by_opencv(std::string_view bytes, const std::string& name) {
  quiet_opencv();
  StoredPicture picture;
  cv::Mat& pixels = picture.pixels;
  try {
    const Silence silence;
    const cv::Mat file(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data()));
    pixels = cv::imdecode(file, cv::IMREAD_UNCHANGED);  // with alpha; nothing is turned
    if (pixels.empty() || (pixels.channels() != 1 && pixels.channels() != 3 && pixels.channels() != 4))
      pixels = cv::imdecode(file, cv::IMREAD_ANYCOLOR | cv::IMREAD_ANYDEPTH | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception&) {
    pixels.release();  // too large, or a decoder's complaint over several lines
  }
  if (pixels.empty() && bytes.starts_with("RIFF") && bytes.find("ANMF") != std::string_view::npos)
    cannot_decode(name, "it is an animated WebP, of which none is read: expected one picture");
  if (pixels.empty()) cannot_decode(name, "it is damaged, or of no kind that is read");
  if (pixels.depth() != CV_8U && pixels.depth() != CV_16U)
    cannot_decode(name, "it has values that are not of 8 or 16 bits");
  if (pixels.channels() == 3) cv::cvtColor(pixels, pixels, cv::COLOR_BGR2RGB);
  if (pixels.channels() == 4) cv::cvtColor(pixels, pixels, cv::COLOR_BGRA2RGBA);
  return picture;
}

}  // namespace fewatoms
