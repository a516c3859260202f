// Cross-entropy: of labels and of probabilities.
#include <cmath>
#include <span>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/machine/team.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/batching.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/declare/edge_calls.hpp>
#include <dualtape/ops/declare/families.hpp>
#include <dualtape/ops/declare/indices.hpp>
#include <dualtape/ops/declare/losses.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/kernels/rows/fold_plan.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>

namespace dualtape {
namespace {

constexpr auto ignored_name = "ignore";

Reduction reduction_of(const Attributes& attributes) {
  return static_cast<Reduction>(attributes.get<std::int64_t>("reduction"));
}

std::optional<std::int64_t> ignored_label(const Attributes& attributes) {
  if (!attributes.has(ignored_name)) return std::nullopt;
  return attributes.get<std::int64_t>(ignored_name);
}

const char* labels_help(const Shape& logits, const Shape& labels) {
  return labels == logits ? "give class numbers; argmax(targets) makes them of one-hot rows"
                          : "give int64 labels: g.input(\"labels\", shape, dt::int64), "
                            "tensor.to(dt::int64) or cast(labels, dt::int64)";
}

// Which labels a kernel takes, and which it passes over.
struct LabelCheck {
  LabelCheck(std::size_t count, const Attributes& attributes)
      : classes(count), ignored(ignored_label(attributes)) {}
  bool ignores(std::int64_t label, std::size_t row) const {
    if (ignored && label == *ignored) return true;
    if (label >= 0 && label < static_cast<std::int64_t>(classes)) return false;
    throw ValueError("label " + std::to_string(label) + " of sample " + std::to_string(row) +
                     " is outside 0 .. " + std::to_string(classes - 1) + " (the logits have " +
                     std::to_string(classes) + " classes)");
  }
  template <class Label>
  std::size_t counted(const Label* labels, std::size_t rows) const {
    if (!ignored) return rows;
    std::size_t count = 0;
    for (std::size_t row = 0; row < rows; ++row) count += labels[row] != *ignored ? 1 : 0;
    return count;
  }

  std::size_t classes;
  std::optional<std::int64_t> ignored;
};

void infer_labels(const Inference& inference) {
  inference.require_count(2);
  inference.require_floating(0);
  const Shape& logits = inference.shape(0);
  const Shape& labels = inference.shape(1);
  if (!is_integer(inference.dtype(1)))
    inference.type_error(
        "labels must be int32 or int64 class numbers, got " + to_string(inference.in[1]),
        labels_help(logits, labels));
  if (!detail::are_labels_of(logits, labels))
    inference.shape_error(detail::misfit_text(logits, labels), labels == logits
                                                                   ? labels_help(logits, labels)
                                                                   : "one label per row of logits");
  if (logits.back() == 0)
    inference.shape_error("the logits " + to_string(logits) + " have no classes");
}

// Calls f.template operator()<T, Label>() for the dtypes of logits and labels.
template <class F>
Kernel for_labels(const KernelRequest& request, F f) {
  const bool narrow = request.in[1].dtype == int32;
  if (request.in[0].dtype == float32)
    return narrow ? f.template operator()<float, std::int32_t>()
                  : f.template operator()<float, std::int64_t>();
  return narrow ? f.template operator()<double, std::int32_t>()
                : f.template operator()<double, std::int64_t>();
}

// The derivative of cross-entropy, before it is averaged. At the label, p - 1 would cancel where p
// is near 1: there it is minus the sum of the others.
struct CrossEntropySlope {
  static constexpr auto name = "cross_entropy_slope";
  static constexpr Shift shift{};
  static constexpr auto doc = "softmax of rows, less 1 at the label: the slope of cross_entropy";
  static constexpr auto math =
      "y_nc = softmax(x)_nc - [c = label(n)], the bracket being 1 where it holds and else 0; dy_n "
      "= p (dx_n - sum_c p_c dx_nc) with p = softmax(x_n).";
  static constexpr auto example =
      Example{"cross_entropy_slope(g.constant(Tensor{{0, 0}}), g.constant(Tensor::of({1})))",
              "[[ 0.5 -0.5]]"};

