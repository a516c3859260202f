#include <dualtape/ops/kernels/products/tune.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <dualtape/core/base/environment.hpp>
#include <dualtape/core/kept.hpp>
#include <dualtape/core/tensor/arena.hpp>
#include <dualtape/ops/kernels/products/onednn.hpp>

namespace dualtape::detail {
namespace {

constexpr std::string_view first_line = "dualtape measured products, version 1";
constexpr double least_gain = 0.97;

std::string processor_name() {
#if defined(__x86_64__)
  // The brand string: 48 characters in the registers of three leaves.
  std::array<unsigned, 12> words{};
  for (unsigned i = 0; i < 3; ++i)
    if (__get_cpuid(0x80000002U + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                    &words[4 * i + 3]) == 0)
      return "x86-64 processor";
  std::string name;
  for (const unsigned word : words)
    for (unsigned byte = 0; byte < 4; ++byte)
      if (const char c = static_cast<char>((word >> (8 * byte)) & 0xFFU); c != '\0') name += c;
  // Some hypervisors give a general name for the model, but not its numbers.
  unsigned signature = 0, b = 0, c = 0, d = 0;
  __get_cpuid(1, &signature, &b, &c, &d);
  return name.substr(0, name.find_last_not_of(' ') + 1) + ", signature " +
         std::to_string(signature);
#else
  return "unknown processor";
#endif
}

Block filled(int rows, int columns) {
  const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  Block block = make_block(count * sizeof(float));
  auto* const numbers = reinterpret_cast<float*>(block.get());
  for (std::size_t i = 0; i < count; ++i)
    numbers[i] = static_cast<float>(static_cast<int>(i % 61) - 30) / 32.0F;
  return block;
}

// A product on matrices of its own, run as one of the choices says.
class TimedProduct {
 public:
  TimedProduct(const GemmShape& shape, ProductChoice choice, ProductUse use)
      : product_(shape, float32, choice), use_(use) {
    if (use == ProductUse::assign) product_.prepare(no_compile_options());
    scratch_ = make_block(product_.scratch_bytes());
  }
  double seconds(int repeats, const float* a, const float* b, float* c) const {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) {
      if (use_ == ProductUse::add)
        product_.add(1e-3F, a, b, c);
      else
        product_.assign(a, b, c, nullptr, scratch_.get());
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
           repeats;
  }

 private:
  Product product_;
  ProductUse use_;
  Block scratch_;
};

// The quickest of some rounds, in each of which every choice runs, so that all see the same
// machine. A round takes 20 us or more for each; all of them some 20 ms, but there are three.
std::vector<double> measured_times(const GemmShape& s, ProductUse use,
                                   std::span<const ProductChoice> choices) {
  const Block left = filled(s.m, s.k);
  const Block right = filled(s.k, s.n);
  const Block result = filled(s.m, s.n);
  const auto* const a = reinterpret_cast<const float*>(left.get());
  const auto* const b = reinterpret_cast<const float*>(right.get());
  auto* const c = reinterpret_cast<float*>(result.get());
  std::vector<TimedProduct> products;
  double all = 0;
  for (const ProductChoice choice : choices) {
    products.emplace_back(s, choice, use);
    products.back().seconds(1, a, b, c);  // the library's own preparations
    all += products.back().seconds(1, a, b, c);
  }
  const double once = all / static_cast<double>(choices.size()) + 1e-9;
  const int repeats = 1 + static_cast<int>(20e-6 / once);
  const int rounds = std::clamp(static_cast<int>(20e-3 / (all * repeats)), 3, 40);
  std::vector<double> best(choices.size(), std::numeric_limits<double>::infinity());
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < products.size(); ++i)
      best[i] = std::min(best[i], products[i].seconds(repeats, a, b, c));
  return best;
}

const std::string& file_of_environment() {
  static const Kept<std::string> file([] {
    const char* const text = std::getenv("DUALTAPE_TUNE_FILE");  // NOLINT(concurrency-mt-unsafe)
    return std::string(text == nullptr ? "" : text);
  }());
  return file.value;
}

// Where a file is to be put: at the end of the user's links, so that these stay. A link to what is
// not there yet counts as well; more of them than the system follows are left for it to refuse.
std::filesystem::path end_of_links(std::filesystem::path file) {
  constexpr int most_links = 40;
  std::error_code error;
  for (int i = 0; i < most_links; ++i) {
    const auto next = std::filesystem::read_symlink(file, error);
    if (error) break;
    file = file.parent_path() / next;  // which is `next` alone where that is absolute
  }
  return file;
}

}  // namespace

std::string tuned_machine() {
  return processor_name() + "; " + blas_version() + "; " +
         (has_onednn() ? onednn_version() : "no oneDNN");
}

