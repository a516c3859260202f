// Linear recurrences and their derivatives, see ops/kernels/rows/recurrence.hpp.
#include <dualtape/ops/kernels/rows/recurrence.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/partly_linear.hpp>
#include <dualtape/ops/scan.hpp>
#include <dualtape/ops/slice.hpp>

namespace dualtape {
namespace {

using detail::RecurrenceOperands;
using detail::RecurrencePlan;

constexpr auto one_name = "of_one";  // an attribute that is there or not: RecurrencePlan::of_one

// Operands of a node: a, then b unless it is of one, then c of slopes, then the directions.
struct Operands {
  Var a;
  MaybeVar b;
  MaybeVar c;
  std::vector<Var> directions;
  std::int64_t axis = 0;
  bool reverse = false;

  static Operands of(const NodeView& node, bool slope) {
    Operands all;
    std::size_t next = 0;
    all.a = node.in[next++];
    if (!node.attributes.has(one_name)) all.b = node.in[next++];
    if (slope) all.c = node.in[next++];
    all.directions.assign(node.in.begin() + static_cast<std::ptrdiff_t>(next), node.in.end());
    all.axis = detail::running_axis(node.attributes);
    all.reverse = node.attributes.get<bool>("reverse");
    return all;
  }
  Operands along(Var direction) const {
    Operands all = *this;
    all.directions.push_back(direction);
    return all;
  }
  // The same from the other end, with c for b and no c. What comes in at the end of a meets
  // nothing.
  Operands turned() const {
    const auto moved_on = [this](Var x) { return roll(x, reverse ? 1 : -1, axis); };
    Operands all{moved_on(a), c, std::nullopt, {}, axis, !reverse};
    for (const Var& direction : directions) all.directions.push_back(moved_on(direction));
    return all;
  }
  Var change() const;
  Var slope() const;

 private:
  Var call(const Op& op, bool with_c) const {
    Attributes attributes{{"axis", axis}, {"reverse", reverse}};
    std::vector<In> in{a};
    if (b) in.emplace_back(*b);
    if (!b) attributes = attributes.with(one_name, true);
    if (with_c) in.emplace_back(*c);
    in.insert(in.end(), directions.begin(), directions.end());
    return apply(op, in, std::move(attributes));
  }
};

RecurrencePlan plan_of(const KernelRequest& request, std::size_t others) {
  const bool of_one = request.attributes.has(one_name);
  return {detail::RunningLines::along(request.out[0], request.attributes),
          request.attributes.get<bool>("reverse"), of_one,
          request.in.size() - others - (of_one ? 0 : 1)};
}

template <class T>
Kernel kernel_of(const RecurrencePlan& plan, bool slope) {
  return {[plan, slope](const KernelArgs& args) {
            RecurrenceOperands<T> operands;
            std::size_t next = 0;
            operands.a = args.input<T>(next++);
            if (!plan.of_one) operands.b = args.input<T>(next++);
            if (slope) operands.c = args.input<T>(next++);
            operands.moved = args.in + next;
            operands.out = args.output<T>();
            detail::run_recurrence(plan, operands, args.workspace);
          },
          slope ? plan.slope_bytes() : plan.change_bytes()};
}

// What the operators share. D::slope says whether there is a c, D::fewest how many operands a node
// has at least beside b, D::more whether directions may follow.
template <class D>
struct AnyRecurrence {
  static constexpr auto promotion = Promotion::common_floating;
  static constexpr Shift shift{.axis = "axis"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    const std::size_t fewest = D::fewest + (inference.attributes.has(one_name) ? 0 : 1);
    if (inference.in.size() < fewest || !D::more) inference.require_count(fewest);
    for (std::size_t i = 0; i < inference.in.size(); ++i) inference.require_floating(i);
    detail::check_running_axis(inference);
    for (std::size_t i = 1; i < inference.in.size(); ++i)
      if (inference.shape(i) != inference.shape(0))
        inference.shape_error("factors of shape " + to_string(inference.shape(0)) + " and " +
                                  D::of_operand(i) + " of shape " + to_string(inference.shape(i)) +
                                  " must have one shape",
                              "broadcast_to() repeats the smaller one");
    inference.out = {inference.in[0]};
  }
  static std::string of_operand(std::size_t i) { return i == 1 ? "terms" : "directions"; }
  static Kernel kernel(const KernelRequest& request) {
    const RecurrencePlan plan = plan_of(request, D::slope ? 2 : 1);
    return request.out[0].dtype == float32 ? kernel_of<float>(plan, D::slope)
                                           : kernel_of<double>(plan, D::slope);
  }
  // In each operand but the factors, while the others are held.
  static bool linear_in(std::span<const bool> active) {
    return !active[0] && std::ranges::count(active, true) == 1;
  }
  static std::vector<Edge> edges() { return detail::line_edges(D::name); }
};

struct Recurrence : AnyRecurrence<Recurrence> {
  static constexpr auto name = "linear_recurrence";
  static constexpr auto doc = "y_i = a_i y_(i-1) + b_i along an axis";
  static constexpr auto math =
      "y_i = a_i y_(i-1) + b_i, y_0 = b_0 (i + 1 for i - 1 if reverse); dy is the recurrence of a "
      "and db_i + y_(i-1) da_i. Linear in b: the vjp is the recurrence from the other end, with a "
      "one place on. That by a is recurrence_slope.";
  static constexpr Example example{
      "linear_recurrence(g.constant(Tensor{9, 2, 3}), g.constant(Tensor{1, 1, 1}))",
      "[ 1.  3. 10.]"};
  static constexpr bool slope = false;
  static constexpr bool more = false;
  static constexpr std::size_t fewest = 1;

