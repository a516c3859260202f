#include <dualtape/ops/sort.hpp>

#include <algorithm>
#include <array>
#include <cmath>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/kernel.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/declare/edges.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/operand.hpp>
#include <dualtape/ops/declare/samples.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/kernels/rows/strided.hpp>

namespace dualtape {
namespace {

// Lines along an axis, of which the first `kept` of each, in order, are wanted.
struct SortPlan {
  std::size_t size, inner, lines;
  std::size_t kept;
  bool descending;
};

template <class T>
struct Entry {
  T value;
  std::int64_t place;
};

template <class T>
bool comes_first(const Entry<T>& a, const Entry<T>& b, bool descending) {
  if constexpr (std::floating_point<T>) {
    const bool nan_a = std::isnan(a.value);
    const bool nan_b = std::isnan(b.value);
    if (nan_a != nan_b) return nan_b;
    if (nan_a) return a.place < b.place;
  }
  if (a.value != b.value) return descending ? a.value > b.value : a.value < b.value;
  return a.place < b.place;
}

// Neither algorithm allocates, as std::stable_sort would; places make the order a strict one.
template <class T>
void sort_line(const SortPlan& plan, const T* in, Entry<T>* entries) {
  for (std::size_t i = 0; i < plan.size; ++i)
    entries[i] = {in[i * plan.inner], static_cast<std::int64_t>(i)};
  const auto order = [&](const Entry<T>& a, const Entry<T>& b) {
    return comes_first(a, b, plan.descending);
  };
  Entry<T>* const end = entries + plan.size;
  if (plan.kept == plan.size)
    std::sort(entries, end, order);
  else
    std::partial_sort(entries, entries + plan.kept, end, order);
}

// Values go to output 0 and places to the last one, which may be the same.
template <class T, bool places_only>
Kernel sort_kernel(const SortPlan& plan) {
  const std::size_t bytes = detail::aligned(plan.size * sizeof(Entry<T>));
  return {.run =
              [plan](const KernelArgs& args) {
                const auto work = [&](std::size_t first, std::size_t last, void* workspace) {
                  auto* const entries = static_cast<Entry<T>*>(workspace);
                  for (std::size_t line = first; line < last; ++line) {
                    const std::size_t outer = line / plan.inner;
                    const std::size_t column = line % plan.inner;
                    sort_line(plan, args.input<T>(0) + outer * plan.size * plan.inner + column,
                              entries);
                    const std::size_t at = outer * plan.kept * plan.inner + column;
                    for (std::size_t i = 0; i < plan.kept; ++i) {
                      if constexpr (!places_only)
                        args.output<T>(0)[at + i * plan.inner] = entries[i].value;
                      args.output<std::int64_t>(places_only ? 0 : 1)[at + i * plan.inner] =
                          entries[i].place;
                    }
                  }
                };
                constexpr std::size_t cost = 32;  // of an element, in cheap steps
                detail::in_ranges(args, plan.lines, 1, plan.lines * plan.size * cost, work);
              },
          .workspace_bytes = bytes,
          .thread_workspace_bytes = bytes};
}

template <bool places_only>
Kernel kernel_for(const KernelRequest& request, bool descending) {
  const Shape& shape = request.in[0].shape;
  const auto axis = static_cast<std::size_t>(
      detail::wrap_axis(request.attributes.get<std::int64_t>("axis"), shape.rank()));
  const auto split = detail::split_at(shape, axis);
  const auto count = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const SortPlan plan{count(split.size), count(split.inner), count(split.outer * split.inner),
                      count(request.out[0].shape[axis]), descending};
  return dispatch(request.in[0].dtype,
                  [&]<class T>() { return sort_kernel<T, places_only>(plan); });
}

std::size_t check_axis(const Inference& inference) {
  inference.require_count(1);
  return inference.axis(inference.attributes.get<std::int64_t>("axis"), inference.shape(0).rank());
}

// The tangent of the values: that of the elements they were.
std::vector<MaybeVar> chosen_tangents(const NodeView& node, std::span<const MaybeVar> tangents) {
  return {gather(*tangents[0], node.out[1], node.attributes.get<std::int64_t>("axis")),
          std::nullopt};
}

// Samples stay clear of ties, where values have kinks.
template <class F>
Case spread_case(std::string name, const Shape& shape, F f) {
  return detail::unary_case_of(std::move(name), detail::distinct(shape), f);
}

struct Sort {
  static constexpr auto name = "sort";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "the elements of an axis in order, and their places";
  static constexpr auto math =
      "y_i = x_p(i) with p the order; dy_i = dx_p(i). Backward: the cotangent goes back to the "
      "places it came from.";
  static constexpr Example example{"sort(g.constant(Tensor{3, 1, 2})).values", "[1. 2. 3.]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    check_axis(inference);
    inference.out = {inference.in[0], {inference.shape(0), int64}};
  }
  static Kernel kernel(const KernelRequest& request) {
    return kernel_for<false>(request, request.attributes.get<bool>("descending"));
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return chosen_tangents(node, tangents);
  }
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    const auto along = [](std::int64_t axis, bool descending) {
      return [=](In x) { return sort(x, axis, descending).values; };
    };
    return {spread_case("a vector", {7}, along(0, false)),
            spread_case("descending", {7}, along(-1, true)),
            spread_case("columns", {4, 3}, along(0, false)),
            spread_case("a middle axis", {2, 3, 2}, along(1, true)),
            spread_case("one entry", {3, 1}, along(1, false)),
            spread_case("nothing", {0, 2}, along(0, false))};
  }
};
constexpr General<Sort> sort_op;

struct Argsort {
  static constexpr auto name = "argsort";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "the places of the elements of an axis in order";
  static constexpr auto math = "y = p with x_p(0) <= x_p(1) <= ...; dy = 0";
  static constexpr auto reason = "places do not change with small changes of the elements";
  static constexpr Example example{"argsort(g.constant(Tensor{3, 1, 2}))", "[1 2 0]"};
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    check_axis(inference);
    inference.out = {{inference.shape(0), int64}};
  }
  static Kernel kernel(const KernelRequest& request) {
    return kernel_for<true>(request, request.attributes.get<bool>("descending"));
  }
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    return {spread_case("a vector", {7}, [](In x) { return argsort(x); }),
            spread_case("columns", {4, 3}, [](In x) { return argsort(x, 0, true); })};
  }
};
constexpr ZeroDerivative<Argsort> argsort_op;

