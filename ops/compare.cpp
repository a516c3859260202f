#include <dualtape/ops/compare.hpp>

#include <algorithm>
#include <array>

#include <dualtape/ops/declare/builtin.hpp>
#include <dualtape/ops/declare/edge_rows.hpp>
#include <dualtape/ops/declare/families.hpp>

namespace dualtape {
namespace {

using detail::CompiledFor;
using detail::inf;
using detail::nan;

struct Comparison {
  static constexpr auto promotion = Promotion::common;
  static constexpr auto compiled_for = CompiledFor::numbers;
  static constexpr auto reason = "a truth value has no derivative but zero";
  static auto sample() { return domain(-2, 2); }
};

struct Less : Comparison {
  static constexpr auto name = "less";
  static constexpr auto doc = "Whether a < b.";
  static constexpr auto math = "y = 1 if a < b, else 0; dy = 0";
  static constexpr Example example{"g.constant(Tensor{1, 2}) < 2", "[ True False]"};
  static auto formula(auto a, auto b) { return a < b; }

  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{1, 2, 1},
                                 {2, 1, 0},
                                 {0, 0, 0},
                                 {-0x1p-100, 0x1p-100, 1},
                                 {inf, inf, 0},
                                 {-inf, inf, 1},
                                 {nan, 1, 0},
                                 {1, nan, 0},
                                 {nan, nan, 0}});
  }
};
constexpr detail::BuiltinZeroDerivative<Less> less_op;

struct LessEqual : Comparison {
  static constexpr auto name = "less_equal";
  static constexpr auto doc = "Whether a <= b.";
  static constexpr auto math = "y = 1 if a <= b, else 0; dy = 0";
  static constexpr Example example{"g.constant(Tensor{1, 2, 3}) <= 2", "[ True  True False]"};
  static auto formula(auto a, auto b) { return a <= b; }

  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{1, 2, 1},
                                 {2, 1, 0},
                                 {0, 0, 1},
                                 {-0x1p-100, 0x1p-100, 1},
                                 {inf, inf, 1},
                                 {-inf, inf, 1},
                                 {nan, 1, 0},
                                 {1, nan, 0},
                                 {nan, nan, 0}});
  }
};
constexpr detail::BuiltinZeroDerivative<LessEqual> less_equal_op;

struct Greater : Comparison {
  static constexpr auto name = "greater";
  static constexpr auto doc = "Whether a > b.";
  static constexpr auto math = "y = 1 if a > b, else 0; dy = 0";
  static constexpr Example example{"g.constant(Tensor{1, 3}) > 2", "[False  True]"};
  static auto formula(auto a, auto b) { return a > b; }

  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{1, 2, 0},
                                 {2, 1, 1},
                                 {0, 0, 0},
                                 {-0x1p-100, 0x1p-100, 0},
                                 {inf, inf, 0},
                                 {-inf, inf, 0},
                                 {nan, 1, 0},
                                 {1, nan, 0},
                                 {nan, nan, 0}});
  }
};
constexpr detail::BuiltinZeroDerivative<Greater> greater_op;

struct GreaterEqual : Comparison {
  static constexpr auto name = "greater_equal";
  static constexpr auto doc = "Whether a >= b.";
  static constexpr auto math = "y = 1 if a >= b, else 0; dy = 0";
  static constexpr Example example{"g.constant(Tensor{1, 2, 3}) >= 2", "[False  True  True]"};
  static auto formula(auto a, auto b) { return a >= b; }

  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{1, 2, 0},
                                 {2, 1, 1},
                                 {0, 0, 1},
                                 {-0x1p-100, 0x1p-100, 0},
                                 {inf, inf, 1},
                                 {-inf, inf, 0},
                                 {nan, 1, 0},
                                 {1, nan, 0},
                                 {nan, nan, 0}});
  }
};
constexpr detail::BuiltinZeroDerivative<GreaterEqual> greater_equal_op;

struct Equal : Comparison {
  static constexpr auto name = "equal";
  static constexpr auto doc = "Whether a and b have the same value; NaN equals nothing.";
  static constexpr auto math = "y = 1 if a = b, else 0; dy = 0";
  static constexpr auto compiled_for = CompiledFor::numbers_and_booleans;
  static constexpr Example example{"equal(g.constant(Tensor{1, 2}), 2)", "[False  True]"};
  static auto formula(auto a, auto b) { return a == b; }

  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{1, 2, 0},
                                 {2, 1, 0},
                                 {0, 0, 1},
                                 {-0x1p-100, 0x1p-100, 0},
                                 {inf, inf, 1},
                                 {-inf, inf, 0},
                                 {nan, 1, 0},
                                 {1, nan, 0},
                                 {nan, nan, 0}});
  }
};
constexpr detail::BuiltinZeroDerivative<Equal> equal_op;

struct NotEqual : Comparison {
  static constexpr auto name = "not_equal";
  static constexpr auto doc = "Whether a and b have different values; NaN differs from everything.";
  static constexpr auto math = "y = 0 if a = b, else 1; dy = 0";
  static constexpr auto compiled_for = CompiledFor::numbers_and_booleans;
  static constexpr Example example{"not_equal(g.constant(Tensor{1, 2}), 2)", "[ True False]"};
  static auto formula(auto a, auto b) { return a != b; }

