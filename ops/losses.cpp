#include <dualtape/ops/losses.hpp>

#include <dualtape/core/detail/team.hpp>
#include <dualtape/core/kinds.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/detail/builtin.hpp>
#include <dualtape/ops/detail/families.hpp>
#include <dualtape/ops/detail/fold_plan.hpp>
#include <dualtape/ops/detail/indices.hpp>
#include <dualtape/ops/detail/matrix.hpp>
#include <dualtape/ops/detail/operand.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>
#include <dualtape/ops/special.hpp>

namespace dualtape {
namespace {

Reduction reduction_of(const Attributes& attributes) {
  return static_cast<Reduction>(attributes.get<std::int64_t>("reduction"));
}

[[noreturn]] void refuse_label(std::int64_t label, std::size_t row, std::size_t classes) {
  throw ValueError("label " + std::to_string(label) + " of sample " + std::to_string(row) +
                   " is outside 0 .. " + std::to_string(classes - 1) + " (the logits have " +
                   std::to_string(classes) + " classes)");
}

// Labels have the shape of the logits without its last axis.
bool are_labels_of(const Shape& logits, const Shape& labels) {
  return !logits.empty_rank() &&
         std::ranges::equal(logits.sizes().first(logits.rank() - 1), labels.sizes());
}
std::string misfit_text(const Shape& logits, const Shape& labels) {
  return "labels must have the shape of the logits without its last axis, the classes: logits " +
         to_string(logits) + ", labels " + to_string(labels);
}

const char* labels_help(const Shape& logits, const Shape& labels) {
  return labels == logits ? "give class numbers; argmax(targets) makes them of one-hot rows"
                          : "give int64 labels: g.input(\"labels\", shape, dt::int64), "
                            "tensor.to(dt::int64) or cast(labels, dt::int64)";
}

struct CrossEntropy {
  static constexpr auto name = "cross_entropy";
  static constexpr auto doc = "-log softmax(logits)[label] for integer labels; mean, sum or each";
  static constexpr auto math =
      "y_n = log sum_c e^(x_nc) - x_n,label(n), then the mean or sum over n; dy_n = sum_c "
      "(softmax(x)_nc - [c = label(n)]) dx_nc, the bracket being 1 where it holds and else 0.";
  static constexpr auto example =
      Example{"cross_entropy(g.constant(Tensor{{0, 0}, {0, 0}}), g.constant(Tensor::of({0, 1})))",
              "0.6931472"};

  static void check_operands(const Inference& inference) {
    inference.require_count(2);
    inference.require_floating(0);
    const Shape& logits = inference.shape(0);
    if (!is_integer(inference.dtype(1)))
      inference.type_error(
          "labels must be int32 or int64 class numbers, got " + to_string(inference.in[1].type()),
          labels_help(logits, inference.shape(1)));
    const Shape& labels = inference.shape(1);
    if (!are_labels_of(logits, labels))
      inference.shape_error(misfit_text(logits, labels), labels == logits
                                                             ? labels_help(logits, labels)
                                                             : "one label per row of logits");
    if (logits.back() == 0)
      inference.shape_error("the logits " + to_string(logits) + " have no classes");
  }
  static void infer(Inference& inference) {
    check_operands(inference);
    const bool each = reduction_of(inference.attributes) == Reduction::none;
    inference.out.push_back({each ? inference.shape(1) : Shape{}, inference.dtype(0)});
  }

