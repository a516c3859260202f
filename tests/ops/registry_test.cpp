// Every operator and composite function of the registry: complete in what it declares, and its
// derivatives checked from its own sample calls in every mode.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/modes/check.hpp>

namespace dt = dualtape;

namespace {

// Written down from what the library promises, not from what it registers.
const std::vector<std::string> promised = {
    // elementwise
    "add", "sub", "mul", "div", "neg", "abs", "sign", "square", "sqrt", "rsqrt", "reciprocal",
    "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "sigmoid", "logsigmoid",
    "softplus", "relu", "leaky_relu", "elu", "gelu", "silu", "erf", "pow", "maximum", "minimum",
    "clamp", "where", "floor", "ceil", "round", "isnan", "isfinite",
    // comparisons, logic, conversion
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and",
    "logical_or", "logical_xor", "logical_not", "cast",
    // reductions
    "sum", "mean", "max", "min", "argmax", "argmin", "any", "all", "var", "std", "norm",
    "logsumexp", "softmax", "log_softmax", "layer_norm",
    // products
    "matmul", "outer", "dot", "transpose",
    // shapes
    "reshape", "flatten", "permute", "squeeze", "unsqueeze", "broadcast_to", "concat", "stack",
    "split", "slice", "pad",
    // indexing
    "gather", "take", "one_hot", "scatter_add",
    // linear algebra
    "solve", "inverse", "det", "cholesky",
    // the rest
    "stop_gradient", "cross_entropy", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "mse", "half_sum_of_squares", "random_uniform", "random_normal", "random_rademacher",
    // what the published small runs need
    "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "hypot",
    "direction", "erfc", "normal_cdf", "exp_product", "logistic_density", "trunc", "mod", "prod",
    "cumsum", "flip", "roll", "clamped_cross_entropy",
    // pooling, normalisation, attention and contractions
    "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool2d",
    "adaptive_max_pool2d", "global_avg_pool", "global_max_pool", "rms_norm", "group_norm",
    "batch_norm", "batch_norm_inference", "dropout", "embedding", "scaled_dot_product_attention",
    "multi_head_attention", "einsum",
    // special functions, more activations and losses
    "lgamma", "digamma", "polygamma", "erfinv", "i0", "i1", "bessel_i", "logaddexp", "xlogy",
    "mish", "selu", "celu", "hardtanh", "hardsigmoid", "hardswish", "mae", "huber", "smooth_l1",
    "hinge", "nll", "kl_divergence", "cosine_similarity",
    // orders, running functions, diagonals, repetitions
    "sort", "argsort", "top_k", "cumprod", "cummax", "cummin", "logcumsumexp", "linear_recurrence",
    "diff", "trapz", "tril", "triu", "diagonal", "diag_embed", "diag", "trace", "meshgrid", "tile",
    "repeat", "kron",
    // factorisations
    "triangular_solve", "slogdet", "qr", "eigh", "svd", "matrix_norm"};

// A user's operator under a name that is taken.
struct Impostor {
  static constexpr auto name = "tanh";
  static constexpr auto doc = "not what its name says";
  static auto formula(auto x) { return x * x; }
  static constexpr auto partial = dt::derive;
  static auto sample() { return dt::domain(-1, 1); }
};
constexpr dt::Elementwise<Impostor> impostor;

// Those of ops/. Checking batches registers calls, too, which belong to modes/ and are tested
// there.
std::vector<dt::Entry> entries_of_ops() {
  std::vector<dt::Entry> entries = dt::all_entries();
  std::erase_if(entries, [](const dt::Entry& entry) { return entry.info.name == "call"; });
  return entries;
}

}  // namespace

TEST_CASE("an operator under a name that is taken is refused, each time it is called") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2});
  CHECK(dt::find_op("tanh") != nullptr);
  for (int i = 0; i < 2; ++i)
    CHECK_THROWS_WITH_AS(impostor(x), doctest::Contains("two operators are called 'tanh'"),
                         dt::GraphError);
}

TEST_CASE("every promised operator is registered, under a name of its own") {
  std::multiset<std::string> names;
  for (const dt::Entry& entry : dt::all_entries()) names.emplace(entry.info.name);
  for (const std::string& name : promised) {
    CAPTURE(name);
    CHECK(names.count(name) == 1);
  }
  for (const std::string& name : names) {
    CAPTURE(name);
    CHECK(names.count(name) == 1);
  }
}

TEST_CASE("every entry is documented and says why where it has no derivative") {
  for (const dt::Entry& entry : entries_of_ops()) {
    const dt::OpInfo& info = entry.info;
    CAPTURE(info.name);
    CHECK(!info.doc.empty());
    CHECK(!info.math.empty());
    CHECK(!info.example.code.empty());
    CHECK(!info.example.prints.empty());
    CHECK(!entry.cases().empty());
    CHECK((entry.op == nullptr) == (info.kind == dt::Kind::composite));
    if (info.kind == dt::Kind::zero_derivative || info.kind == dt::Kind::none)
      CHECK(!info.reason.empty());
    if (entry.op != nullptr) CHECK(dt::find_op(info.name) == entry.op);
  }
}

// Samples are drawn from benign domains: what is wrong in tails, at ties and limits shows at edges.
TEST_CASE("every entry declares its edges") {
  for (const dt::Entry& entry : entries_of_ops()) {
    CAPTURE(entry.info.name);
    CHECK((entry.edges && !entry.edges().empty()));
  }
}

TEST_CASE("the derivative rules of every entry hold in every mode") {
  for (const dt::Entry& entry : entries_of_ops()) {
    SUBCASE(std::string(entry.info.name).c_str()) {
      const dt::CheckReport report = dt::check_entry(entry);
      INFO(dt::to_string(report));
      CHECK(report.ok());
    }
  }
}
