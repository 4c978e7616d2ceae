#include "apps/bench_machine.h"

#include <ATen/Version.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <new>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fewatoms {
namespace {

// ---- Multiply-adds on registers. Each accumulator is a chain of its own, and there are enough of them to hide the
// latency of two units (4 cycles each: 8 chains) without one being spilled. Values tend to 1, so that none is ever
// denormal.

/// `rounds` of multiply-adds; returns how many single-precision ones that were. The sum goes to `sink`, so that nothing
/// is left out.
using FmaLoop = int64_t (*)(int64_t rounds, float& sink);

#if defined(__x86_64__)
constexpr int kChains512 = 24, kChains256 = 12, kChains128 = 12;  // of 32, 16 and 16 registers

__attribute__((target("avx512f"), noinline)) int64_t fma_avx512(int64_t rounds, float& sink) {
  __m512 a[kChains512];
#pragma GCC unroll 24
  for (int i = 0; i < kChains512; ++i) a[i] = _mm512_set1_ps(1.0F + static_cast<float>(i));
  const __m512 x = _mm512_set1_ps(0.5F), y = _mm512_set1_ps(0.5F);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains512; ++i) a[i] = _mm512_fmadd_ps(a[i], x, y);
  }
  __m512 sum = a[0];
#pragma GCC unroll 24
  for (int i = 1; i < kChains512; ++i) sum = _mm512_add_ps(sum, a[i]);
  sink += _mm512_cvtss_f32(sum);
  return rounds * kChains512 * 16;
}

__attribute__((target("avx2,fma"), noinline)) int64_t fma_avx2(int64_t rounds, float& sink) {
  __m256 a[kChains256];
#pragma GCC unroll 12
  for (int i = 0; i < kChains256; ++i) a[i] = _mm256_set1_ps(1.0F + static_cast<float>(i));
  const __m256 x = _mm256_set1_ps(0.5F), y = _mm256_set1_ps(0.5F);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains256; ++i) a[i] = _mm256_fmadd_ps(a[i], x, y);
  }
  __m256 sum = a[0];
#pragma GCC unroll 12
  for (int i = 1; i < kChains256; ++i) sum = _mm256_add_ps(sum, a[i]);
  sink += _mm256_cvtss_f32(sum);
  return rounds * kChains256 * 8;
}

int64_t fma_baseline(int64_t rounds, float& sink) {
  __m128 a[kChains128];
#pragma GCC unroll 12
  for (int i = 0; i < kChains128; ++i) a[i] = _mm_set1_ps(1.0F + static_cast<float>(i));
  const __m128 x = _mm_set1_ps(0.5F), y = _mm_set1_ps(0.5F);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains128; ++i) a[i] = _mm_add_ps(_mm_mul_ps(a[i], x), y);
  }
  __m128 sum = a[0];
#pragma GCC unroll 12
  for (int i = 1; i < kChains128; ++i) sum = _mm_add_ps(sum, a[i]);
  sink += _mm_cvtss_f32(sum);
  return rounds * kChains128 * 4;
}
#else
// Vectors of the compiler's own kind: NEON on aarch64, whose 32 registers hold them all.
constexpr int kChains = 24;

int64_t fma_baseline(int64_t rounds, float& sink) {
  typedef float Four __attribute__((vector_size(16)));
  Four a[kChains];
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) a[i] = 1.0F + static_cast<float>(i) - Four{};
  const Four half = 0.5F - Four{};
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) a[i] = a[i] * half + half;
  }
  for (const Four& value : a) sink += value[0];
  return rounds * kChains * 4;
}
#endif

struct NamedLoop {
  const char* name;
  FmaLoop run;
};

NamedLoop best_loop() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {"avx512", fma_avx512};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {"avx2", fma_avx2};
#endif
  return {"baseline", fma_baseline};
}

// ---- Time.

using Clock = std::chrono::steady_clock;

constexpr int kAttempts = 25;  // the fastest counts: what disturbs only slows down

