#include "apps/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace fewatoms {

std::string duration_text(double seconds) {
  const auto s = static_cast<long>(std::lround(seconds));
  char text[32];
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%ld:%02ld", s / 60, s % 60);
  return text;
}

size_t terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79U;
}

Progress::Progress(int64_t done, int64_t total, bool quiet)
    : first_(done),
      done_(done),
      total_(total),
      quiet_(quiet),
      terminal_(::isatty(STDERR_FILENO) == 1),
      begin_(Clock::now()),
      shown_(begin_),
      interval_(terminal_ ? 0.1 : 5) {}

Progress::~Progress() {
  if (!quiet_ && terminal_ && done_ > first_) std::fputs("\n", stderr);
}

std::string Progress::status(Clock::time_point now) const {
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const double rate = static_cast<double>(done_ - first_) / std::max(seconds, 1e-9);
  char text[160];
  std::snprintf(text, sizeof text, "%lld/%lld  loss %.3f  accuracy %.1f %%  %.2f it/s  %s left",
                static_cast<long long>(done_), static_cast<long long>(total_), loss_, 100 * accuracy_, rate,
                duration_text(static_cast<double>(total_ - done_) / std::max(rate, 1e-9)).c_str());
  return text;
}

void Progress::clear_line() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::update(int64_t done, double loss, double accuracy) {
  done_ = done;
  const double weight =
      std::max(0.02, 1.0 / static_cast<double>(done_ - first_));  // a mean at first, then a moving one
  loss_ += weight * (loss - loss_);
  accuracy_ += weight * (accuracy - accuracy_);
  const auto now = Clock::now();
  if (quiet_ || (done < total_ && std::chrono::duration<double>(now - shown_).count() < interval_)) return;
  shown_ = now;
  clear_line();
  if (terminal_) {
    constexpr int64_t kLongest = 24;
    const std::string text = status(now).substr(0, terminal_columns());
    const int64_t width = std::clamp<int64_t>(static_cast<int64_t>(terminal_columns() - text.size()) - 1, 0, kLongest);
    const int64_t filled = width * done / total_;
    std::string bar;
    for (int64_t i = 0; i < width; ++i) bar += i < filled ? "█" : "░";
    std::fprintf(stderr, "%s%s%s", bar.c_str(), width > 0 ? " " : "", text.c_str());
  } else {
    std::fprintf(stderr, "%s\n", status(now).c_str());
    interval_ = std::min(120.0, interval_ * 1.5);
  }
  std::fflush(stderr);
}

void Progress::note(const std::string& line) {
  if (quiet_) return;
  clear_line();
  std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace fewatoms