  // Calls put(row, loss) for rows first ... last - 1, in order.
  template <class T, class Label, class Put>
  static void losses(const detail::RowKernelsOf<T>& kernels, const T* x, const Label* labels,
                     std::size_t first, std::size_t last, std::size_t classes, Put put) {
    detail::RowTotals<T> totals;
    const std::size_t step = detail::rows_in_call(classes);
    for (; first < last; first += step) {
      const std::size_t count = std::min(step, last - first);
      kernels.totals(x + first * classes, count, classes, totals);
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t row = first + i;
        const auto label = static_cast<std::int64_t>(labels[row]);
        if (label < 0 || label >= static_cast<std::int64_t>(classes))
          refuse_label(label, row, classes);
        const T chosen = x[row * classes + static_cast<std::size_t>(label)];
        put(row, std::log(totals.total[i]) - (chosen - totals.largest[i]));
      }
    }
  }
  template <class T, class Label>
  static Kernel plan(const KernelRequest& request) {
    const auto rows = static_cast<std::size_t>(request.in[1].shape.count());
    const auto classes = static_cast<std::size_t>(request.in[0].shape.back());
    const Reduction reduction = reduction_of(request.attributes);
    const bool each = reduction == Reduction::none;
    return {[=, kernels = &detail::row_kernels<T>()](const KernelArgs& args) {
              const auto* x = args.input<T>(0);
              const auto* labels = args.input<Label>(1);
              // Losses are added up in order afterwards, so that threads change no bits.
              T* const of_rows = each ? args.output<T>() : static_cast<T*>(args.workspace);
              detail::in_ranges(args, rows, detail::rows_in_call(classes), 2 * rows * classes,
                                [&](std::size_t first, std::size_t last, void*) {
                                  losses(*kernels, x, labels, first, last, classes,
                                         [=](std::size_t row, T loss) { of_rows[row] = loss; });
                                });
              if (each) return;
              double total = 0;  // a float would lose digits over many rows
              for (std::size_t row = 0; row < rows; ++row)
                total += static_cast<double>(of_rows[row]);
              if (reduction == Reduction::mean) total /= static_cast<double>(rows);
              *args.output<T>() = static_cast<T>(total);
            },
            each ? 0 : rows * sizeof(T)};
  }
  template <class T>
  static Kernel plan_for(const KernelRequest& request) {
    return request.in[1].dtype == int32 ? plan<T, std::int32_t>(request)
                                        : plan<T, std::int64_t>(request);
  }
  static Kernel kernel(const KernelRequest& request) {
    return request.in[0].dtype == float32 ? plan_for<float>(request) : plan_for<double>(request);
  }

  static MaybeVar jvp(const NodeView& node, std::span<const MaybeVar> tangents) {
    if (!tangents[0]) return std::nullopt;
    const Var logits = node.in[0];
    const Var labels = node.in[1];
    const Reduction reduction = reduction_of(node.attributes);
    // The whole coefficient stands before the tangent, so that going backwards is one product.
    Var coefficient =
        softmax(logits) - detail::one_hot_of(name, labels, logits.shape().back(), logits.dtype());
    if (reduction == Reduction::none) return sum(coefficient * *tangents[0], {-1});
    const std::int64_t count = labels.shape().count();
    if (reduction == Reduction::mean && count > 1)
      coefficient = coefficient * (1.0 / static_cast<double>(count));
    return sum(coefficient * *tangents[0]);
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
    return cases;
  }
};
constexpr General<CrossEntropy> cross_entropy_op;

struct BinaryCrossEntropy {
  static constexpr auto name = "binary_cross_entropy";
  static constexpr auto doc = "-(y log p + (1 - y) log(1 - p)) for probabilities p and targets y";
  static constexpr auto math =
      "L = -(y max(log p, -100) + (1 - y) max(log(1 - p), -100)); dL/dp = (1 - y) / max(1 - p, "
      "1e-12) - y / max(p, 1e-12), dL/dy = max(log(1 - p), -100) - max(log p, -100).";
  static constexpr auto example = Example{
      "binary_cross_entropy(g.constant(Tensor{0.5, 0.5}), g.constant(Tensor{0, 1}))", "0.6931472"};
  static constexpr double lowest_log = -100;
  static constexpr double least = 1e-12;

  static auto formula(auto p, auto y) {
    return -(y * maximum(log(p), lowest_log) + (1 - y) * maximum(log1p(-p), lowest_log));
  }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    const Var p = in[0];
    const Var y = in[1];
    if (i == 0) return (1 - y) / maximum(1 - p, least) - y / maximum(p, least);
    return maximum(log1p(-p), lowest_log) - maximum(log(p), lowest_log);
  }
  static auto sample() { return std::array{domain(0.1, 0.9), domain(0, 1)}; }
};
constexpr detail::BuiltinElementwise<BinaryCrossEntropy> binary_cross_entropy_op;

