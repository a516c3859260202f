// Which states of a chain of steps reverse mode keeps, when it may keep only some. Private. Pure
// arithmetic; any thread.
//
// A state is what is there before a step; states include the one before the first. An advance is a
// step that is run for the next state alone.
#pragma once

#include <cstdint>
#include <vector>

namespace dualtape::detail {

// The fewest advances by which n steps can be run back to front with that many states (A. Griewank
// and A. Walther, "Algorithm 799: revolve", ACM TOMS 26, 2000): r n - C(s + r, s + 1), with r the
// least number for which C(s + r, s) >= n.
std::int64_t least_advances(std::int64_t steps, std::int64_t states);
// How many steps after the first state the next one is kept, so that this many are enough. For two
// steps and more, with one state at least.
std::int64_t next_kept(std::int64_t steps, std::int64_t states);

// The states to keep of a chain whose end is not known, with one more of the last but one step at
// hand. Up to (s + 1) (s + 2) / 2 steps it takes as few advances as if the end had been known, as
// in P. Stumm and A. Walther, "New algorithms for optimal online checkpointing", SIAM J. Sci.
// Comput. 32, 2010; after that it does what takes the fewest so far.
class OnlineStates {
 public:
  explicit OnlineStates(std::int64_t states);

  // Before the first step. Nothing is allocated from here on.
  void start();
  // Another step there is: from now on there are `steps` of them, one more than before. Returns the
  // memory that the state before step `steps` - 2 is to be kept in, or -1.
  std::int64_t grow(std::int64_t steps);
  // Before which step the state of each place was, ascending; the first is before step 0.
  const std::vector<std::int64_t>& kept() const { return kept_; }
  // Which memory a place has: places move up when one before them is given up.
  std::int64_t slot(std::size_t place) const { return slots_[place]; }

 private:
  void measure();

  std::int64_t states_;
  std::vector<std::int64_t> kept_;
  std::vector<std::int64_t> slots_;
  // Advances of the parts between states, beside those of the first sweep.
  std::int64_t closed_ = 0;            // of all of them
  std::int64_t before_last_ = 0;       // but the last
  std::int64_t cheapest_ = -1;         // the inner state that is missed least; -1 for none
  std::int64_t without_cheapest_ = 0;  // of all without it
};

}  // namespace dualtape::detail
