#include "random_graphs.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <random>
#include <utility>

#include <dualtape/dualtape.hpp>

#include "wild_numbers.hpp"

namespace dualtape::testing {
namespace {

using Sizes = std::vector<std::int64_t>;

// A value no larger than `bound` in absolute value, so that products of many stay exact enough.
struct Bounded {
  Var var;
  double bound;
};

class Builder {
 public:
  Builder(std::uint64_t seed, int steps, bool wild) : random_(seed), wild_(wild) {
    result_.graph = std::make_unique<Graph>();
    // The last mode draws its directions.
    result_.mode = static_cast<GraphMode>(pick(wild ? graph_modes - 1 : graph_modes));
    result_.dtype = pick(4) == 0 ? float32 : float64;
    switch (pick(6)) {
      case 0: dims_ = {8, 16, 1 + pick(5)}; break;   // rows of whole cache lines
      case 1: dims_ = {37, 29, 1 + pick(5)}; break;  // several tiles and a rest
      default: dims_ = {1 + pick(5), 1 + pick(5), 1 + pick(5)};
    }
    net_ = pick(14) == 0 && !wild;  // weights as large as passes look for
    if (net_) dims_ = {128, 160};
    const int wanted = net_ ? 2 + pick(4) : 3 + pick(38);
    result_.story = "seed " + std::to_string(seed) + ", mode " +
                    std::to_string(static_cast<int>(result_.mode)) + ", " +
                    std::string(name_of(result_.dtype)) + ", " +
                    std::to_string(std::min(wanted, steps)) + " steps";
    add_leaves();
    for (int i = 0; i < std::min(wanted, steps); ++i) net_ ? layer() : step();
  }