  static std::vector<Edge> edges() {
    return detail::edge_rows(2, {{1, 2, 1},
                                 {2, 1, 1},
                                 {0, 0, 0},
                                 {-0x1p-100, 0x1p-100, 1},
                                 {inf, inf, 0},
                                 {-inf, inf, 1},
                                 {nan, 1, 1},
                                 {1, nan, 1},
                                 {nan, nan, 1}});
  }
};
constexpr detail::BuiltinZeroDerivative<NotEqual> not_equal_op;

// All of a table at once.
std::vector<Edge> truth_table(const std::vector<std::vector<double>>& operands,
                              const std::vector<double>& values) {
  const auto bools = [](const std::vector<double>& of) {
    return Tensor::from(of, Shape{static_cast<std::int64_t>(of.size())}).to(boolean);
  };
  Edge table{"truth table", {}};
  for (const auto& operand : operands) table.at.push_back(bools(operand));
  table.values = {bools(values)};
  return {table};
}

struct Logical {
  static constexpr auto promotion = Promotion::none;
  static constexpr auto compiled_for = CompiledFor::booleans;
  static constexpr auto reason = "a truth value has no derivative but zero";
  static constexpr std::size_t mask_inputs = 2;
  static auto sample() { return Domain{}; }
};

struct LogicalAnd : Logical {
  static constexpr auto name = "logical_and";
  static constexpr auto doc = "Whether both a and b are true.";
  static constexpr auto math = "y = a and b; dy = 0";
  static constexpr Example example{"logical_and(g.constant(Tensor{1, 3}) > 2, true)",
                                   "[False  True]"};
  static auto formula(auto a, auto b) { return a & b; }
  static std::vector<Edge> edges() {
    return truth_table({{0, 0, 1, 1}, {0, 1, 0, 1}}, {0, 0, 0, 1});
  }
};
constexpr detail::BuiltinZeroDerivative<LogicalAnd> logical_and_op;

struct LogicalOr : Logical {
  static constexpr auto name = "logical_or";
  static constexpr auto doc = "Whether a or b or both are true.";
  static constexpr auto math = "y = a or b; dy = 0";
  static constexpr Example example{"logical_or(g.constant(Tensor{1, 3}) > 2, true)",
                                   "[ True  True]"};
  static auto formula(auto a, auto b) { return a | b; }
  static std::vector<Edge> edges() {
    return truth_table({{0, 0, 1, 1}, {0, 1, 0, 1}}, {0, 1, 1, 1});
  }
};
constexpr detail::BuiltinZeroDerivative<LogicalOr> logical_or_op;

struct LogicalXor : Logical {
  static constexpr auto name = "logical_xor";
  static constexpr auto doc = "Whether exactly one of a and b is true.";
  static constexpr auto math = "y = (a or b) and not (a and b); dy = 0";
  static constexpr Example example{"logical_xor(g.constant(Tensor{1, 3}) > 2, true)",
                                   "[ True False]"};
  static auto formula(auto a, auto b) { return (a | b) & !(a & b); }
  static std::vector<Edge> edges() {
    return truth_table({{0, 0, 1, 1}, {0, 1, 0, 1}}, {0, 1, 1, 0});
  }
};
constexpr detail::BuiltinZeroDerivative<LogicalXor> logical_xor_op;

struct LogicalNot : Logical {
  static constexpr auto name = "logical_not";
  static constexpr auto doc = "Whether x is false.";
  static constexpr auto math = "y = not x; dy = 0";
  static constexpr std::size_t mask_inputs = 1;
  static constexpr Example example{"logical_not(g.constant(Tensor{1, 3}) > 2)", "[ True False]"};
  static auto formula(auto x) { return !x; }
  static std::vector<Edge> edges() { return truth_table({{0, 1}}, {1, 0}); }
};
constexpr detail::BuiltinZeroDerivative<LogicalNot> logical_not_op;

struct Where {
  static constexpr auto name = "where";
  static constexpr auto doc = "a where the condition is true, b elsewhere.";
  static constexpr auto math = "y = c ? a : b; dy = c ? da : db";
  static constexpr auto promotion = Promotion::all_but_first;
  static constexpr auto compiled_for = CompiledFor::numbers_and_booleans;
  static constexpr std::size_t mask_inputs = 1;
  static constexpr Example example{"where(g.constant(Tensor{1, 3}) > 2, 10, Tensor{0.5, 0.5})",
                                   "[ 0.5 10. ]"};
  static auto formula(auto c, auto a, auto b) { return select(c, a, b); }
  static MaybeVar transpose(const NodeView& node, std::size_t i, Var cotangent) {
    if (i == 0) return std::nullopt;
    return i == 1 ? where(node.in[0], cotangent, 0) : where(node.in[0], 0, cotangent);
  }
  // Together in both branches; a branch without a tangent gets a zero.
  static bool linear_in(std::span<const bool> active) { return active[1] && active[2]; }
  static auto sample() { return domain(-2, 2); }
  // Nothing comes from the branch that is not taken.
  static std::vector<Edge> edges() {
    const auto choose = [](double c, double a, double b, double value) {
      Edge made = edge("of a = " + std::to_string(a) + " and b = " + std::to_string(b), {a, b},
                       value, {c, 1 - c});
      made.at.insert(made.at.begin(), Tensor::scalar(c).to(boolean));
      return made;
    };
    return {choose(1, 3, nan, 3), choose(0, inf, 2, 2), choose(1, nan, 2, nan),
            choose(0, 1, -inf, -inf), choose(1, 0, 0, 0)};
  }
};
constexpr detail::BuiltinSelecting<Where> where_op;

