// Sets of element numbers, each stored once and named by a number. Private; one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace dualtape::detail {

// Elements that depend on the same inputs share one set: rows of a dense matrix cost one, and what
// moves elements moves numbers of sets.
class ElementSets {
 public:
  using Id = std::uint32_t;
  using Element = std::int32_t;
  static constexpr Id none = 0;  // the empty set

  // With a set of one, number 1 + e, for each element e below `elements`. SizeError for too many.
  explicit ElementSets(std::int64_t elements);

  Id single(std::int64_t element) const { return static_cast<Id>(element) + 1; }
  Id unite(Id a, Id b);
  Id unite(std::span<const Id> all);
  std::span<const Element> of(Id id) const {
    return std::span(elements_).subspan(starts_[id], starts_[id + 1] - starts_[id]);
  }

 private:
  Id known(std::span<const Element> sorted);
  void place(Id id);
  void grow();

  Id first_larger_;  // number of the first set of two or more
  std::vector<Element> elements_;
  std::vector<std::size_t> starts_;
  std::vector<std::uint64_t> hashes_;
  std::vector<Id> slots_;                         // by hash, none where free
  std::unordered_map<std::uint64_t, Id> unions_;  // of two larger sets
  std::vector<Element> merged_;
  std::vector<Id> listed_;
};

}  // namespace dualtape::detail