struct TopK {
  static constexpr auto name = "top_k";
  static constexpr Shift shift{.axis = "axis"};
  static constexpr auto doc = "the k largest or smallest elements along an axis, and their places";
  static constexpr auto math =
      "y = the first k of the sorted elements; dy_i = dx_p(i) with p the order.";
  static constexpr Example example{"top_k(g.constant(Tensor{3, 1, 2}), 2).values", "[3. 2.]"};
  static Attributes defaults() { return {{"largest", true}}; }
  static constexpr bool can_fail = false;

  static void infer(Inference& inference) {
    const std::size_t axis = check_axis(inference);
    const auto k = inference.attributes.get<std::int64_t>("k");
    const std::int64_t size = inference.shape(0)[axis];
    if (k < 0 || k > size)
      inference.shape_error("k = " + std::to_string(k) + ", but axis " + std::to_string(axis) +
                                " of " + to_string(inference.in[0]) + " has " +
                                std::to_string(size) + " elements",
                            "give k from 0 to " + std::to_string(size));
    Ints sizes = inference.shape(0).vector();
    sizes[axis] = k;
    inference.out = {{Shape(sizes), inference.dtype(0)}, {Shape(sizes), int64}};
  }
  static Kernel kernel(const KernelRequest& request) {
    return kernel_for<false>(request, request.attributes.get<bool>("largest"));
  }
  static std::vector<MaybeVar> jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    return chosen_tangents(node, tangents);
  }
  static std::vector<Edge> edges() { return detail::line_edges(name); }
  static std::vector<Case> cases() {
    const auto best = [](std::int64_t k, std::int64_t axis, bool largest) {
      return [=](In x) { return top_k(x, k, axis, largest).values; };
    };
    return {spread_case("a vector", {7}, best(3, 0, true)),
            spread_case("smallest", {7}, best(2, -1, false)),
            spread_case("columns", {4, 3}, best(2, 0, true)),
            spread_case("all", {2, 3}, best(3, 1, true)),
            spread_case("none", {2, 3}, best(0, 1, true))};
  }
};
constexpr General<TopK> top_k_op;

std::int64_t axis_in(const In& x, std::int64_t axis) {
  return detail::wrap_axis(axis, detail::shape_of(x).rank());
}
Chosen chosen(const std::vector<Var>& outputs) { return {outputs[0], outputs[1]}; }

}  // namespace

Chosen sort(In x, std::int64_t axis, bool descending) {
  return chosen(apply_all(sort_op.op(), std::span<const In>(&x, 1),
                          {{"axis", axis_in(x, axis)}, {"descending", descending}}));
}
Var argsort(In x, std::int64_t axis, bool descending) {
  return argsort_op(x, Attributes{{"axis", axis_in(x, axis)}, {"descending", descending}});
}
Chosen top_k(In x, std::int64_t k, std::int64_t axis, bool largest) {
  return chosen(apply_all(top_k_op.op(), std::span<const In>(&x, 1),
                          {{"axis", axis_in(x, axis)}, {"k", k}, {"largest", largest}}));
}

void detail::register_sort() { register_all(sort_op, argsort_op, top_k_op); }

}  // namespace dualtape
