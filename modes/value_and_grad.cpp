#include <dualtape/modes/value_and_grad.hpp>

namespace dualtape::detail {

Gradient::Gradient(VarFunction f, std::optional<std::vector<Parameter>> by, Called called)
    : f_(std::move(f)),
      by_(std::move(by)),
      called_(called),
      cache_(std::make_shared<FunctionCache>(CompileOptions{}, called.where)) {}

std::vector<Var> Gradient::operator()(std::span<const Var> x) const {
  require_callable(cache_ != nullptr, called_.function, called_.where);
  const Var value =
      require_alive(f_(x), called_.function, "what the function returns", called_.where);
  const std::vector<Var> gradients =
      by_ ? reverse(value, WrtList(*by_, called_.where), Unreachable::error, called_.where).all()
          : by_arguments(value, x, called_);
  std::vector<Var> all{value};
  all.insert(all.end(), gradients.begin(), gradients.end());
  return all;
}

std::vector<Tensor> Gradient::operator()(std::span<const Tensor> x) const {
  require_callable(cache_ != nullptr, called_.function, called_.where);
  return cache_->run([this](std::span<const Var> in) { return (*this)(in); }, x);
}

}  // namespace dualtape::detail