struct BinaryCrossEntropyWithLogits {
  static constexpr auto name = "binary_cross_entropy_with_logits";
  static constexpr auto doc = "binary cross-entropy of sigmoid(x) and targets y";
  static constexpr auto math =
      "L = max(x, 0) (1 - y) - min(x, 0) y + log(1 + e^-|x|); dL/dx = (1 - y) sigmoid(x) - y "
      "sigmoid(-x), dL/dy = -x. A factor of 0 makes 0 of infinities.";
  static constexpr auto example = Example{
      "binary_cross_entropy_with_logits(g.constant(Tensor{0, 0}), g.constant(Tensor{0, 1}))",
      "0.6931472"};

  // sigmoid(x) - y and max(x, 0) - x y would cancel where x is large and y = 1.
  static auto formula(auto x, auto y) {
    const auto above = select(y == 1, 0, maximum(x, 0) * (1 - y));
    const auto below = select(y == 0, 0, minimum(x, 0) * y);
    return above - below + log1p(exp(-abs(x)));
  }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    if (i == 0) return (1 - in[1]) * sigmoid(in[0]) - in[1] * sigmoid(-in[0]);
    return -in[0];
  }
  static auto sample() { return std::array{domain(-3, 3).avoid(0), domain(0, 1)}; }
};
constexpr detail::BuiltinElementwise<BinaryCrossEntropyWithLogits>
    binary_cross_entropy_with_logits_op;

void require_one_shape(std::string_view loss, const In& a, const In& b) {
  if (a.is_literal() || b.is_literal() || detail::shape_of(a) == detail::shape_of(b)) return;
  fail<ShapeError>({.op = loss,
                    .what = "both operands must have one shape: " + to_string(detail::shape_of(a)) +
                            " and " + to_string(detail::shape_of(b)),
                    .where = a.where(),
                    .help = "reshape one of them; a loss does not broadcast"});
}

Var reduced(const In& entries, Reduction reduction) {
  switch (reduction) {
    case Reduction::mean: return mean(entries);
    case Reduction::sum: return sum(entries);
    default: return entries.var();
  }
}

In squared_difference(std::string_view loss, In a, In b) {
  require_one_shape(loss, a, b);
  return In(square(In(a - b, a.where())), a.where());
}

// Two operands drawn for a composite loss.
template <class Function>
std::vector<Case> pair_cases(Function function) {
  const auto call = [function](std::span<const Var> in) {
    return std::vector<Var>{function(in[0], in[1])};
  };
  return {Case{"a matrix", {Arg{{3, 2}}, Arg{{3, 2}}}, call},
          Case{"a vector", {Arg{{4}}, Arg{{4}}}, call}, Case{"scalars", {Arg{{}}, Arg{{}}}, call}};
}

// function(a, b, reduction) for each of them.
template <class Function>
std::vector<Case> reduction_cases(const Arg& a, const Arg& b, Function function) {
  std::vector<Case> cases;
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
    cases.push_back({"a matrix, reduction " + std::to_string(static_cast<int>(reduction)),
                     {a, b},
                     [=](std::span<const Var> in) {
                       return std::vector<Var>{function(in[0], in[1], reduction)};
                     }});
  return cases;
}
Arg sample_labels() { return {{4}, domain(0, 2.99), int64}; }  // of 4 rows and 3 classes

