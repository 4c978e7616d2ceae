#include "apps/stop_signal.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "episodes/unfinished_file.h"

namespace fewatoms {
namespace {

static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "signal handlers may not wait for a lock");
std::atomic<int> g_signal{0};
std::atomic<bool> g_remember{false};

void on_signal(int number) {
  if (g_remember && g_signal.exchange(number) == 0) return;
  remove_unfinished_files();
  ::_exit(128 + number);
}

void handle(int number, bool also_ignored) {
  struct sigaction action {};
  ::sigaction(number, nullptr, &action);
  if (action.sa_handler == SIG_IGN && !also_ignored) return;
  action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // no write or read fails for it
  ::sigaction(number, &action, nullptr);
}

}  // namespace

void end_at_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) handle(number, false);
}

void remember_signals() {
  g_remember = true;
  for (const int number : {SIGINT, SIGTERM}) handle(number, true);
}

int stop_signal() { return g_signal; }

void obey_stop() {
  if (g_signal != 0) throw Stopped();
}

}  // namespace fewatoms