  static void infer(Inference& inference) {
    infer_labels(inference);
    inference.out.push_back(inference.in[0]);
  }
  static bool in_place(std::size_t i, std::size_t o) { return i == 0 && o == 0; }
  template <class T, class Label>
  static Kernel plan(const KernelRequest& request) {
    const auto rows = static_cast<std::size_t>(request.in[1].shape.count());
    const auto classes = static_cast<std::size_t>(request.in[0].shape.back());
    const LabelCheck check(classes, request.attributes);
    const detail::FoldPlan row_plan(Shape{request.in[0].shape.back()}, {0});
    return {[=, kernels = &detail::row_kernels<T>()](const KernelArgs& args) {
      const auto* labels = args.input<Label>(1);
      const auto finish = [&](std::size_t row, T* y) {
        const auto label = static_cast<std::int64_t>(labels[row]);
        if (check.ignores(label, row)) return std::fill(y, y + classes, T(0));
        T& chosen = y[label];
        if (!(chosen > T(0.5))) {
          chosen -= 1;
          return;
        }
        chosen = 0;
        T others = 0;
        kernels->sum(row_plan, y, &others);
        chosen = -others;
      };
      detail::in_ranges(args, rows, detail::rows_in_call(classes), 2 * rows * classes,
                        [&](std::size_t first, std::size_t last, void*) {
                          T* const y = args.output<T>();
                          kernels->softmax(args.input<T>(0) + first * classes, y + first * classes,
                                           last - first, classes);
                          for (std::size_t row = first; row < last; ++row)
                            finish(row, y + row * classes);
                        });
    }};
  }
  static Kernel kernel(const KernelRequest& request) {
    return for_labels(request, [&]<class T, class Label>() { return plan<T, Label>(request); });
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    if (!tangents[0]) return std::nullopt;
    Var p = softmax(node.in[0]);
    if (const auto ignored = ignored_label(node.attributes)) {
      const Var kept = not_equal(node.in[1], *ignored);
      p = where(unsqueeze(kept, -1), p, 0);
    }
    return softmax_slope(p, *tangents[0]);
  }
  static std::vector<Case> cases();
  static std::vector<Edge> edges() {
    using namespace detail;
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{cross_entropy_slope(in[0], Tensor::of({0})) *
                              row({1, -2}).to(in[0].dtype())};
    };
    return edges_of(call, {{"nearly certain",
                            {table({1, 2}, {20, 0})},
                            {table({1, 2}, {-2.0611536181902037e-09, -4.1223072363804075e-09})},
                            {table({1, 2}, {6.183460841825548e-09, -6.183460841825548e-09})}},
                           {"ties far from zero",
                            {table({1, 2}, {0x1p27, 0x1p27})},
                            {table({1, 2}, {-0.5, -1})},
                            {table({1, 2}, {0.75, -0.75})}},
                           {"certain and wrong",
                            {table({1, 2}, {-0x1p100, 0x1p100})},
                            {table({1, 2}, {-1, -2})},
                            {table({1, 2}, {0, 0})}},
                           {"a class that cannot be",
                            {table({1, 2}, {0, -infinity})},
                            {table({1, 2}, {0, 0})},
                            {table({1, 2}, {0, 0})}},
                           {"NaN",
                            {table({1, 2}, {not_a_number, 0})},
                            {table({1, 2}, {not_a_number, not_a_number})},
                            {table({1, 2}, {not_a_number, not_a_number})}}});
  }
};
constexpr General<CrossEntropySlope> cross_entropy_slope_op;

std::vector<Case> CrossEntropySlope::cases() {
  const auto call = [](std::optional<std::int64_t> ignored) {
    return [ignored](std::span<const Var> in) {
      return std::vector<Var>{cross_entropy_slope(in[0], in[1], ignored)};
    };
  };
  return {{"rows", {Arg{{4, 3}}, detail::sample_labels()}, call({})},
          {"one sample", {Arg{{3}}, Arg{{}, domain(0, 2.99), int32}}, call({})},
          {"rows passed over", {Arg{{4, 3}}, detail::sample_labels()}, call(1)}};
}

struct CrossEntropy {
  static constexpr auto name = "cross_entropy";
  static constexpr auto doc =
      "-log softmax(logits)[label] for integer labels, or for the probabilities of classes; mean, "
      "sum or each";
  static constexpr auto math =
      "y_n = log sum_c e^(x_nc) - x_n,label(n), then the mean or sum over n; dy_n = sum_c "
      "(softmax(x)_nc - [c = label(n)]) dx_nc, the bracket being 1 where it holds and else 0. With "
      "weights w, smoothing s and C classes: ((1 - s) y_n w_label(n) - s/C sum_c w_c log "
      "softmax(x)_nc), and the mean divides by the sum of w_label(n); with probabilities q: -sum_c "
      "w_c q_nc log softmax(x)_nc.";
  static constexpr auto example =
      Example{"cross_entropy(g.constant(Tensor{{0, 0}, {0, 0}}), g.constant(Tensor::of({0, 1})))",
              "0.6931472"};