struct MeanSquaredError {
  static constexpr auto name = "mse";
  static constexpr auto doc = "(a - b)^2; mean, sum or each";
  static constexpr auto math =
      "L = (1/n) sum_i (a_i - b_i)^2; dL = (2/n) sum_i (a_i - b_i)(da_i - "
      "db_i). Written as sub, square and mean.";
  static constexpr auto example =
      Example{"mse(g.constant(Tensor{1, 2}), g.constant(Tensor{3, 2}))", "2.0"};
  static std::vector<Case> cases() {
    return pair_cases([](Var a, Var b) { return mse(a, b); });
  }
};
struct HalfSumOfSquares {
  static constexpr auto name = "half_sum_of_squares";
  static constexpr auto doc = "the sum of (a - b)^2 / 2";
  static constexpr auto math =
      "L = sum_i (a_i - b_i)^2 / 2; dL = sum_i (a_i - b_i)(da_i - db_i). "
      "Written as sub, square, sum and mul.";
  static constexpr auto example =
      Example{"half_sum_of_squares(g.constant(Tensor{1, 2}), g.constant(Tensor{3, 2}))", "2.0"};
  static std::vector<Case> cases() {
    return pair_cases([](Var a, Var b) { return half_sum_of_squares(a, b); });
  }
};

struct ClampedCrossEntropy {
  static constexpr auto name = "clamped_cross_entropy";
  static constexpr auto doc =
      "-log p[label] with p = softmax(logits) cut off to [2^-23, 1 - 2^-23]";
  static constexpr auto math =
      "y_n = -log min(max(p, e), 1 - e) with p = softmax(x_n)[label(n)] and e = 2^-23, then the "
      "mean "
      "or sum; dy_n as of cross_entropy, but 0 where p is cut off. Written as softmax, mul, sum, "
      "clamp and log.";
  static constexpr auto example = Example{
      "clamped_cross_entropy(g.constant(Tensor{{0, 0}, {99, 0}}), g.constant(Tensor::of({0, 1})))",
      "8.317766"};
  static constexpr double least = 0x1p-23;
  static std::vector<Case> cases() {
    return reduction_cases(Arg{{4, 3}}, sample_labels(), [](Var x, Var y, Reduction reduction) {
      return clamped_cross_entropy(x, y, reduction);
    });
  }
};

void require_labels(std::string_view loss, const In& logits, const Shape& of_logits,
                    const Shape& of_labels) {
  if (are_labels_of(of_logits, of_labels)) return;
  fail<ShapeError>({.op = loss,
                    .what = misfit_text(of_logits, of_labels),
                    .where = logits.where(),
                    .help = "one label per row of logits"});
}

struct MeanAbsoluteError {
  static constexpr auto name = "mae";
  static constexpr auto doc = "|a - b|; mean, sum or each";
  static constexpr auto math =
      "L = (1/n) sum_i |a_i - b_i|; dL = (1/n) sum_i sign(a_i - b_i)(da_i - db_i). Written as sub, "
      "abs and mean.";
  static constexpr auto example =
      Example{"mae(g.constant(Tensor{1, 2}), g.constant(Tensor{4, 2}))", "1.5"};
  static std::vector<Case> cases() {
    return pair_cases([](Var a, Var b) { return mae(a, b); });
  }
};

struct Huber {
  static constexpr auto name = "huber";
  static constexpr auto doc = "(a - b)^2 / 2 near 0, linear beyond delta";
  static constexpr auto math =
      "With d = a - b and c = min(max(d, -delta), delta): L = c (d - c/2), that is d^2/2 where |d| "
      "<= delta, else delta (|d| - delta/2); dL/da = c, dL/db = -c, dL/ddelta = |d - c|.";
  static constexpr auto example =
      Example{"huber(g.constant(Tensor{1, 5}), g.constant(Tensor{0, 0}))", "2.5"};
  static auto formula(auto a, auto b, auto delta) {
    const auto d = a - b;
    const auto cut = minimum(maximum(d, -delta), delta);
    return cut * (d - cut * 0.5);
  }
  static Factor partial(std::size_t i, std::span<const Var> in, Var) {
    const Var d = in[0] - in[1];
    const Var cut = minimum(maximum(d, -in[2]), in[2]);
    return i == 0 ? cut : i == 1 ? -cut : abs(d - cut);
  }
  // No difference meets a kink.
  static auto sample() { return std::array{domain(-3, -2), domain(-1, 2), domain(0.6, 0.9)}; }
};
constexpr detail::BuiltinElementwise<Huber> huber_op;