  static Var transpose(const NodeView& node, std::size_t, Var cotangent) {
    Operands all = Operands::of(node, false);
    all.c = cotangent;
    return all.turned().change();
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    Operands all = Operands::of(node, false);
    MaybeVar change;
    if (tangents[0]) change = all.along(*tangents[0]).change();
    if (!tangents[1]) return change;
    all.b = tangents[1];
    return change ? add(*change, all.change()) : all.change();
  }
  static std::vector<Case> cases() {
    const auto along = [](std::int64_t axis, bool reverse) {
      return [=](std::span<const Var> in) {
        return std::vector<Var>{linear_recurrence(in[0], in[1], axis, reverse)};
      };
    };
    return {{"a vector", {Arg{{5}}, Arg{{5}}}, along(0, false)},
            {"from the end", {Arg{{5}}, Arg{{5}}}, along(-1, true)},
            {"columns", {Arg{{3, 2}}, Arg{{3, 2}}}, along(0, false)},
            {"a middle axis from the end", {Arg{{2, 3, 2}}, Arg{{2, 3, 2}}}, along(1, true)},
            {"one entry", {Arg{{2, 1}}, Arg{{2, 1}}}, along(1, false)},
            {"nothing", {Arg{{0, 2}}, Arg{{0, 2}}}, along(0, false)}};
  }
};
constexpr detail::PartlyLinear<Recurrence> recurrence_op;

// The rule of both derivatives: each operand's tangent in its place, that of a as one direction
// more. `call` makes the operator again.
template <class Call>
MaybeVar sum_of_changes(const NodeView& node, bool slope, std::span<const MaybeVar> tangents,
                        Call call) {
  MaybeVar sum;
  const auto take = [&](Var change) { sum = sum ? add(*sum, change) : change; };
  const Operands all = Operands::of(node, slope);
  if (tangents[0]) take(call(all.along(*tangents[0])));
  std::vector<Var> in(node.in.begin(), node.in.end());
  for (std::size_t i = 1; i < in.size(); ++i) {
    if (!tangents[i]) continue;
    const Var held = std::exchange(in[i], *tangents[i]);
    take(call(Operands::of({node.op, in, node.out, node.attributes}, slope)));
    in[i] = held;
  }
  return sum;
}

struct RecurrenceChange : AnyRecurrence<RecurrenceChange> {
  static constexpr auto name = "recurrence_change";
  static constexpr auto doc = "how linear_recurrence(a, b) moves where a moves";
  static constexpr auto math =
      "z_i = a_i z_(i-1) + t_i y_(i-1) with y_i = a_i y_(i-1) + b_i; linear in t and in b. With "
      "more directions t it is the derivative by a along all of them, and so dz along da is one.";
  static constexpr Example example{
      "recurrence_change(g.constant(Tensor{9, 2, 3}), g.constant(Tensor{1, 1, 1}), "
      "g.constant(Tensor{0, 1, 0}))",
      "[0. 1. 3.]"};
  static constexpr bool slope = false;
  static constexpr bool more = true;
  static constexpr std::size_t fewest = 2;