  static void infer(Inference& inference) {
    infer_labels(inference);
    const auto number = inference.attributes.get<std::int64_t>("reduction");
    if (number < 0 || number > static_cast<std::int64_t>(Reduction::none))
      inference.value_error("there is no Reduction of the number " + std::to_string(number),
                            "Reduction::mean, Reduction::sum or Reduction::none");
    const bool each = reduction_of(inference.attributes) == Reduction::none;
    inference.out.push_back({each ? inference.shape(1) : Shape{}, inference.dtype(0)});
  }

  // Calls put(row, loss) for rows first ... last - 1, in order.
  template <class T, class Label, class Put>
  static void losses(const detail::RowKernelsOf<T>& kernels, const T* x, const Label* labels,
                     const LabelCheck& check, std::size_t first, std::size_t last, Put put) {
    const std::size_t classes = check.classes;
    detail::RowTotals<T> totals;
    const std::size_t step = detail::rows_in_call(classes);
    for (; first < last; first += step) {
      const std::size_t count = std::min(step, last - first);
      kernels.totals(x + first * classes, count, classes, totals);
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t row = first + i;
        const auto label = static_cast<std::int64_t>(labels[row]);
        if (check.ignores(label, row)) {
          put(row, T(0));
          continue;
        }
        const T chosen = x[row * classes + static_cast<std::size_t>(label)];
        put(row, totals.log[i] - (chosen - totals.largest[i]));
      }
    }
  }
  template <class T, class Label>
  static Kernel plan(const KernelRequest& request) {
    const auto rows = static_cast<std::size_t>(request.in[1].shape.count());
    const auto classes = static_cast<std::size_t>(request.in[0].shape.back());
    const Reduction reduction = reduction_of(request.attributes);
    const bool each = reduction == Reduction::none;
    const LabelCheck check(classes, request.attributes);
    const detail::FoldPlan all(Shape{request.in[1].shape.count()}, {0});
    return {[=, kernels = &detail::row_kernels<T>()](const KernelArgs& args) {
              const auto* x = args.input<T>(0);
              const auto* labels = args.input<Label>(1);
              // Losses are added up in order afterwards, so that threads change no bits.
              T* const of_rows = each ? args.output<T>() : static_cast<T*>(args.workspace);
              detail::in_ranges(args, rows, detail::rows_in_call(classes), 2 * rows * classes,
                                [&](std::size_t first, std::size_t last, void*) {
                                  losses(*kernels, x, labels, check, first, last,
                                         [=](std::size_t row, T loss) { of_rows[row] = loss; });
                                });
              if (each) return;
              double total = 0;  // a float would lose digits over many rows
              for (std::size_t row = 0; row < rows; ++row)
                total += static_cast<double>(of_rows[row]);
              *args.output<T>() = static_cast<T>(total);
              if (reduction != Reduction::mean) return;
              const auto counted = static_cast<double>(check.counted(labels, rows));
              // The sum may overflow where the mean does not.
              const bool lost = !std::isfinite(total) && counted > 0;
              const double mean =
                  lost ? static_cast<double>(kernels->mean_of_output(all, of_rows, 0)) *
                             (static_cast<double>(rows) / counted)
                       : total / counted;
              *args.output<T>() = static_cast<T>(mean);
            },
            each ? 0 : rows * sizeof(T)};
  }
  static Kernel kernel(const KernelRequest& request) {
    return for_labels(request, [&]<class T, class Label>() { return plan<T, Label>(request); });
  }