struct SmoothL1 {
  static constexpr auto name = "smooth_l1";
  static constexpr auto doc = "(a - b)^2 / (2 beta) near 0, |a - b| - beta / 2 beyond beta";
  static constexpr auto math =
      "With d = a - b and c = min(max(d / beta, -1), 1): L = c (d - c beta / 2), mae for beta = 0; "
      "dL/da = c. Written as sub, div, clamp and mul.";
  static constexpr auto example =
      Example{"smooth_l1(g.constant(Tensor{1, 5}), g.constant(Tensor{0, 0}), 2)", "2.125"};
  static std::vector<Case> cases() {
    std::vector<Case> cases;
    for (const double beta : {0.0, 0.5, 9.0})
      for (Case& sample :
           pair_cases([beta](Var a, Var b) { return smooth_l1(a, b + 4, beta, Reduction::sum); }))
        cases.push_back(std::move(sample));
    return cases;
  }
};

struct Hinge {
  static constexpr auto name = "hinge";
  static constexpr auto doc = "max(0, 1 - s y) for scores s and targets y of -1 and 1";
  static constexpr auto math = "L = max(0, 1 - s y); dL/ds = -y where s y < 1, else 0.";
  static constexpr auto example =
      Example{"hinge(g.constant(Tensor{0.5, -3}), g.constant(Tensor{1, -1}))", "0.25"};
  static std::vector<Case> cases() {
    const auto call = [](std::span<const Var> in) {
      return std::vector<Var>{hinge(in[0], in[1]), hinge(in[0] + 3, in[1], Reduction::none)};
    };
    return {Case{"a vector", {Arg{{4}, domain(-0.7, 0.7)}, Arg{{4}, domain(0.9, 1.1)}}, call}};
  }
};

struct NegativeLogLikelihood {
  static constexpr auto name = "nll";
  static constexpr auto doc = "-log_p[label] for integer labels; mean, sum or each";
  static constexpr auto math =
      "y_n = -x_n,label(n), then the mean or sum over n; dy_n = -dx_n,label(n). Written as gather "
      "and neg.";
  static constexpr auto example =
      Example{"nll(g.constant(Tensor{{-1, -2}, {-3, -4}}), g.constant(Tensor::of({0, 1})))", "2.5"};
  static std::vector<Case> cases() {
    std::vector<Case> cases =
        reduction_cases(Arg{{4, 3}}, sample_labels(),
                        [](Var x, Var y, Reduction reduction) { return nll(x, y, reduction); });
    cases.push_back({"one sample",
                     {Arg{{3}}, Arg{{}, domain(0, 2.99), int32}},
                     [](std::span<const Var> in) { return std::vector<Var>{nll(in[0], in[1])}; }});
    return cases;
  }
};

struct KlDivergence {
  static constexpr auto name = "kl_divergence";
  static constexpr auto doc = "how far probabilities, given by their logarithms, are from others";
  static constexpr auto math =
      "y_n = sum_c p_nc (log p_nc - l_nc) with 0 log 0 = 0, then the mean or sum over n; dy_n = "
      "sum_c (log p_nc + 1 - l_nc) dp_nc - p_nc dl_nc, 0 where p_nc = 0. Written as log, sub, mul, "
      "where and sum.";
  static constexpr auto example = Example{
      "kl_divergence(log(g.constant(Tensor{0.5, 0.5})), g.constant(Tensor{0, 1}))", "0.6931472"};
  static std::vector<Case> cases() {
    return reduction_cases(
        Arg{{3, 4}, domain(-3, -0.1)}, Arg{{3, 4}, domain(0.1, 0.9)},
        [](Var x, Var y, Reduction reduction) { return kl_divergence(x, y, reduction); });
  }
};