std::string tune_key(const GemmShape& s, ProductUse use) {
  std::string key{s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', ' '};
  key += std::to_string(s.m) + 'x' + std::to_string(s.k) + 'x' + std::to_string(s.n);
  switch (use) {
    case ProductUse::assign: return key + " assign";
    case ProductUse::assign_many: return key + " assign many";
    case ProductUse::add: return key + " add";
  }
  return key;
}

ProductChoice TuneCache::choice(const std::string& key, std::span<const ProductChoice> candidates,
                                const Measure& measure, const std::string& file) {
  const std::lock_guard lock(mutex_);
  load(file);
  if (const auto found = known_.find(key);
      found != known_.end() && std::ranges::find(candidates, found->second) != candidates.end())
    return found->second;
  std::vector<double> times(1);  // a single candidate is not measured
  if (candidates.size() > 1) times = measure(candidates);
  times[0] *= least_gain;
  const ProductChoice best =
      candidates[static_cast<std::size_t>(std::ranges::min_element(times) - times.begin())];
  known_[key] = best;
  save(file);
  return best;
}

std::string TuneCache::complaints() const {
  const std::lock_guard lock(mutex_);
  return complaints_;
}

void TuneCache::complain(const std::string& file, const std::string& what) {
  const std::string line = "dualtape: measured choices are not kept in " + file + ": " + what;
  complaints_ += line + '\n';
  std::cerr << line << '\n';
}

TuneCache::Read TuneCache::read(const std::string& file, Choices& into) {
  std::error_code ignored;
  const auto status = std::filesystem::status(file, ignored);
  if (!std::filesystem::exists(status)) return Read::none;
  // To open a pipe waits for its other end, and a device would be replaced by the new file.
  if (!std::filesystem::is_regular_file(status)) {
    complain(file, "it is no regular file; it is left as it is, name another one");
    return Read::unusable;
  }
  std::ifstream in(file);
  std::string line;
  if (!in) {
    complain(file, "it cannot be read");
    return Read::unusable;
  }
  if (!std::getline(in, line)) return Read::none;  // empty
  if (line != first_line) {
    complain(file,
             "it does not begin with \"" + std::string(first_line) + "\"; it is left as it is");
    return Read::unusable;
  }
  if (!std::getline(in, line) || line != machine_) {
    complain(file, "it was measured on \"" + line + "\", and this is \"" + machine_ +
                       "\"; it is left as it is, name another file here");
    return Read::unusable;
  }
  Choices found;
  for (int number = 3; std::getline(in, line); ++number) {
    const auto colon = line.find(": ");
    const auto choice = colon == std::string::npos
                            ? std::nullopt
                            : choice_from(std::string_view(line).substr(colon + 2));
    if (!choice) {
      complain(file, "line " + std::to_string(number) + " is no \"product: library\" but \"" +
                         line + "\"; the file is left as it is");
      return Read::unusable;
    }
    found.emplace(line.substr(0, colon), *choice);
  }
  into.merge(found);  // what is known here stays
  return Read::good;
}

void TuneCache::load(const std::string& file) {
  if (file.empty() || !loaded_.insert(file).second) return;
  if (read(file, known_) == Read::unusable) unusable_.insert(file);
}

// Written beside the file and moved there.
void TuneCache::save(const std::string& file) {
  if (file.empty() || unusable_.contains(file)) return;
  if (read(file, known_) == Read::unusable) {  // it has changed meanwhile
    unusable_.insert(file);
    return;
  }
  const std::filesystem::path target = end_of_links(file);
  const std::string beside = target.string() + ".new-" + std::to_string(::getpid());
  std::ofstream out(beside);
  out << first_line << '\n' << machine_ << '\n';
  for (const auto& [key, choice] : known_) out << key << ": " << name_of(choice) << '\n';
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(beside, target, error);
  if (out && !error) return;
  complain(file, out ? error.message() : "it cannot be written");
  unusable_.insert(file);
  std::filesystem::remove(beside, error);
}

TuneCache& tune_cache() {
  // Never destroyed: static programs may be compiled at any time.
  static auto* const cache = new TuneCache;
  return *cache;
}

ProductChoice tuned_choice(const GemmShape& shape, ProductUse use, const std::string& file) {
  const ProductChoice usual = usual_choice(shape, use);
  std::vector<ProductChoice> candidates{usual};
  for (const ProductChoice other :
       {ProductChoice::openblas, ProductChoice::onednn, ProductChoice::onednn_prepared})
    if (other != usual && (other == ProductChoice::openblas || has_onednn()) &&
        (other != ProductChoice::onednn_prepared ||
         (use == ProductUse::assign && prepare_onednn_gemm(shape) != nullptr)))
      candidates.push_back(other);
  return tune_cache().choice(
      tune_key(shape, use), candidates,
      [&](std::span<const ProductChoice> choices) { return measured_times(shape, use, choices); },
      file.empty() ? file_of_environment() : file);
}

bool tuning_wanted(const char* text) {
  const std::string_view value = text == nullptr ? "" : text;
  constexpr std::array<std::string_view, 4> on{"1", "yes", "on", "true"};
  constexpr std::array<std::string_view, 5> off{"", "0", "no", "off", "false"};
  if (std::ranges::find(on, value) != on.end()) return true;
  if (std::ranges::find(off, value) != off.end()) return false;
  refuse_environment("DUALTAPE_TUNE", value, "1, yes, on, true, 0, no, off, false",
                     "to measure nothing");
}

}  // namespace dualtape::detail