  // The loss of each row, and then the reduction of each member's rows.
  static Var batch(const BatchView& view) {
    const auto ignored = ignored_label(view.node.attributes);
    const Reduction reduction = reduction_of(view.node.attributes);
    const Var labels = batched_operand(view, 1);
    const Var each =
        detail::cross_entropy_of_labels(batched_operand(view, 0), labels, Reduction::none, ignored);
    if (reduction == Reduction::none || each.rank() == 1) return each;
    Ints axes;
    for (std::int64_t axis = 1; axis < static_cast<std::int64_t>(each.rank()); ++axis)
      axes.push_back(axis);
    if (reduction == Reduction::sum) return sum(each, axes);
    if (!ignored) return mean(each, axes);
    return sum(each, axes) / sum(cast(not_equal(labels, *ignored), each.dtype()), axes);
  }
  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    if (!tangents[0]) return std::nullopt;
    const Var labels = node.in[1];
    const Reduction reduction = reduction_of(node.attributes);
    // The whole coefficient stands before the tangent, so that going backwards is one product.
    const auto ignored = ignored_label(node.attributes);
    Var coefficient = cross_entropy_slope(node.in[0], node.in[1], ignored);
    if (reduction == Reduction::none) return sum(coefficient * *tangents[0], {-1});
    if (reduction == Reduction::mean && ignored) {
      const Var kept = not_equal(labels, *ignored);
      coefficient = coefficient / sum(cast(kept, coefficient.dtype()));
    } else if (const std::int64_t count = labels.shape().count();
               reduction == Reduction::mean && count > 1) {
      coefficient = coefficient * (1.0 / static_cast<double>(count));
    }
    return sum(coefficient * *tangents[0]);
  }

  static std::vector<Edge> edges() {
    using namespace detail;
    const auto of_label = [](std::int64_t label) {
      return [label](std::span<const Var> in) {
        return std::vector<Var>{cross_entropy(in[0], Tensor::of({label}))};
      };
    };
    const auto half = [](std::span<const Var> in) {
      return std::vector<Var>{cross_entropy(in[0], table({1, 2}, {0.5, 0}).to(in[0].dtype()))};
    };
    const auto of_two = [](std::span<const Var> in) {
      CrossEntropyOptions options;
      if (in.size() > 1) options.weights = in[1];
      return std::vector<Var>{cross_entropy(in[0], Tensor::of({1, 1}), options)};
    };
    std::vector<Edge> huge;
    for (const double size : {0x1.8p127, 0x1.8p1023}) {
      const std::string what = "a sum of losses beyond floats, " + std::to_string(std::ilogb(size));
      const Tensor logits = table({2, 2}, {size, 0, size, 0});
      const Tensor slopes = table({2, 2}, {0.5, -0.5, 0.5, -0.5});
      huge.push_back({what, {logits}, {number(size)}, {slopes}});
      for (const double weight : {1, 4})
        huge.push_back({what + ", weighted by " + std::to_string(weight),
                        {logits, row({1, weight})},
                        {number(size)},
                        {slopes, row({0, 0})}});
    }
    return joined(
        {cross_entropy_option_edges(), edges_of(of_two, huge),
         edges_of(of_label(0),
                  {{"nearly certain and right",
                    {table({1, 2}, {20, 0})},
                    {number(2.061153620314381e-09)},
                    {table({1, 2}, {-2.0611536181902037e-09, 2.0611536181902037e-09})}},
                   {"certain and right",
                    {table({1, 2}, {60, 0})},
                    {number(8.75651076269652e-27)},
                    {table({1, 2}, {-8.75651076269652e-27, 8.75651076269652e-27})}},
                   {"ties far from zero",
                    {table({1, 2}, {0x1p27, 0x1p27})},
                    {number(0.6931471805599453)},
                    {table({1, 2}, {-0.5, 0.5})}},
                   {"a class that cannot be",
                    {table({1, 2}, {0, -infinity})},
                    {number(0)},
                    {table({1, 2}, {0, 0})}},
                   {"impossible",
                    {table({1, 2}, {-infinity, 0})},
                    {number(infinity)},
                    {table({1, 2}, {-1, 1})}},
                   {"NaN",
                    {table({1, 2}, {not_a_number, 0})},
                    {number(not_a_number)},
                    {table({1, 2}, {not_a_number, not_a_number})}}}),
         edges_of(of_label(1), {{"nearly certain and wrong",
                                 {table({1, 2}, {20, 0})},
                                 {number(20.000000002061153)},
                                 {table({1, 2}, {0.9999999979388464, -0.9999999979388464})}},
                                {"huge differences",
                                 {table({1, 2}, {0x1p100, -0x1p100})},
                                 {number(0x1p101)},
                                 {table({1, 2}, {1, -1})}}}),
         edges_of(half, {{"probabilities that are 0 of what cannot be",
                          {table({1, 2}, {3, -infinity})},
                          {number(0)},
                          {table({1, 2}, {0, 0})}}})});
  }
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    const auto add = [&](std::string name, Shape logits, Shape labels, DType dtype,
                         Reduction reduction) {
      const auto classes = static_cast<double>(logits.back());
      const Domain range = domain(0, classes - 0.01);
      cases.push_back({std::move(name),
                       {Arg{std::move(logits)}, Arg{std::move(labels), range, dtype}},
                       [reduction](std::span<const Var> in) {
                         return std::vector<Var>{cross_entropy(in[0], in[1], reduction)};
                       }});
    };
    add("the mean", {4, 3}, {4}, int64, Reduction::mean);
    add("the sum, int32 labels", {3, 5}, {3}, int32, Reduction::sum);
    add("each", {4, 3}, {4}, int64, Reduction::none);
    add("one sample", {3}, {}, int64, Reduction::mean);
    add("one row", {1, 4}, {1}, int64, Reduction::mean);
    add("more axes", {2, 2, 3}, {2, 2}, int64, Reduction::mean);
    add("no samples, the sum", {0, 3}, {0}, int64, Reduction::sum);
    for (Case& sample : detail::cross_entropy_option_cases()) cases.push_back(std::move(sample));
    return cases;
  }
};
constexpr General<CrossEntropy> cross_entropy_op;

}  // namespace

Var detail::cross_entropy_of_labels(In logits, In labels, Reduction reduction,
                                    std::optional<std::int64_t> ignore_index) {
  Attributes attributes{{"reduction", static_cast<std::int64_t>(reduction)}};
  if (ignore_index) attributes = attributes.with(ignored_name, *ignore_index);
  return cross_entropy_op(logits, labels, attributes);
}
Var cross_entropy_slope(In logits, In labels, std::optional<std::int64_t> ignore_index) {
  Attributes attributes;
  if (ignore_index) attributes = {{ignored_name, *ignore_index}};
  return cross_entropy_slope_op(logits, labels, attributes);
}
void detail::register_cross_entropy() { register_all(cross_entropy_op, cross_entropy_slope_op); }

}  // namespace dualtape
