// The library each product ran fastest on when it was measured here: what CompileOptions::tune asks
// for. Choices are remembered in the process and, where a file is named, from process to process.
// Private. Safe from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dualtape/ops/kernels/products/products.hpp>

namespace dualtape::detail {

// What choices depend on beside the product: the processor's name, and libraries with versions.
std::string tuned_machine();

// "NT 64x784x1024 assign": which operands are transposed, m x k x n, and the use.
std::string tune_key(const GemmShape& shape, ProductUse use);

// Files are text: a line that says what they are, the machine's, then "key: choice" each. They are
// replaced as a whole, so that a reader never sees half of one, and keep what other processes have
// put there since.
class TuneCache {
 public:
  // Seconds that the product takes when it runs as each of the choices says.
  using Measure = std::function<std::vector<double>(std::span<const ProductChoice>)>;

  explicit TuneCache(std::string machine = tuned_machine()) : machine_(std::move(machine)) {}

  // What is known for the key; else the candidate that measured fastest, which becomes known. The
  // first one stays unless another takes less than 0.97 of its time. Only one thread measures at a
  // time. A choice known but not among the candidates counts as unknown.
  ProductChoice choice(const std::string& key, std::span<const ProductChoice> candidates,
                       const Measure& measure, const std::string& file = "");

  // What was said about files that could not be used, a line each.
  std::string complaints() const;

 private:
  using Choices = std::map<std::string, ProductChoice>;
  enum class Read : std::uint8_t { good, none, unusable };

  Read read(const std::string& file, Choices& into);
  void load(const std::string& file);
  void save(const std::string& file);
  void complain(const std::string& file, const std::string& what);

  const std::string machine_;
  mutable std::mutex mutex_;
  Choices known_;
  std::set<std::string> loaded_;    // files
  std::set<std::string> unusable_;  // of these; they are never written
  std::string complaints_;
};

// Of this process.
TuneCache& tune_cache();

// The measured choice for a float32 product, from tune_cache(), with `file` or else the one that
// DUALTAPE_TUNE_FILE names.
ProductChoice tuned_choice(const GemmShape& shape, ProductUse use, const std::string& file);

// Whether the environment variable DUALTAPE_TUNE, whose text this is, asks for measured choices:
// "1", "yes", "on" and "true" do; null, "", "0", "no", "off" and "false" do not. ValueError for the
// rest.
bool tuning_wanted(const char* text);

}  // namespace dualtape::detail