  RandomGraph finish() {
    switch (result_.mode) {
      case GraphMode::plain: plain(); break;
      case GraphMode::reverse: reversed(); break;
      case GraphMode::forward: forwards(1); break;
      case GraphMode::forward_over_forward: forwards(2); break;
      case GraphMode::forward_over_reverse: second_order(false); break;
      case GraphMode::reverse_over_reverse: second_order(true); break;
      case GraphMode::forward_gradient: estimated(); break;
    }
    return std::move(result_);
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)); }
  double real(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() >> 11U) * 0x1p-53;
  }
  Graph& graph() { return *result_.graph; }
  std::int64_t dim() {
    return dims_[static_cast<std::size_t>(pick(static_cast<int>(dims_.size())))];
  }
  Shape any_shape() {
    if (net_) return pick(4) == 0 ? Shape{dim()} : Shape{8, dim()};
    static constexpr std::array<int, 8> ranks = {0, 1, 1, 2, 2, 2, 2, 3};
    Sizes sizes;
    for (int i = ranks[static_cast<std::size_t>(pick(8))]; i > 0; --i) sizes.push_back(dim());
    return Shape(sizes);
  }
  // In nets smaller weights and steps: else saturated layers lose digits that no pass is to blame
  // for.
  Tensor numbers(const Shape& shape) {
    if (wild_) return wild_numbers(random_, shape, result_.dtype);
    const double most = net_ ? 0.125 : 1;
    return uniform(Key(random_()), shape, -most, most, result_.dtype);
  }
  Bounded any() { return values_[values_.size() - 1 - skewed(values_.size())]; }
  // Small numbers are likelier: recent values are read more, which makes graphs deep.
  std::size_t skewed(std::size_t n) {
    const double x = real(0, 1);
    return std::min(n - 1, static_cast<std::size_t>(x * x * static_cast<double>(n)));
  }

  // Leaves ---------------------------------------------------------------------------------------

  Var input(const Shape& shape) {
    const Var var = graph().input("x" + std::to_string(result_.feeds.size()), shape, result_.dtype);
    result_.feeds.emplace_back(var, numbers(shape));
    return var;
  }
  Var parameter(const Shape& shape) {
    const Tensor start = numbers(shape);
    result_.parameters.emplace_back("p" + std::to_string(result_.parameters.size()), start);
    result_.starts.push_back(start);
    return graph().read(result_.parameters.back());
  }
  Var drawn(const Shape& shape) {
    if (wild_) return input(shape);
    const Var key = fold_key(key_, draws_++);
    switch (pick(3)) {
      case 0: return random_uniform(key, shape, -1, 1, result_.dtype);
      case 1: return random_rademacher(key, shape, result_.dtype);
      default: return clamp(random_normal(key, shape, 0, 1, result_.dtype), -2, 2);
    }
  }
  Var leaf(const Shape& shape) {
    switch (pick(8)) {
      case 0:
      case 1: return input(shape);
      case 2: return graph().constant(numbers(shape));
      case 3: return drawn(shape);
      default: return parameter(shape);
    }
  }
  void add_leaves() {
    key_ = graph().input("key", {}, int64);
    result_.feeds.emplace_back(key_, Key(random_()).to_tensor());
    rate_ = graph().input("rate", {}, result_.dtype);
    result_.feeds.emplace_back(
        rate_, wild_ ? numbers({}) : full(Shape{}, net_ ? 0.001 : 0.1, result_.dtype));
    keep(input(any_shape()), 1);
    keep(parameter(any_shape()), 1);
    keep(parameter(Shape{dim(), dim()}), 1);
    if (net_) keep(input(Shape{8, dim()}), 1);
  }

  // Steps ----------------------------------------------------------------------------------------

  void keep(Var var, double bound) {
    // Large values are brought back, by a function whose derivatives stay small too.
    if (bound > 8 && !wild_) {
      var = pick(3) == 0 ? var * (1 / bound) : tanh(var);
      bound = 1;
    }
    if (var.shape().count() <= 4096) values_.push_back({var, bound});
  }
  // Of a net: most go on from the one before, as layers do.
  void layer() {
    const Var x = values_.back().var;
    if (x.rank() != 2 || x.shape()[0] != 8 || pick(6) == 0) return step();
    const std::int64_t in = x.shape()[1];
    const std::int64_t out = dim();
    const bool transpose = pick(3) == 0;
    const Var w = parameter(transpose ? Shape{out, in} : Shape{in, out});
    const Var y = matmul(x, w, {.transpose_b = transpose});
    keep(pick(2) == 0 ? tanh(y + parameter(Shape{out})) : sigmoid(y), 1);
  }
  void step() {
    const Bounded x = any();
    switch (pick(10)) {
      case 0:
      case 1: return smooth(x);
      case 2: return trivial(x);
      case 3:
      case 4: return binary(x);
      case 5: return reduction(x);
      case 6: return movement(x);
      case 7: return joining(x);
      case 8: return product(x);
      default: return thin_product(x);
    }
  }

  void smooth(const Bounded& x) {
    const Var v = x.var;
    const double b = x.bound;
    switch (pick(16)) {
      case 0: return keep(tanh(v), 1);
      case 1: return keep(sigmoid(v), 1);
      case 2: return keep(exp(-square(v)), 1);
      case 3: return keep(sin(v), 1);
      case 4: return keep(cos(v), 1);
      case 5: return keep(square(v), b * b);
      case 6: return keep(abs(v), b);
      case 7: return keep(relu(v), b);
      case 8: return keep(softplus(v), b + 1);
      case 9: return keep(log1p(square(v)), b);
      case 10: return keep(sqrt(1.0 + square(v)), b + 1);
      case 11: return keep(reciprocal(2.0 + square(v)), 0.5);
      case 12: return keep(erf(v), 1);
      case 13: return keep(gelu(v), b);
      case 14: return keep(leaky_relu(v, 0.25), b);
      default: return keep(exp(tanh(v)), 3);
    }
  }

  // What algebra takes away or gathers.
  void trivial(const Bounded& x) {
    const Var v = x.var;
    const double b = x.bound;
    switch (pick(10)) {
      case 0: return keep(-v, b);
      case 1: return keep(-(-v), b);
      case 2: return keep(v * 1.0, b);
      case 3: return keep(v / 1.0, b);
      case 4: return keep(0.7 * (rate_ * v), b);
      case 5: return keep(rate_ * (v * 3.0), b);
      case 6: return keep(v + 0.0, b);
      case 7: return keep(cast(v > 0.0, result_.dtype) * v, b);
      case 8: return keep(stop_gradient(v), b);
      default:
        return keep((1.5 - 0.5) * sum(v, {}, true) / static_cast<double>(v.shape().count()), b);
    }
  }

  // Another value that may be broadcast against x: one there is, or a new one.
  Bounded partner(const Shape& shape) {
    for (int tries = 0; tries < 4; ++tries) {
      const Bounded y = any();
      if (broadcasts(y.var.shape(), shape)) return y;
    }
    Sizes sizes;
    for (std::size_t i = static_cast<std::size_t>(pick(static_cast<int>(shape.rank()) + 1));
         i < shape.rank(); ++i)
      sizes.push_back(pick(4) == 0 ? 1 : shape[i]);
    return {leaf(Shape(sizes)), 2};
  }
  static bool broadcasts(const Shape& a, const Shape& b) {
    for (std::size_t i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
      const std::int64_t m = a[a.rank() - i];
      const std::int64_t n = b[b.rank() - i];
      if (m != n && m != 1 && n != 1) return false;
    }
    return true;
  }

  void binary(const Bounded& x) {
    const Bounded y = partner(x.var.shape());
    const double sum_of = x.bound + y.bound;
    switch (pick(10)) {
      case 0:
      case 1: return keep(x.var + y.var, sum_of);
      case 2: return keep(x.var - y.var, sum_of);
      case 3: return keep(y.var - x.var, sum_of);
      case 4:
      case 5: return keep(x.var * y.var, x.bound * y.bound);
      case 6: return keep(maximum(x.var, y.var), sum_of);
      case 7: return keep(minimum(x.var, y.var), sum_of);
      case 8: return keep(x.var / (1.0 + square(y.var)), x.bound);
      default: return keep(where(x.var < y.var, x.var, y.var * 0.5), sum_of);
    }
  }

  void reduction(const Bounded& x) {
    const Var v = x.var;
    const auto rank = static_cast<int>(v.rank());
    if (rank == 0) return smooth(x);
    Sizes axes;
    if (pick(3) != 0) axes.push_back(pick(rank));
    const bool keepdims = pick(2) == 0;
    const auto count = static_cast<double>(
        axes.empty() ? v.shape().count() : v.shape()[static_cast<std::size_t>(axes[0])]);
    switch (pick(10)) {
      case 0:
      case 1: return keep(sum(v, axes, keepdims), count * x.bound);
      case 2: return keep(mean(v, axes, keepdims), x.bound);
      case 3: return keep(max(v, axes, keepdims), x.bound);
      case 4: return keep(logsumexp(v, axes, keepdims), x.bound + std::log(count));
      case 5: return keep(softmax(v, pick(rank)), 1);
      case 6: return keep(log_softmax(v, pick(rank)), 2 * x.bound + std::log(count));
      case 7: return keep(var(v, axes, keepdims, 0), x.bound * x.bound);
      case 8: {
        const double bound = std::sqrt(static_cast<double>(v.shape().sizes().back()));
        if (pick(2) == 0) return keep(layer_norm(v, 0.5), bound);
        Var scale = v;
        while (scale.rank() > 1) scale = mean(scale, {0});
        return keep(layer_norm(v, scale, scale * 0.5, 0.5), (bound + 1) * x.bound);
      }
      default: return keep(cumsum(v, pick(rank)), count * x.bound);
    }
  }

  void movement(const Bounded& x) {
    const Var v = x.var;
    const double b = x.bound;
    const Shape& shape = v.shape();
    const auto rank = static_cast<int>(v.rank());
    if (rank == 0) return keep(broadcast_to(v, any_shape()), b);
    const int axis = pick(rank);
    const std::int64_t size = shape[static_cast<std::size_t>(axis)];
    switch (pick(10)) {
      case 0: return keep(flatten(v), b);
      case 1: return keep(unsqueeze(v, pick(rank + 1)), b);
      case 2: return keep(reshape(reshape(v, {shape.count()}), shape), b);
      case 3: return keep(rank > 1 ? transpose(v) : flip(v), b);
      case 4: {
        Sizes axes(static_cast<std::size_t>(rank));
        for (std::size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<std::int64_t>(i);
        std::ranges::shuffle(axes, random_);
        return keep(permute(v, axes), b);
      }
      case 5: {
        const int begin = pick(static_cast<int>(size));
        return keep(slice(v, axis, begin, size, 1 + pick(2)), b);
      }
      case 6: {
        Sizes sizes{dim()};
        for (std::size_t i = 0; i < shape.rank(); ++i) sizes.push_back(shape[i]);
        return rank < 3 ? keep(broadcast_to(v, Shape(sizes)), b) : keep(flip(v, {axis}), b);
      }
      case 7: return keep(roll(v, pick(3), axis), b);
      case 8: return keep(take(v, index(size), axis), b);
      default: {
        Sizes before(shape.rank(), 0);
        Sizes after = before;
        before[static_cast<std::size_t>(axis)] = pick(2);
        after[static_cast<std::size_t>(axis)] = 1;
        return keep(pad(v, before, after, 0.5), b + 1);
      }
    }
  }
  Tensor index(std::int64_t size) {
    std::vector<std::int64_t> places;
    for (int i = 0; i < 3; ++i) places.push_back(pick(static_cast<int>(size)));
    return Tensor::from(places, Shape{3});
  }

  void joining(const Bounded& x) {
    const auto rank = static_cast<int>(x.var.rank());
    const Bounded y = same_shape(x.var.shape());
    const double b = std::max(x.bound, y.bound);
    if (rank == 0 || pick(3) == 0) {
      if (rank < 3) return keep(stack({x.var, y.var}, pick(rank + 1)), b);
      return keep(x.var + y.var, x.bound + y.bound);
    }
    const int axis = pick(rank);
    const std::int64_t size = x.var.shape()[static_cast<std::size_t>(axis)];
    if (pick(2) == 0 || size < 2) return keep(concat({x.var, y.var}, axis), b);
    const std::vector<Var> parts = split(x.var, {1, size - 1}, axis);
    keep(parts[0], x.bound);
    keep(parts[1], x.bound);
  }
  Bounded same_shape(const Shape& shape) {
    for (int tries = 0; tries < 6; ++tries)
      if (const Bounded y = any(); y.var.shape() == shape) return y;
    return {leaf(shape), 2};
  }

  // Products -------------------------------------------------------------------------------------

  // A matrix (or a batch of them): x itself, or made of it.
  Bounded matrix(const Bounded& x) {
    if (x.var.rank() >= 2) return x;
    return {x.var.rank() == 1 ? unsqueeze(x.var, pick(2)) : broadcast_to(x.var, Shape{2, 2}),
            x.bound};
  }
  void product(const Bounded& given) {
    const Bounded x = matrix(given);
    const std::size_t rank = x.var.rank();
    const bool transpose_x = pick(4) == 0;
    const std::int64_t inner = x.var.shape()[transpose_x ? rank - 2 : rank - 1];
    const auto bound = [&](const Bounded& w) {
      return static_cast<double>(inner) * x.bound * w.bound;
    };
    for (int tries = 0; tries < 6; ++tries) {
      const Bounded w = any();
      if (w.var.rank() != 2) continue;
      for (const bool transpose_w : {false, true})
        if (w.var.shape()[transpose_w ? 1 : 0] == inner)
          return affine(matmul(x.var, w.var, {transpose_x, transpose_w}), bound(w));
    }
    const bool transpose_w = pick(2) == 0;
    const std::int64_t out = dim();
    const Bounded w{leaf(transpose_w ? Shape{out, inner} : Shape{inner, out}), 2};
    values_.push_back(w);
    affine(matmul(x.var, w.var, {transpose_x, transpose_w}), bound(w));
  }
  // A layer now and then: bias and activation behind the product.
  void affine(Var y, double bound) {
    switch (pick(4)) {
      case 0: return keep(tanh(y + leaf(Shape{y.shape()[y.rank() - 1]})), 1);
      case 1: return keep(y + leaf(y.shape()), bound + 2);
      case 2: return keep(leaf(y.shape()) - rate_ * y, bound + 2);
      default: return keep(y, bound);
    }
  }
  // What one seed draws must not hang on the order in which a compiler evaluates arguments.
  std::pair<Var, Var> leaves(const Shape& first, const Shape& second) {
    const Var b = leaf(second);
    const Var a = leaf(first);
    return {a, b};
  }
  Var product_of_leaves(const Shape& first, const Shape& second, MatmulOptions options = {}) {
    const auto [a, b] = leaves(first, second);
    return matmul(a, b, options);
  }
  void thin_product(const Bounded& given) {
    const Bounded x = matrix(given);
    if (x.var.rank() != 2) return product(given);
    const std::int64_t inner = x.var.shape()[1];
    const std::int64_t out = dim();
    const std::int64_t thin = 1 + pick(2);
    const double bound = static_cast<double>(inner * thin) * x.bound * 4;
    switch (pick(5)) {
      case 0: {
        const auto [a, b] = leaves(Shape{inner}, Shape{out});
        return keep(matmul(x.var, outer(a, b)), bound);
      }
      case 1:
        return keep(matmul(x.var, 0.7 * product_of_leaves({inner, thin}, {thin, out})), bound);
      case 2:
        return keep(
            matmul(x.var, product_of_leaves({out, thin}, {inner, thin}, {.transpose_b = true}),
                   {.transpose_b = true}),
            bound);
      case 3:
        return keep(matmul(product_of_leaves({out, thin}, {thin, x.var.shape()[0]}), x.var),
                    static_cast<double>(x.var.shape()[0] * thin) * x.bound * 4);
      default: return keep(matmul(x.var, product_of_leaves({inner, thin}, {thin, out})), bound);
    }
  }

  // Ends -----------------------------------------------------------------------------------------

  // A number that depends on the last values and so on most of the graph.
  Var loss() {
    Var total = mean(square(values_.back().var));
    for (std::size_t i = 0; i < std::min<std::size_t>(3, values_.size()); ++i)
      total = total + mean(values_[values_.size() - 1 - i].var);
    return total;
  }
  void output(Var var) { result_.outputs.push_back(var); }
  void update(std::size_t i, Var change) {
    const Parameter& p = result_.parameters[i];
    const Var now = graph().read(p);
    switch (pick(3)) {
      case 0: result_.assigns.push_back(assign(p, now - rate_ * change)); break;
      case 1: result_.assigns.push_back(assign(p, now + change * (net_ ? -0.003 : -0.3))); break;
      default: result_.assigns.push_back(assign(p, 0.9 * now - rate_ * change));
    }
  }
  // Two parameters each of which becomes the other, where two have one type.
  bool exchange() {
    for (std::size_t i = 1; i < result_.parameters.size(); ++i) {
      const Parameter& a = result_.parameters[i - 1];
      const Parameter& b = result_.parameters[i];
      if (a.type() != b.type()) continue;
      result_.assigns.push_back(assign(a, graph().read(b)));
      result_.assigns.push_back(assign(b, graph().read(a)));
      return true;
    }
    return false;
  }

  void plain() {
    output(values_.back().var);
    for (int i = pick(3); i > 0; --i) output(any().var);
    if (pick(6) == 0 && exchange()) return;
    for (std::size_t i = 0; i < result_.parameters.size(); ++i)
      if (pick(2) == 0) update(i, drawn(result_.parameters[i].shape()));
  }
  void reversed() {
    const Var f = loss();
    const Gradients gradients = reverse(f, result_.parameters, Unreachable::zero);
    output(f);
    for (std::size_t i = 0; i < result_.parameters.size(); ++i) {
      if (pick(3) == 0) output(gradients.all()[i]);
      if (pick(4) != 0) update(i, gradients.all()[i]);
    }
  }
  std::vector<Var> directions() {
    std::vector<Var> v;
    for (const Parameter& p : result_.parameters) {
      if (pick(4) != 0 || p.shape().rank() != 2) {
        v.push_back(drawn(p.shape()));
        continue;
      }
      const Var right = drawn(Shape{1, p.shape()[1]});
      const Var left = drawn(Shape{p.shape()[0], 1});
      v.push_back(matmul(left, right));
    }
    return v;
  }
  void forwards(int times) {
    std::vector<Var> of{loss(), values_.back().var};
    for (const Var f : of) output(f);
    std::vector<Var> v;
    for (int i = 0; i < times; ++i) {
      v = directions();
      std::vector<Var> next;
      for (const MaybeVar& tangent : forward_all(of, result_.parameters, v))
        if (tangent) next.push_back(*tangent);
      if (next.empty()) return;
      for (const Var f : next) output(f);
      of = next;
    }
    const Var slope = sum(of.front());
    for (std::size_t i = 0; i < v.size(); ++i)
      if (pick(3) != 0) update(i, slope * v[i]);
  }
  void second_order(bool twice_reverse) {
    const Var f = loss();
    const Gradients first = reverse(f, result_.parameters, Unreachable::zero);
    output(f);
    const std::vector<Var> v = directions();
    std::vector<Var> seconds;
    if (twice_reverse) {
      Var along = 0.0 * rate_;
      for (std::size_t i = 0; i < v.size(); ++i) along = along + sum(first.all()[i] * v[i]);
      seconds = reverse(along, result_.parameters, Unreachable::zero).all();
    } else {
      for (const MaybeVar& tangent : forward_all(first.all(), result_.parameters, v))
        if (tangent) seconds.push_back(*tangent);
    }
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      if (pick(3) != 0) output(seconds[i]);
      if (twice_reverse && pick(3) == 0) update(i, seconds[i]);
    }
  }
  void estimated() {
    ForwardGradientOptions options;
    options.perturbation = pick(2) == 0 && !net_ ? Perturbation::normal : Perturbation::rademacher;
    options.directions = pick(4) == 0 ? Directions::per_parameter : Directions::joint;
    options.count = 1 + pick(2);
    options.rank = pick(3);
    options.replay = options.rank == 0 && pick(2) == 0;
    const Var f = loss();
    output(f);
    std::vector<Parameter> reached;
    for (const Parameter& p : result_.parameters)
      if (forward_all({f}, {p}, {graph().constant(ones(p.shape(), p.dtype()))})[0])
        reached.push_back(p);
    if (reached.empty()) return;
    const ForwardGradient g = forward_gradient(f, reached, fold_key(key_, 1000), options);
    for (const Var slope : g.slopes) output(slope);
    for (std::size_t i = 0; i < result_.parameters.size(); ++i)
      if (const auto at = std::ranges::find(reached, result_.parameters[i]); at != reached.end())
        update(i, g.gradients.all()[static_cast<std::size_t>(at - reached.begin())]);
  }

  std::mt19937_64 random_;
  bool wild_;
  RandomGraph result_;
  Sizes dims_;
  bool net_ = false;
  Var key_;
  Var rate_;
  std::int64_t draws_ = 0;
  std::vector<Bounded> values_;
};

}  // namespace

RandomGraph random_graph(std::uint64_t seed, int steps) {
  return Builder(seed, steps, false).finish();
}
RandomGraph wild_graph(std::uint64_t seed, int steps) {
  return Builder(seed, steps, true).finish();
}

}  // namespace dualtape::testing