struct Cast {
  static constexpr auto name = "cast";
  static constexpr Shift shift{};
  static constexpr auto doc = "x in another dtype; to integers towards zero.";
  static constexpr auto math =
      "y = x in the dtype given; dy = dx between floating dtypes, else zero";
  static constexpr Example example{"cast(g.constant(Tensor{1.7, -1.7}), int64)", "[ 1 -1]"};
  static constexpr bool can_fail = false;
  static void infer(Inference& inference) {
    inference.require_count(1);
    inference.out.push_back({inference.shape(0), inference.attributes.get<DType>("dtype")});
  }
  static Kernel kernel(const KernelRequest& request) {
    const std::int64_t count = request.out[0].shape.count();
    Kernel kernel;
    dispatch(request.in[0].dtype, [&]<class From>() {
      dispatch(request.out[0].dtype, [&]<class To>() {
        kernel.run = [count](const KernelArgs& args) {
          To* to = args.output<To>();
          if constexpr (std::is_same_v<From, bool>) {
            // As bytes of 0 and 1, of which compilers make better loops.
            const auto* from = args.input<std::uint8_t>(0);
            for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<To>(from[i]);
          } else {
            const From* from = args.input<From>(0);
            std::transform(from, from + count, to, convert_element<To, From>);
          }
        };
      });
    });
    return kernel;
  }
  static MaybeVar transpose(const NodeView& node, std::size_t, Var cotangent) {
    if (!is_floating(node.in[0].dtype())) return std::nullopt;
    return cast(cotangent, node.in[0].dtype());
  }
  // Up to float64 and back, which is exact in both floating dtypes under test; and to the others.
  static std::vector<Case> cases() {
    const auto there_and_back = [](std::span<const Var> in) {
      return std::vector<Var>{to(to(in[0], float64), in[0].dtype())};
    };
    const auto to_others = [](std::span<const Var> in) {
      return std::vector<Var>{to(in[0], boolean), to(in[0], int32), to(in[0], int64)};
    };
    const auto sample = [](const char* name, Shape shape, auto build) {
      return Case{name, {Arg{std::move(shape), {}, float64, {}}}, build};
    };
    return {sample("there and back", {2, 3}, there_and_back), sample("rank 0", {}, there_and_back),
            sample("empty", {0, 3}, there_and_back),
            sample("to integers and bools", {2, 3}, to_others)};
  }
  static std::vector<Edge> edges() {
    auto edges = detail::edge_rows(
        1, {{1.75, 1}, {-1.75, -1}, {0.5, 0}, {0, 0}, {8388609, 8388609}, {-0x1p30, -0x1p30}});
    for (Edge& one : edges)
      one.build = [](std::span<const Var> in) { return std::vector<Var>{to(in[0], int32)}; };
    return edges;
  }

 private:
  static Var to(Var x, DType dtype);  // a node even where the dtype is the same
};
constexpr Linear<Cast> cast_op;
Var Cast::to(Var x, DType dtype) { return cast_op(x, {{"dtype", dtype}}); }

}  // namespace

Var less(In a, In b) { return less_op(a, b); }
Var less_equal(In a, In b) { return less_equal_op(a, b); }
Var greater(In a, In b) { return greater_op(a, b); }
Var greater_equal(In a, In b) { return greater_equal_op(a, b); }
Var equal(In a, In b) { return equal_op(a, b); }
Var not_equal(In a, In b) { return not_equal_op(a, b); }
Var logical_and(In a, In b) { return logical_and_op(a, b); }
Var logical_or(In a, In b) { return logical_or_op(a, b); }
Var logical_xor(In a, In b) { return logical_xor_op(a, b); }
Var logical_not(In x) { return logical_not_op(x); }
Var where(In condition, In a, In b) { return where_op(condition, a, b); }
Var cast(In x, DType dtype) {
  if (x.form() == In::Form::var && x.var().defined() && x.var().dtype() == dtype) return x.var();
  return cast_op(x, {{"dtype", dtype}});
}

namespace detail {

void register_compare() {
  register_all(less_op, less_equal_op, greater_op, greater_equal_op, equal_op, not_equal_op,
               logical_and_op, logical_or_op, logical_xor_op, logical_not_op, where_op, cast_op);
}

}  // namespace detail
}  // namespace dualtape