struct CosineSimilarity {
  static constexpr auto name = "cosine_similarity";
  static constexpr auto doc = "the cosine of the angle between vectors along an axis";
  static constexpr auto math =
      "y = sum_i u_i v_i with u = a / max(|a|, eps), v = b / max(|b|, eps); dy/da = (v - y u) / "
      "|a| "
      "where |a| is above eps. Written as max, norm, maximum, div, mul and sum.";
  static constexpr auto example =
      Example{"cosine_similarity(g.constant(Tensor{1, 0}), g.constant(Tensor{3, 4}))", "0.6"};
  static std::vector<Case> cases() {
    const auto along = [](std::int64_t axis) {
      return [axis](std::span<const Var> in) {
        return std::vector<Var>{cosine_similarity(in[0], in[1], axis)};
      };
    };
    const Domain away = domain(0.2, 2);
    return {Case{"vectors", {Arg{{4}, away}, Arg{{4}}}, along(-1)},
            Case{"rows", {Arg{{2, 3}, away}, Arg{{2, 3}, away}}, along(1)},
            Case{"columns", {Arg{{2, 3}, away}, Arg{{2, 3}, away}}, along(0)},
            Case{"numbers", {Arg{{3, 1}, away}, Arg{{3, 1}, away}}, along(-1)}};
  }
};

[[noreturn]] void refuse_width(std::string_view loss, const In& x, std::string_view width,
                               double given) {
  fail<ValueError>({.op = loss,
                    .what = std::string(width) + " is " + std::to_string(given) +
                            ", but it is where the loss turns linear",
                    .where = x.where(),
                    .help = "give a positive number; 1 is usual"});
}

}  // namespace

Var clamped_cross_entropy(In logits, In labels, Reduction reduction) {
  const Location where = logits.where();
  const auto here = [where](Var var) { return In(var, where); };
  const Shape shape = detail::shape_of(logits);
  require_labels("clamped_cross_entropy", logits, shape, detail::shape_of(labels));
  const Var p = softmax(logits);
  const MaybeVar found = detail::as_var(labels, here(p));
  const Var chosen =
      detail::one_hot_of("clamped_cross_entropy", found ? In(*found, labels.where()) : labels,
                         shape.back(), p.dtype());
  const Var of_label = sum(here(mul(here(p), here(chosen))), {-1});
  constexpr double least = ClampedCrossEntropy::least;
  const Var cut = clamp(here(of_label), In(least, where), In(1 - least, where));
  return reduced(here(neg(here(log(here(cut))))), reduction);
}

Var cross_entropy(In logits, In labels, Reduction reduction) {
  const Attributes attributes{{"reduction", static_cast<std::int64_t>(reduction)}};
  return cross_entropy_op(logits, labels, attributes);
}

Var binary_cross_entropy(In p, In y, Reduction reduction) {
  require_one_shape("binary_cross_entropy", p, y);
  return reduced(In(binary_cross_entropy_op(p, y), p.where()), reduction);
}

Var binary_cross_entropy_with_logits(In x, In y, Reduction reduction) {
  require_one_shape("binary_cross_entropy_with_logits", x, y);
  return reduced(In(binary_cross_entropy_with_logits_op(x, y), x.where()), reduction);
}

Var mse(In a, In b, Reduction reduction) {
  return reduced(squared_difference("mse", a, b), reduction);
}

Var half_sum_of_squares(In a, In b) {
  const In squares = squared_difference("half_sum_of_squares", a, b);
  return In(0.5, a.where()) * In(sum(squares), a.where());
}

Var mae(In a, In b, Reduction reduction) {
  require_one_shape("mae", a, b);
  return reduced(In(abs(In(a - b, a.where())), a.where()), reduction);
}

Var huber(In a, In b, double delta, Reduction reduction) {
  if (!(delta > 0)) refuse_width("huber", a, "delta", delta);
  require_one_shape("huber", a, b);
  return reduced(In(huber_op(a, b, In(delta, a.where())), a.where()), reduction);
}

