#include <dualtape/modes/sparsity/sets.hpp>

#include <algorithm>
#include <limits>
#include <string>

#include <dualtape/core/error.hpp>

namespace dualtape::detail {
namespace {

std::uint64_t hash_of(std::span<const ElementSets::Element> sorted) {
  std::uint64_t hash = sorted.size();
  for (const ElementSets::Element e : sorted) {
    hash = (hash ^ static_cast<std::uint64_t>(e)) * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29U;
  }
  return hash;
}

}  // namespace

ElementSets::ElementSets(std::int64_t elements) : first_larger_(static_cast<Id>(elements) + 1) {
  constexpr std::int64_t most = std::numeric_limits<Element>::max() - 1;
  if (elements > most)
    fail<SizeError>(
        {.op = "sparsity",
         .what = std::to_string(elements) + " inputs are more than " + std::to_string(most),
         .where = {},
         .help = "take the derivative by fewer elements at a time"});
  const auto count = static_cast<std::size_t>(elements);
  elements_.resize(count);
  starts_.resize(count + 2);
  for (std::size_t e = 0; e < count; ++e) {
    elements_[e] = static_cast<Element>(e);
    starts_[e + 1] = e;
  }
  starts_[count + 1] = count;
  hashes_.resize(count + 1);  // sets of one are not looked up
  grow();
}

void ElementSets::place(Id id) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hashes_[id] & mask;
  while (slots_[at] != none) at = (at + 1) & mask;
  slots_[at] = id;
}

void ElementSets::grow() {
  std::size_t size = 1024;
  while (size < 4 * hashes_.size()) size *= 2;
  slots_.assign(size, none);
  for (Id id = first_larger_; id < hashes_.size(); ++id) place(id);
}

// The set's number; a new one where it was not met before.
ElementSets::Id ElementSets::known(std::span<const Element> sorted) {
  if (sorted.empty()) return none;
  if (sorted.size() == 1) return single(sorted[0]);
  const std::uint64_t hash = hash_of(sorted);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = hash & mask; slots_[at] != none; at = (at + 1) & mask)
    if (hashes_[slots_[at]] == hash && std::ranges::equal(of(slots_[at]), sorted))
      return slots_[at];
  constexpr std::size_t most = std::size_t{1} << 31U;
  if (elements_.size() + sorted.size() > most || hashes_.size() + 1 > most)
    fail<SizeError>({.op = "sparsity",
                     .what = "the sets of inputs that results depend on have more than " +
                             std::to_string(most) + " entries together",
                     .where = {},
                     .help = "such a derivative is not sparse: jacobian() and hvp() are for it"});
  const auto id = static_cast<Id>(hashes_.size());
  elements_.insert(elements_.end(), sorted.begin(), sorted.end());
  starts_.push_back(elements_.size());
  hashes_.push_back(hash);
  if (2 * hashes_.size() > slots_.size())
    grow();
  else
    place(id);
  return id;
}

ElementSets::Id ElementSets::unite(Id a, Id b) {
  if (a == b || b == none) return a;
  if (a == none) return b;
  const std::span<const Element> left = of(a), right = of(b);
  // Small sets are merged faster than they are looked up.
  constexpr std::size_t small = 16;
  const bool remembered = left.size() + right.size() > small;
  const std::uint64_t key = (std::uint64_t{std::min(a, b)} << 32U) | std::max(a, b);
  if (remembered)
    if (const auto it = unions_.find(key); it != unions_.end()) return it->second;
  merged_.clear();
  std::ranges::set_union(left, right, std::back_inserter(merged_));
  const Id made = merged_.size() == left.size()    ? a
                  : merged_.size() == right.size() ? b
                                                   : known(merged_);
  if (remembered) unions_.emplace(key, made);
  return made;
}

ElementSets::Id ElementSets::unite(std::span<const Id> all) {
  if (all.empty()) return none;
  if (all.size() == 1) return all[0];
  if (all.size() == 2) return unite(all[0], all[1]);
  listed_.assign(all.begin(), all.end());
  std::ranges::sort(listed_);
  listed_.erase(std::unique(listed_.begin(), listed_.end()), listed_.end());
  if (listed_.front() == none) listed_.erase(listed_.begin());
  if (listed_.empty()) return none;
  if (listed_.size() == 1) return listed_[0];
  if (listed_.size() == 2) return unite(listed_[0], listed_[1]);
  merged_.clear();
  for (const Id id : listed_) {
    const std::span<const Element> set = of(id);
    merged_.insert(merged_.end(), set.begin(), set.end());
  }
  std::ranges::sort(merged_);
  merged_.erase(std::unique(merged_.begin(), merged_.end()), merged_.end());
  return known(merged_);
}

}  // namespace dualtape::detail