/// Runs `work(thread)` on so many threads at once; the fewest seconds from the common start to the last one's end.
template <class Work>
double seconds_of(int threads, Work work) {
  double best = 1e300;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::barrier start(threads);
    std::vector<Clock::time_point> begins(threads), ends(threads);
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; ++t)
      workers.emplace_back([&, t] {
        start.arrive_and_wait();
        begins[t] = Clock::now();
        work(t);
        ends[t] = Clock::now();
      });
    for (std::thread& worker : workers) worker.join();
    const auto begin = *std::min_element(begins.begin(), begins.end()),
               end = *std::max_element(ends.begin(), ends.end());
    best = std::min(best, std::chrono::duration<double>(end - begin).count());
  }
  return best;
}

double measure_gflops(FmaLoop loop, int threads) {
  constexpr int64_t kRounds = 2'000'000;  // some 10 ms
  std::vector<float> sinks(threads * 16);
  std::vector<int64_t> counts(threads);
  const double seconds = seconds_of(threads, [&](int t) { counts[t] = loop(kRounds, sinks[t * 16]); });
  int64_t sum = 0;
  for (const int64_t count : counts) sum += count;
  return 2e-9 * static_cast<double>(sum) / seconds;
}

/// Memory straight from the system, which goes back there.
class Pages {
 public:
  explicit Pages(size_t bytes) : bytes_(bytes) {
    data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) throw std::bad_alloc();
    std::memset(data_, 1, bytes);
  }
  ~Pages() { munmap(data_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  char* data() const { return static_cast<char*>(data_); }

 private:
  size_t bytes_;
  void* data_;
};

double measure_copy(int threads) {
  constexpr size_t kBytes = size_t{128} << 20;
  const Pages from(kBytes), to(kBytes);
  const size_t part = kBytes / threads;
  const double seconds =
      seconds_of(threads, [&](int t) { std::memcpy(to.data() + t * part, from.data() + t * part, part); });
  return 2e-9 * static_cast<double>(part * threads) / seconds;
}

// ---- Names.

template <class F>
F* symbol(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_DEFAULT, name));
}

std::string onednn_isa() {
  auto* ask = symbol<int()>("dnnl_get_effective_cpu_isa");
  if (ask == nullptr) return "unknown";
  static const std::map<int, std::string> names = {{0x0, "all"},
                                                   {0x1, "sse41"},
                                                   {0x3, "avx"},
                                                   {0x7, "avx2"},
                                                   {0x27, "avx512_core"},
                                                   {0x67, "avx512_core_vnni"},
                                                   {0xe7, "avx512_core_bf16"},
                                                   {0x3e7, "avx512_core_amx"},
                                                   {0x407, "avx2_vnni"}};  // dnnl_cpu_isa_t of oneDNN 2
  const auto found = names.find(ask());
  return found == names.end() ? std::to_string(ask()) : found->second;
}

std::string aten_capability() {
  const std::string text = at::show_config(), key = "CPU capability usage: ";
  const size_t at = text.find(key);
  if (at == std::string::npos) return "unknown";
  return text.substr(at + key.size(), text.find('\n', at) - at - key.size());
}

}  // namespace

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  return "unknown";
}

Machine measure_machine(int threads) {
  const NamedLoop loop = best_loop();
  Machine machine;
  machine.processor = processor_name();
  machine.cores = static_cast<int>(std::thread::hardware_concurrency());
  machine.instructions = loop.name;
  machine.allocator = symbol<void()>("MallocExtension_ReleaseFreeMemory") != nullptr ? "tcmalloc" : "libc";
  auto* core = symbol<char*()>("openblas_get_corename");
  machine.openblas_core = core != nullptr ? core() : "none";
  machine.onednn_isa = onednn_isa();
  machine.aten_capability = aten_capability();
  machine.one = {1, measure_gflops(loop.run, 1), measure_copy(1)};
  machine.all =
      threads == 1 ? machine.one : MachineRates{threads, measure_gflops(loop.run, threads), measure_copy(threads)};
  return machine;
}

void reset_peak_memory() { std::ofstream("/proc/self/clear_refs") << "5"; }

double peak_memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace fewatoms