Var smooth_l1(In a, In b, double beta, Reduction reduction) {
  if (beta == 0) return mae(a, b, reduction);
  if (!(beta > 0)) refuse_width("smooth_l1", a, "beta", beta);
  require_one_shape("smooth_l1", a, b);
  const auto here = [where = a.where()](auto x) { return In(x, where); };
  const In difference = here(a - b);
  // Not huber / beta, which over- and underflows for a small beta.
  const In cut = here(clamp(here(difference / here(beta)), here(-1.0), here(1.0)));
  const In rest = here(difference - here(cut * here(beta / 2)));
  return reduced(here(cut * rest), reduction);
}

Var hinge(In scores, In y, Reduction reduction) {
  require_one_shape("hinge", scores, y);
  const auto here = [where = scores.where()](auto x) { return In(x, where); };
  const Var margin = here(1.0) - here(scores * y);
  return reduced(here(maximum(here(margin), here(0.0))), reduction);
}

Var nll(In log_p, In labels, Reduction reduction) {
  const auto here = [where = log_p.where()](Var x) { return In(x, where); };
  const Shape rows = detail::shape_of(labels);
  require_labels("nll", log_p, detail::shape_of(log_p), rows);
  const MaybeVar found = detail::as_var(labels, log_p);
  Ints column = rows.vector();
  column.push_back(1);
  const Var places = reshape(found ? In(*found, labels.where()) : labels, Shape(column));
  const Var chosen = detail::gather_of("nll", log_p, In(places, labels.where()), -1);
  return reduced(here(neg(here(reshape(here(chosen), rows)))), reduction);
}

Var kl_divergence(In log_q, In p, Reduction reduction) {
  require_one_shape("kl_divergence", log_q, p);
  const auto here = [where = log_q.where()](auto x) { return In(x, where); };
  // Where p is 0, log q may be -inf: both are replaced before they meet.
  const In none = here(logical_and(here(equal(p, here(0))), here(logical_not(here(isnan(log_q))))));
  const Var log_p = log(here(where(none, here(1), p)));
  const Var apart = here(log_p) - here(where(none, here(0), log_q));
  const Var entries = where(none, here(0), here(p * here(apart)));
  return reduced(here(sum(here(entries), {-1})), reduction);
}

namespace {

// x / max(|x|, eps) along an axis, the largest element taken out first: no square over- or
// underflows. What is taken out changes nothing, so it has no derivative.
Var direction(const In& x, std::int64_t axis, double eps) {
  const auto here = [where = x.where()](auto value) { return In(value, where); };
  const Var largest = stop_gradient(here(max(here(abs(x)), {axis}, true)));
  const Var scale = where(here(here(largest) > here(0)), here(largest), here(1));
  const Var scaled = x / here(scale);
  const Var least = here(eps) / here(scale);
  const Var length = maximum(here(norm(here(scaled), {axis}, true)), here(least));
  return here(scaled) / here(length);
}

}  // namespace

Var cosine_similarity(In a, In b, std::int64_t axis, double eps) {
  require_one_shape("cosine_similarity", a, b);
  const Shape shape = detail::shape_of(a);
  const auto along =
      static_cast<std::int64_t>(detail::require_axis("cosine_similarity", a, axis, shape.rank()));
  const auto here = [where = a.where()](auto x) { return In(x, where); };
  if (shape[static_cast<std::size_t>(along)] == 0) return sum(here(a * b), {along});
  const Var product = here(direction(a, along, eps)) * here(direction(b, along, eps));
  return sum(here(product), {along});
}

void detail::register_losses() {
  register_all(cross_entropy_op, binary_cross_entropy_op, binary_cross_entropy_with_logits_op,
               huber_op);
  register_composite<MeanAbsoluteError>();
  register_composite<SmoothL1>();
  register_composite<Hinge>();
  register_composite<NegativeLogLikelihood>();
  register_composite<KlDivergence>();
  register_composite<CosineSimilarity>();
  register_composite<ClampedCrossEntropy>();
  register_composite<MeanSquaredError>();
  register_composite<HalfSumOfSquares>();
}

}  // namespace dualtape
