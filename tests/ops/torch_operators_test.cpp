// Reductions, scans, losses, moves and other operators against PyTorch's: fixtures/operators.csv.
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/creation.hpp>
#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/indexing.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/normalise.hpp>
#include <dualtape/ops/scan.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/slice.hpp>
#include <dualtape/ops/softmax.hpp>
#include <dualtape/ops/sort.hpp>
#include <dualtape/ops/special.hpp>
#include <dualtape/ops/trigonometry.hpp>

#include "torch_cases.hpp"

namespace dt = dualtape;
using dt::Reduction;
using dt::Tensor;
using torch_cases::Vars;

namespace {

void check(const std::string& name, const std::vector<dt::Shape>& shapes,
           const std::function<dt::Var(Vars)>& function) {
  torch_cases::check("operators.csv", name, shapes, function);
}

Tensor labels() { return Tensor::of({2, 0, 3}); }
Tensor index() { return Tensor::of({1, 0, 1, 2, 2, 0}).reshape({2, 3}); }

TEST_CASE("products and running results are PyTorch's") {
  check("prod", {{2, 3, 2}}, [](Vars x) { return dt::prod(x[0], {1}); });
  check("cumsum", {{3, 4}}, [](Vars x) { return dt::cumsum(x[0], 0); });
  check("cumprod", {{2, 5}}, [](Vars x) { return dt::cumprod(x[0], 1); });
  check("cumprod zeros", {{2, 5}}, [](Vars x) {
    return dt::cumprod(x[0] * Tensor{1, 0, 1, 0, 1}.to(x[0].dtype()), 1);
  });
  check("cummax", {{5, 3}}, [](Vars x) { return dt::cummax(x[0], 0).values; });
  check("cummin", {{2, 6}}, [](Vars x) { return dt::cummin(x[0], 1).values; });
  check("logcumsumexp", {{2, 5}}, [](Vars x) { return dt::logcumsumexp(x[0], 1); });
  check("linear_recurrence", {{2, 5}, {2, 5}},
        [](Vars x) { return dt::linear_recurrence(x[0], x[1]); });
  check("linear_recurrence reverse", {{2, 5}, {2, 5}},
        [](Vars x) { return dt::linear_recurrence(x[0], x[1], -1, true); });
  check("diff", {{5, 2}}, [](Vars x) { return dt::diff(x[0], 2, 0); });
  check("trapz", {{2, 5}, {2, 5}}, [](Vars x) { return dt::trapz(x[0], x[1], 1); });
}

TEST_CASE("extremes, orders and moments are PyTorch's") {
  check("max", {{2, 3, 2}}, [](Vars x) { return dt::max(x[0], {0, 2}); });
  check("min", {{2, 5}}, [](Vars x) { return dt::min(x[0], {1}); });
  check("sort", {{2, 6}}, [](Vars x) { return dt::sort(x[0], 1, true).values; });
  check("top_k", {{5, 3}}, [](Vars x) { return dt::top_k(x[0], 2, 0).values; });
  check("mean", {{2, 3, 2}}, [](Vars x) { return dt::mean(x[0], {0, 2}); });
  check("var", {{3, 2, 2}}, [](Vars x) { return dt::var(x[0], {0, 2}); });
  check("std", {{2, 5}}, [](Vars x) { return dt::stddev(x[0], {1}, false, 0); });
  check("norm", {{2, 5}}, [](Vars x) { return dt::norm(x[0], {1}); });
  check("logsumexp", {{2, 3, 2}}, [](Vars x) { return dt::logsumexp(4 * x[0], {0, 2}); });
  check("softmax", {{4, 3}}, [](Vars x) { return dt::softmax(3 * x[0], 0); });
  check("log_softmax", {{2, 5}}, [](Vars x) { return dt::log_softmax(3 * x[0], 1); });
  check("layer_norm", {{3, 5}, {5}, {5}},
        [](Vars x) { return dt::layer_norm(x[0], x[1], x[2], 1e-3); });
  check("rms_norm", {{3, 5}, {5}}, [](Vars x) { return dt::rms_norm(x[0], x[1], 1e-3); });
}

TEST_CASE("losses are PyTorch's") {
  check("cross_entropy", {{3, 4}}, [](Vars x) { return dt::cross_entropy(3 * x[0], labels()); });
  check("nll", {{3, 4}}, [](Vars x) { return dt::nll(x[0], labels(), Reduction::sum); });
  check("binary_cross_entropy", {{2, 4}, {2, 4}},
        [](Vars x) { return dt::binary_cross_entropy(dt::sigmoid(x[0]), dt::sigmoid(x[1])); });
  check("binary_cross_entropy_with_logits", {{2, 4}, {2, 4}},
        [](Vars x) { return dt::binary_cross_entropy_with_logits(3 * x[0], dt::sigmoid(x[1])); });
  check("mse", {{2, 4}, {2, 4}}, [](Vars x) { return dt::mse(x[0], x[1]); });
  check("mae", {{2, 4}, {2, 4}}, [](Vars x) { return dt::mae(x[0], x[1]); });
  check("huber", {{2, 4}, {2, 4}},
        [](Vars x) { return dt::huber(x[0], x[1], 0.6, Reduction::none); });
  check("smooth_l1", {{2, 4}, {2, 4}}, [](Vars x) { return dt::smooth_l1(x[0], x[1], 0.7); });
  check("hinge", {{2, 4}}, [](Vars x) {
    return dt::hinge(x[0], Tensor{{1, -1, 1, 1}, {-1, -1, 1, -1}}.to(x[0].dtype()));
  });
  check("kl_divergence", {{3, 4}, {3, 4}},
        [](Vars x) { return dt::kl_divergence(dt::log_softmax(x[0], 1), dt::softmax(x[1], 1)); });
  check("cosine_similarity", {{2, 4, 3}, {2, 4, 3}},
        [](Vars x) { return dt::cosine_similarity(x[0], x[1], 1); });
}

TEST_CASE("functions of two numbers are PyTorch's") {
  check("atan2", {{6}, {6}}, [](Vars x) { return dt::atan2(x[0], x[1]); });
  check("pow", {{6}, {6}}, [](Vars x) { return dt::pow(dt::square(x[0]) + 0.1, x[1]); });
  check("mod", {{6}, {6}}, [](Vars x) { return dt::mod(3 * x[0], x[1]); });
  check("logaddexp", {{6}, {6}}, [](Vars x) { return dt::logaddexp(5 * x[0], 5 * x[1]); });
  check("xlogy", {{6}, {6}}, [](Vars x) { return dt::xlogy(x[0], dt::square(x[1])); });
  check("where", {{2, 3}, {3}},
        [](Vars x) { return dt::where(x[0] > x[1], x[0] * x[1], x[0] - x[1]); });
  check("clamp", {{8}}, [](Vars x) { return dt::clamp(x[0], -0.5, 0.7); });
}

TEST_CASE("products of matrices and vectors are PyTorch's") {
  check("matmul", {{2, 1, 2, 3}, {2, 3, 2}}, [](Vars x) { return dt::matmul(x[0], x[1]); });
  check("outer", {{2}, {3}}, [](Vars x) { return dt::outer(x[0], x[1]); });
  check("dot", {{5}, {5}}, [](Vars x) { return dt::dot(x[0], x[1]); });
}

TEST_CASE("elements taken and added by index are PyTorch's") {
  check("take", {{2, 3}}, [](Vars x) { return dt::take(x[0], index(), 1); });
  check("gather", {{3, 4}}, [](Vars x) { return dt::gather(x[0], index(), 0); });
  check("scatter_add", {{3, 4}, {2, 3}},
        [](Vars x) { return dt::scatter_add(x[0], index(), x[1], 0); });
  check("index_add", {{2, 3}, {2, 3}}, [](Vars x) {
    return dt::index_add(x[0], Tensor::of({1, 1, 0}), x[1], 1);
  });
}

TEST_CASE("elements joined, moved and repeated are PyTorch's") {
  check("concat", {{2, 1, 2}, {2, 2, 2}}, [](Vars x) { return dt::concat({x[0], x[1]}, 1); });
  check("stack", {{2, 2}, {2, 2}}, [](Vars x) { return dt::stack({x[0], x[1]}, -1); });
  check("split", {{2, 7}}, [](Vars x) {
    const std::vector<dt::Var> parts = dt::split(x[0], {2, 2, 3}, 1);
    return parts[0] * parts[1];
  });
  check("pad", {{2, 3}}, [](Vars x) { return dt::pad(x[0], {2, 1}, {1, 0}, 0.5); });
  check("roll", {{2, 5}}, [](Vars x) { return dt::roll(x[0], 2, 1); });
  check("flip", {{2, 2, 3}}, [](Vars x) { return dt::flip(x[0], {0, 2}); });
  check("slice", {{3, 7}}, [](Vars x) { return dt::slice(x[0], {{1, {}}, {1, 6, 2}}); });
  check("permute", {{2, 2, 3}}, [](Vars x) { return dt::permute(x[0], {2, 0, 1}); });
  check("tile", {{2, 2}}, [](Vars x) { return dt::tile(x[0], {3, 1, 2}); });
  check("repeat", {{2, 3}}, [](Vars x) { return dt::repeat(x[0], 2, 0); });
  check("meshgrid", {{2}, {3}}, [](Vars x) {
    const std::vector<dt::Var> grid = dt::meshgrid({x[0], dt::square(x[1])});
    return grid[0] * grid[1];
  });
  check("tril", {{2, 3, 3}}, [](Vars x) { return dt::tril(x[0], -1); });
  check("triu", {{2, 3, 4}}, [](Vars x) { return dt::triu(x[0], 1); });
  check("diagonal", {{3, 2, 3}}, [](Vars x) { return dt::diagonal(x[0], 1, 0, 2); });
  check("diag_embed", {{2, 2}}, [](Vars x) { return dt::diag_embed(x[0], -1); });
}

}  // namespace