  static Var transpose(const NodeView& node, std::size_t i, Var cotangent) {
    Operands all = Operands::of(node, false);
    all.c = cotangent;
    const std::size_t first = all.b ? 2 : 1;
    if (i < first) return all.turned().change();
    all.directions.erase(all.directions.begin() + static_cast<std::ptrdiff_t>(i - first));
    return all.slope();
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return sum_of_changes(node, false, tangents, [](const Operands& all) { return all.change(); });
  }
  static std::vector<Case> cases() {
    const auto along = [](std::int64_t axis, bool reverse) {
      return [=](std::span<const Var> in) {
        return std::vector<Var>{recurrence_change(in[0], in[1], in[2], axis, reverse)};
      };
    };
    return {{"a vector", {Arg{{4}}, Arg{{4}}, Arg{{4}}}, along(0, false)},
            {"columns from the end", {Arg{{3, 2}}, Arg{{3, 2}}, Arg{{3, 2}}}, along(0, true)},
            {"one entry", {Arg{{2, 1}}, Arg{{2, 1}}, Arg{{2, 1}}}, along(1, false)},
            {"nothing", {Arg{{0, 2}}, Arg{{0, 2}}, Arg{{0, 2}}}, along(0, false)}};
  }
};
constexpr detail::PartlyLinear<RecurrenceChange> change_op;

struct RecurrenceSlope : AnyRecurrence<RecurrenceSlope> {
  static constexpr auto name = "recurrence_slope";
  static constexpr auto doc = "the slope of sum_i c_i y_i by a, y = linear_recurrence(a, b)";
  static constexpr auto math =
      "s_i = y_(i-1) z_i with z_i = a_(i+1) z_(i+1) + c_i, and s_0 = 0; linear in b and in c. With "
      "directions it is the derivative by a along all of them, and so ds along da is one.";
  static constexpr Example example{
      "recurrence_slope(g.constant(Tensor{9, 2, 3}), g.constant(Tensor{1, 1, 1}), "
      "g.constant(Tensor{0, 0, 1}))",
      "[0. 3. 3.]"};
  static constexpr bool slope = true;
  static constexpr bool more = true;
  static constexpr std::size_t fewest = 2;

  static std::string of_operand(std::size_t i) {
    return i == 1 ? "terms" : i == 2 ? "weights" : "directions";
  }
  static Var transpose(const NodeView& node, std::size_t i, Var cotangent) {
    Operands all = Operands::of(node, true);
    const std::size_t of_c = all.b ? 2 : 1;
    if (i > of_c) {
      all.directions[i - of_c - 1] = cotangent;
      return all.slope();
    }
    all = all.along(cotangent);
    return i == of_c ? all.change() : all.turned().change();
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return sum_of_changes(node, true, tangents, [](const Operands& all) { return all.slope(); });
  }
  static std::vector<Case> cases() {
    const auto along = [](std::int64_t axis, bool reverse) {
      return [=](std::span<const Var> in) {
        return std::vector<Var>{recurrence_slope(in[0], in[1], in[2], axis, reverse)};
      };
    };
    return {{"a vector", {Arg{{4}}, Arg{{4}}, Arg{{4}}}, along(0, false)},
            {"columns from the end", {Arg{{3, 2}}, Arg{{3, 2}}, Arg{{3, 2}}}, along(0, true)},
            {"one entry", {Arg{{2, 1}}, Arg{{2, 1}}, Arg{{2, 1}}}, along(1, false)},
            {"nothing", {Arg{{0, 2}}, Arg{{0, 2}}, Arg{{0, 2}}}, along(0, false)}};
  }
};
constexpr detail::PartlyLinear<RecurrenceSlope> slope_op;

Var Operands::change() const {
  return call(directions.empty() ? recurrence_op.op() : change_op.op(), false);
}
Var Operands::slope() const { return call(slope_op.op(), true); }

Attributes along(const In& x, std::int64_t axis, bool reverse) {
  const std::int64_t place = detail::wrap_axis(axis, detail::shape_of(x).rank());
  return {{"axis", place}, {"reverse", reverse}};
}

}  // namespace

Var linear_recurrence(In a, In b, std::int64_t axis, bool reverse) {
  return recurrence_op(a, b, along(b, axis, reverse));
}
Var recurrence_change(In a, In b, In t, std::int64_t axis, bool reverse) {
  return change_op(a, b, t, along(b, axis, reverse));
}
Var recurrence_slope(In a, In b, In c, std::int64_t axis, bool reverse) {
  return slope_op(a, b, c, along(b, axis, reverse));
}
Var detail::cumprod_change(Var x, Var dx, std::int64_t axis) {
  return Operands{x, std::nullopt, std::nullopt, {dx}, axis, false}.change();
}

void detail::register_recurrences() { register_all(recurrence_op, change_op, slope_op); }

}  // namespace dualtape
