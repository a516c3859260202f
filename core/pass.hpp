// Passes: the functions from plan to plan that compile() runs, and what rewriting a plan needs.
//
// A pass leaves a plan that computes the same outputs, to rounding. The one list of them is in
// ops/passes.cpp, since some name operators. Plain data and pure functions; any thread, one plan
// per thread.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/plan.hpp>

namespace dualtape {

struct Pass {
  std::string_view name;
  std::string_view doc;  // one line
  void (*run)(Plan&);
  bool optional = true;  // compile() may leave it out
};

// In the order compile() runs them; defined in ops/passes.cpp.
std::span<const Pass> passes();

// What the factors of large float32 products are rounded to; sums are float32 in any case.
enum class Precision : std::uint8_t { full, bf16 };
namespace precision {
inline constexpr Precision full = Precision::full;  // none: float32 as they are
inline constexpr Precision bf16 = Precision::bf16;  // 8 significant bits: see CompileOptions
}  // namespace precision

struct CompileOptions {
  std::vector<std::string> without = {};  // names of passes to leave out
  int threads = 0;                        // to run on; 0 stands for num_threads()
  // bf16: large products of float32 matrices round their factors to the nearest bf16 number, of 8
  // significant bits, so to 2^-8 of themselves or better. An element of A B is then off by at most
  // 2 * 2^-8 (|A| |B|), and by far less where the errors of many summands cancel. Thin and small
  // products, float64 ones and all other operators stay as they are. ValueError from compile()
  // without oneDNN 2, or on a processor without bf16 instructions. Such products run on one thread.
  Precision precision = precision::full;
  // Lets passes multiply and add in another order whatever the factors are: b (a x) as (b a) x, and
  // x (a b) as (x a) b. Results change by rounding, and where such a product on the way is beyond
  // the dtype's range, to inf, NaN or 0. Without it only the library's own draws and what modes
  // emit are treated so; docs/inside.md lists the rewrites with their safe range.
  bool reassociate = false;
  // Which library a product runs on is measured, once for each shape in a process, and not looked
  // up in a table that is the same everywhere: results may then differ by rounding from process to
  // process. The environment variable DUALTAPE_TUNE=1 asks for it, too.
  bool tune = false;
  // Where measured choices are kept from process to process; "" stands for what DUALTAPE_TUNE_FILE
  // names, if anything. A file of another processor or libraries, or one that is no such file, is
  // left as it is, and a line on the standard error output says so.
  std::string tune_file = {};
  // Products keep their right operand packed, from run to run, where that is a parameter which the
  // program does not assign, or a constant; takes as much memory again. Parameter::set() and
  // programs that assign are noticed; writing through a copy of a parameter's value() is not.
  bool keep_weights = false;
};

// make_plan() and every pass but those left out. GraphError if a name is no optional pass.
Plan optimised_plan(std::span<const Var> outputs, std::span<const Assign> assigns,
                    const CompileOptions& options = {}, Location where = Location::current());

// A sweep through a plan that replaces nodes. A rule is shown every node, in order, its operands
// already being those of the new plan; it may add nodes in front of it and may name a value that
// takes the place of its (only) output.
class Rewriter {
 public:
  explicit Rewriter(Plan& plan);

  using Rule = std::function<bool(Rewriter&, const PlanNode&)>;
  // Shows every node to every rule until one returns true. Returns how many nodes were replaced.
  std::size_t sweep(std::span<const Rule> rules);

  // Of the value's node; valid until the next node is added. Null for operands not yet seen.
  const PlanNode* producer(ValueId value) const;
  const PlanNode* producer(ValueId value, std::string_view op) const;  // null if it is another's
  std::span<const ValueId> operands(const PlanNode& node) const;
  Type type(ValueId value) const { return plan_.values[value]; }  // a copy: add() moves them
  // How many operands, outputs and assignments read the value, as the sweep began.
  std::size_t uses(ValueId value) const { return value < uses_.size() ? uses_[value] : 1; }
  // Whether products of the plan may be taken in any order (CompileOptions::reassociate).
  bool may_reassociate() const { return plan_.reassociate; }
  // The constant the value holds, or null.
  const Tensor* constant(ValueId value) const;
  // Whether it is a constant whose every element is `number`; false for an empty one.
  bool is_constant(ValueId value, double number) const;

  // Adds a node with one output in front of the one being looked at, from whose graph node it takes
  // role, origin, label and line.
  ValueId add(const Op& op, Attributes attributes, std::initializer_list<ValueId> operands,
              Type type);
  ValueId add(const Op& op, Attributes attributes, std::span<const ValueId> operands, Type type);
  // From now on readers of the looked-at node's output read `value`, which has the same type.
  void replace_by(ValueId value);

 private:
  Plan& plan_;
  std::vector<PlanNode> done_;
  std::vector<std::uint32_t> producer_;  // of each value, in done_
  std::vector<std::uint32_t> uses_;
  std::vector<ValueId> replacement_;
  PlanNode current_;
  bool replaced_ = false;
};

// Sweeps until nothing changes, at most `sweeps` times, and drops what nobody needs any more.
void rewrite(Plan& plan, std::span<const Rewriter::Rule> rules, int sweeps = 4);

}  // namespace dualtape
